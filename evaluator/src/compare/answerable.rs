//! The questions of a test set that have a right answer: what accuracy, RGI and the rules next to them are about.

use std::borrow::Cow;

use idk_questions::AskedQuestion;

use crate::answer::prepare::Prepared;

/// The questions that have a right answer, and their places in the whole set.
pub(crate) struct Answerable<'a> {
    /// Those questions, as a set.
    pub(crate) prepared: Cow<'a, Prepared>,
    /// `None` if they are all.
    places: Option<Vec<usize>>,
}

impl<'a> Answerable<'a> {
    /// Those of `prepared`.
    pub(crate) fn of(prepared: &'a Prepared) -> Self {
        let has_answer = |question: &AskedQuestion| question.original.is_answerable();
        if prepared.questions.iter().all(has_answer) {
            return Self { prepared: Cow::Borrowed(prepared), places: None };
        }
        let all = prepared.questions.iter().enumerate();
        let places: Vec<usize> = all.filter(|(_, question)| has_answer(question)).map(|(at, _)| at).collect();
        let part = Prepared {
            questions: chosen(&prepared.questions, &places),
            clips: chosen(&prepared.clips, &places),
            rejected: Vec::new(),
            cut_audio: prepared.cut_audio,
            style: prepared.style,
            refusals: prepared.refusals.clone(),
        };
        Self { prepared: Cow::Owned(part), places: Some(places) }
    }

    /// What of `list`, which has an entry per question of the whole set, is about these questions.
    pub(crate) fn of_list<'b, T: Clone>(&self, list: &'b [T]) -> Cow<'b, [T]> {
        match &self.places {
            None => Cow::Borrowed(list),
            Some(places) => Cow::Owned(chosen(list, places)),
        }
    }
}

fn chosen<T: Clone>(list: &[T], places: &[usize]) -> Vec<T> {
    places.iter().filter_map(|&place| list.get(place)).cloned().collect()
}
