#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! [`train_lora`] learns from answers, [`train_dpo`] from preferences; [`train_full`] trains whole models from scratch.
//!
//! The path of a row: [`Example`] -> [`collate`] (tokens, labels on the answer only), on a thread that is ahead of the step -> [`forward`] (loss at the
//! labels) -> [`step`] (gradients, AdamW) -> [`checkpoint`] and [`logs`]. What a step does is a pure function of the
//! seed, the step number and the rows, so a checkpoint needs no random state and a resumed run gives the same bytes as an
//! uninterrupted one.

mod accumulate;
mod adapter_run;
mod audio;
mod best;
pub mod checkpoint;
mod clips;
pub mod collate;
mod config;
mod dpo;
mod dpo_config;
pub mod dpo_loss;
mod dpo_reference;
pub mod dpo_step;
mod error;
mod estimate;
mod example;
mod feed;
pub mod forward;
mod full;
pub mod logs;
pub mod loss;
mod on_resume;
pub mod optimizer;
pub mod order;
pub mod pair;
pub mod pair_forward;
pub mod parameters;
pub mod schedule;
mod session;
mod sft;
mod start_adapter;
pub mod step;
mod tensorboard;
mod train_run;
mod validation;

pub use best::{Best, BestMetric, EarlyEnd, Selection};
pub use clips::clips_of_rows;
pub use config::{Method, Schedule, TrainConfig};
pub use dpo::train_dpo;
pub use dpo_config::{DpoConfig, DpoLoss};
pub use error::TrainError;
pub use estimate::{MemoryEstimate, MemoryInput, estimate_memory};
pub use example::{Example, fingerprint};
pub use full::{Evaluate, MAX_SKIPPED_STEPS, NextBatch, train_full};
pub use idk_model::Clip;
pub use on_resume::{AllowedChange, known_keys, on_resume};
pub use pair::Pair;
pub use sft::train_lora;
pub use start_adapter::check_start_adapter;
pub use train_run::{TrainReport, TrainRun};
pub use validation::{Measure, Validation};
