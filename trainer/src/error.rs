//! What can go wrong while training.

use std::path::PathBuf;

use idk_audio::AudioError;
use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::identity::{Difference, lines};
use idk_common::problem::joined;
use idk_common::{CommonError, Problem};
use idk_model::ModelError;

/// Errors of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Values of `[train]`, `[dpo]` or `[calibrated]` cannot be used.
    #[error("{}", joined(.problems))]
    Config {
        /// Every problem found.
        problems: Vec<Problem>,
    },
    /// A pair prefers an answer to itself.
    #[error("pair `{id}` has the same chosen and rejected answer")]
    SameAnswers {
        /// Id of the pair.
        id: String,
    },
    /// The adapter to start from does not have the shape that was asked for.
    #[error("training cannot start from the adapter {}: {reason}", .path.display())]
    InitAdapter {
        /// Its folder.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// There is nothing on which the metric that the configuration goes by could be measured.
    #[error("`{key}` in [train] goes by {metric}, but there are no validation {needs}")]
    NoValidation {
        /// The key inside `[train]`.
        key: &'static str,
        /// Name of the metric, without `eval_`.
        metric: String,
        /// "rows" or "questions".
        needs: &'static str,
    },
    /// An evaluation did not measure what the configuration goes by.
    #[error("`{key}` in [train] goes by {metric}, but validation measures {}", list_or_nothing(.measured))]
    NoMetric {
        /// The key inside `[train]`.
        key: &'static str,
        /// Name of the metric, without `eval_`.
        metric: String,
        /// What was measured.
        measured: Vec<String>,
    },
    /// The caller's measurement failed.
    #[error("validation after step {step} failed")]
    Measure {
        /// Steps done.
        step: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is nothing to train on.
    #[error("there are no training rows")]
    NoExamples,
    /// Full-parameter training has no end of its own.
    #[error("full-parameter training needs `max_steps`")]
    NoMaxSteps,
    /// A method that grades answers was given nothing to grade them with.
    #[error("the method grades answers and needs a grader")]
    NoGrader,
    /// A row has no target text, so it has nothing to learn.
    #[error("training row `{id}` has an empty target")]
    EmptyTarget {
        /// Id of the row.
        id: String,
    },
    /// A row has not two answers.
    #[error("training row `{id}` has {answers} answers, the method needs two")]
    NotTwoAnswers {
        /// Id of the row.
        id: String,
        /// Answers that it has.
        answers: usize,
    },
    /// An error rate is no share.
    #[error("training row `{id}` has the error rate {error_rate}, not a share from 0 to 1")]
    ErrorRate {
        /// Id of the row.
        id: String,
        /// The rate.
        error_rate: f64,
    },
    /// Refusing cannot be told from answering by the first token.
    #[error("the own answers of all {rows} training rows begin with the same token as a refusal")]
    OwnBeginsAsRefusal {
        /// How many rows there are.
        rows: usize,
    },
    /// A row is longer than the model's positions.
    #[error("training row `{id}` is {tokens} tokens long, the model takes {limit}")]
    TooLong {
        /// Id of the row.
        id: String,
        /// Tokens of prompt and target.
        tokens: usize,
        /// Positions of the model.
        limit: usize,
    },
    /// A row's prompt could not be made.
    #[error("training row `{id}` cannot be prepared")]
    Row {
        /// Id of the row.
        id: String,
        /// Why.
        source: Box<ModelError>,
    },
    /// A recording of a row cannot be used.
    #[error("a recording of training row `{id}` cannot be used")]
    Clip {
        /// Id of the first row that has it.
        id: String,
        /// Why.
        source: Box<AudioError>,
    },
    /// The source of rows failed.
    #[error("the rows of step {step} cannot be made")]
    Batch {
        /// Step that the rows were for, counted from 0.
        step: u64,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Labels and tokens do not have the same shape, or a label has no token before it.
    #[error("the labels do not fit the tokens: {reason}")]
    Labels {
        /// What does not fit.
        reason: String,
    },
    /// The loss or the gradient is not a finite number; the weights were not updated.
    #[error(
        "the {quantity} is not finite at step {step}; the weights were not updated; rows of the step: {}",
        .ids.join(", ")
    )]
    NonFinite {
        /// "loss" or "gradient".
        quantity: &'static str,
        /// Step, counted from 1.
        step: u64,
        /// Ids of the rows that the step was made of.
        ids: Vec<String>,
    },
    /// A tensor could not be read back from the device.
    #[error("{what} cannot be read from the device: {message}")]
    Device {
        /// What was read.
        what: String,
        /// The backend's message.
        message: String,
    },
    /// The run folder has checkpoints and the run was not asked to resume from them.
    #[error("{} already holds checkpoints", .path.display())]
    RunNotEmpty {
        /// The folder of checkpoints.
        path: PathBuf,
    },
    /// A checkpoint cannot be used.
    #[error("the checkpoint {} cannot be used: {reason}", .path.display())]
    Checkpoint {
        /// Folder of the checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The run to resume was started with something else.
    #[error(
        "the run in {} was started with other settings or inputs; since it began:{}{}",
        .path.display(),
        lines(.differences),
        if *.same_rows { "" } else { "\n  batch_size * gradient_accumulation_steps must stay the same" }
    )]
    Changed {
        /// Folder of the checkpoint.
        path: PathBuf,
        /// Every key that differs.
        differences: Vec<Difference>,
        /// Whether the run could resume with all of them, if that were asked for.
        can_be_allowed: bool,
        /// Whether a step has as many rows as before.
        same_rows: bool,
    },
    /// A file operation failed.
    #[error("{}: {action} failed", .path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The model refused.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// A shared service failed.
    #[error(transparent)]
    Common(#[from] CommonError),
}

