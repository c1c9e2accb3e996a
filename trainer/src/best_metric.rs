//! By what the best adapter of a run is chosen.

use serde::{Deserialize, Serialize};

/// A metric of the validation by which the best adapter can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BestMetric {
    /// The loss on the validation rows; the lowest is the best.
    #[serde(rename = "eval_loss")]
    Loss,
    /// Share of the validation questions that are answered right.
    #[serde(rename = "eval_acc")]
    Acc,
    /// Reliability on the validation questions.
    #[serde(rename = "eval_rel")]
    Rel,
    /// Reliability gain index over the base model's own answers.
    #[serde(rename = "eval_rgi")]
    Rgi,
    /// Share of the validation pairs whose chosen answer has the higher reward (DPO).
    #[serde(rename = "eval_rewards/accuracies")]
    RewardAccuracies,
    /// Mean reward margin of the validation pairs (DPO).
    #[serde(rename = "eval_rewards/margins")]
    RewardMargins,
}

impl BestMetric {
    /// Its name in the results of an evaluation, without the `eval_` of the logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Acc => "acc",
            Self::Rel => "rel",
            Self::Rgi => "rgi",
            Self::RewardAccuracies => "rewards/accuracies",
            Self::RewardMargins => "rewards/margins",
        }
    }

    /// Whether it is measured on validation rows and not on the answers to validation questions.
    pub(crate) const fn is_of_rows(self) -> bool {
        matches!(self, Self::Loss | Self::RewardAccuracies | Self::RewardMargins)
    }

    pub(crate) fn is_better(self, value: f64, best: f64) -> bool {
        if self == Self::Loss { value < best } else { value > best }
    }
}
