//! Training: LoRA adapters on a frozen base model ([`train_lora`]) and whole models from scratch ([`train_full`]).
//!
//! The way of a row: [`Example`] -> [`collate`] (tokens, labels on the answer only) -> [`forward`] (loss at the
//! labels) -> [`step`] (gradients, AdamW) -> [`checkpoint`] and [`logs`]. What a step does is a pure function of the
//! seed, the step number and the rows, so a checkpoint needs no random state and a resumed run is the run, byte for
//! byte.

pub mod checkpoint;
pub mod collate;
mod config;
mod error;
mod example;
mod features;
pub mod forward;
mod full;
pub mod logs;
pub mod loss;
pub mod optimizer;
pub mod order;
pub mod parameters;
mod run_dir;
pub mod schedule;
mod session;
mod sft;
pub mod step;
mod tensorboard;

pub use config::{Schedule, TrainConfig};
pub use error::{ConfigProblem, TrainError};
pub use example::{Example, fingerprint};
pub use features::AudioSource;
pub use full::{Evaluate, MAX_SKIPPED_STEPS, NextBatch, train_full};
pub use run_dir::RunDir;
pub use session::{TrainReport, TrainRun};
pub use sft::train_lora;
