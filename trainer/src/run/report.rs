//! What a run did.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::run::selection::{Best, EarlyEnd};

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainReport {
    /// Steps done, over all starts of the run.
    pub steps: u64,
    /// Steps that the run was to do.
    pub total_steps: u64,
    /// Steps done before this start.
    pub resumed_from: Option<u64>,
    /// Steps skipped because a loss or gradient was not finite.
    pub skipped_steps: u64,
    /// Rows seen.
    pub samples_seen: u64,
    /// Tokens run through the model, padding left out.
    pub num_tokens: u64,
    /// Loss of the first step.
    pub first_loss: Option<f64>,
    /// Loss of the last step.
    pub last_loss: Option<f64>,
    /// Metrics of the last evaluation.
    pub last_eval: BTreeMap<String, f64>,
    /// The best evaluation, if the configuration chooses by one.
    pub best: Option<Best>,
    /// Why the run ended before its last step, if it did.
    pub ended_early: Option<EarlyEnd>,
    /// Whether the run was told to stop before its end; it can be resumed.
    pub interrupted: bool,
    /// Seconds of this start. Varies from run to run: never put it into a file that must be the same.
    #[serde(skip)]
    pub wall_s: f64,
}
