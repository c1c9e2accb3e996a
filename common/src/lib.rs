#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! - [`fs`]: files that are either complete or absent; reading with errors that name the file
//! - [`faults`]: failures on purpose, for tests
//! - [`identity`]: what a stage was made from, compared with what is requested
//! - [`chat`]: messages, with clips between their texts
//! - [`json`]: JSON and JSON Lines on top of it; [`lines`], [`rows`]: files of any size, read in parts
//! - [`lfs`]: pointers that Git leaves where large files should be
//! - [`lock`]: one process per run folder; [`owned`]: which files of a folder are the program's own
//! - [`hash`], [`manifest`]: SHA-256 of bytes, files and folders; folders that can be verified
//! - [`paths`]: names from data files that must stay inside a folder
//! - [`run_dir`]: the layout of a run folder
//! - [`seed`]: random numbers as a pure function of (seed, stream, parts)
//! - [`limits`]: the sizes above which input is rejected
//! - [`plain_types()`]: the messages of serde without the names of Rust types
//! - [`text`]: text from data files, made safe for a terminal
//! - [`prefetch()`]: the next items are made on another thread
//! - [`progress`]: progress of a long job; displaying it is up to the program
//! - [`problem`]: what is wrong with a configuration, all at once
//! - [`diagnose`]: exit codes and hints of errors

pub mod chat;
pub mod diagnose;
mod error;
mod files;
pub mod identity;
pub mod limits;
mod prefetch;
pub mod problem;
pub mod progress;
pub mod run_dir;
pub mod seed;
pub mod text;

pub use diagnose::{Diagnose, ExitKind};
pub use error::CommonError;
pub use files::{faults, fs, hash, json, lfs, lines, lock, manifest, owned, paths, plain_types, rows};
pub use identity::{Difference, Identity};
pub use prefetch::{ITEMS_AHEAD, prefetch};
pub use problem::{Problem, Problems};
pub use run_dir::RunDir;
