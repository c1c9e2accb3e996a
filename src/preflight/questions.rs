//! Reads the question sets of a recipe before anything is rendered, sampled or written.

use std::path::{Path, PathBuf};

use idk_benchmark::{Bank, ComposeConfig, Split};
use idk_questions::{Interner, Question, Rejection, visit_questions};

use crate::recipe::DataSection;
use crate::run::questions::{self, Filter, Set};
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
    /// The clips of every question of a file.
    pub(crate) clips: QuestionClips,
}

/// The clips of many questions, each name once.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuestionClips {
    /// The folder of the question file.
    folder: PathBuf,
    /// The questions' ids, in their order.
    ids: Interner,
    /// The clips by their names in the folder, or by their paths.
    names: Interner,
    /// The clips of all questions one after the other, and where those of each end.
    clips: Vec<u32>,
    ends: Vec<usize>,
}

impl QuestionClips {
    fn of_file(path: &Path) -> Self {
        Self { folder: path.parent().unwrap_or(Path::new("")).to_owned(), ..Self::default() }
    }

    fn push(&mut self, question: &Question) {
        self.ids.add(&question.id);
        for clip in &question.audio {
            // Names are text, whatever the folder is called.
            let name = clip.strip_prefix(&self.folder).unwrap_or(clip).to_string_lossy();
            self.clips.push(self.names.add(&name).0);
        }
        self.ends.push(self.clips.len());
    }

    /// How many questions there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The id of the question at `place`.
    pub(crate) fn id(&self, place: usize) -> &str {
        u32::try_from(place).map_or("", |place| self.ids.get(place))
    }

    /// The clips of the question at `place`.
    pub(crate) fn of(&self, place: usize) -> &[u32] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.clips[start..self.ends[place]]
    }

    /// The file of a clip.
    pub(crate) fn path(&self, clip: u32) -> PathBuf {
        self.folder.join(self.names.get(clip))
    }
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
        clips: QuestionClips::default(),
    })
}

fn of_file(data: &DataSection, set: Set, some: usize) -> Result<SetSummary, Failure> {
    let path = Path::new(set.spec(data));
    let options = questions::read_options(data);
    let (mut rows, mut rejected, mut clips) = (0, Vec::new(), QuestionClips::of_file(path));
    let mut filter = Filter::new(data, set);
    visit_questions(path, &options, |row| {
        rows += 1;
        match row {
            Ok(question) if filter.keeps(&question) => clips.push(&question),
            Ok(_) => {}
            Err(rejection) => rejected.push(rejection),
        }
    })?;
    let questions = clips.len();
    if questions == 0 && rejected.len() < rows {
        return Err(questions::no_questions(data, set, path).into());
    }
    // Spread over the file, which may be sorted by length or task. It is read again: a million questions would take a gigabyte.
    let stride = questions.div_ceil(some.max(1)).max(1);
    let (mut place, mut seen) = (0, Vec::new());
    let mut filter = Filter::new(data, set);
    visit_questions(path, &options, |row| {
        let Some(question) = row.ok().filter(|question| filter.keeps(question)) else { return };
        if place % stride == 0 {
            seen.push(Seen { question, clip: None });
        }
        place += 1;
    })?;
    Ok(SetSummary { questions, rows, some: seen, rejected, clips })
}
