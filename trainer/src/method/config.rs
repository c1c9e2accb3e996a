//! Which method trains an adapter, and what others have to know of it.

use std::path::Path;

use crate::config::MethodKind;
use crate::error::TrainError;
use crate::method::dpo::config::DpoConfig;
use crate::method::rl::config::RlConfig;

/// A method with its section of the recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MethodConfig<'a> {
    /// Supervised fine-tuning; `[train]` says everything.
    Sft,
    /// Direct preference optimisation.
    Dpo(&'a DpoConfig),
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
    /// A question that is graded, whatever is answered.
    Question,
}

/// What plans, checks and the model card say of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// In sentences.
    pub name: &'static str,
    /// What it trains on.
    pub rows: RowKind,
    /// What its rows are called.
    pub unit: &'static str,
    /// Answers of a row, which all go through the model.
    pub answers_per_row: usize,
    /// Keys of `[dpo]` that it reads and a model card lists.
    pub dpo_keys: &'static [&'static str],
}

impl MethodKind {
    /// What others have to know of it.
    pub const fn describe(self) -> Description {
        match self {
            Self::Sft => Description {
                name: "SFT",
                rows: RowKind::Chat,
                unit: "training chats",
                answers_per_row: 1,
                dpo_keys: &[],
            },
            Self::Dpo => Description {
                name: "DPO",
                rows: RowKind::Pair,
                unit: "preference pairs",
                answers_per_row: 2,
                dpo_keys: &["beta", "loss", "label_smoothing", "sft_weight"],
            },
            Self::Rl => Description {
                name: "RL",
                rows: RowKind::Question,
                unit: "questions",
                answers_per_row: 8,
                dpo_keys: &[],
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
            Self::Rl(_) => MethodKind::Rl,
        }
    }

    /// Rejects values that cannot be trained with.
    ///
    /// # Errors
    /// [`TrainError::Config`] with every problem in it.
    pub fn validate(self) -> Result<(), TrainError> {
        match self {
            Self::Sft => Ok(()),
            Self::Dpo(config) => config.validate(),
            Self::Rl(config) => config.validate(),
        }
    }

    /// The folder of the adapter that training starts from; `None` if it starts from a new one.
    pub fn start_adapter(self) -> Option<&'a Path> {
        match self {
            Self::Dpo(DpoConfig { init, .. }) | Self::Rl(RlConfig { init, .. }) => {
                (!init.as_os_str().is_empty()).then_some(init)
            }
            Self::Sft => None,
        }
    }
}