impl From<ModelError> for TrainError {
    fn from(error: ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl TrainError {
    /// Turns an I/O error into one that names its file.
    pub(crate) fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, action, source }
    }

    /// Turns a failed read of a tensor into an error that names it.
    pub(crate) fn device<E: std::fmt::Display>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::Device { what, message: error.to_string() }
    }
}

fn list_or_nothing(names: &[String]) -> String {
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

impl Diagnose for TrainError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Config { .. }
            | Self::NoValidation { .. }
            | Self::NoMetric { .. }
            | Self::NoMaxSteps
            | Self::NoGrader
            | Self::RunNotEmpty { .. } => ExitKind::Usage,
            Self::NoExamples
            | Self::SameAnswers { .. }
            | Self::InitAdapter { .. }
            | Self::Measure { .. }
            | Self::EmptyTarget { .. }
            | Self::NotTwoAnswers { .. }
            | Self::ErrorRate { .. }
            | Self::OwnBeginsAsRefusal { .. }
            | Self::TooLong { .. }
            | Self::Batch { .. }
            | Self::Labels { .. }
            | Self::Checkpoint { .. }
            | Self::Changed { .. } => ExitKind::BadData,
            Self::NonFinite { .. } => ExitKind::Numeric,
            Self::Device { .. } | Self::Io { .. } => ExitKind::Io,
            Self::Row { source, .. } => source.exit_kind(),
            Self::Clip { source, .. } => source.exit_kind(),
            Self::Model(error) => error.exit_kind(),
            Self::Common(error) => error.exit_kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoGrader => "give one in `AdapterConfig::grader`",
            Self::NoMaxSteps => "set `max_steps` in the [train] section",
            Self::NoExamples => {
                "look into the dataset: every row may have been refused (rejected.jsonl), or build.max_idk_share may leave \
                 no unknown question where none is known (labels.jsonl)"
            }
            Self::SameAnswers { .. } => "remove the pair: there is nothing to prefer in it",
            Self::InitAdapter { .. } => {
                "give [lora] the rank, alpha, rslora, modules and target_modules of that adapter"
            }
            Self::NoValidation { needs: "rows", .. } => {
                "go by a metric of the validation questions, or build the dataset with validation rows"
            }
            Self::NoValidation { .. } => "name validation questions with `val` in [data]",
            Self::NoMetric { .. } => "go by a metric that is measured",
            Self::EmptyTarget { .. } => "give the row an assistant message that is not empty",
            Self::NotTwoAnswers { .. } => {
                "give it a chosen and a rejected answer, or its own answer and the refusal"
            }
            Self::ErrorRate { .. } => "give it the number of wrong samples divided by that of all samples",
            Self::OwnBeginsAsRefusal { .. } => {
                "give `refusal` in [build] a text with another first word; `idk-build relabel` keeps the samples"
            }
            Self::TooLong { .. } => "shorten the question, or use fewer or shorter clips in the row",
            Self::NonFinite { .. } => {
                "the last good checkpoint is kept: lower `learning_rate`, set `max_grad_norm`, or check the rows"
            }
            Self::RunNotEmpty { .. } => "resume the run, or choose another output folder",
            Self::Checkpoint { .. } => "remove the folder and resume from the checkpoint before it",
            Self::Changed { can_be_allowed: true, .. } => {
                "resume with the inputs that the run was started with, or give `--allow-change KEY` for each of these"
            }
            Self::Changed { .. } => {
                "resume with the inputs that the run was started with, or start a new run"
            }
            Self::Io { .. } => "check that the disk has room and that the folder can be written",
            Self::Row { source, .. } => return source.hint(),
            Self::Clip { source, .. } => return source.hint(),
            Self::Model(error) => return error.hint(),
            Self::Common(error) => return error.hint(),
            Self::Config { .. }
            | Self::Batch { .. }
            | Self::Measure { .. }
            | Self::Labels { .. }
            | Self::Device { .. } => return None,
        };
        Some(hint.to_owned())
    }
}
