//! What scoring needs of each question, in columns: a million questions take some 170 MB.

use std::path::Path;

use idk_questions::metrics::Clusters;
use idk_questions::score::cluster;
use idk_questions::{AnswerMatch, Interner, Question, QuestionError, ReadOptions, Rejection, map_questions};

/// The questions of a set, as far as stored answers are judged and compared by them.
#[derive(Debug, Default)]
pub(crate) struct QuestionColumns {
    /// The ids; the number of an id is the place of its question.
    ids: Interner,
    /// The names of the clusters, and that of each question.
    cluster_names: Interner,
    clusters: Vec<u32>,
    /// What answers are judged by, each combination once, and that of each question.
    keys: Interner,
    key_of: Vec<u32>,
    /// The kinds of questions without a right answer, and that of each question; [`ANSWERABLE`] with one.
    kinds: Interner,
    kind_of: Vec<u32>,
    /// The rows that cannot be used.
    pub(crate) rejected: Vec<Rejection>,
}

/// Stands for the kind of a question that has a right answer.
const ANSWERABLE: u32 = u32::MAX;

/// What an answer is judged by: options, answer, the option that refuses, other right answers, and how they match.
type AnswerKey = (Vec<String>, String, String, Vec<String>, AnswerMatch);

/// A question in the texts of its columns, but for its id.
struct Columns {
    cluster: String,
    /// An [`AnswerKey`] as JSON.
    key: String,
    kind: Option<String>,
}

impl Columns {
    fn of(question: &Question) -> Self {
        let Question { choices, answer, refusal_option, aliases, answer_match, .. } = question;
        // Texts always have a JSON form.
        let key = serde_json::to_string(&(choices, answer, refusal_option, aliases, answer_match));
        let kind = question.unanswerable.clone();
        Self { cluster: cluster(question), key: key.unwrap_or_default(), kind }
    }
}

impl QuestionColumns {
    /// Reads a question set; its clips need not exist.
    ///
    /// # Errors
    /// As [`map_questions`].
    pub(crate) fn read(path: &Path) -> Result<Self, QuestionError> {
        let mut columns = Self::default();
        let options = ReadOptions { require_audio: false, ..ReadOptions::default() };
        map_questions(
            path,
            &options,
            |question| Columns::of(&question),
            |row| match row {
                Ok((id, of)) => columns.add(&id, &of),
                Err(rejection) => columns.rejected.push(rejection),
            },
        )?;
        Ok(columns)
    }

    /// Adds a question whose id is new.
    #[cfg(test)]
    pub(crate) fn push(&mut self, question: &Question) {
        self.add(&question.id, &Columns::of(question));
    }

    fn add(&mut self, id: &str, of: &Columns) {
        self.ids.add(id);
        self.clusters.push(self.cluster_names.add(&of.cluster).0);
        self.key_of.push(self.keys.add(&of.key).0);
        let kind = of.kind.as_ref().map(|kind| self.kinds.add(kind).0);
        self.kind_of.push(kind.unwrap_or(ANSWERABLE));
    }

    /// How many questions there are.
    pub(crate) fn len(&self) -> usize {
        self.key_of.len()
    }

    /// The place of the question with this id, which may be `likely`: most files of answers have the order of the questions.
    pub(crate) fn place(&self, id: &str, likely: usize) -> Option<usize> {
        match likely < self.len() && self.id(likely) == id {
            true => Some(likely),
            false => self.ids.find(id).map(|place| place as usize),
        }
    }

    /// The id of the question at `place`; empty if there is none.
    pub(crate) fn id(&self, place: usize) -> &str {
        u32::try_from(place).map_or("", |place| self.ids.get(place))
    }

    /// The kind of the question at `place`; `None` if it has a right answer.
    pub(crate) fn kind(&self, place: usize) -> Option<&str> {
        let kind = self.kind_of.get(place).copied().filter(|&kind| kind != ANSWERABLE);
        kind.map(|kind| self.kinds.get(kind))
    }

    /// The question at `place`, as far as answers to it are judged by it.
    pub(crate) fn question(&self, place: usize) -> Question {
        let key = self.key_of.get(place).map_or("", |&key| self.keys.get(key));
        let (choices, answer, refusal_option, aliases, answer_match) =
            serde_json::from_str::<AnswerKey>(key).unwrap_or_default();
        Question {
            id: self.id(place).to_owned(),
            choices,
            answer,
            refusal_option,
            aliases,
            answer_match,
            unanswerable: self.kind(place).map(str::to_owned),
            ..Question::default()
        }
    }

    /// The clusters of the questions.
    pub(crate) fn clusters(&self) -> Clusters {
        Clusters::of_numbers(self.clusters.clone())
    }
}
