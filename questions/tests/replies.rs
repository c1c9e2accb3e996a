//! Replies of the kinds that audio models give, judged by hand.
//!
//! `fixtures/replies-reported.jsonl` are replies from reports of users; `fixtures/replies.jsonl` were written, and judged
//! by a person, before the judge that reads them. `IDK_REPLIES=FILE` judges another file of the same layout.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_questions::{Judgement, Question, Verdict, judge};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    kind: String,
    /// Empty for an open question.
    choices: Vec<String>,
    /// The answer to an open question.
    #[serde(default)]
    answer: String,
    reply: String,
    /// The option as an index, `"R"` for a refusal, `null` for no answer that can be read. To an open question, whether the
    /// reply is right, or `"R"`.
    right: Value,
    /// What the judge says instead, `"unparsed"` for nothing that can be read, where `docs/reference/scorers.md` gives the
    /// reason.
    #[serde(default)]
    policy: Option<Value>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn cases(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reading(case: &Case) -> Value {
    let answer = case.choices.first().unwrap_or(&case.answer).clone();
    let question = Question { choices: case.choices.clone(), answer, ..Question::default() };
    match judge(&case.reply, &question) {
        Judgement::REFUSED => "R".into(),
        judgement if case.choices.is_empty() => (judgement.verdict == Verdict::Correct).into(),
        Judgement::UNPARSED if case.policy.is_some() => "unparsed".into(),
        judgement => judgement.choice.into(),
    }
}

/// The replies that are not read as a person reads them, counted by kind.
fn misread(cases: &[Case]) -> (usize, String) {
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut lines = String::new();
    let mut guesses = 0;
    for case in cases {
        let read = reading(case);
        let expected = case.policy.as_ref().unwrap_or(&case.right);
        let (wrong, all) = kinds.entry(&case.kind).or_default();
        *all += 1;
        if read != *expected {
            *wrong += 1;
            guesses += usize::from(read.is_number());
            lines.push_str(&format!(
                "  {}: {:?}: {read}, right is {expected} of {:?}\n",
                case.kind, case.reply, case.choices
            ));
        }
    }
    let wrong = kinds.values().map(|(wrong, _)| wrong).sum();
    let table = kinds.iter().filter(|(_, (wrong, _))| *wrong > 0);
    let table = table.map(|(kind, (wrong, all))| format!("  {kind}: {wrong} of {all}\n")).collect::<String>();
    (wrong, format!("{wrong} of {} misread, {guesses} of them guessed\n{table}{lines}", cases.len()))
}

#[test]
fn replies_from_reports_are_read_as_a_person_reads_them() {
    let (wrong, report) = misread(&cases(&fixture("replies-reported.jsonl")));
    assert_eq!(wrong, 0, "{report}");
}

#[test]
fn replies_written_before_the_judge_are_read_as_a_person_reads_them() {
    let (wrong, report) = misread(&cases(&fixture("replies.jsonl")));
    assert_eq!(wrong, 0, "{report}");
}

#[test]
fn replies_of_a_file_that_is_named_are_read_as_a_person_reads_them() {
    let Some(path) = std::env::var_os("IDK_REPLIES") else { return };
    let (wrong, report) = misread(&cases(Path::new(&path)));
    assert_eq!(wrong, 0, "{report}");
}
