//! Questions without a right answer, made from questions that have one.
//!
//! The kinds are those of AQUA-Bench (arXiv 2601.12248), there called AAD, IASD and IAQD. Every made question names the
//! question that it was made from (`made_from`) and the one that gave the other part (`donor`).

mod donors;
mod overlap;

use std::collections::{BTreeMap, BTreeSet};

use idk_common::seed::{Rng, derive_seed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use self::donors::{Donor, Donors};
use self::overlap::is_catch_all;
use crate::error::QuestionError;
use crate::question::Question;

/// What makes a question unanswerable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnanswerableKind {
    /// The right option is missing: an option of another question of the same sub-category stands there.
    Absent,
    /// The options are those of a question of another sub-category.
    Options,
    /// The clip is that of a question of another sub-category.
    Audio,
}

impl UnanswerableKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Absent, Self::Options, Self::Audio];

    /// As question sets write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Options => "options",
            Self::Audio => "audio",
        }
    }
}

/// How questions without a right answer are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Making {
    /// How many; `None` makes all that can be made.
    pub count: Option<usize>,
    /// Seed of the choice of questions and donors.
    pub seed: u64,
    /// Sub-categories that are left alone: questions that fit any clip, such as those about loudness.
    pub exclude: Vec<String>,
}

/// Made questions, and why others were not made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MadeUnanswerable {
    /// In the order of the questions that they were made from.
    pub questions: Vec<Question>,
    /// How many questions could not be used, by reason.
    pub skipped: BTreeMap<&'static str, usize>,
}

/// Makes questions without a right answer from `questions`.
///
/// None of them is answerable by accident, as far as texts can tell. With `absent` and `options`, no option is, contains
/// or is contained in a right answer to a question about the same clip, whatever the order of its words, and a reply with
/// the right answer names none of the options. With `audio`, the same holds for the right answers, the options and the question
/// of the other clip. Donors of `options` and `audio` are of another task if the set has several, and of another sub-category in any
/// case; the question's own wording and the options of its sub-category do not occur in that of the donor of `options`. Options
/// that fit whatever else does not, such as `none` or `other`, take part in nothing.
///
/// # Errors
/// [`QuestionError::TooFewUnanswerable`] if none, or fewer than [`Making::count`], can be made.
pub fn make_unanswerable(
    questions: &[Question],
    kind: UnanswerableKind,
    making: &Making,
) -> Result<MadeUnanswerable, QuestionError> {
    let donors = Donors::new(questions, derive_seed(making.seed, "unanswerable", &[kind.name()]));
    let mut rng = Rng::new(derive_seed(making.seed, "unanswerable sources", &[kind.name()]));
    let mut taken: BTreeSet<&str> = questions.iter().map(|question| question.id.as_str()).collect();
    let mut made: Vec<(usize, Question)> = Vec::new();
    let mut skipped = BTreeMap::new();
    for place in rng.permutation(questions.len()) {
        if making.count.is_some_and(|count| made.len() == count) {
            break;
        }
        let source = &questions[place];
        let donor = usable(source, kind, making).and_then(|()| {
            let seed = derive_seed(making.seed, "unanswerable donor", &[kind.name(), &source.id]);
            donors.find(source, kind, &mut Rng::new(seed)).ok_or("no donor")
        });
        match donor {
            Ok(donor) => made.push((place, of_donor(source, kind, donor))),
            Err(reason) => *skipped.entry(reason).or_insert(0) += 1,
        }
    }
    if made.is_empty() || making.count.is_some_and(|count| made.len() < count) {
        return Err(QuestionError::TooFewUnanswerable {
            kind: kind.name(),
            made: made.len(),
            wanted: making.count.unwrap_or(1),
            questions: questions.len(),
            skipped: listed(&skipped),
        });
    }
    made.sort_by_key(|(place, _)| *place);
    let mut made: Vec<Question> = made.into_iter().map(|(_, question)| question).collect();
    for question in &mut made {
        while taken.contains(question.id.as_str()) {
            question.id.push('+');
        }
    }
    taken.clear();
    Ok(MadeUnanswerable { questions: made, skipped })
}

