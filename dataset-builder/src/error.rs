//! The one error type of this crate: what is wrong, where, and what to do about it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_audio::AudioError;
use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::identity::{Difference, lines};
use idk_common::problem::joined;
use idk_common::{CommonError, Problem};
use idk_model::ModelError;
use idk_questions::reason::listed;
use idk_server::ServerError;

/// The section of a recipe that configures this crate.
pub(crate) const SECTION: &str = "build";

/// The keys that decide what is made of the samples, not the samples.
pub(crate) const LABELLING_KEYS: [&str; 9] = [
    "k",
    "target",
    "keep_tasks",
    "refusal",
    "refusals",
    "max_idk_share",
    "unanswerable_share",
    "val_share",
    "max_pairs_per_question",
];

/// Everything that can go wrong while a dataset is built or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A file could not be read or written.
    #[error(transparent)]
    Common(#[from] CommonError),

    /// The base model could not be run.
    #[error(transparent)]
    Model(#[from] ModelError),

    /// The server that is sampled did not answer, or not with what was asked for.
    #[error(transparent)]
    Server(ServerError),

    /// Values of `[build]` cannot be used.
    #[error("{}", joined(problems))]
    Config {
        /// Every problem found.
        problems: Vec<Problem>,
    },

    /// The question set has no row at all.
    #[error("there are no questions to build from")]
    NoQuestions,

    /// More of the questions than allowed cannot be used.
    #[error("{rejected} of {total} questions cannot be used, more than the allowed {percent} %: {reasons}", percent = 100.0 * max_share, reasons = listed(reasons))]
    TooManyRejected {
        /// Questions that cannot be used.
        rejected: usize,
        /// All questions.
        total: usize,
        /// `max_rejected_share` of the recipe.
        max_share: f64,
        /// How many questions were rejected for each reason.
        reasons: BTreeMap<String, usize>,
        /// Where each of them is listed.
        list: PathBuf,
    },

    /// The books do not balance; a bug.
    #[error("{input} questions came in, but {kept} were kept and {rejected} rejected")]
    Unaccounted {
        /// Questions that came in.
        input: usize,
        /// Questions that were sampled.
        kept: usize,
        /// Questions in `rejected.jsonl`.
        rejected: usize,
    },

    /// The folder holds samples that were drawn with something else.
    #[error("`{}` holds samples of another build:{}", dir.display(), lines(differences))]
    OtherSampling {
        /// The folder of the shards.
        dir: PathBuf,
        /// Every key that differs.
        differences: Vec<Difference>,
    },

    /// A signal stopped the build; it can resume.
    #[error("the build was stopped {}", stopped_at(*sampled, *total))]
    Stopped {
        /// Questions whose samples are saved; `None` before the first is sampled or looked for.
        sampled: Option<usize>,
        /// Questions to sample.
        total: usize,
    },

    /// The folders that are to be merged do not hold every shard.
    #[error("{} of {total} shard files are missing or damaged: {}", missing.len(), first_few(missing))]
    MissingShards {
        /// Their names.
        missing: Vec<String>,
        /// How many there should be.
        total: usize,
    },

    /// Nothing was sampled in a folder that is to be merged.
    #[error("`{}` holds no samples to merge", dir.display())]
    NoShards {
        /// The folder.
        dir: PathBuf,
    },

    /// A path cannot be written into a JSON file.
    #[error("{}: the path is not valid UTF-8, so it cannot stand in a dataset file", path.display())]
    PathNotText {
        /// The path.
        path: PathBuf,
    },

    /// The samples of a question leave its label open.
    #[error("question `{id}` has {n} of {n_samples} samples, and they do not decide its label at K = {k}")]
    Undecided {
        /// The question.
        id: String,
        /// K.
        k: usize,
        /// Its samples.
        n: usize,
        /// N.
        n_samples: usize,
    },

    /// A folder without finished samples.
    #[error("`{}` holds no finished samples (it has no sampling.json)", dir.display())]
    NotSampled {
        /// The folder.
        dir: PathBuf,
    },

    /// A dataset whose labels were not finished.
    #[error("the dataset in `{}` is incomplete: its samples are there, its manifest is not", dir.display())]
    Incomplete {
        /// The folder.
        dir: PathBuf,
    },

    /// Labelling was asked for what needs other samples.
    #[error("`{key}` decides what is sampled, so another labelling cannot change it")]
    SamplingKey {
        /// The key of `[build]`.
        key: String,
    },

    /// A folder that is to be written to already holds something.
    #[error("`{}` already holds another dataset", dir.display())]
    Taken {
        /// The folder.
        dir: PathBuf,
    },

    /// A dataset file does not fit the others.
    #[error("{}: {what}", path.display())]
    Dataset {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl BuildError {
    /// A recording that could be read before cannot be used: it changed, or it could not be read this time.
    pub(crate) fn recording(path: &Path, source: AudioError) -> Self {
        Self::Model(match source.is_about_the_file() {
            true => ModelError::RecordingChanged { path: path.to_owned() },
            false => source.into(),
        })
    }
}

/// How far a stopped build is, for a message.
pub fn stopped_at(sampled: Option<usize>, total: usize) -> String {
    match sampled {
        Some(sampled) => format!("with {sampled} of {total} questions sampled; they are saved"),
        None => "while the recordings were read; nothing is lost".to_owned(),
    }
}

fn first_few(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let rest = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{rest}", names[..names.len().min(SHOWN)].join(", "))
}

/// A setting of the server is a key of `[build]`.
impl From<ServerError> for BuildError {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Setting { key, what } => {
                Self::Config { problems: vec![Problem::of_key(SECTION, key, what)] }
            }
            error => Self::Server(error),
        }
    }
}

impl Diagnose for BuildError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Common(error) => error.exit_kind(),
            Self::Model(error) => error.exit_kind(),
            Self::Server(error) => error.exit_kind(),
            Self::Config { .. } | Self::SamplingKey { .. } => ExitKind::Usage,
            Self::Stopped { .. } => ExitKind::Interrupted,
            Self::NotSampled { .. } | Self::NoShards { .. } => ExitKind::MissingInput,
            Self::Undecided { .. }
            | Self::Incomplete { .. }
            | Self::Taken { .. }
            | Self::NoQuestions
            | Self::TooManyRejected { .. }
            | Self::Unaccounted { .. }
            | Self::OtherSampling { .. }
            | Self::MissingShards { .. }
            | Self::PathNotText { .. }
            | Self::Dataset { .. } => ExitKind::BadData,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Common(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Server(error) => error.hint(),
            Self::Config { .. } => None,
            Self::NoQuestions => {
                Some("look at the question file, and at `tasks` and `limit_per_task` in [data]".to_owned())
            }
            Self::TooManyRejected { list, .. } => Some(format!(
                "each of them is listed in `{}`; correct them, or raise `max_rejected_share` in [build]",
                list.display()
            )),
            Self::Unaccounted { .. } => {
                Some("this is a bug of the dataset builder, please report it".to_owned())
            }
            Self::OtherSampling { .. } => Some(
                "build into another folder, or start again with `--fresh`, which moves this one aside"
                    .to_owned(),
            ),
            Self::Stopped { .. } => Some("give the same command again to resume".to_owned()),
            Self::MissingShards { .. } | Self::NoShards { .. } => Some(
                "run each `--shard i/n` of the recipe to its end, then merge all of their folders".to_owned(),
            ),
            Self::PathNotText { .. } => Some("rename the folder or the recording".to_owned()),
            Self::Undecided { .. } => Some(
                "choose the K that it was sampled for (`stop_when_decided` saves the samples that other values of K \
                 need), or sample again"
                    .to_owned(),
            ),
            Self::NotSampled { .. } => {
                Some("name a run folder or its dataset folder; a dataset of an earlier version is built again".to_owned())
            }
            Self::Incomplete { .. } => {
                Some("`idk-build relabel` on that folder, or the build's own command, completes it".to_owned())
            }
            Self::SamplingKey { .. } => Some(format!(
                "labelling knows {}; for anything else build again, into another folder",
                LABELLING_KEYS.join(", ")
            )),
            Self::Taken { .. } => Some("choose another folder".to_owned()),
            Self::Dataset { .. } => {
                Some("build the dataset again; it was changed or only half copied".to_owned())
            }
        }
    }
}
