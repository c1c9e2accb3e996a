//! The recipe and the pipeline behind `idk-build`, `idk-train` and `idk-eval`.
//!
//! Data flows one way: questions -> samples -> labels -> rows -> adapter -> answers -> report.

pub mod base;
mod base_run;
pub mod cli;
pub mod error;
pub mod evaluation;
pub mod labelling;
pub mod merge_command;
pub mod pipeline;
pub mod recipe;
pub mod shards;
pub mod sources;
mod stop;
mod training;
pub mod transfer;
mod validation;
