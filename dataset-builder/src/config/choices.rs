//! What some keys of `[build]` choose from.

use serde::{Deserialize, Serialize};

/// What a known question is trained to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The text of the right option, as it stands in the question file.
    #[default]
    Gold,
    /// One of the model's own correct samples, chosen by the seed (Cheng et al. 2024, arXiv 2401.13275).
    Sampled,
    /// The commonest of the model's own correct samples: what it mostly says already, so that little changes.
    Own,
}

/// In which order the options are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionOrder {
    /// Shuffled by (seed, question id): in some sets the right option comes first far too often.
    #[default]
    Shuffle,
    /// As in the question file.
    Keep,
}

/// Who answers the questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// The model of `[model]`, in this program.
    #[default]
    Local,
    /// A server that speaks the API of OpenAI; `[model]` must be the folder that it serves.
    OpenAi,
}
