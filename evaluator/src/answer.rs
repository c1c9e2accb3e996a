//! Greedy answers to a prepared test set, with their log-probability and those of every option.

use std::path::{Path, PathBuf};

use idk_common::json::write_jsonl;
use idk_common::progress::Progress;
use idk_model::{Adapters, Lalm, Message, Prompt, answer_log_probs, generate};
use idk_questions::rows::{AnswerRow, ChatMessage};
use idk_questions::{Judgement, PromptStyle, judge};
use serde::Serialize;

use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::Method;
use crate::prepare::{Prepared, PreparedQuestion};

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The question's id.
    pub id: String,
    /// What the model said.
    pub text: String,
    /// What that is; `choice` counts the options as they were shown.
    pub judgement: Judgement,
    /// Log-probability of the text and its end, in nats.
    pub log_prob: f64,
    /// For each option as it was shown: mean log-probability of its tokens (end included) as the answer, in nats.
    /// Empty if it was not asked for, and for open questions.
    pub option_log_probs: Vec<f64>,
}

impl Answer {
    /// How sure the model was of its answer: the length-normalised log-probability of the option that it chose.
    /// Negative infinity for an answer that chooses none.
    pub fn confidence(&self) -> f64 {
        let chosen = self.judgement.choice.and_then(|choice| self.option_log_probs.get(choice));
        chosen.copied().unwrap_or(f64::NEG_INFINITY)
    }
}

/// Answers every prepared question with `method`; the result is in the order of `prepared`.
///
/// `with_options` also computes the log-probability of each option: one more pass over each prompt.
///
/// # Errors
/// [`EvalError::Model`].
pub fn answer(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    prepared: &Prepared,
    method: Method,
    with_options: bool,
    config: &EvalConfig,
    progress: &Progress,
) -> Result<Vec<Answer>, EvalError> {
    let prompts: Vec<Prompt> = prepared
        .questions
        .iter()
        .map(|question| prompt(lalm, prepared.style, question, method))
        .collect::<Result<_, _>>()?;
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&index| (prompts[index].ids.len(), index));
    let mut answers: Vec<Option<Answer>> = vec![None; prompts.len()];
    for batch in order.chunks(config.batch_size.max(1)) {
        let questions: Vec<&PreparedQuestion> =
            batch.iter().map(|&index| &prepared.questions[index]).collect();
        let prompts: Vec<Prompt> = batch.iter().map(|&index| prompts[index].clone()).collect();
        // Greedy decoding draws nothing: the seed only says that there is one answer.
        let seeds = vec![vec![0]; batch.len()];
        let generated = generate(lalm, adapters, &prompts, &config.decoding(), &seeds)?;
        let options = if with_options {
            option_log_probs(lalm, adapters, &questions, &prompts)?
        } else {
            vec![Vec::new(); batch.len()]
        };
        for (((&index, question), generated), option_log_probs) in
            batch.iter().zip(questions).zip(generated).zip(options)
        {
            answers[index] = generated.into_iter().next().map(|generated| Answer {
                id: question.original.id.clone(),
                judgement: judge(&generated.text, &question.shown),
                text: generated.text,
                log_prob: generated.log_prob,
                option_log_probs,
            });
        }
        progress.inc(batch.len() as u64);
    }
    let answers: Option<Vec<Answer>> = answers.into_iter().collect();
    answers.ok_or_else(|| EvalError::Misaligned { method: method.name().to_owned() })
}

/// The chat of a question, ready for the model.
pub(crate) fn prompt(
    lalm: &Lalm,
    style: PromptStyle,
    question: &PreparedQuestion,
    method: Method,
) -> Result<Prompt, EvalError> {
    let text = method.prompt(&question.shown, style);
    let content = ChatMessage::user(question.features.len(), "").content;
    let mut message = Message::from_tagged("user", &content);
    // Added as text, so that a tag in a question from a file stays text.
    message.parts.extend(Message::text("user", &text).parts);
    let audio_tokens: Vec<usize> = question.features.iter().map(|features| features.dims()[0]).collect();
    let ids = lalm.tokenizer.prompt_ids(&[message], &audio_tokens)?;
    Ok(Prompt { ids, audio: question.features.clone() })
}

/// Mean log-probability of the tokens of each option as the answer; normalised by length, else long options lose.
fn option_log_probs(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    questions: &[&PreparedQuestion],
    prompts: &[Prompt],
) -> Result<Vec<Vec<f64>>, EvalError> {
    let ids = |choice: &String| lalm.tokenizer.answer_ids(choice);
    let options: Vec<Vec<Vec<u32>>> = questions
        .iter()
        .map(|question| question.shown.choices.iter().map(ids).collect())
        .collect::<Result<_, _>>()?;
    let log_probs = answer_log_probs(lalm, adapters, prompts, &options)?;
    let mean = |tokens: &Vec<f32>| {
        tokens.iter().map(|&value| f64::from(value)).sum::<f64>() / tokens.len().max(1) as f64
    };
    Ok(log_probs.iter().map(|options| options.iter().map(mean).collect()).collect())
}

