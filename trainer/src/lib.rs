#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! [`train_adapters`] trains adapters on a frozen base model, by answers, by preferences or by error rates; [`train_full`] trains whole models
//! from scratch, or some of their parts.
//!
//! Four folders, each using those after it: `run` (loop, checkpoints, logs) uses `method` (SFT, DPO, calibrated refusal), which uses `step`
//! (log-probabilities, gradients, AdamW), which uses `data` (rows, batches). What a step does is a pure function of the seed,
//! the step number and the rows, so a checkpoint needs no random state and a resumed run gives the same bytes as an
//! uninterrupted one.

mod best_metric;
mod config;
mod data;
mod error;
mod method;
mod run;
mod step;
#[doc(hidden)]
pub mod testing;
mod train_run;

pub use best_metric::BestMetric;
pub use config::{MethodKind, Schedule, TrainConfig};
pub use data::clips::clips_of_rows;
pub use data::row::TrainingRow;
pub use error::TrainError;
pub use idk_model::Clip;
pub use method::calibrated::config::CalibratedConfig;
pub use method::config::{Description, MethodConfig, RowKind};
pub use method::dpo::config::{DpoConfig, DpoLoss};
pub use method::graded::{Graded, Grader};
pub use method::rl::config::{AdvantageKind, RlConfig};
pub use method::start_adapter::check_start_adapter;
pub use run::adapters::{AdapterConfig, train_adapters};
pub use run::checkpoint::{Checkpoint, load_newest};
pub use run::estimate::{MemoryEstimate, MemoryInput, estimate_memory, rows_at_once};
pub use run::full::{Evaluate, MAX_SKIPPED_STEPS, NextBatch, train_full};
pub use run::logs::read_metrics;
pub use run::on_resume::{AllowedChange, known_keys, on_resume};
pub use run::report::TrainReport;
pub use run::selection::{Best, EarlyEnd, Selection};
pub use run::state::TrainState;
pub use run::validation::{Measure, Validation};
pub use step::trained_model::TrainedModel;
pub use train_run::TrainRun;
