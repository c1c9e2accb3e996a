//! Checks on the real MMAU test-mini file, which is not part of this repository:
//! `IDK_MMAU_JSON=/path/mmau-test-mini.json`. Without it every test here says that it was skipped. The clips are not
//! needed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

use idk_questions::{
    DuplicateChoices, PromptStyle, Question, QuestionSet, REFUSAL, ReadOptions, RefusalOption, Scorer,
    Verdict, is_refusal, judge, judge_with, prompt_text, read_questions_with, reason, shuffled,
};
use serde_json::Value;

const SKIPPED: &str =
    "\nSKIPPED: set IDK_MMAU_JSON to mmau-test-mini.json to run the checks on the real file\n";

fn path() -> Option<PathBuf> {
    let path = std::env::var_os("IDK_MMAU_JSON");
    if path.is_none() {
        static ONCE: Once = Once::new();
        // Not by `eprintln`, which the test harness shows only for tests that fail.
        ONCE.call_once(|| std::io::stderr().write_all(SKIPPED.as_bytes()).unwrap());
    }
    path.map(PathBuf::from)
}

const WITHOUT_AUDIO: ReadOptions = ReadOptions {
    require_audio: false,
    duplicate_choices: DuplicateChoices::Reject,
    min_annotators: 2,
    refusal_option: RefusalOption::Keep,
};

fn mmau() -> Option<QuestionSet> {
    Some(read_questions_with(&path()?, &WITHOUT_AUDIO).unwrap())
}

