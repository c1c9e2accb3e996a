//! The recipe and the pipeline behind `idk-build`, `idk-train` and `idk-eval`.
//!
//! Data flows one way: questions -> samples -> labels -> rows -> adapter -> answers -> report.

pub mod allow;
pub mod base;
mod base_run;
pub mod check;
pub mod cli;
pub mod environment;
pub mod error;
pub mod evaluation;
mod glimpse;
pub mod labelling;
mod model_card;
pub mod pipeline;
pub mod plan;
mod preview;
pub mod recipe;
pub mod shards;
pub mod sources;
mod stop;
mod summary;
mod training;
pub mod transfer;
mod validation;
