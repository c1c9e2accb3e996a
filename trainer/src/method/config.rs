//! Which method trains an adapter, and what others have to know of it.

use std::path::Path;

use serde_json::Value;

use crate::config::MethodKind;
use crate::error::TrainError;
use crate::method::calibrated::config::CalibratedConfig;
use crate::method::dpo::config::DpoConfig;
use crate::method::rl::config::RlConfig;

/// Answers of a question with four options, where all of them are looked at.
const OPTIONS_AND_REFUSAL: usize = 5;

/// A method with its section of the recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MethodConfig<'a> {
    /// Supervised fine-tuning; `[train]` says everything.
    Sft,
    /// Direct preference optimisation.
    Dpo(&'a DpoConfig),
    /// Calibrated refusal.
    Calibrated(&'a CalibratedConfig),
    /// Reinforcement learning.
    Rl(&'a RlConfig),
}

/// The rows of a dataset that a method trains on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// A chat with the answer to learn.
    Chat,
    /// A chat with a chosen and a rejected answer.
    Pair,
    /// A chat with the model's own answer, the refusal, and the share of its samples that are not right.
    OwnAnswer,
    /// A question whose answers are sampled, and graded whatever they are.
    Question,
    /// A question with its options and the refusals, each graded; open questions have no row.
    GivenAnswers,
}

/// What plans, checks and the model card say of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// In sentences.
    pub name: &'static str,
    /// What its rows are called.
    pub unit: &'static str,
    /// Keys of its section that a model card lists.
    pub keys: &'static [&'static str],
}

impl MethodKind {
    /// What others have to know of it.
    pub const fn describe(self) -> Description {
        match self {
            Self::Sft => Description { name: "SFT", unit: "training chats", keys: &[] },
            Self::Dpo => Description {
                name: "DPO",
                unit: "preference pairs",
                keys: &["beta", "loss", "label_smoothing", "sft_weight"],
            },
            Self::Calibrated => Description {
                name: "calibrated refusal",
                unit: "own answers",
                keys: &["refusal_weight", "own_weight", "phrase_weight", "listwise"],
            },
            Self::Rl => Description {
                name: "RL",
                unit: "questions",
                keys: &[
                    "exact",
                    "correct_reward",
                    "refusal_reward",
                    "wrong_reward",
                    "group_size",
                    "advantage",
                    "beta",
                ],
            },
        }
    }
}

impl<'a> MethodConfig<'a> {
    /// Its name in a recipe.
    pub const fn kind(self) -> MethodKind {
        match self {
            Self::Sft => MethodKind::Sft,
            Self::Dpo(_) => MethodKind::Dpo,
            Self::Calibrated(_) => MethodKind::Calibrated,
            Self::Rl(_) => MethodKind::Rl,
        }
    }

    /// Rejects values that cannot be trained with.
    ///
    /// # Errors
    /// [`TrainError::Config`] with every problem in it.
    pub fn validate(self) -> Result<(), TrainError> {
        let problems = match self {
            Self::Sft => Vec::new(),
            Self::Dpo(config) => config.problems(),
            Self::Calibrated(config) => config.problems(),
            Self::Rl(config) => config.problems(),
        };
        if problems.is_empty() { Ok(()) } else { Err(TrainError::Config { problems }) }
    }

    /// Its section of the recipe; null if it has none.
    pub fn section(self) -> Value {
        match self {
            Self::Sft => Value::Null,
            Self::Dpo(config) => serde_json::to_value(config).unwrap_or_default(),
            Self::Calibrated(config) => serde_json::to_value(config).unwrap_or_default(),
            Self::Rl(config) => serde_json::to_value(config).unwrap_or_default(),
        }
    }

    /// The folder of the adapter that training starts from; `None` if it starts from a new one.
    pub fn start_adapter(self) -> Option<&'a Path> {
        match self {
            Self::Dpo(DpoConfig { init, .. }) | Self::Rl(RlConfig { init, .. }) => {
                (!init.as_os_str().is_empty()).then_some(init)
            }
            Self::Sft | Self::Calibrated(_) => None,
        }
    }

    /// What it trains on.
    pub fn rows(self) -> RowKind {
        match self {
            Self::Sft => RowKind::Chat,
            Self::Dpo(_) => RowKind::Pair,
            Self::Calibrated(CalibratedConfig { listwise: true, .. })
            | Self::Rl(RlConfig { exact: true, .. }) => RowKind::GivenAnswers,
            Self::Calibrated(_) => RowKind::OwnAnswer,
            Self::Rl(_) => RowKind::Question,
        }
    }

    /// Whether answers must be graded.
    pub fn is_graded(self) -> bool {
        matches!(self.rows(), RowKind::Question | RowKind::GivenAnswers)
    }

    /// Answers of a row that go through the model in a step.
    pub fn answers_per_row(self) -> usize {
        match (self.rows(), self) {
            (RowKind::Chat, _) => 1,
            (RowKind::Pair | RowKind::OwnAnswer, _) => 2,
            (RowKind::GivenAnswers, _) => OPTIONS_AND_REFUSAL,
            (RowKind::Question, Self::Rl(config)) => config.group_size,
            (RowKind::Question, _) => 1,
        }
    }
}