/// All rows as they are in the file, those with duplicate options too.
fn raw() -> Option<Vec<Question>> {
    let rows: Vec<Value> = idk_common::json::read_json(&path()?).unwrap();
    let question = |row: &Value| Question {
        choices: row["choices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect(),
        answer: row["answer"].as_str().unwrap().to_owned(),
        ..Question::default()
    };
    Some(rows.iter().map(question).collect())
}

#[test]
fn the_kept_questions_are_counted_by_modality_difficulty_and_options() {
    let Some(set) = mmau() else { return };
    let count = |key: fn(&Question) -> String| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for question in &set.questions {
            *counts.entry(key(question)).or_default() += 1;
        }
        counts.into_iter().map(|(key, count)| format!("{key} {count}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(count(|question| question.task.clone()), "music 333, sound 333, speech 307");
    assert_eq!(count(|question| question.choices.len().to_string()), "2 27, 4 935, 5 10, 8 1");
    assert_eq!(count(|question| question.split.clone()), "test-mini 973");
    assert_eq!(reason::listed(&reason::counts(&set.rejected)), "27 duplicate-choices");
}

#[test]
fn merging_duplicate_options_keeps_every_question() {
    let Some(path) = path() else { return };
    let options = ReadOptions { duplicate_choices: DuplicateChoices::Merge, ..WITHOUT_AUDIO };
    let set = read_questions_with(&path, &options).unwrap();
    assert_eq!((set.questions.len(), set.rejected.len()), (1000, 0));
    assert!(set.questions.iter().all(|question| question.answer_index().is_some()));
}

/// The counts come from a Python program of the two rules of MMAU's `evaluation.py`, run on the same texts.
#[test]
fn the_rules_of_mmau_count_as_its_own_script_does() {
    let Some(questions) = raw() else { return };
    let letter =
        |question: &Question| char::from(b'A' + u8::try_from(question.answer_index().unwrap()).unwrap());
    let right = |scorer: Scorer, reply: &dyn Fn(&Question) -> String| {
        questions
            .iter()
            .filter(|question| judge_with(scorer, &reply(question), question).verdict == Verdict::Correct)
            .count()
    };
    let table = |scorer: Scorer| {
        [
            right(scorer, &|question| question.answer.clone()),
            right(scorer, &|question| format!("({}) {}", letter(question), question.answer)),
            right(scorer, &|question| format!("The answer is {}.", question.answer)),
            right(scorer, &|question| letter(question).to_string()),
            right(scorer, &|_| REFUSAL.to_owned()),
        ]
    };
    assert_eq!(table(Scorer::MmauWordset), [1000, 967, 907, 2, 0]);
    assert_eq!(table(Scorer::MmauSubstring), [992, 991, 987, 2, 3]);
    let wrong_but_right = |scorer: Scorer| {
        let others = |question: &Question| {
            let wrong = question.choices.iter().filter(|choice| **choice != question.answer);
            wrong.filter(|choice| judge_with(scorer, choice, question).verdict == Verdict::Correct).count()
        };
        questions.iter().map(others).sum::<usize>()
    };
    assert_eq!((wrong_but_right(Scorer::MmauWordset), wrong_but_right(Scorer::MmauSubstring)), (12, 0));
}

#[test]
fn all_rows_are_read_and_only_those_with_duplicate_options_rejected() {
    let Some(set) = mmau() else { return };
    assert_eq!(set.questions.len() + set.rejected.len(), 1000);
    assert_eq!(set.rejected.len(), 27);
    assert!(set.rejected.iter().all(|row| row.reason == reason::DUPLICATE_CHOICES), "{:?}", set.rejected);
    let mut tasks: BTreeMap<&str, usize> = BTreeMap::new();
    for question in &set.questions {
        *tasks.entry(&question.task).or_default() += 1;
        assert!(question.answer_index().is_some());
        assert!(question.extra.is_empty(), "{:?}", question.extra);
        assert!(
            matches!(question.category.as_str(), "Reasoning" | "Information Extraction"),
            "{}",
            question.category
        );
    }
    let rows: Vec<serde_json::Value> =
        idk_common::json::read_json(Path::new(&std::env::var_os("IDK_MMAU_JSON").unwrap())).unwrap();
    for rejection in &set.rejected {
        *tasks.entry(rows[rejection.line - 1]["task"].as_str().unwrap()).or_default() += 1;
    }
    assert_eq!(tasks.into_iter().collect::<Vec<_>>(), [("music", 334), ("sound", 333), ("speech", 333)]);
}

#[test]
fn every_option_is_read_as_itself_in_every_usual_form() {
    let Some(set) = mmau() else { return };
    for question in set.questions.iter().map(|question| shuffled(question, 7)) {
        for (index, option) in question.choices.iter().enumerate() {
            let letter = char::from(b'A' + u8::try_from(index).unwrap());
            for text in [
                option.clone(),
                option.to_lowercase(),
                format!("{option}."),
                format!("({letter}) {option}"),
                format!("{letter}) {option}"),
                format!("{letter}. {option}"),
                format!("({letter})"),
                format!("The answer is {option}."),
                format!("The answer is: {option}"),
                format!("The answer is ({letter}) {option}."),
                format!("Answer: {option}"),
                format!("<answer>{option}</answer>"),
            ] {
                let judgement = judge(&text, &question);
                assert_eq!(judgement.choice, Some(index), "{text:?} of {:?}", question.choices);
                assert_eq!(judgement.verdict == Verdict::Correct, *option == question.answer);
            }
        }
    }
}

#[test]
fn a_letter_with_another_options_text_is_never_resolved() {
    let Some(set) = mmau() else { return };
    for question in &set.questions {
        for (index, option) in question.choices.iter().enumerate() {
            let other = char::from(b'A' + u8::try_from((index + 1) % question.choices.len()).unwrap());
            let judgement = judge(&format!("({other}) {option}"), question);
            assert!(judgement.unparsed, "({other}) {option} of {:?}: {judgement:?}", question.choices);
        }
    }
}

#[test]
fn plain_refusals_are_refusals_unless_they_are_an_option() {
    let Some(set) = mmau() else { return };
    for question in &set.questions {
        let has_refusals = question.choices.iter().any(|choice| is_refusal(choice));
        for text in
            [REFUSAL, "IDK", "I\u{2019}m not sure which one it is.", "Sorry, I cannot determine that."]
        {
            let judgement = judge(text, question);
            let named = judgement.choice.is_some_and(|choice| is_refusal(&question.choices[choice]));
            let refused = judgement.verdict == Verdict::Refused;
            assert!(refused || has_refusals && named, "{text} of {:?}", question.choices);
        }
    }
}

#[test]
fn a_prompt_echoed_back_is_no_answer() {
    let Some(set) = mmau() else { return };
    for question in &set.questions {
        let judgement = judge(&prompt_text(question, PromptStyle::Lettered), question);
        assert!(judgement.unparsed, "{question:?}: {judgement:?}");
    }
}
