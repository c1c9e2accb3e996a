//! Rows, and how they become batches.

pub(crate) mod audio;
pub(crate) mod batch;
pub(crate) mod clips;
pub(crate) mod loader;
pub(crate) mod order;
pub(crate) mod row;
pub(crate) mod tokens;

pub(crate) use audio::RowAudio;
pub(crate) use batch::{AudioInput, Rollout, Totals, TrainingBatch};
pub(crate) use loader::Loader;
pub(crate) use order::StepOrder;
pub(crate) use row::{TrainingRow, fingerprint};
pub(crate) use tokens::RowTokens;
