//! What scoring needs of each question, in columns.

use std::fmt::Write as _;
use std::path::Path;

use idk_questions::metrics::Clusters;
use idk_questions::score::cluster;
use idk_questions::{
    AnswerMatch, Interner, MappedQuestion, Question, QuestionError, ReadOptions, Rejection, map_questions,
};

/// The questions of a set, as far as stored answers are judged and compared by them.
#[derive(Debug, Default)]
pub(crate) struct QuestionColumns {
    /// The ids of all rows, and the number of that of each question; numbers grow.
    ids: Interner,
    id_of: Vec<u32>,
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

/// A question in the texts of its columns, but for its id.
struct Columns {
    cluster: String,
    /// What an answer is judged by: see [`key_of`].
    key: String,
    kind: Option<String>,
}

impl Columns {
    fn of(question: Question) -> Self {
        Self { cluster: cluster(&question), key: key_of(&question), kind: question.unanswerable }
    }
}

/// What an answer is judged by as one text: answer, option that refuses, how an answer matches, how many options, the options,
/// other right answers. Each of them stands behind its length in bytes, which is read faster than JSON.
fn key_of(question: &Question) -> String {
    let Question { choices, answer, refusal_option, aliases, answer_match, .. } = question;
    let exact = if *answer_match == AnswerMatch::Exact { EXACT } else { "" };
    let count = choices.len().to_string();
    let texts = [answer.as_str(), refusal_option, exact, &count].into_iter();
    let mut key = String::with_capacity(64);
    for text in texts.chain(choices.iter().chain(aliases).map(String::as_str)) {
        // Writing to a string cannot fail.
        let _ = write!(key, "{}:{text}", text.len());
    }
    key
}

/// Stands in a key for [`AnswerMatch::Exact`].
const EXACT: &str = "exact";

/// The texts of a key, which [`key_of`] made.
fn texts_of(mut key: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (length, rest) = key.split_once(':')?;
        let (text, rest) = rest.split_at_checked(length.parse().ok()?)?;
        key = rest;
        Some(text)
    })
}

impl QuestionColumns {
    /// Reads a question set; its clips need not exist.
    ///
    /// # Errors
    /// As [`map_questions`].
    pub(crate) fn read(path: &Path) -> Result<Self, QuestionError> {
        let mut columns = Self::default();
        let options = ReadOptions { require_audio: false, ..ReadOptions::default() };
        let ids = map_questions(path, &options, Columns::of, |row| match row {
            Ok(MappedQuestion { number, made, .. }) => columns.add(number, &made),
            Err(rejection) => columns.rejected.push(rejection),
        })?;
        Ok(Self { ids, ..columns })
    }

    /// Adds a question whose id is new.
    #[cfg(test)]
    pub(crate) fn push(&mut self, question: &Question) {
        let (number, _) = self.ids.add(&question.id);
        self.add(number, &Columns::of(question.clone()));
    }

    fn add(&mut self, id: u32, of: &Columns) {
        self.id_of.push(id);
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
            // Unusable rows have ids too.
            false => self.id_of.binary_search(&self.ids.find(id)?).ok(),
        }
    }

    /// The id of the question at `place`; empty if there is none.
    pub(crate) fn id(&self, place: usize) -> &str {
        self.id_of.get(place).map_or("", |&id| self.ids.get(id))
    }

    /// The kind of the question at `place`; `None` if it has a right answer.
    pub(crate) fn kind(&self, place: usize) -> Option<&str> {
        let kind = self.kind_of.get(place).copied().filter(|&kind| kind != ANSWERABLE);
        kind.map(|kind| self.kinds.get(kind))
    }

    /// What answers to the question at `place` are judged by, its id left out.
    pub(crate) fn question(&self, place: usize) -> Question {
        let key = self.key_of.get(place).map_or("", |&key| self.keys.get(key));
        let mut texts = texts_of(key);
        let mut next = || texts.next().unwrap_or_default();
        let (answer, refusal_option, exact, count) = (next(), next(), next(), next());
        let count = count.parse().unwrap_or_default();
        Question {
            answer: answer.to_owned(),
            refusal_option: refusal_option.to_owned(),
            answer_match: if exact == EXACT { AnswerMatch::Exact } else { AnswerMatch::Contains },
            choices: texts.by_ref().take(count).map(str::to_owned).collect(),
            aliases: texts.map(str::to_owned).collect(),
            unanswerable: self.kind(place).map(str::to_owned),
            ..Question::default()
        }
    }

    /// The clusters of the questions.
    pub(crate) fn clusters(&self) -> Clusters {
        Clusters::of_numbers(self.clusters.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_keeps_everything_that_answers_are_judged_by() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let closed = Question {
            id: "q".to_owned(),
            choices: texts(&["3:dog", "", "é: \0 \" 1:"]),
            answer: "3:dog".to_owned(),
            refusal_option: "none".to_owned(),
            unanswerable: Some(String::new()),
            ..Question::default()
        };
        let open = Question {
            id: "r".to_owned(),
            answer: "12".to_owned(),
            aliases: texts(&["twelve", "0:"]),
            answer_match: AnswerMatch::Exact,
            ..Question::default()
        };
        let without_id = |question: &Question| Question { id: String::new(), ..question.clone() };
        let mut columns = QuestionColumns::default();
        [&closed, &open, &closed].into_iter().for_each(|question| columns.push(question));
        assert_eq!([0, 1, 2].map(|place| columns.question(place)), [&closed, &open, &closed].map(without_id));
    }

    #[test]
    fn an_id_of_an_unusable_row_is_none_of_a_question_and_those_after_it_keep_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.jsonl");
        let row = |id: &str, choices: &str| {
            format!(
                r#"{{"id": "{id}", "audio_id": "a.wav", "question": "?", "choices": [{choices}], "answer": "x"}}"#
            )
        };
        let rows = [
            row("a", r#""x", "y""#),
            row("bad", r#""y", "z""#),
            row("a", r#""x", "y""#),
            row("b", r#""x", "z""#),
        ];
        idk_common::fs::write_atomic(&path, rows.join("\n").as_bytes()).unwrap();
        let columns = QuestionColumns::read(&path).unwrap();
        assert_eq!((columns.len(), columns.rejected.len(), columns.id(1)), (2, 2, "b"));
        let found = ["a", "bad", "b", "c"].map(|id| columns.place(id, 0));
        assert_eq!(found, [Some(0), None, Some(1), None]);
    }
}
