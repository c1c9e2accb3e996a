//! What can go wrong with a run above the crates: its folder, its inputs, what the command line asks for.

use std::path::{Path, PathBuf};

use idk_benchmark::Split;
use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::identity::lines;
use idk_common::text::did_you_mean;
use idk_common::{Difference, Problem};

use crate::recipe::hint_line;
use crate::terminal::{Failure, StopSignals};

/// A run folder that does not fit the recipe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The folder holds a run of another recipe, model or data.
    #[error("`{}` holds another run; since it began:{}", dir.display(), lines(differences))]
    OtherRun {
        /// The run folder.
        dir: PathBuf,
        /// Every key that differs.
        differences: Vec<Difference>,
        /// Whether the run could resume with all of them, if that were asked for.
        can_be_allowed: bool,
    },
    /// The folder holds a run that does not say which program and model made it.
    #[error("`{}` holds another run: it has no identity.json, so an earlier version of the program made it", dir.display())]
    NoIdentity {
        /// The run folder.
        dir: PathBuf,
    },
    /// The folder holds a run of an earlier version, whose recipe has names that changed.
    #[error("`{}` holds a run of an earlier version; in its recipe.toml:{}", dir.display(), list_renamed(problems))]
    EarlierNames {
        /// The run folder.
        dir: PathBuf,
        /// Every name that changed.
        problems: Vec<Problem>,
    },
    /// A question source that is neither `bank:SPLIT` nor a file.
    #[error("[data] {key} = `{value}`: {what}")]
    Source {
        /// `train`, `val` or `test`.
        key: &'static str,
        /// As written.
        value: String,
        /// What is wrong.
        what: String,
    },
    /// A question file of which too much cannot be used.
    #[error("{rejected} of the {total} rows of `{}` cannot be used: {reasons}{rows}", path.display())]
    TooManyRejected {
        /// The question file.
        path: PathBuf,
        /// Rows that cannot be used.
        rejected: usize,
        /// All rows.
        total: usize,
        /// How many rows for which reason.
        reasons: String,
        /// The first of them ([`rejected_rows`](super::questions::rejected_rows)).
        rows: String,
        /// The section whose `max_rejected_share` they exceed.
        section: &'static str,
    },
    /// A question file of which nothing can be used.
    #[error("no row of `{}` can be used: {reasons}{rows}", path.display())]
    AllRejected {
        /// The question file.
        path: PathBuf,
        /// How many rows for which reason.
        reasons: String,
        /// The first of them ([`rejected_rows`](super::questions::rejected_rows)).
        rows: String,
    },
    /// No question was left to work on.
    #[error("no question is left in {what}")]
    NoQuestions {
        /// Which set, and after which filter.
        what: String,
    },
    /// A signal stopped a stage; it can resume.
    #[error("stopped by a signal {saved} (`{}`)", dir.display())]
    Stopped {
        /// How far the stage came and what is saved, as the rest of the sentence.
        saved: String,
        /// The folder of what is saved.
        dir: PathBuf,
        /// SIGTERM rather than Ctrl-C.
        terminated: bool,
    },
    /// There is no folder of a `--shard i/n` where one is looked for.
    #[error("no `shard-i-of-n` folder lies in `{}`", dir.display())]
    NoParts {
        /// The run folder.
        dir: PathBuf,
    },
    /// An adapter with the best scale was to be written, and no scale helps.
    #[error("nothing was written: {why}")]
    NothingPicked {
        /// Why none was picked.
        why: String,
        /// Whether a lower floor would leave one.
        below_floor: bool,
    },
    /// What a look at the inputs of a run found; all of it.
    #[error("{} found:{}", count_of(problems.len()), problems.iter().map(|it| format!("\n  {}: {it}{}", it.key, hint_line(it))).collect::<String>())]
    Problems {
        /// Each with the input that it was found in for a key.
        problems: Vec<Problem>,
        /// The kind of the first.
        kind: ExitKind,
    },
    /// The base model of an adapter is not where the adapter says.
    #[error("the adapter `{}` names {}", adapter.display(), named.as_ref().map_or("no base model".to_owned(), |named| format!("the base model `{named}`, which is no folder here")))]
    NoBase {
        /// The adapter folder.
        adapter: PathBuf,
        /// The base as the adapter names it.
        named: Option<String>,
    },
    /// The base model of an adapter is not the one that it was trained on.
    #[error("`{}` is not the model that the adapter was trained on: its sha256 is {found}, not {expected}", base.display())]
    OtherBase {
        /// The base folder.
        base: PathBuf,
        /// Its hash.
        found: String,
        /// The hash that the run has noted.
        expected: String,
    },
    /// A single question that the model cannot be asked.
    #[error("the question cannot be asked: {why}")]
    CannotAsk {
        /// What is wrong with its recordings or its length.
        why: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A folder that was given as a recipe and is no run.
    #[error("the folder `{}` is no run: it has no recipe.toml", dir.display())]
    NotARun {
        /// The folder.
        dir: PathBuf,
        /// A run below it.
        run: Option<PathBuf>,
    },
    /// The command line names no recipe.
    #[error("no recipe given")]
    NoRecipe,
    /// The command line names nothing to evaluate.
    #[error("no run, recipe or model given")]
    NothingToEvaluate,
    /// The command line asks for what does not go together.
    #[error("{what}")]
    Usage {
        /// What to write instead.
        what: String,
    },
}