/// Whether a question can become one of the kind.
fn usable(source: &Question, kind: UnanswerableKind, making: &Making) -> Result<(), &'static str> {
    match () {
        () if !source.is_answerable() => Err("no right answer already"),
        () if source.is_open() => Err("no options"),
        () if making.exclude.contains(&source.sub_category) => Err("excluded"),
        () if !source.refusal_option.is_empty() => Err("an option that refuses"),
        () if kind != UnanswerableKind::Options && source.choices.iter().any(|it| is_catch_all(it)) => {
            Err("an option that fits what the others do not")
        }
        () => Ok(()),
    }
}

fn of_donor(source: &Question, kind: UnanswerableKind, donor: Donor<'_>) -> Question {
    let extra: Map<String, Value> = [("made_from", &source.id), ("donor", &donor.question.id)]
        .map(|(key, id)| (key.to_owned(), Value::from(id.as_str())))
        .into_iter()
        .collect();
    Question {
        id: format!("{}-{}", source.id, kind.name()),
        answer: String::new(),
        unanswerable: Some(kind.name().to_owned()),
        audio: donor.audio,
        choices: donor.choices,
        extra,
        ..source.clone()
    }
}

/// `3 no donor, 2 no options`.
#[must_use]
pub fn listed(skipped: &BTreeMap<&'static str, usize>) -> String {
    skipped.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: usize, group: &str, text: &str, choices: &[&str], answer: &str) -> Question {
        Question {
            id: format!("q{id}"),
            audio: vec![format!("{id}.wav").into()],
            question: text.to_owned(),
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
            answer: answer.to_owned(),
            task: "sound".to_owned(),
            sub_category: group.to_owned(),
            ..Question::default()
        }
    }

    fn set() -> Vec<Question> {
        vec![
            question(0, "animal", "Which animal?", &["dog", "cat", "hen"], "dog"),
            question(1, "animal", "Which animal?", &["pig", "cat", "cow"], "cow"),
            question(2, "count", "How many times?", &["one time", "two times"], "one time"),
            question(3, "place", "Where is it?", &["a big dog house", "a street"], "a street"),
        ]
    }

    fn made(questions: &[Question], kind: UnanswerableKind) -> Vec<Question> {
        make_unanswerable(questions, kind, &Making::default()).unwrap().questions
    }

    #[test]
    fn an_absent_answer_is_replaced_by_an_option_of_the_same_sub_category() {
        let found = made(&set(), UnanswerableKind::Absent);
        let ids: Vec<&str> = found.iter().map(|question| question.id.as_str()).collect();
        // Two times is all that is left to q2, and a dog house is no place that q3 could have instead.
        assert_eq!(ids, ["q0-absent", "q1-absent"]);
        let new = |question: &Question, place: usize| question.choices[place].clone();
        assert!(
            ["pig", "cow"].contains(&new(&found[0], 0).as_str()) && found[0].choices[1..] == ["cat", "hen"]
        );
        assert!(["dog", "hen"].contains(&new(&found[1], 2).as_str()));
        assert_eq!((&found[0].extra["made_from"], &found[0].extra["donor"]), (&"q0".into(), &"q1".into()));
        assert_eq!((found[0].unanswerable.as_deref(), found[0].answer.as_str()), (Some("absent"), ""));
        assert_eq!(found[0].audio, set()[0].audio);
    }

    #[test]
    fn options_and_clips_come_from_another_sub_category_that_says_nothing_about_the_answer() {
        for question in made(&set(), UnanswerableKind::Options) {
            let source = &set()[question.id[1..2].parse::<usize>().unwrap()];
            let donor = set().into_iter().find(|it| question.extra["donor"] == it.id.as_str()).unwrap();
            assert_eq!((&question.choices, &question.audio), (&donor.choices, &source.audio));
            assert_ne!(donor.sub_category, source.sub_category);
            // A dog house has the word of q0's answer.
            assert!(source.id != "q0" || donor.id != "q3");
        }
        for question in made(&set(), UnanswerableKind::Audio) {
            let source = &set()[question.id[1..2].parse::<usize>().unwrap()];
            let donor = set().into_iter().find(|it| question.extra["donor"] == it.id.as_str()).unwrap();
            assert_eq!((&question.choices, &question.audio), (&source.choices, &donor.audio));
            assert_ne!(donor.sub_category, source.sub_category);
        }
    }

    #[test]
    fn a_clip_whose_question_names_an_option_is_no_donor() {
        let questions = [
            question(0, "animal", "Which animal?", &["dog", "cat"], "dog"),
            question(1, "count", "How many times does the cat meow?", &["once", "twice"], "once"),
        ];
        let error = make_unanswerable(
            &questions,
            UnanswerableKind::Audio,
            &Making { count: Some(2), ..Making::default() },
        );
        let message = error.unwrap_err().to_string();
        assert!(message.contains("1 of 2") && message.contains("1 no donor"), "{message}");
    }

    #[test]
    fn donors_are_of_another_task_where_the_set_has_several() {
        let mut questions = set();
        questions.push(Question {
            task: "speech".to_owned(),
            ..question(4, "language", "Which language?", &["french", "russian"], "french")
        });
        for kind in [UnanswerableKind::Options, UnanswerableKind::Audio] {
            for question in made(&questions, kind) {
                let is_speech = question.task == "speech";
                assert_eq!(question.extra["donor"] != "q4", is_speech, "{kind:?} {}", question.id);
            }
        }
    }

    #[test]
    fn the_seed_decides_and_the_count_is_met_or_refused() {
        let many: Vec<Question> = (0..60)
            .map(|id| {
                let names = [format!("bird {id}"), format!("fish {id}"), format!("ant {id}")];
                let choices = names.each_ref().map(String::as_str);
                question(id, "animal", "Which animal?", &choices, choices[id % 3])
            })
            .collect();
        let make = |seed, count| {
            let making = Making { seed, count: Some(count), ..Making::default() };
            make_unanswerable(&many, UnanswerableKind::Absent, &making)
        };
        let first = make(1, 20).unwrap().questions;
        assert_eq!(first.len(), 20);
        assert_eq!(first, make(1, 20).unwrap().questions);
        assert_ne!(first, make(2, 20).unwrap().questions);
        let order: Vec<usize> =
            first.iter().map(|it| it.id[1..].split('-').next().unwrap().parse().unwrap()).collect();
        assert!(order.is_sorted());
        assert!(matches!(make(1, 61), Err(QuestionError::TooFewUnanswerable { made: 60, wanted: 61, .. })));
        let none = make_unanswerable(&many, UnanswerableKind::Options, &Making::default()).unwrap_err();
        assert!(none.to_string().contains("60 no donor"), "{none}");
        let exclude = vec!["animal".to_owned()];
        let excluded = Making { exclude, ..Making::default() };
        let error = make_unanswerable(&many, UnanswerableKind::Absent, &excluded).unwrap_err();
        assert!(error.to_string().contains("60 excluded"), "{error}");
    }

    #[test]
    fn an_option_that_fits_whatever_the_others_do_not_takes_part_in_nothing() {
        let mut questions = set();
        questions[0].choices[2] = "none of the above".to_owned();
        questions[1].choices[0] = "more than one animal".to_owned();
        let making = Making { count: Some(1), ..Making::default() };
        let found = make_unanswerable(&questions, UnanswerableKind::Absent, &making);
        let message = found.unwrap_err().to_string();
        assert!(message.contains("2 an option that fits what the others do not"), "{message}");
    }

    #[test]
    fn an_id_that_is_taken_gets_another() {
        let mut questions = set();
        questions[3].id = "q0-absent".to_owned();
        assert_eq!(made(&questions, UnanswerableKind::Absent)[0].id, "q0-absent+");
    }
}
