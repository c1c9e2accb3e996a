//! Who gives a question what makes it unanswerable.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use idk_common::seed::{Rng, derive_seed};

use super::UnanswerableKind;
use super::overlap::{is_catch_all, is_read_as_right, mentions, overlap};
use crate::judge::normalise;
use crate::question::Question;

/// What a question becomes, and whose part it got.
pub(super) struct Donor<'a> {
    pub(super) question: &'a Question,
    pub(super) audio: Vec<PathBuf>,
    pub(super) choices: Vec<String>,
}

/// Task and sub-category.
type Group<'a> = (&'a str, &'a str);

fn group(question: &Question) -> Group<'_> {
    (&question.task, &question.sub_category)
}

/// A set of questions, looked through for donors.
pub(super) struct Donors<'a> {
    /// The questions with a right answer, in an order of the seed.
    questions: Vec<&'a Question>,
    /// The different options of each group with a question that has it, in an order of the seed.
    options: BTreeMap<Group<'a>, Vec<(&'a str, &'a Question)>>,
    /// The same options, normalised.
    vocabulary: BTreeMap<Group<'a>, BTreeSet<String>>,
    /// The normalised texts of each group's questions.
    wordings: BTreeMap<Group<'a>, BTreeSet<String>>,
    /// The questions about each clip.
    about: BTreeMap<&'a PathBuf, Vec<&'a Question>>,
    has_several_tasks: bool,
}

impl<'a> Donors<'a> {
    pub(super) fn new(questions: &'a [Question], seed: u64) -> Self {
        let answerable: Vec<&Question> =
            questions.iter().filter(|question| question.is_answerable()).collect();
        let order = Rng::new(seed).permutation(answerable.len());
        let mut donors = Self {
            questions: order.into_iter().map(|place| answerable[place]).collect(),
            options: BTreeMap::new(),
            vocabulary: BTreeMap::new(),
            wordings: BTreeMap::new(),
            about: BTreeMap::new(),
            has_several_tasks: answerable.iter().map(|it| &it.task).collect::<BTreeSet<_>>().len() > 1,
        };
        for &question in &donors.questions {
            let (options, vocabulary) = (
                donors.options.entry(group(question)).or_default(),
                donors.vocabulary.entry(group(question)).or_default(),
            );
            for choice in &question.choices {
                if vocabulary.insert(normalise(choice)) && !is_catch_all(choice) {
                    options.push((choice, question));
                }
            }
            donors.wordings.entry(group(question)).or_default().insert(normalise(&question.question));
            for clip in &question.audio {
                donors.about.entry(clip).or_default().push(question);
            }
        }
        for ((task, sub_category), options) in &mut donors.options {
            Rng::new(derive_seed(seed, "options", &[task, sub_category])).shuffle(options);
        }
        donors
    }

    /// The first donor that passes every check, from a random place on.
    pub(super) fn find(&self, source: &Question, kind: UnanswerableKind, rng: &mut Rng) -> Option<Donor<'a>> {
        match kind {
            UnanswerableKind::Absent => {
                let place = source.answer_index()?;
                let options = self.options.get(&group(source))?;
                from_random_place(options, rng).find_map(|&(option, question)| {
                    let mut choices = source.choices.clone();
                    option.clone_into(&mut choices[place]);
                    let is_new = source.choices.iter().all(|it| normalise(it) != normalise(option));
                    let fits = is_new && self.has_no_right_answer(source, &choices);
                    fits.then(|| Donor { question, audio: source.audio.clone(), choices })
                })
            }
            UnanswerableKind::Options => {
                let asks_alike = self.groups_that_ask(source);
                from_random_place(&self.questions, rng).find_map(|&question| {
                    let fits = self.is_elsewhere(source, question)
                        && !question.is_open()
                        && !asks_alike.contains(&group(question))
                        && !self.has_options_of(source, question)
                        && !question.choices.iter().any(|option| is_catch_all(option))
                        && self.has_no_right_answer(source, &question.choices);
                    let (audio, choices) = (source.audio.clone(), question.choices.clone());
                    fits.then_some(Donor { question, audio, choices })
                })
            }
            UnanswerableKind::Audio => from_random_place(&self.questions, rng).find_map(|&question| {
                let fits = self.is_elsewhere(source, question) && self.says_nothing_about(question, source);
                let (audio, choices) = (question.audio.clone(), source.choices.clone());
                fits.then_some(Donor { question, audio, choices })
            }),
        }
    }

    /// Whether a donor is of another sub-category, and of another task if there are several.
    fn is_elsewhere(&self, source: &Question, donor: &Question) -> bool {
        let same_clip = donor.audio.iter().any(|clip| source.audio.contains(clip));
        let is_other =
            if self.has_several_tasks { donor.task != source.task } else { group(donor) != group(source) };
        is_other && !same_clip && !donor.audio.is_empty()
    }

    /// The sub-categories that ask in the words of `source`: their options could fit its question.
    fn groups_that_ask(&self, source: &Question) -> BTreeSet<Group<'a>> {
        let wording = normalise(&source.question);
        self.wordings.iter().filter(|(_, texts)| texts.contains(&wording)).map(|(group, _)| *group).collect()
    }

    /// Whether an option of the donor occurs in the sub-category of `source`.
    fn has_options_of(&self, source: &Question, donor: &Question) -> bool {
        let vocabulary = self.vocabulary.get(&group(source));
        donor.choices.iter().any(|option| vocabulary.is_some_and(|it| it.contains(&normalise(option))))
    }

    /// Whether no option could be a right answer to any question about the clips of `source`.
    fn has_no_right_answer(&self, source: &Question, options: &[String]) -> bool {
        let about = source.audio.iter().flat_map(|clip| self.about.get(clip)).flatten();
        let questions = std::iter::once(source).chain(about.copied());
        let is_right = |question: &Question| {
            let overlaps = |option: &String| question.right_answers().any(|answer| overlap(option, answer));
            options.iter().any(overlaps)
        };
        !questions.into_iter().any(is_right) && !is_read_as_right(source, options)
    }

    /// Whether nothing that is asked about the clips of `donor` names an option of `source`: neither right answers nor other
    /// options nor the questions.
    fn says_nothing_about(&self, donor: &Question, source: &Question) -> bool {
        let about = donor.audio.iter().flat_map(|clip| self.about.get(clip)).flatten();
        let names = |question: &Question| {
            let mut texts = question.choices.iter().map(String::as_str).chain(question.right_answers());
            let in_text = |option: &String| mentions(&question.question, option);
            texts.any(|text| source.choices.iter().any(|option| overlap(option, text)))
                || source.choices.iter().any(in_text)
        };
        !about.copied().any(names) && !is_read_as_right(donor, &source.choices)
    }
}

/// All items, beginning at a random one.
fn from_random_place<'b, T>(items: &'b [T], rng: &mut Rng) -> impl Iterator<Item = &'b T> + use<'b, T> {
    let start = if items.is_empty() { 0 } else { rng.below(items.len()) };
    items[start..].iter().chain(&items[..start])
}
