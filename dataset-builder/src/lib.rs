#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! - [`build()`]: samples, labels and rows, in one call that resumes
//! - [`sample_part`], [`SampledParts`]: the same sampling spread over machines
//! - [`relabel()`], [`relabel_to`]: another K, target or split for the same samples, without a model
//! - [`inspect()`], [`export()`]: what a dataset holds, and rows for other trainers

mod build;
mod config;
mod control;
mod error;
mod export;
mod format;
mod inspect;
mod label;
mod sample;
#[cfg(test)]
mod test_support;

pub use build::build;
pub use config::{BuildConfig, OptionOrder, Sampler, Target};
pub use control::Control;
pub use error::{BuildError, stopped_at};
pub use export::{ExportFormat, Exported, Paths, export};
pub use format::calibrated::{CalibratedRow, read_calibrated, read_calibrated_val};
pub use format::chats::{read_labels, read_manifest, read_sft, read_sft_val, verify};
pub use format::files::{
    CALIBRATED_FILE, CALIBRATED_VAL_FILE, DATASET_FILES, DPO_FILE, DPO_VAL_FILE, LABELS_FILE, MANIFEST_FILE,
    QUESTIONS_FILE, README_FILE, REJECTED_FILE, SAMPLES_FILE, SFT_FILE, SFT_VAL_FILE,
};
pub use format::manifest::{DatasetCounts, DatasetManifest};
pub use format::pairs::{DpoRow, read_dpo, read_dpo_val};
pub use format::question_row::{QuestionRow, read_asked};
pub use format::sampled::{Provenance, Sampled, Screening};
pub use format::shares::{IdkShares, Share};
pub use inspect::{ExampleRow, Inspection, inspect};
pub use label::finish::{BuildReport, complete, finish};
pub use label::relabel::{relabel, relabel_to};
pub use sample::answers::sample_answers;
pub use sample::identity::{SamplingIdentity, SamplingSettings};
pub use sample::merge::SampledParts;
pub use sample::model::SampledModel;
pub use sample::part::SamplingPart;
pub use sample::shards::{partial_sampling, remove_shards};
pub use sample::stage::{BuildInputs, PartReport, sample_part};
