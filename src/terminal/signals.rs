//! Ctrl-C and SIGTERM: the first lets a stage save what it has, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use idk_common::diagnose::ExitKind;

use super::print::say;

/// How soon a signal is answered.
const POLL: Duration = Duration::from_millis(100);

/// The flags that the handlers of this process set. Handlers stay for its whole life, so there is one set of them.
#[derive(Default)]
struct Handlers {
    /// While it is set, a signal ends the program at once.
    stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

impl Handlers {
    fn install() -> Self {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag::{register, register_conditional_shutdown};
        let handlers = Self::default();
        for (signal, code) in [(SIGINT, ExitKind::Interrupted), (SIGTERM, ExitKind::Terminated)] {
            // Without a handler a signal ends the program at once, which loses at most what was done since the last
            // checkpoint or shard.
            let _ = register_conditional_shutdown(signal, i32::from(code.code()), Arc::clone(&handlers.stop));
            let _ = register(signal, Arc::clone(&handlers.stop));
        }
        let _ = register(SIGTERM, Arc::clone(&handlers.terminated));
        handlers
    }
}

/// Lets a write that goes over the limit of `ulimit -f` fail with an error, instead of a signal that ends the program
/// without a word.
pub(super) fn survive_file_size_limit() {
    #[cfg(unix)]
    // Without a handler the program ends as it would have before.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

/// A stage that has something to save when a signal comes.
pub(crate) struct StopSignals {
    handlers: &'static Handlers,
}

impl StopSignals {
    /// Watches for signals from now on; only one stage at a time does.
    pub(crate) fn watch() -> Self {
        let handlers = HANDLERS.get_or_init(Handlers::install);
        handlers.stop.store(false, Ordering::Relaxed);
        Self { handlers }
    }

    /// Set by the first signal.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.handlers.stop
    }

    /// Whether a signal came.
    pub(crate) fn came(&self) -> bool {
        self.flag().load(Ordering::Relaxed)
    }

    /// Whether SIGTERM was among the signals.
    pub(crate) fn terminated(&self) -> bool {
        self.handlers.terminated.load(Ordering::Relaxed)
    }

    /// Runs a job and says at once when a signal comes, as the job may take a while to end.
    pub(crate) fn while_telling<T>(&self, what: &str, job: impl FnOnce() -> T) -> T {
        /// Ends the watch however the job ends.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Without a thread the job runs unwatched; it still sees the flag.
            let watch = std::thread::Builder::new().spawn_scoped(scope, || {
                loop {
                    // In this order, so that what stopped the job is always said.
                    let is_over = over.load(Ordering::Relaxed);
                    if self.came() {
                        return say(what);
                    }
                    if is_over {
                        return;
                    }
                    std::thread::park_timeout(POLL);
                }
            });
            let result = {
                let _over = Over(&over);
                job()
            };
            if let Ok(watch) = watch {
                watch.thread().unpark();
            }
            result
        })
    }
}

/// What follows has nothing to save: there the first signal ends the program.
impl Drop for StopSignals {
    fn drop(&mut self) {
        self.handlers.stop.store(true, Ordering::Relaxed);
    }
}
