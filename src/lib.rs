//! The recipe and the pipeline behind `idk-build`, `idk-train` and `idk-eval`.
//!
//! Data flows one way: questions -> samples -> labels -> rows -> adapter -> answers -> report.

mod agreement;
pub mod allow;
pub mod base;
mod base_run;
pub mod check;
pub mod cli;
pub mod environment;
pub mod error;
pub mod evaluation;
mod glimpse;
mod k_sweep;
mod kernels;
pub mod labelling;
pub mod merge_command;
mod model_card;
pub mod pipeline;
pub mod plan;
mod preview;
pub mod recipe;
mod same_run;
pub mod shards;
pub mod sources;
mod start_adapter;
mod stop;
mod summary;
pub mod sweep;
mod terminal;
mod training;
pub mod transfer;
mod validation;
pub mod warm_up;
