//! What the three programs share at the edge: option groups, printing, exit codes.
//!
//! stdout carries data only; progress and messages go to stderr.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use idk_common::{CommonError, RunDir};

use crate::error::{Failure, RunError};
use crate::recipe::Recipe;

/// Options of every program that reads a recipe.
#[derive(Args, Clone, Debug, Default)]
pub struct RecipeArgs {
    /// The recipe, a TOML file
    pub recipe: Option<PathBuf>,
    /// Overrides a key of the recipe, e.g. `--set train.learning_rate=5e-4`; may be given again
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl RecipeArgs {
    /// Like [`Self::load`], but a run folder may be named as well: then its own recipe is read.
    ///
    /// # Errors
    /// As [`Self::load`]; [`RunError::Usage`] if nothing is named.
    pub fn load_run(&self) -> Result<Recipe, Failure> {
        let Some(path) = &self.recipe else {
            let what = "no recipe or run folder given; try `recipes/sound.toml`".to_owned();
            return Err(RunError::Usage { what }.into());
        };
        if !path.is_dir() {
            return self.load();
        }
        let mut recipe = Recipe::load(&RunDir::new(path).recipe(), &self.set)?;
        // It may have been moved.
        path.clone_into(&mut recipe.output.dir);
        Ok(recipe)
    }

    /// Reads the recipe with its overrides; all defaults when no file is named.
    ///
    /// # Errors
    /// Every mistake of the recipe at once.
    pub fn load(&self) -> Result<Recipe, Failure> {
        Ok(match &self.recipe {
            Some(path) => Recipe::load(path, &self.set)?,
            None => Recipe::parse("", Path::new("(defaults)"), &self.set)?,
        })
    }
}

/// Runs a program's body and turns its failure into a message and an exit code.
pub fn run(body: impl FnOnce() -> Result<(), Failure>, json: bool) -> ExitCode {
    crate::stop::survive_file_size_limit();
    limit_threads();
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure, json);
            ExitCode::from(failure.exit_code())
        }
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

/// Makes every line of a message safe for a terminal; paths and texts in it come from outside.
fn multi_line_safe(text: &str) -> String {
    text.lines().map(idk_common::text::terminal_safe).collect::<Vec<_>>().join("\n")
}

/// Prints one line of data on stdout. A closed pipe is not an error: the reader has seen enough.
///
/// # Errors
/// Any other failed write, such as a full disk behind a redirection.
pub fn print_line(line: &str) -> Result<(), CommonError> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommonError::io("write to", Path::new("stdout"))(error))
        }
        _ => Ok(()),
    }
}

/// Says on stderr what the program is doing.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", multi_line_safe(line));
}
