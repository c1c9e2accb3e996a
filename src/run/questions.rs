//! Where questions come from: a file, or a split of the bank rendered into the run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::text::terminal_safe;
use idk_questions::{
    PackedQuestions, PackedSet, Question, QuestionSet, ReadOptions, Rejection, reason, visit_questions,
};

use super::RunError;
use super::model::folder_name;
use super::rendered::{check_split, render};
use crate::recipe::{DataSection, Recipe, same_questions};
use crate::terminal::{Failure, say};

/// The question sets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    /// Sampled, labelled and trained on.
    Train,
    /// Chosen by: answered while training, and what thresholds are fitted on; may be none.
    Val,
    /// Answered by the evaluator.
    Test,
}

impl Set {
    /// The recipe key in [data].
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The section that says how much of it may be rejected.
    pub(crate) const fn section(self) -> &'static str {
        match self {
            Self::Train => "build",
            Self::Val | Self::Test => "eval",
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

/// Questions of a set, with where they were read from.
pub(crate) struct LoadedQuestions {
    /// The questions and what was rejected.
    pub(crate) set: QuestionSet,
    /// The question file.
    pub(crate) path: PathBuf,
}

/// Loads a set. `bank:SPLIT` is rendered into `questions_dir/SPLIT` first.
///
/// # Errors
/// A source that is neither; a bank or file that cannot be read; no question left after the filters.
pub(crate) fn load(
    data: &DataSection,
    set: Set,
    questions_dir: &Path,
    max_rejected_share: f64,
) -> Result<LoadedQuestions, Failure> {
    let mut questions = Vec::new();
    let push = |question| questions.push(question);
    let (path, rejected) = visit(data, set, questions_dir, max_rejected_share, push)?;
    Ok(LoadedQuestions { set: QuestionSet { questions, rejected }, path })
}

/// [`load`] for a set that may have a million questions; also gives the question file.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_packed(
    data: &DataSection,
    set: Set,
    questions_dir: &Path,
    max_rejected_share: f64,
) -> Result<(PackedSet, PathBuf), Failure> {
    let mut questions = PackedQuestions::default();
    let push = |question: Question| questions.push(&question);
    let (path, rejected) = visit(data, set, questions_dir, max_rejected_share, push)?;
    Ok((PackedSet { questions, rejected }, path))
}

/// Gives every question of a set to `take`; returns the question file and what of it was rejected.
fn visit(
    data: &DataSection,
    set: Set,
    questions_dir: &Path,
    max_rejected_share: f64,
    mut take: impl FnMut(Question),
) -> Result<(PathBuf, Vec<Rejection>), Failure> {
    let spec = set.spec(data);
    let path = match spec.strip_prefix("bank:") {
        Some(split) => {
            check_split(split, set, spec)?;
            render(data, split, set.rendered_tasks(data), set.rendered(data), &questions_dir.join(split))?
        }
        None => PathBuf::from(spec),
    };
    let (mut in_file, mut kept, mut rejected) = (0, 0, Vec::new());
    let mut filter = Filter::new(data, set);
    visit_questions(&path, &read_options(data), |row| match row {
        Ok(question) => {
            in_file += 1;
            if filter.keeps(&question) {
                kept += 1;
                take(question);
            }
        }
        Err(rejection) => rejected.push(rejection),
    })?;
    if kept < in_file {
        check_whole_file(&mut rejected, in_file, &path, (max_rejected_share, set.section()))?;
    }
    match all_rejected(&rejected, in_file, &path) {
        _ if kept > 0 => Ok((path, rejected)),
        Some(error) => Err(error.into()),
        None => Err(no_questions(data, set, &path).into()),
    }
}

/// How the recipe reads question files.
pub(crate) fn read_options(data: &DataSection) -> ReadOptions {
    ReadOptions {
        duplicate_choices: data.duplicate_choices,
        min_annotators: data.min_annotators,
        refusal_option: data.refusal_option,
        ..ReadOptions::default()
    }
}

/// Which questions of a file a set has: those of the tasks, and as many, as the recipe asks for. What is chosen or fitted on val
/// is about questions that have a right answer, so the others are left out of it.
pub(crate) struct Filter<'a> {
    set: Set,
    tasks: &'a [String],
    limit_per_task: Option<usize>,
    kept: BTreeMap<String, usize>,
}

impl<'a> Filter<'a> {
    pub(crate) fn new(data: &'a DataSection, set: Set) -> Self {
        let (tasks, limit_per_task) = (set.tasks(data), data.limit_per_task);
        Self { set, tasks, limit_per_task, kept: BTreeMap::new() }
    }

    /// Whether the set has the next question of the file.
    pub(crate) fn keeps(&mut self, question: &Question) -> bool {
        let is_of_task = self.tasks.is_empty() || self.tasks.contains(&question.task);
        if !is_of_task || (self.set == Set::Val && !question.is_answerable()) {
            return false;
        }
        let Some(limit) = self.limit_per_task else { return true };
        let kept = self.kept.entry(question.task.clone()).or_default();
        *kept += 1;
        *kept <= limit
    }
}

