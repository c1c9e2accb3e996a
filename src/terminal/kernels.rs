//! Progress of a GPU's kernels: how many are compiled and how many come from the cache.
//!
//! cubecl reports kernels only through the `log` crate. This module listens and prints a line from time to time.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use idk_model::{default_kernel_cache_dir, open_kernel_cache};
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::print::say;

/// Shortest time between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Opens the kernel cache of a device in `folder`, the user's own if that is empty, and says which it is. To be called
/// before the device is opened.
pub(crate) fn open_cache(folder: &Path, device: &str) {
    let folder = if folder.as_os_str().is_empty() { default_kernel_cache_dir() } else { folder.to_owned() };
    let Some(cache) = open_kernel_cache(&folder, device) else { return };
    if let Some(warning) = cache.warning {
        say(&format!("warning: {warning}"));
    }
    if log::set_logger(&LISTENER).is_ok() {
        log::set_max_level(LevelFilter::Trace);
    }
    let state = if cache.file.exists() { "" } else { ", which does not exist yet" };
    say(&format!("kernels   in {}{state}", cache.file.display()));
}

/// One line that closes a stage: what has been compiled so far. `None` if no kernel was met.
pub(crate) fn line() -> Option<String> {
    let counts = LISTENER.counts.lock().ok()?;
    counts.any().then(|| counts.line())
}

static LISTENER: Listener = Listener { counts: Mutex::new(KernelCounts::new()) };

struct Listener {
    counts: Mutex<KernelCounts>,
}

/// What has been heard so far.
#[derive(Debug)]
struct KernelCounts {
    compiled: usize,
    from_cache: usize,
    tuned: usize,
    /// What is being chosen for, as cubecl names it.
    tuning: String,
    since: Option<Instant>,
    last_line: Option<Instant>,
}

/// What one message of cubecl says.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Compiled,
    FromCache,
    Tuning(String),
    /// Something that people should know, such as a cache that cannot be written.
    Warning(String),
}

/// A message of several lines, such as a backtrace, in one.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}

/// The event behind a message; `None` for what is of no interest.
fn event(level: Level, target: &str, message: &str) -> Option<Event> {
    if !target.starts_with("cubecl") {
        return None;
    }
    match message {
        "Compiling kernel" => Some(Event::Compiled),
        "Using PTX cache" | "Using second-line PTX cache" => Some(Event::FromCache),
        _ if level == Level::Warn || level == Level::Error => Some(Event::Warning(one_line(message))),
        _ => message.strip_prefix("Tuning ").map(|key| Event::Tuning(key.to_owned())),
    }
}

impl KernelCounts {
    const fn new() -> Self {
        Self { compiled: 0, from_cache: 0, tuned: 0, tuning: String::new(), since: None, last_line: None }
    }

    fn any(&self) -> bool {
        self.compiled + self.from_cache > 0
    }

    /// Counts one event; a line if it is time for one.
    fn add(&mut self, event: Event, now: Instant) -> Option<String> {
        self.since.get_or_insert(now);
        match event {
            Event::Compiled => self.compiled += 1,
            Event::FromCache => self.from_cache += 1,
            Event::Tuning(key) => {
                self.tuned += 1;
                self.tuning = key;
            }
            Event::Warning(what) => return Some(format!("warning: GPU runtime: {what}")),
        }
        let last = *self.last_line.get_or_insert(now);
        // What only comes from the cache takes no time worth a line.
        if now.duration_since(last) < BETWEEN_LINES || self.compiled == 0 {
            return None;
        }
        self.last_line = Some(now);
        let seconds = self.since.map_or(0, |since| now.duration_since(since).as_secs());
        let tuning = if self.tuning.is_empty() {
            String::new()
        } else {
            format!("; choosing for {}", short(&self.tuning))
        };
        Some(format!("{}, {seconds} s{tuning}", self.line()))
    }

    fn line(&self) -> String {
        let Self { compiled, from_cache, tuned, .. } = self;
        let chosen = if *tuned == 0 { String::new() } else { format!(", chosen for {tuned} shapes") };
        format!("kernels   {compiled} compiled, {from_cache} from the cache{chosen}")
    }
}

/// A key of autotune for people: kind, sizes and type of a matrix product, else the head of what cubecl writes.
fn short(key: &str) -> String {
    const MOST: usize = 60;
    let after = |name: &str| {
        let start = key.find(name)? + name.len();
        let value = key[start..].split([',', ' ', ')']).next()?;
        (!value.is_empty()).then_some(value)
    };
    if let (Some(m), Some(k), Some(n)) = (after(" m: "), after(" k: "), after(" n: ")) {
        let dtype = after("elem_lhs: Float(").unwrap_or("");
        return format!("a product [{m}, {k}] x [{k}, {n}] {dtype}").trim_end().to_owned();
    }
    if key.chars().count() <= MOST { key.to_owned() } else { key.chars().take(MOST).chain(['…']).collect() }
}

impl Log for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("cubecl")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(event) = event(record.level(), record.target(), &record.args().to_string()) else { return };
        let line = self.counts.lock().ok().and_then(|mut counts| counts.add(event, Instant::now()));
        if let Some(line) = line {
            say(&line);
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cubecl_says_is_understood_and_other_crates_are_not_heard() {
        let context = "cubecl_cuda::compute::context";
        assert_eq!(event(Level::Trace, context, "Compiling kernel"), Some(Event::Compiled));
        assert_eq!(event(Level::Trace, context, "Using second-line PTX cache"), Some(Event::FromCache));
        let tuning = event(Level::Info, "cubecl_runtime::tune::tuner", "Tuning Matmul - 64");
        assert_eq!(tuning, Some(Event::Tuning("Matmul - 64".to_owned())));
        assert_eq!(event(Level::Warn, context, "no"), Some(Event::Warning("no".to_owned())));
        assert_eq!(event(Level::Debug, context, "no"), None);
        assert_eq!(event(Level::Warn, "ureq", "no"), None);
    }

    #[test]
    fn a_line_comes_every_few_seconds_while_kernels_are_compiled_and_none_if_all_are_there() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut counts = KernelCounts::new();
        assert_eq!(counts.add(Event::FromCache, start), None);
        assert_eq!(counts.add(Event::FromCache, after(9)), None);
        let line = counts.add(Event::Compiled, after(10)).unwrap();
        assert_eq!(line, "kernels   1 compiled, 2 from the cache, 10 s");
        assert_eq!(counts.add(Event::Compiled, after(14)), None);
        let line = counts.add(Event::Tuning("x".repeat(80)), after(15)).unwrap();
        assert!(line.ends_with(&format!("; choosing for {}…", "x".repeat(60))), "{line}");
    }

    #[test]
    fn a_matrix_product_is_named_by_its_sizes() {
        let key = "MatmulAutotuneKey - Definition: MatmulProblemDefinition { m: 72, n: 56, k: 200, lhs_pow2_factor: 3, elem_lhs: \
                   Float(BF16), elem_rhs: Float(BF16) }";
        assert_eq!(short(key), "a product [72, 200] x [200, 56] BF16");
        assert_eq!(short("SumAutotuneKey { dtype: F32 }"), "SumAutotuneKey { dtype: F32 }");
    }

    #[test]
    fn warnings_are_always_said() {
        let line = KernelCounts::new().add(Event::Warning("disk full".to_owned()), Instant::now());
        assert_eq!(line.as_deref(), Some("warning: GPU runtime: disk full"));
    }
}
