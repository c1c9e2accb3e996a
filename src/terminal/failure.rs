//! The one type that every program ends with when something fails, and how it is printed.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use idk_common::diagnose::{Diagnose, ExitKind};

use super::print::{multi_line_safe, print_line, say};

/// Any failure of a program, with its exit code and hint.
#[derive(Debug)]
pub(crate) struct Failure(Box<dyn Diagnose + Send + Sync>);

impl Failure {
    /// The exit code of the program.
    pub(crate) fn exit_code(&self) -> u8 {
        self.0.exit_kind() as u8
    }

    /// The kind of failure.
    pub(crate) fn exit_kind(&self) -> ExitKind {
        self.0.exit_kind()
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    /// The error and its causes, outermost first.
    pub(crate) fn chain(&self) -> Vec<String> {
        let mut lines = vec![self.0.to_string()];
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let line = error.to_string();
            if !lines.iter().any(|seen| seen.contains(&line)) {
                lines.push(line);
            }
            cause = error.source();
        }
        lines
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.chain().join("\n  caused by: "))
    }
}

impl<E: Diagnose + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// `RAYON_NUM_THREADS` may ask for more threads than there are cores, but not for so many that the machine hangs.
fn limit_threads() {
    const MAX_PER_CORE: usize = 4;
    let most = MAX_PER_CORE * std::thread::available_parallelism().map_or(1, usize::from);
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.trim().parse::<usize>().ok());
    if asked.is_some_and(|asked| asked > most) {
        say(&format!("warning: RAYON_NUM_THREADS is too high for this machine: {most} threads are started"));
        // Fails only if threads were started before, which nothing does.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(most).build_global();
    }
}

/// Runs a program's body and turns its failure into a message and an exit code.
pub(crate) fn run(body: impl FnOnce() -> Result<(), Failure>, json: bool) -> ExitCode {
    super::signals::survive_file_size_limit();
    limit_threads();
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn report(failure: &Failure, json: bool) {
    let hint = failure.hint();
    if json {
        let row = serde_json::json!({
            "type": "error",
            "exit_code": failure.exit_code(),
            "message": failure.chain(),
            "hint": hint,
        });
        // A reader that cannot take the error cannot take a second one either.
        let _ = print_line(&row.to_string());
        return;
    }
    let mut message = format!("error: {}\n", multi_line_safe(&failure.to_string()));
    if let Some(hint) = hint {
        message.push_str(&format!("\nhint: {}\n", multi_line_safe(&hint)));
    }
    // Nothing is left to do when stderr itself is gone.
    let _ = std::io::stderr().write_all(message.as_bytes());
}
