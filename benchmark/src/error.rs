//! What can go wrong between a folder of recordings and a question set.

use std::path::PathBuf;

use idk_audio::AudioError;
use idk_common::CommonError;
use idk_common::diagnose::{Diagnose, ExitKind};
use idk_questions::QuestionError;

use crate::dials::MAX_COMPOSED_QUESTIONS;

/// A bank that cannot be used, or a question set that cannot be made from it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The manifest or an output file cannot be read or written.
    #[error(transparent)]
    Common(#[from] CommonError),
    /// A recording cannot be decoded, or a clip cannot be written.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The questions cannot be written.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The manifest lists no clip.
    #[error("`{}` lists no clips", path.display())]
    EmptyBank {
        /// The manifest.
        path: PathBuf,
    },
    /// A value of a manifest row cannot be used.
    #[error("`{}`, clip `{clip}`: {what}", path.display())]
    BadRow {
        /// The manifest.
        path: PathBuf,
        /// The row's `path`.
        clip: String,
        /// What is wrong with it.
        what: String,
    },
    /// The name is not that of a split.
    #[error("there is no split `{name}`; the splits are {}", known.join(", "))]
    UnknownSplit {
        /// The name.
        name: String,
        /// The names of the splits.
        known: Vec<&'static str>,
    },
    /// Nobody can use so many questions, or none.
    #[error("{asked} questions a modality were asked for; it must be 1 to {MAX_COMPOSED_QUESTIONS}")]
    QuestionCount {
        /// The number asked for.
        asked: usize,
    },
    /// The bank has no clip of the modality.
    #[error("the bank has no clips of modality `{name}`; it has {}", known.join(", "))]
    UnknownModality {
        /// The name.
        name: String,
        /// The modalities of the bank.
        known: Vec<String>,
    },
    /// The name is not that of a question family that the bank gives.
    #[error("the bank gives no question family `{name}` in split `{split}`; it gives {}", known.join(", "))]
    UnknownFamily {
        /// The name.
        name: String,
        /// The name of the split.
        split: &'static str,
        /// The names of the families of that split.
        known: Vec<String>,
    },
    /// The clips of the split are too few for any question family.
    #[error("the bank has too few recordings for {modality} questions in split `{split}`")]
    NothingToAsk {
        /// The modality.
        modality: String,
        /// The name of the split.
        split: &'static str,
    },
}

impl Diagnose for ComposeError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Common(error) => error.exit_kind(),
            Self::Audio(error) => error.exit_kind(),
            Self::Question(error) => error.exit_kind(),
            Self::UnknownSplit { .. }
            | Self::UnknownModality { .. }
            | Self::UnknownFamily { .. }
            | Self::QuestionCount { .. } => ExitKind::Usage,
            Self::EmptyBank { .. } | Self::BadRow { .. } | Self::NothingToAsk { .. } => ExitKind::BadData,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Common(error) => return error.hint(),
            Self::Audio(error) => return error.hint(),
            Self::Question(error) => return error.hint(),
            Self::EmptyBank { .. } => {
                "write one JSON object a line with path, modality, family, label, recording and seconds"
            }
            Self::BadRow { .. } => "correct that row of the manifest, or remove it",
            Self::NothingToAsk { .. } => {
                "a family needs four labels; give most labels at least five different recordings, so that each \
                 split gets one"
            }
            Self::UnknownSplit { .. }
            | Self::UnknownModality { .. }
            | Self::UnknownFamily { .. }
            | Self::QuestionCount { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
