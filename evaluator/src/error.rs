//! The one error type of this crate: what is wrong, where, and what to do about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::problem::joined;
use idk_common::text::display_path;
use idk_common::{CommonError, Problem};
use idk_model::ModelError;
use idk_questions::QuestionError;
use idk_questions::reason::listed_with_first;
use idk_server::ServerError;

/// Everything that can go wrong while a test set is answered or scored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file could not be read or written.
    #[error(transparent)]
    Common(#[from] CommonError),

    /// The model could not be run.
    #[error(transparent)]
    Model(#[from] ModelError),

    /// A server did not answer.
    #[error(transparent)]
    Server(#[from] ServerError),

    /// The questions could not be read.
    #[error(transparent)]
    Questions(#[from] QuestionError),

    /// A file of answers does not fit the questions.
    #[error("{}: {source}", path.display())]
    Answers {
        /// The file of answers.
        path: PathBuf,
        /// What does not fit.
        source: QuestionError,
    },

    /// Values of `[eval]` cannot be used.
    #[error("{}", joined(problems))]
    Config {
        /// Every problem found.
        problems: Vec<Problem>,
    },

    /// A prompt template cannot be used.
    #[error("prompt `{}`, line {line}: {what}", display_path(path))]
    Template {
        /// The file, or the name of the default.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },

    /// A file of answers is in none of the known shapes, or a row of it cannot be used.
    #[error("`{}`, {place}: {what}", display_path(path))]
    AnswerRow {
        /// The file.
        path: PathBuf,
        /// `line 3` of a JSON Lines file, `item 3` of an array.
        place: String,
        /// What is wrong there.
        what: String,
    },

    /// The file of a sweep or of a transfer experiment cannot be used.
    #[error("`{}`: {what}", display_path(path))]
    Grid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },

    /// The results are those of an earlier version.
    #[error("`{}` was written by an earlier version: {what}", display_path(path))]
    EarlierResults {
        /// The file.
        path: PathBuf,
        /// What has changed since.
        what: String,
    },

    /// A folder has nothing to draw.
    #[error("`{}` has neither results.json, eval/results.json nor transfer.json", display_path(folder))]
    NoResults {
        /// The folder.
        folder: PathBuf,
    },

    /// A method lacks what it works with.
    #[error("`{method}` {what}")]
    Lacks {
        /// The method.
        method: &'static str,
        /// What it lacks.
        what: String,
        /// How to give it.
        hint: &'static str,
    },

    /// The question set has no usable question.
    #[error("there are no questions to answer{}", if *rejected > 0 { format!("; {rejected} rows cannot be used") } else { String::new() })]
    NoQuestions {
        /// Rows that cannot be used.
        rejected: usize,
    },

    /// More of the questions than allowed cannot be used.
    #[error("{rejected} of {total} questions cannot be used, more than the allowed {percent} %: {list}", percent = 100.0 * max_share, list = listed_with_first(reasons))]
    TooManyRejected {
        /// Questions that cannot be used.
        rejected: usize,
        /// All questions.
        total: usize,
        /// `max_rejected_share` of the recipe.
        max_share: f64,
        /// How many questions were rejected for each reason, with the first of them.
        reasons: BTreeMap<String, (usize, String)>,
    },

    /// The caller asked to stop. The answers so far are stored.
    #[error("the evaluation was stopped with {stored} of {total} answers of `{method}` stored")]
    Stopped {
        /// Who was answering.
        method: String,
        /// Its answers that are stored.
        stored: usize,
        /// All of its answers.
        total: usize,
    },

    /// Two lists of answers are not about the same questions in the same order; a bug of the caller.
    #[error("the answers of `{method}` are not those to the prepared questions")]
    Misaligned {
        /// The method.
        method: String,
    },
}

impl EvalError {
    /// The error for a folder without results, or for one that does not exist.
    pub(crate) fn no_results(folder: &Path) -> Self {
        let path = folder.to_owned();
        if folder.exists() { Self::NoResults { folder: path } } else { CommonError::NotFound { path }.into() }
    }
}

impl Diagnose for EvalError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Common(error) => error.exit_kind(),
            Self::Model(error) => error.exit_kind(),
            Self::Server(error) => error.exit_kind(),
            Self::Questions(error) | Self::Answers { source: error, .. } => error.exit_kind(),
            Self::Config { .. } | Self::Template { .. } | Self::Lacks { .. } => ExitKind::Usage,
            Self::NoResults { .. } => ExitKind::MissingInput,
            Self::Stopped { .. } => ExitKind::Interrupted,
            Self::AnswerRow { .. } | Self::Grid { .. } | Self::EarlierResults { .. } => ExitKind::BadData,
            Self::NoQuestions { .. } | Self::TooManyRejected { .. } | Self::Misaligned { .. } => {
                ExitKind::BadData
            }
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Common(error) => return error.hint(),
            Self::Model(error) => return error.hint(),
            Self::Server(error) => return error.hint(),
            Self::Questions(error) | Self::Answers { source: error, .. } => return error.hint(),
            Self::Config { .. } => return None,
            Self::Template { .. } => "the placeholders of every prompt are in docs/guide/evaluate.md",
            Self::AnswerRow { .. } => "the shapes that are read are in docs/reference/answers.md",
            Self::NoResults { .. } => "name a run folder, an eval/ folder or that of a transfer experiment",
            Self::EarlierResults { .. } => {
                "evaluate again with this program: `idk-eval RECIPE`; stored answers are used again"
            }
            Self::Grid { .. } => {
                "run the experiment again with this program: `idk-eval sweep RECIPE`, or `idk-train RECIPE` for K \
                  and transfer; finished runs and stored answers are used again"
            }
            Self::Lacks { hint, .. } => hint,
            Self::NoQuestions { .. } => {
                "look at the question file, and at `tasks` and `limit_per_task` in [data]"
            }
            Self::TooManyRejected { .. } => "correct them, or raise `max_rejected_share` in [eval]",
            Self::Stopped { .. } => "run the same command again to resume",
            Self::Misaligned { .. } => "this is a bug of the evaluator, please report it",
        };
        Some(hint.to_owned())
    }
}
