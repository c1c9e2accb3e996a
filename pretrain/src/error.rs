//! What can go wrong while a base model is made.

use std::path::PathBuf;

use idk_benchmark::ComposeError;
use idk_common::CommonError;
use idk_common::diagnose::{Diagnose, ExitKind};
use idk_model::ModelError;
use idk_trainer::TrainError;

/// A base model that was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PretrainError {
    /// A recipe with a mistake.
    #[error("the recipe `{}`: {what}", path.display())]
    Recipe {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line or key.
        what: String,
    },
    /// A tokenizer that cannot be trained.
    #[error("the tokenizer: {what}")]
    Tokenizer {
        /// Why.
        what: String,
    },
    /// A signal came; the last step is saved.
    #[error("stopped by a signal after step {step}; everything is saved in `{}`", dir.display())]
    Interrupted {
        /// The run folder.
        dir: PathBuf,
        /// The last step that was done.
        step: u64,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    Common(#[from] CommonError),
    /// A bank that cannot be read, or too small for what is asked of it.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// A model that cannot be loaded, run or saved.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Whatever stops the training.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl Diagnose for PretrainError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Recipe { .. } => ExitKind::Usage,
            Self::Tokenizer { .. } => ExitKind::BadData,
            Self::Interrupted { .. } => ExitKind::Interrupted,
            Self::Common(error) => error.exit_kind(),
            Self::Compose(error) => error.exit_kind(),
            Self::Model(error) => error.exit_kind(),
            Self::Train(error) => error.exit_kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Recipe { .. } => Some("recipes/base/ has the recipes of the embedded model".to_owned()),
            Self::Tokenizer { .. } => None,
            Self::Interrupted { .. } => Some("rerun the same command to resume".to_owned()),
            Self::Common(error) => error.hint(),
            Self::Compose(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Train(error) => error.hint(),
        }
    }
}
