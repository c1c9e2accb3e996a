//! Many questions in little memory.

use std::path::{Path, PathBuf};

use super::record::{AnswerMatch, Question, QuestionSet, Rejection};
use crate::interner::Interner;

/// Questions as the numbers of their texts; each text is kept once. [`Question::extra`] is not kept.
///
/// A question with four options and one recording takes 60 bytes besides its id and the texts that no question before it
/// has. As a [`Question`] it takes more than a kilobyte.
#[derive(Clone, Debug, Default)]
pub struct PackedQuestions {
    texts: Interner,
    /// Recordings whose paths are no text.
    other_paths: Vec<PathBuf>,
    /// Of one question after the other: id, question, answer, description, how many options, the options, two numbers for
    /// each recording.
    numbers: Vec<u32>,
    /// Where the numbers of each question end.
    ends: Vec<usize>,
}

/// The fields that many questions have in common: kind without a right answer, option that refuses, aliases, how answers match,
/// then task, category, sub-category, difficulty, data set and split.
type CommonFields = (Option<String>, String, Vec<String>, AnswerMatch, [String; 6]);

/// Stands for the folder of a path that is no text.
const NO_TEXT: u32 = u32::MAX;

impl PackedQuestions {
    /// Adds a question after the others.
    pub fn push(&mut self, question: &Question) {
        let Question { id, question: text, answer, choices, .. } = question;
        let description = description(question);
        let numbers = [id, text, answer, &description].map(|text| self.texts.add(text).0);
        self.numbers.extend(numbers);
        self.numbers.push(choices.len() as u32);
        for choice in choices {
            self.numbers.push(self.texts.add(choice).0);
        }
        for path in &question.audio {
            let path = self.pack_path(path);
            self.numbers.extend(path);
        }
        self.ends.push(self.numbers.len());
    }

    /// How many questions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The question at `place`, without its `extra`; `None` if there is none.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<Question> {
        let [id, question, answer, description, count, rest @ ..] = self.numbers_of(place)? else {
            return None;
        };
        let (choices, clips) = rest.split_at_checked(*count as usize)?;
        let text = |number: &u32| self.texts.get(*number).to_owned();
        let (unanswerable, refusal_option, aliases, answer_match, groups) =
            serde_json::from_str::<CommonFields>(self.texts.get(*description)).ok()?;
        let [task, category, sub_category, difficulty, dataset, split] = groups;
        Some(Question {
            id: text(id),
            audio: clips.chunks_exact(2).map(|path| self.path(path[0], path[1])).collect(),
            question: text(question),
            choices: choices.iter().map(text).collect(),
            answer: text(answer),
            unanswerable,
            refusal_option,
            aliases,
            answer_match,
            task,
            category,
            sub_category,
            difficulty,
            dataset,
            split,
            ..Question::default()
        })
    }

    /// The id of the question at `place`; empty if there is none.
    #[must_use]
    pub fn id(&self, place: usize) -> &str {
        self.numbers_of(place).and_then(<[u32]>::first).map_or("", |&id| self.texts.get(id))
    }

    /// The number of the id of the question at `place`: equal ids have equal numbers.
    #[must_use]
    pub fn id_number(&self, place: usize) -> Option<u32> {
        self.numbers_of(place)?.first().copied()
    }

    /// Every question, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Question> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    fn numbers_of(&self, place: usize) -> Option<&[u32]> {
        let start = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.numbers.get(start..*self.ends.get(place)?)
    }

    /// The folder and the name of a recording.
    fn pack_path(&mut self, path: &Path) -> [u32; 2] {
        let Some(text) = path.to_str() else {
            self.other_paths.push(path.to_owned());
            return [NO_TEXT, (self.other_paths.len() - 1) as u32];
        };
        let name = text.rfind('/').map_or(0, |at| at + 1);
        [&text[..name], &text[name..]].map(|part| self.texts.add(part).0)
    }

    fn path(&self, folder: u32, name: u32) -> PathBuf {
        match folder {
            NO_TEXT => self.other_paths.get(name as usize).cloned().unwrap_or_default(),
            folder => [folder, name].map(|part| self.texts.get(part)).concat().into(),
        }
    }
}

fn description(question: &Question) -> String {
    let Question { unanswerable, refusal_option, aliases, answer_match, task, category, .. } = question;
    let Question { sub_category, difficulty, dataset, split, .. } = question;
    let groups = [task, category, sub_category, difficulty, dataset, split];
    // Texts always have a JSON form.
    serde_json::to_string(&(unanswerable, refusal_option, aliases, answer_match, groups)).unwrap_or_default()
}

/// A [`QuestionSet`] in little memory.
#[derive(Clone, Debug, Default)]
pub struct PackedSet {
    /// The usable questions, in the order of the file.
    pub questions: PackedQuestions,
    /// The other rows, in the order of the file.
    pub rejected: Vec<Rejection>,
}

impl From<&QuestionSet> for PackedSet {
    fn from(set: &QuestionSet) -> Self {
        let mut questions = PackedQuestions::default();
        set.questions.iter().for_each(|question| questions.push(question));
        Self { questions, rejected: set.rejected.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
        texts.map(str::to_owned).to_vec()
    }

    fn full() -> Question {
        Question {
            id: "dog".to_owned(),
            audio: vec!["/data/é/a.wav".into(), "a.wav".into(), "/a.wav".into()],
            question: "Which \"animal\"\nis heard?".to_owned(),
            choices: texts(["dog", "", "cat"]),
            answer: "cat".to_owned(),
            unanswerable: Some("absent".to_owned()),
            refusal_option: "none".to_owned(),
            aliases: texts(["hound", "dog"]),
            answer_match: AnswerMatch::Exact,
            task: "sound".to_owned(),
            category: "c".to_owned(),
            sub_category: "s".to_owned(),
            difficulty: "easy".to_owned(),
            dataset: "d".to_owned(),
            split: "test".to_owned(),
            ..Question::default()
        }
    }

    #[test]
    fn questions_come_back_as_they_were_in_their_order_but_for_their_other_keys() {
        let open = Question { choices: Vec::new(), unanswerable: None, id: "o".to_owned(), ..full() };
        let silent = Question { id: "s".to_owned(), ..Question::default() };
        let questions = [full(), silent, open, full()];
        let mut packed = PackedQuestions::default();
        assert!(packed.is_empty() && packed.get(0).is_none());
        for question in &questions {
            let extra = [("note".to_owned(), 1.into())].into_iter().collect();
            packed.push(&Question { extra, ..question.clone() });
        }
        assert_eq!(packed.iter().collect::<Vec<_>>(), questions);
        assert_eq!(packed.len(), 4);
        assert_eq!([0, 2, 4].map(|place| packed.id(place)), ["dog", "o", ""]);
        assert_eq!(packed.get(4), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_kept_byte_for_byte() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/data/\xff/a.wav")).to_owned();
        let mut packed = PackedQuestions::default();
        packed.push(&Question { audio: vec![path.clone(), "/data/b.wav".into()], ..Question::default() });
        assert_eq!(packed.get(0).unwrap().audio, [path, "/data/b.wav".into()]);
    }
}
