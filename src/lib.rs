//! The recipe and the programs `idk-build`, `idk-train` and `idk-eval`.
//!
//! Data flows one way: questions -> samples -> labels -> rows -> adapter -> answers -> report. Folders import downward:
//! `command`, `experiment` and `preflight`, `stage`, `run`, `recipe`, `terminal`.

mod command;
mod experiment;
mod preflight;
pub mod recipe;
mod run;
mod stage;
mod terminal;

pub use command::build::main as idk_build;
pub use command::eval::main as idk_eval;
pub use command::train::main as idk_train;
