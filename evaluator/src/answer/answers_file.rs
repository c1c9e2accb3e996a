//! `answers-<name>.jsonl`: the answers of one method or adapter, one per line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use idk_common::fs;
use idk_common::json::{read_json, write_json, write_jsonl};
use idk_questions::rows::AnswerRow;
use idk_questions::{AskedQuestion, Verdict};
use serde::Serialize;

use crate::answer::prepare::Prepared;
use crate::answer::record::{Answer, Step};
use crate::answer::store::STORE_DIR;
use crate::error::EvalError;
use crate::method::{Candidate, Method, is_adapter_name};

/// In the store: the names whose files of answers an evaluation has written here.
const NAMES_FILE: &str = "names.json";

/// The file of answers of a method or adapter.
pub fn answers_file(eval_dir: &Path, name: &str) -> PathBuf {
    eval_dir.join(format!("answers-{name}.jsonl"))
}

/// A row of the file: an [`AnswerRow`], what the method said before its answer, and the question's groups.
#[derive(Serialize)]
struct AnswerLine<'a> {
    #[serde(flatten)]
    answer: AnswerRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal_margin: Option<f64>,
    /// Written as `null` where a measure has no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    measure: Option<Option<f64>>,
    /// The verdict of a judge model, `null` where it could not be read; not written where none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<Option<Verdict>>,
    /// Next to it the verdict of the exact rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Verdict>,
    #[serde(skip_serializing_if = "<[Step]>::is_empty")]
    steps: &'a [Step],
    task: &'a str,
    sub_category: &'a str,
}

/// Writes the file of answers of `who`. `measure`: for each question the value of the measure that `who` refuses by.
///
/// # Errors
/// [`EvalError::Misaligned`] if the answers are not those to the prepared questions; [`EvalError::Common`].
pub fn write_answers(
    eval_dir: &Path,
    who: &Candidate,
    prepared: &Prepared,
    answers: &[Answer],
    measure: Option<&[Option<f64>]>,
) -> Result<(), EvalError> {
    check_aligned(prepared, answers, &who.name)?;
    let line = |(place, (question, answer))| {
        line(question, answer, measure.map(|values| values.get(place).copied().flatten()))
    };
    let lines: Vec<AnswerLine<'_>> = prepared.questions.iter().zip(answers).enumerate().map(line).collect();
    Ok(write_jsonl(&answers_file(eval_dir, &who.name), &lines)?)
}

fn line<'a>(question: &'a AskedQuestion, answer: &'a Answer, measure: Option<Option<f64>>) -> AnswerLine<'a> {
    let (shown, original) = (&question.shown, &question.original);
    let options = &answer.option_log_probs;
    AnswerLine {
        answer: AnswerRow {
            id: answer.id.clone(),
            text: answer.text.clone(),
            verdict: Some(answer.judgement.verdict),
            choice: answer.judgement.choice,
            choices: (shown.choices != original.choices).then(|| shown.choices.clone()),
            log_prob: answer.log_prob,
            option_log_probs: (!options.is_empty()).then(|| options.clone()),
        },
        refusal_margin: answer.refusal_margin,
        measure,
        judge: answer.by_model.map(|by_model| by_model.verdict),
        rule: answer.by_model.map(|by_model| by_model.rule),
        steps: &answer.steps,
        task: &original.task,
        sub_category: &original.sub_category,
    }
}

/// Answers and questions must be about the same ids in the same order.
pub(crate) fn check_aligned(prepared: &Prepared, answers: &[Answer], name: &str) -> Result<(), EvalError> {
    let same = prepared.questions.len() == answers.len()
        && prepared.questions.iter().zip(answers).all(|(question, answer)| question.original.id == answer.id);
    if same { Ok(()) } else { Err(EvalError::Misaligned { method: name.to_owned() }) }
}

