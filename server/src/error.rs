//! The one error type of this crate: what is wrong, where, and what to do about it.

use idk_common::diagnose::{Diagnose, ExitKind};

use crate::failure::ServerFailure;

/// Everything that can go wrong while a server is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A setting that cannot be used; nothing was sent.
    #[error("{key}: {what}")]
    Setting {
        /// The key, as a recipe has it.
        key: &'static str,
        /// What is wrong with its value.
        what: String,
    },

    /// A question that the server did not answer, or not with what was asked for.
    #[error(transparent)]
    Unanswered(#[from] Box<ServerFailure>),

    /// A prompt whose messages do not fit its recordings; a bug of the caller.
    #[error("question `{question}`: its messages have {messages} recordings, but {clips} are given")]
    Clips {
        /// The question's id.
        question: String,
        /// Recordings of the messages.
        messages: usize,
        /// Recordings given.
        clips: usize,
    },

    /// The system gives no thread for a request.
    #[error("a thread for a request cannot be started")]
    Thread(#[source] std::io::Error),
}

impl Diagnose for ServerError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Setting { .. } => ExitKind::Usage,
            Self::Unanswered(failure) => failure.exit_kind(),
            Self::Clips { .. } => ExitKind::BadData,
            Self::Thread(_) => ExitKind::Io,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Setting { .. } | Self::Clips { .. } => None,
            Self::Unanswered(failure) => Some(failure.hint()),
            Self::Thread(_) => Some("lower `server_concurrency`".to_owned()),
        }
    }
}