/// The file of a method's answers.
pub fn answers_file(eval_dir: &Path, method: Method) -> PathBuf {
    eval_dir.join(format!("answers-{}.jsonl", method.name()))
}

/// A row of `answers-<method>.jsonl`: an [`AnswerRow`], and the question's groups.
#[derive(Serialize)]
struct AnswerLine<'a> {
    #[serde(flatten)]
    answer: AnswerRow,
    task: &'a str,
    sub_category: &'a str,
}

/// Writes `answers-<method>.jsonl`.
///
/// # Errors
/// [`EvalError::Misaligned`] if the answers are not those to the prepared questions; [`EvalError::Common`].
pub fn write_answers(
    eval_dir: &Path,
    method: Method,
    prepared: &Prepared,
    answers: &[Answer],
) -> Result<(), EvalError> {
    check_aligned(prepared, answers, method)?;
    let lines: Vec<AnswerLine<'_>> =
        prepared.questions.iter().zip(answers).map(|(question, answer)| line(question, answer)).collect();
    Ok(write_jsonl(&answers_file(eval_dir, method), &lines)?)
}

fn line<'a>(question: &'a PreparedQuestion, answer: &Answer) -> AnswerLine<'a> {
    let (shown, original) = (&question.shown, &question.original);
    let options = &answer.option_log_probs;
    AnswerLine {
        answer: AnswerRow {
            id: answer.id.clone(),
            text: answer.text.clone(),
            verdict: Some(answer.judgement.verdict),
            choice: answer.judgement.choice,
            choices: (shown.choices != original.choices).then(|| shown.choices.clone()),
            log_prob: Some(answer.log_prob),
            option_log_probs: (!options.is_empty()).then(|| options.clone()),
        },
        task: &original.task,
        sub_category: &original.sub_category,
    }
}

/// Answers and questions must be about the same ids in the same order.
pub(crate) fn check_aligned(
    prepared: &Prepared,
    answers: &[Answer],
    method: Method,
) -> Result<(), EvalError> {
    let same = prepared.questions.len() == answers.len()
        && prepared.questions.iter().zip(answers).all(|(question, answer)| question.original.id == answer.id);
    if same { Ok(()) } else { Err(EvalError::Misaligned { method: method.name().to_owned() }) }
}

#[cfg(test)]
mod tests {
    use idk_questions::{PromptStyle, Question, Verdict};
    use serde_json::json;

    use super::*;
    use crate::score::score_files;

    fn prepared(choices: [&str; 2], shown: [&str; 2]) -> PreparedQuestion {
        let original = Question {
            id: "q".to_owned(),
            audio: vec!["a.wav".into()],
            question: "Which animal?".to_owned(),
            choices: choices.map(str::to_owned).to_vec(),
            answer: "dog".to_owned(),
            task: "sound".to_owned(),
            sub_category: "animals".to_owned(),
            ..Question::default()
        };
        let shown = Question { choices: shown.map(str::to_owned).to_vec(), ..original.clone() };
        PreparedQuestion { original, shown, features: Vec::new() }
    }

    fn answer(text: &str, question: &PreparedQuestion) -> Answer {
        Answer {
            id: "q".to_owned(),
            text: text.to_owned(),
            judgement: judge(text, &question.shown),
            log_prob: -0.5,
            option_log_probs: vec![-0.25, -2.0],
        }
    }

    #[test]
    fn a_stored_letter_still_means_the_option_that_was_shown() {
        let dir = tempfile::tempdir().unwrap();
        let question = prepared(["cat", "dog"], ["dog", "cat"]);
        let said = answer("(A)", &question);
        assert_eq!(said.judgement.verdict, Verdict::Correct);
        assert_eq!(said.confidence(), -0.25);
        let prepared = Prepared {
            questions: vec![question],
            rejected: Vec::new(),
            cut_audio: 0,
            style: PromptStyle::default(),
        };
        write_answers(dir.path(), Method::Base, &prepared, &[said]).unwrap();
        let stored = answers_file(dir.path(), Method::Base);
        let text = idk_common::atomic::read_to_string(&stored).unwrap();
        let expected = json!({"id": "q", "text": "(A)", "verdict": "correct", "choice": 0, "choices": ["dog", "cat"],
            "log_prob": -0.5, "option_log_probs": [-0.25, -2.0], "task": "sound", "sub_category": "animals"});
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
        let questions = dir.path().join("q.json");
        idk_common::json::write_json(
            &questions,
            &json!([{"id": "q", "audio_id": "a.wav", "question": "Which animal?", "choices": ["cat", "dog"],
                "answer": "dog"}]),
        )
        .unwrap();
        let score = score_files(&questions, &stored, &stored, 0, 10).unwrap();
        assert_eq!(score.comparison.acc.after, Some(100.0));
    }

    #[test]
    fn an_answer_that_chooses_no_option_is_the_least_sure() {
        let question = prepared(["cat", "dog"], ["cat", "dog"]);
        assert_eq!(answer("what?", &question).confidence(), f64::NEG_INFINITY);
        assert_eq!(answer("I don't know", &question).confidence(), f64::NEG_INFINITY);
        assert_eq!(answer("dog", &question).confidence(), -2.0);
    }
}