impl RunError {
    /// [`Self::Stopped`], by the signals that were watched.
    pub(crate) fn stopped(saved: String, dir: &Path, signals: &StopSignals) -> Failure {
        Self::Stopped { saved, dir: dir.to_owned(), terminated: signals.terminated() }.into()
    }

    /// [`Self::Usage`] of a text.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage { what: what.into() }
    }
}

fn count_of(problems: usize) -> String {
    format!("{problems} problem{}", if problems == 1 { "" } else { "s" })
}

/// One line per renamed key, with its new name.
fn list_renamed(problems: &[Problem]) -> String {
    let line = |it: &Problem| format!("\n  {it}: {}", it.hint.as_deref().unwrap_or_default());
    problems.iter().map(line).collect()
}

impl Diagnose for RunError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::OtherRun { .. }
            | Self::NoIdentity { .. }
            | Self::EarlierNames { .. }
            | Self::NoQuestions { .. }
            | Self::TooManyRejected { .. }
            | Self::AllRejected { .. }
            | Self::NothingPicked { .. }
            | Self::CannotAsk { .. }
            | Self::OtherBase { .. } => ExitKind::BadData,
            Self::Stopped { terminated: false, .. } => ExitKind::Interrupted,
            Self::Stopped { .. } => ExitKind::Terminated,
            Self::NoParts { .. } | Self::NoBase { .. } | Self::NotARun { .. } => ExitKind::MissingInput,
            Self::Problems { kind, .. } => *kind,
            Self::Source { .. } | Self::NoRecipe | Self::NothingToEvaluate | Self::Usage { .. } => {
                ExitKind::Usage
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoRecipe => Some(
                "start with `idk-train recipes/sound.toml`, which trains and tests the embedded model in two minutes; \
                 `idk-train --list` prints every recipe"
                    .to_owned(),
            ),
            Self::CannotAsk { hint, .. } => Some((*hint).to_owned()),
            Self::NotARun { run: None, .. } => Some("give a recipe, or the folder of a run".to_owned()),
            Self::NotARun { run: Some(run), .. } => {
                Some(format!("give a recipe, or the folder of a run, such as `{}`", run.display()))
            }
            Self::NothingToEvaluate => Some(
                "give the folder of a run, such as `idk-eval runs/sound`, or a recipe; a model without one needs --model, --questions \
                 and --out"
                    .to_owned(),
            ),
            Self::OtherRun { can_be_allowed: true, .. } => Some(
                "give `--allow-change KEY` for each of these to resume with the new values, choose another folder with \
                 `--set output.dir=DIR`, or `--fresh` to move this one aside"
                    .to_owned(),
            ),
            Self::NoIdentity { .. } => Some(
                "choose another folder with `--set output.dir=DIR`, or `--fresh` to move this one aside; `idk-train merge` \
                 takes its adapter with `--base DIR`"
                    .to_owned(),
            ),
            Self::OtherRun { .. } | Self::EarlierNames { .. } => Some(
                "choose another folder with `--set output.dir=DIR`, or `--fresh` to move this one aside"
                    .to_owned(),
            ),
            Self::Source { value, .. } => {
                let names = Split::NAMES.iter().copied();
                let near = value.strip_prefix("bank:").and_then(|split| did_you_mean(split, names));
                let near = near.map_or(String::new(), |near| format!("did you mean `bank:{near}`? Or "));
                Some(format!("{near}write `bank:idk`, `bank:test` or the path of a question file"))
            }
            Self::TooManyRejected { section, .. } => {
                Some(format!("correct them, or raise `max_rejected_share` in [{section}]"))
            }
            Self::AllRejected { .. } => {
                Some("correct the rows; docs/reference/question-sets.md has the keys, docs/reference/dataset.md the reasons".to_owned())
            }
            Self::NoQuestions { .. } => Some("look at `tasks` and `limit_per_task` in [data]".to_owned()),
            Self::Stopped { .. } => Some("run the same command again to resume".to_owned()),
            Self::NoParts { .. } => {
                Some("run `idk-build RECIPE --shard i/n` first, or name the folders to merge".to_owned())
            }
            Self::NothingPicked { below_floor: true, .. } => Some(
                "lower --min-accuracy, or try another K or fewer unknown questions (docs/guide/sweeps.md)"
                    .to_owned(),
            ),
            Self::NothingPicked { below_floor: false, .. } => Some(
                "a lower --min-accuracy changes nothing: try other `adapter_scale` in [sweep], or train with another K or fewer \
                 unknown questions (docs/guide/sweeps.md)"
                    .to_owned(),
            ),
            Self::NoBase { .. } => Some("give the base model's folder with `--base DIR`".to_owned()),
            Self::OtherBase { .. } => {
                Some("give the folder with `--base DIR` to merge into it all the same".to_owned())
            }
            Self::Problems { .. } | Self::Usage { .. } => None,
        }
    }
}
