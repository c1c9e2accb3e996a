//! The ground floor of the workspace: what every other crate needs and what knows nothing about audio, questions
//! or models.
//!
//! - [`atomic`]: files that are either whole or not there; reading with errors that name the file
//! - [`identity`]: what a stage was made from, compared with what is asked for
//! - [`chat`]: messages, with clips between their texts
//! - [`json`]: JSON and JSON Lines on top of it
//! - [`lock`]: one process per run folder
//! - [`hash`], [`manifest`]: SHA-256 of bytes, files and folders; folders that can be verified
//! - [`paths`]: names from data files that must stay inside a folder
//! - [`run_dir`]: where things lie in the folder of a run
//! - [`seed`]: random numbers as a pure function of (seed, stream, parts)
//! - [`limits`]: the sizes above which input is refused
//! - [`text`]: text from data files, made safe for a terminal
//! - [`progress`]: how far a long job is; what shows it belongs to the program
//! - [`problem`]: what is wrong with a configuration, all of it at once
//! - [`diagnose`]: exit codes and hints of errors

pub mod atomic;
pub mod chat;
pub mod diagnose;
mod error;
pub mod hash;
pub mod identity;
pub mod json;
pub mod limits;
pub mod lock;
pub mod manifest;
pub mod paths;
pub mod problem;
pub mod progress;
pub mod run_dir;
pub mod seed;
pub mod text;

pub use diagnose::{Diagnose, ExitKind};
pub use error::CommonError;
pub use identity::{Difference, Identity};
pub use problem::{Problem, Problems};
pub use run_dir::RunDir;
