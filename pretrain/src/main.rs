//! `idk-pretrain RECIPE`: how the embedded base model was made. Nobody needs it to use `idk`.
//!
//! A new model of random weights, or the model of an earlier stage, is trained on clips that are rendered from the bank of
//! recordings as it goes: all of it, or the parts that the recipe names. `recipes/base/` has the four stages.

mod bpe;
mod error;
mod init;
mod recipe;
mod rows;
mod run;
mod validate;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use idk_common::diagnose::Diagnose;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

use error::PretrainError;
use recipe::PretrainRecipe;

/// Trains a small base model from scratch, as the embedded one was made
#[derive(Parser)]
#[command(name = "idk-pretrain", version)]
struct Arguments {
    /// The recipe, a TOML file such as recipes/base/1-listen.toml
    recipe: PathBuf,
}

fn main() -> ExitCode {
    idk_model::tune_allocator();
    let stop = stop_flag();
    match PretrainRecipe::load(&Arguments::parse().recipe).and_then(|recipe| run::train(&recipe, &stop)) {
        Ok(table) => {
            let _ = write!(std::io::stdout(), "{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            print_error(&error);
            ExitCode::from(error.exit_kind().code())
        }
    }
}

/// Set by the first signal, after which the run saves its step; a second signal ends the program at once.
fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Without a handler a signal ends the program, which loses the steps since the last checkpoint.
        let _ = register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop));
        let _ = register(signal, Arc::clone(&stop));
    }
    stop
}

/// Prints a line on stderr.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn print_error(error: &PretrainError) {
    let mut message = format!("error: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        message.push_str(&format!("  caused by: {source}\n"));
        cause = source.source();
    }
    if let Some(hint) = error.hint() {
        message.push_str(&format!("\nhint: {hint}\n"));
    }
    // Nothing is left to do when stderr itself is gone.
    let _ = std::io::stderr().write_all(message.as_bytes());
}