/// Takes away the files of answers of an earlier evaluation, and notes the names of the new one first, so that the
/// next evaluation knows which files are this program's. Other files stay.
///
/// # Errors
/// [`EvalError::Common`].
pub(crate) fn clear_answers(eval_dir: &Path, names: &[&str]) -> Result<(), EvalError> {
    let list = eval_dir.join(STORE_DIR).join(NAMES_FILE);
    let mut known: BTreeSet<String> = read_json(&list).unwrap_or_default();
    known.retain(|name| is_adapter_name(name));
    known.extend(names.iter().copied().filter(|name| is_adapter_name(name)).map(str::to_owned));
    write_json(&list, &known)?;
    let methods = Method::ALL.iter().map(|method| method.name());
    for name in methods.chain(known.iter().map(String::as_str)) {
        fs::remove_if_exists(&answers_file(eval_dir, name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use idk_common::fs::{read_to_string, write_atomic};
    use idk_questions::{PromptStyle, Question, Scorer, Verdict, judge};
    use serde_json::json;

    use super::*;
    use crate::compare::score::score_files;

    #[test]
    fn a_stored_letter_still_means_the_option_that_was_shown() {
        let dir = tempfile::tempdir().unwrap();
        let original = Question {
            id: "q".to_owned(),
            audio: vec!["a.wav".into()],
            question: "Which animal?".to_owned(),
            choices: ["cat", "dog"].map(str::to_owned).to_vec(),
            answer: "dog".to_owned(),
            task: "sound".to_owned(),
            sub_category: "animals".to_owned(),
            ..Question::default()
        };
        let shown = Question { choices: ["dog", "cat"].map(str::to_owned).to_vec(), ..original.clone() };
        let said = Answer {
            id: "q".to_owned(),
            text: "(A)".to_owned(),
            judgement: judge("(A)", &shown),
            log_prob: Some(-0.5),
            tokens: Some(2),
            option_log_probs: vec![-0.25, -2.0],
            refusal_margin: None,
            steps: vec![Step::new("reasoning", "woof")],
            by_model: None,
        };
        assert_eq!((said.judgement.verdict, said.confidence()), (Verdict::Correct, -0.25));
        let question = AskedQuestion { original, shown };
        let prepared = Prepared {
            questions: vec![question],
            clips: Vec::new(),
            rejected: Vec::new(),
            cut_audio: 0,
            style: PromptStyle::default(),
            refusals: Vec::new(),
        };
        write_answers(dir.path(), &Method::Base.into(), &prepared, &[said], None).unwrap();
        let stored = answers_file(dir.path(), "base");
        let expected = json!({"id": "q", "text": "(A)", "verdict": "correct", "choice": 0, "choices": ["dog", "cat"],
            "log_prob": -0.5, "option_log_probs": [-0.25, -2.0], "steps": [{"step": "reasoning", "text": "woof"}],
            "task": "sound", "sub_category": "animals"});
        let text = read_to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
        let questions = dir.path().join("q.json");
        idk_common::json::write_json(
            &questions,
            &json!([{"id": "q", "audio_id": "a.wav", "question": "Which animal?", "choices": ["cat", "dog"],
                "answer": "dog"}]),
        )
        .unwrap();
        let score = score_files(&questions, &stored, &stored, Scorer::Ours, 0, 10).unwrap();
        assert_eq!(score.comparison.acc.after, Some(100.0));
    }

    #[test]
    fn only_files_that_an_evaluation_wrote_are_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        clear_answers(dir.path(), &["base", "k5"]).unwrap();
        for name in ["base", "k5", "k1", "mine"] {
            write_atomic(&answers_file(dir.path(), name), b"x").unwrap();
        }
        clear_answers(dir.path(), &["base", "k1"]).unwrap();
        let left = |name: &str| answers_file(dir.path(), name).exists();
        assert_eq!(["base", "k5", "k1", "mine"].map(left), [false, false, false, true]);
        // A list that was changed by hand leads nowhere else.
        let list = dir.path().join(STORE_DIR).join(NAMES_FILE);
        write_json(&list, &["/../../mine"]).unwrap();
        clear_answers(dir.path(), &[]).unwrap();
        assert!(left("mine"));
    }
}
