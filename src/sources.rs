//! Where questions come from: a file, or a split of the bank rendered into the run folder.

use std::path::{Path, PathBuf};

use idk_benchmark::{Bank, ComposeConfig, Split};
use idk_common::identity::differences;
use idk_common::{CommonError, Identity};
use idk_questions::{QuestionSet, ReadOptions, read_questions_with, reason};
use serde::Serialize;

use crate::cli::say;
use crate::error::{Failure, RunError};
use crate::recipe::DataSection;

/// The question sets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Sampled, labelled and trained on.
    Train,
    /// Chosen by: answered while training, and what thresholds are fitted on; may be none.
    Val,
    /// Answered by the evaluator.
    Test,
}

impl Set {
    /// The recipe key in [data].
    pub const fn key(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    pub(crate) fn spec(self, data: &DataSection) -> &str {
        match self {
            Self::Train => &data.train,
            Self::Val => &data.val,
            Self::Test => &data.test,
        }
    }

    /// Questions of each modality to render; `None` is the split's own number.
    pub(crate) fn rendered(self, data: &DataSection) -> Option<usize> {
        let asked = match self {
            Self::Train => data.train_questions,
            Self::Val => data.val_questions,
            Self::Test => None,
        };
        match asked {
            Some(count) => Some(data.limit_per_task.map_or(count, |limit| limit.min(count))),
            None => data.limit_per_task,
        }
    }

    /// Training and validation keep to the recipe's tasks; the test set is answered whole.
    pub(crate) fn tasks(self, data: &DataSection) -> &[String] {
        if self == Self::Test { &[] } else { &data.tasks }
    }

    /// Tasks that are rendered from the bank. Validation is rendered whole: who fits a threshold wants all of it.
    fn rendered_tasks(self, data: &DataSection) -> &[String] {
        if self == Self::Train { &data.tasks } else { &[] }
    }
}

/// What a rendered split was made from; a split with the same origin is not rendered again.
#[derive(Debug, Serialize)]
struct Origin {
    program_version: String,
    bank: String,
    split: String,
    seed: u64,
    questions_per_modality: Option<usize>,
    modalities: Vec<String>,
}

/// Questions of a set, with where they were read from.
pub struct Loaded {
    /// The questions and what was rejected.
    pub set: QuestionSet,
    /// The question file.
    pub path: PathBuf,
}

/// Loads a set. `bank:SPLIT` is rendered into `questions_dir/SPLIT` first.
///
/// # Errors
/// A source that is neither; a bank or file that cannot be read; no question left after the filters.
pub fn load(
    data: &DataSection,
    set: Set,
    questions_dir: &Path,
    max_rejected_share: f64,
) -> Result<Loaded, Failure> {
    let spec = set.spec(data);
    let path = match spec.strip_prefix("bank:") {
        Some(split) => {
            check_split(split, set, spec)?;
            render(data, split, set.rendered_tasks(data), set.rendered(data), &questions_dir.join(split))?
        }
        None => PathBuf::from(spec),
    };
    let mut read = read_file(&path, data)?;
    let in_file = read.questions.len();
    filter(&mut read, data, set);
    if read.questions.len() < in_file {
        check_whole_file(&mut read, in_file, &path, max_rejected_share)?;
    }
    if read.questions.is_empty() {
        if let Some(rejected) = all_rejected(&read, in_file, &path) {
            return Err(rejected.into());
        }
        return Err(no_questions(data, set, &path).into());
    }
    Ok(Loaded { set: read, path })
}

pub(crate) fn read_file(path: &Path, data: &DataSection) -> Result<QuestionSet, Failure> {
    let options = ReadOptions {
        duplicate_choices: data.duplicate_choices,
        agreement: data.agreement,
        ..ReadOptions::default()
    };
    Ok(read_questions_with(path, &options)?)
}

/// Keeps the tasks and the number of questions that the recipe asks for.
pub(crate) fn filter(read: &mut QuestionSet, data: &DataSection, set: Set) {
    let tasks = set.tasks(data);
    if !tasks.is_empty() {
        read.questions.retain(|question| tasks.contains(&question.task));
    }
    if let Some(limit) = data.limit_per_task {
        keep_first_of_each_task(read, limit);
    }
}

pub(crate) fn no_questions(data: &DataSection, set: Set, path: &Path) -> RunError {
    let tasks = set.tasks(data);
    let filter = if tasks.is_empty() { String::new() } else { format!(" with task {}", tasks.join(", ")) };
    RunError::NoQuestions { what: format!("`{}`{filter}", path.display()) }
}

/// What to say where no row of a file can be used.
fn all_rejected(set: &QuestionSet, in_file: usize, path: &Path) -> Option<RunError> {
    let first = set.rejected.first().filter(|_| in_file == 0)?;
    Some(RunError::AllRejected {
        path: path.to_owned(),
        reasons: reason::listed(&reason::counts(&set.rejected)),
        first: format!("row {}: {}", first.line, first.detail),
    })
}

/// A part of a file is taken from a file that is sound as a whole; its unusable rows belong to no part and are only
/// counted, else a few questions would stand beside all the bad rows.
fn check_whole_file(
    set: &mut QuestionSet,
    in_file: usize,
    path: &Path,
    max_rejected_share: f64,
) -> Result<(), Failure> {
    let (rejected, total) = (set.rejected.len(), set.rejected.len() + in_file);
    if rejected as f64 > max_rejected_share * total as f64 {
        return Err(RunError::TooManyRejected { path: path.to_owned(), rejected, total }.into());
    }
    if rejected > 0 {
        say(&format!("{rejected} of {total} rows of {} cannot be used", path.display()));
    }
    set.rejected.clear();
    Ok(())
}

/// Refuses those of `sets` that cannot be loaded, before hours are spent on the others.
///
/// # Errors
/// [`RunError::Source`] for a split that no bank has; a file that is not there.
pub fn check(data: &DataSection, sets: &[Set]) -> Result<(), Failure> {
    for &set in sets {
        let spec = set.spec(data);
        match spec.strip_prefix("bank:") {
            None if set == Set::Val && spec.is_empty() => {}
            Some(split) => check_split(split, set, spec)?,
            None => drop(idk_common::fs::open(Path::new(spec))?),
        }
    }
    Ok(())
}

/// What of two `[data]` sections decides the dataset. Question files are left to their hashes: one file has many paths.
pub(crate) fn identity(before: &DataSection, now: &DataSection) -> (DataSection, DataSection) {
    let defaults = DataSection::default();
    let files = [before, now].iter().all(|data| !data.train.starts_with("bank:"));
    let strip = |data: &DataSection| DataSection {
        train: if files { defaults.train.clone() } else { data.train.clone() },
        val: defaults.val.clone(),
        test: defaults.test.clone(),
        val_questions: None,
        ..data.clone()
    };
    (strip(before), strip(now))
}

pub(crate) fn check_split(split: &str, set: Set, spec: &str) -> Result<(), RunError> {
    if Split::NAMES.contains(&split) {
        return Ok(());
    }
    let what = format!("a bank has the splits {}", Split::NAMES.join(", "));
    Err(RunError::Source { key: set.key(), value: spec.to_owned(), what })
}

fn keep_first_of_each_task(set: &mut QuestionSet, limit: usize) {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    set.questions.retain(|question| {
        let count = seen.entry(question.task.clone()).or_default();
        *count += 1;
        *count <= limit
    });
}

/// The folder of recordings that a recipe means.
pub fn bank_dir(data: &DataSection) -> PathBuf {
    if data.bank.is_empty() { idk_benchmark::default_bank_dir() } else { PathBuf::from(&data.bank) }
}

fn render(
    data: &DataSection,
    split: &str,
    tasks: &[String],
    questions_per_modality: Option<usize>,
    out: &Path,
) -> Result<PathBuf, Failure> {
    let bank_dir = bank_dir(data);
    let origin = Origin {
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        bank: idk_common::hash::sha256_file(&bank_dir.join("manifest.jsonl"))?,
        split: split.to_owned(),
        seed: data.seed,
        questions_per_modality,
        modalities: tasks.to_vec(),
    };
    let origin_path = out.join("origin.json");
    let questions_path = out.join("questions.json");
    let rendered_from: Identity = idk_common::json::read_json(&origin_path).unwrap_or_default();
    if questions_path.is_file() && differences(&rendered_from, &Identity::of(&origin)).is_empty() {
        return Ok(questions_path);
    }
    let bank = Bank::load(&bank_dir)?;
    let config = ComposeConfig {
        split: split.to_owned(),
        questions_per_modality,
        modalities: tasks.to_vec(),
        seed: data.seed,
    };
    // Clips of another set have the same names: until all are written nothing may claim to know what they are.
    idk_common::fs::remove_if_exists(&origin_path)?;
    let path = idk_benchmark::write(&bank, &config, out)?;
    idk_common::json::write_json(&origin_path, &origin)?;
    Ok(path)
}

/// SHA-256 over the files that make a model: weights, configuration, tokenizer, chat template. Its README may change.
///
/// # Errors
/// A folder or file that cannot be read.
pub(crate) fn model_sha256(dir: &Path) -> Result<String, CommonError> {
    let mut listing = String::new();
    for (name, path) in idk_common::paths::regular_files(dir)? {
        let of_model =
            [".safetensors", ".json", ".jinja", ".txt"].iter().any(|ending| name.ends_with(ending));
        if of_model && !name.contains('/') {
            listing.push_str(&format!("{name}\0{}\n", idk_common::hash::sha256_file(&path)?));
        }
    }
    Ok(idk_common::hash::sha256_hex(listing.as_bytes()))
}

/// Renders a split of a bank for anyone's use.
///
/// # Errors
/// An unknown split, or a bank that cannot be read or has too few recordings.
pub fn compose_to(
    bank: Option<&Path>,
    split: &str,
    seed: u64,
    questions_per_modality: Option<usize>,
    out: &Path,
) -> Result<PathBuf, Failure> {
    if !Split::NAMES.contains(&split) {
        let what = format!("`--split {split}`: a bank has the splits {}", Split::NAMES.join(", "));
        return Err(RunError::Usage { what }.into());
    }
    let bank = Bank::load(&bank.map_or_else(idk_benchmark::default_bank_dir, Path::to_owned))?;
    let config =
        ComposeConfig { split: split.to_owned(), questions_per_modality, modalities: Vec::new(), seed };
    Ok(idk_benchmark::write(&bank, &config, out)?)
}

/// The last part of a path: what names a folder in files that must not hold absolute paths.
pub(crate) fn folder_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// A source as it may stand in results: `bank:SPLIT`, or a file's name without its folder.
pub(crate) fn display_name(spec: &str) -> String {
    if spec.starts_with("bank:") { spec.to_owned() } else { folder_name(Path::new(spec)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn val_of_the_bank_has_as_many_questions_of_each_task_as_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let count = |val_questions, limit_per_task| {
            let val = "bank:val".to_owned();
            let data = DataSection { val, val_questions, limit_per_task, ..DataSection::default() };
            load(&data, Set::Val, dir.path(), 0.0).unwrap().set.questions.len()
        };
        assert_eq!(count(Some(130), None), 3 * 130, "more than the 120 of the split");
        assert_eq!((count(Some(4), Some(2)), count(None, Some(2))), (6, 6));
    }

    #[test]
    fn how_many_val_questions_there_are_is_no_part_of_what_made_the_dataset() {
        let more = DataSection { val_questions: Some(600), ..DataSection::default() };
        let (before, now) = identity(&DataSection::default(), &more);
        assert_eq!(before, now);
    }
}
