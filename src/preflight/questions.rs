//! Reads the question sets of a recipe before anything is rendered, sampled or written.

use std::path::PathBuf;

use idk_benchmark::{Bank, ComposeConfig, Split};
use idk_questions::{Question, Rejection};

use crate::recipe::DataSection;
use crate::run::questions::{self, Set};
use crate::run::rendered::check_split;
use crate::terminal::Failure;

/// A question, with its clip where that is rendered and not a file.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The question as its source has it.
    pub(crate) question: Question,
    /// Samples of a rendered clip.
    pub(crate) clip: Option<Vec<f32>>,
}

/// What is known of a set.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetSummary {
    /// Questions after all filters.
    pub(crate) questions: usize,
    /// Rows of the file, before any filter; of a bank its questions.
    pub(crate) rows: usize,
    /// Rows that cannot be used.
    pub(crate) rejected: Vec<Rejection>,
    /// Some of the questions.
    pub(crate) some: Vec<Seen>,
    /// The clips of every question of a file, with the question's id.
    pub(crate) clips: Vec<(String, Vec<PathBuf>)>,
}

/// Looks at a set. `bank` is the bank, if it could be loaded; at most `some` questions (of each modality, where they are
/// rendered) are given back.
///
/// # Errors
/// A source that is neither a split nor a file, a file that cannot be read, no question left after the filters.
pub(crate) fn summary(
    data: &DataSection,
    set: Set,
    bank: Option<&Bank>,
    some: usize,
) -> Result<SetSummary, Failure> {
    let spec = set.spec(data);
    match spec.strip_prefix("bank:") {
        Some(split) => {
            check_split(split, set, spec)?;
            match bank {
                Some(bank) => of_bank(data, set, split, bank, some),
                // What is wrong with the bank is said once, where it is loaded.
                None => Ok(SetSummary::default()),
            }
        }
        None => of_file(data, set, some),
    }
}

fn of_bank(
    data: &DataSection,
    set: Set,
    split: &str,
    bank: &Bank,
    some: usize,
) -> Result<SetSummary, Failure> {
    let tasks = set.tasks(data);
    let number = set.rendered(data).unwrap_or(split.parse::<Split>()?.default_questions());
    let config = ComposeConfig {
        split: split.to_owned(),
        questions_per_modality: Some(number.min(some)),
        modalities: tasks.to_vec(),
        seed: data.seed,
    };
    let items = idk_benchmark::compose(bank, &config)?;
    let modalities = if tasks.is_empty() { bank.modalities().len() } else { tasks.len() };
    let some = items.into_iter().map(|item| Seen { question: item.question, clip: Some(item.samples) });
    Ok(SetSummary {
        questions: number * modalities,
        rows: number * modalities,
        rejected: Vec::new(),
        some: some.collect(),
        clips: Vec::new(),
    })
}

fn of_file(data: &DataSection, set: Set, some: usize) -> Result<SetSummary, Failure> {
    let path = PathBuf::from(set.spec(data));
    let mut read = questions::read_file(&path, data)?;
    let rows = read.questions.len() + read.rejected.len();
    questions::filter(&mut read, data, set);
    if read.questions.is_empty() && read.rejected.len() < rows {
        return Err(questions::no_questions(data, set, &path).into());
    }
    let questions = read.questions.len();
    let clips = read.questions.iter().map(|question| (question.id.clone(), question.audio.clone())).collect();
    // Spread over the file, which may be sorted by length or task.
    let stride = questions.div_ceil(some.max(1)).max(1);
    let some = read.questions.into_iter().step_by(stride).map(|question| Seen { question, clip: None });
    Ok(SetSummary { questions, rows, some: some.collect(), rejected: read.rejected, clips })
}