pub(crate) fn no_questions(data: &DataSection, set: Set, path: &Path) -> RunError {
    let tasks = set.tasks(data);
    let filter = if tasks.is_empty() { String::new() } else { format!(" with task {}", tasks.join(", ")) };
    RunError::NoQuestions { what: format!("`{}`{filter}", path.display()) }
}

/// What to say where no row of a file can be used.
fn all_rejected(rejected: &[Rejection], in_file: usize, path: &Path) -> Option<RunError> {
    if in_file > 0 || rejected.is_empty() {
        return None;
    }
    Some(RunError::AllRejected {
        path: path.to_owned(),
        reasons: reason::listed(&reason::counts(rejected)),
        rows: rejected_rows(rejected),
    })
}

/// The error for `rejected` rows of `total`, more than `max_rejected_share` of `section` allows.
pub(crate) fn too_many_rejected(
    path: &Path,
    rejected: &[Rejection],
    total: usize,
    section: &'static str,
) -> RunError {
    RunError::TooManyRejected {
        path: path.to_owned(),
        rejected: rejected.len(),
        total,
        reasons: reason::listed(&reason::counts(rejected)),
        rows: rejected_rows(rejected),
        section,
    }
}

/// The first rows that cannot be used, each on a line of its own, and how many more there are.
fn rejected_rows(rejected: &[Rejection]) -> String {
    const SHOWN: usize = 5;
    let name = |row: &Rejection| match row.line {
        0 => format!("`{}`", terminal_safe(&row.id)),
        line => format!("row {line}"),
    };
    let line = |row: &Rejection| format!("\n    {}: {}", name(row), terminal_safe(&row.detail));
    let shown: String = rejected.iter().take(SHOWN).map(line).collect();
    match rejected.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}\n    and {more} more"),
    }
}

/// A part of a file is taken from a file that is sound as a whole; its unusable rows belong to no part and are only
/// counted, else all the bad rows would count against a few questions.
fn check_whole_file(
    unusable: &mut Vec<Rejection>,
    in_file: usize,
    path: &Path,
    (max_rejected_share, section): (f64, &'static str),
) -> Result<(), Failure> {
    let (rejected, total) = (unusable.len(), unusable.len() + in_file);
    if rejected as f64 > max_rejected_share * total as f64 {
        return Err(too_many_rejected(path, unusable, total, section).into());
    }
    if rejected > 0 {
        say(&format!("{rejected} of {total} rows of {} cannot be used", path.display()));
    }
    unusable.clear();
    Ok(())
}

/// Refuses those of `sets` that cannot be loaded, before hours are spent on the others.
///
/// # Errors
/// [`RunError::Source`] for a split that no bank has; a file that is not there.
pub(crate) fn check(data: &DataSection, sets: &[Set]) -> Result<(), Failure> {
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

/// The data section and the set that something is picked on: `val` of [data], else the bank's own where the test set is
/// the bank's.
///
/// # Errors
/// [`RunError::Usage`] if there is no such set, or if it is the training or the test set.
pub(crate) fn val_source(recipe: &Recipe) -> Result<(DataSection, Set), RunError> {
    let data = &recipe.data;
    let val = match data.val.as_str() {
        "" if data.test.starts_with("bank:") && data.train != "bank:val" => "bank:val",
        "" => {
            let what =
                "a sweep needs questions that are neither trained on nor tested on: give `val` in [data]";
            return Err(RunError::Usage { what: what.to_owned() });
        }
        given => given,
    };
    if [&data.test, &data.train].into_iter().any(|other| same_questions(val, other)) {
        let what = format!("`{val}` is the training or the test set: nothing may be picked on it");
        return Err(RunError::Usage { what });
    }
    Ok((DataSection { val: val.to_owned(), ..data.clone() }, Set::Val))
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

    #[test]
    fn a_sweep_answers_the_recipes_val_questions_and_never_those_of_the_test() {
        let recipe = |train: &str, val: &str, test: &str| {
            let mut recipe = Recipe::default();
            recipe.data.train = train.to_owned();
            recipe.data.val = val.to_owned();
            recipe.data.test = test.to_owned();
            val_source(&recipe).map(|(data, _)| data.val).map_err(|error| error.to_string())
        };
        assert_eq!(recipe("bank:idk", "", "bank:test").unwrap(), "bank:val");
        assert_eq!(recipe("a.json", "b.json", "d.json").unwrap(), "b.json");
        assert!(recipe("a.json", "", "d.json").unwrap_err().contains("give `val`"));
        assert!(recipe("a.json", "d.json", "d.json").unwrap_err().contains("`d.json`"));
    }
}
