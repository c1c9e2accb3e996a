//! What is turned in an experiment, what that is called, and which questions are answered.

use serde::{Deserialize, Serialize};

/// What is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GridKind {
    /// The factor before the adapter at inference; 1 as trained, 0 the base model.
    AdapterScale,
    /// What is added to the log-probability of the refusals, in nats, where answers come from a list; 0 as trained.
    RefusalOffset,
    /// The probability of the chosen option below which the base model's answer is refused.
    Threshold,
    /// K of K@N: how many of N samples must be right for a question to be known; an adapter is trained for each.
    K,
    /// The tasks that an adapter is trained on.
    Transfer,
}

/// What a grid of a kind is called.
pub(crate) struct GridNames {
    /// In files, tables and recipes.
    pub(crate) key: &'static str,
    /// After "RGI over".
    pub(crate) title: &'static str,
    /// The heading of its section.
    pub(crate) heading: &'static str,
    /// On the axis of a plot.
    pub(crate) axis: &'static str,
    /// What a value of the axis means, in a few words.
    pub(crate) meaning: &'static str,
    /// The same in sentences.
    pub(crate) note: &'static str,
}

impl GridKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::AdapterScale, Self::RefusalOffset, Self::Threshold, Self::K, Self::Transfer];

    pub(crate) fn names(self) -> GridNames {
        match self {
            Self::AdapterScale => GridNames {
                key: "adapter_scale",
                title: "the adapter scale",
                heading: "Adapter scale",
                axis: "adapter scale",
                meaning: "factor before the adapter",
                note: "A factor before the adapter when the model answers, without another training: 0 is the base \
                       model, 1 the adapter as it was trained.",
            },
            Self::RefusalOffset => GridNames {
                key: "refusal_offset",
                title: "the refusal offset",
                heading: "Refusal offset",
                axis: "refusal offset, nats",
                meaning: "nats added to a refusal",
                note: "A number added to the log-probability of every refusal when the model answers from a list: 0 is the \
                       adapter as it was trained, below 0 it refuses less.",
            },
            Self::Threshold => GridNames {
                key: "threshold",
                title: "the threshold",
                heading: "Threshold",
                axis: "threshold",
                meaning: "least probability of an answer",
                note: "No adapter: the base model's answer is refused where the probability of the chosen option is \
                       below the threshold.",
            },
            Self::K => GridNames {
                key: "k",
                title: "K",
                heading: "K",
                axis: "K",
                meaning: "right samples of a known question",
                note: "A question counts as known if at least K of its samples are right; an adapter was trained for \
                       each K.",
            },
            Self::Transfer => GridNames {
                key: "transfer",
                title: "what was trained on",
                heading: "Trained on, tested on",
                axis: "trained on",
                meaning: "tasks of the training questions",
                note: "RGI is log10(wrong answers that went away / right answers lost). In every cell: the mean over \
                       the seeds and their standard deviation, from the lowest to the highest end of the seeds' 95 % \
                       intervals over questions, and the share of questions refused. Blue: more wrong answers went \
                       away than right ones were lost. An RGI where next to nothing is refused is noise in the \
                       answers.",
            },
        }
    }

    /// The name in files and tables.
    pub fn name(self) -> &'static str {
        self.names().key
    }
}

/// The questions that were answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GridSet {
    /// What a value may be picked on.
    Val,
    /// What nothing is picked on.
    Test,
}

impl GridSet {
    /// The name in files and tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}
