//! Checks on the real MMAU test-mini file, which is not part of this repository:
//! `IDK_MMAU_JSON=/path/mmau-test-mini.json`. Without it every test here says that it was skipped. The clips are not
//! needed.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;

use idk_questions::{
    PromptStyle, QuestionSet, REFUSAL, ReadOptions, Verdict, is_refusal, judge, prompt_text,
    read_questions_with, reason, shuffled,
};

fn mmau() -> Option<QuestionSet> {
    let Some(path) = std::env::var_os("IDK_MMAU_JSON") else {
        eprintln!("SKIPPED: set IDK_MMAU_JSON to mmau-test-mini.json to run the checks on the real file");
        return None;
    };
    Some(read_questions_with(Path::new(&path), &ReadOptions { require_audio: false }).unwrap())
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
