//! Every two of those that are compared, on the same questions: does one answer more of them right than the other?

use std::borrow::Cow;

use idk_questions::Verdict;
use idk_questions::metrics::{McNemar, mcnemar};
use serde::{Deserialize, Serialize};

use crate::answer::record::Answer;
use crate::compare::answerable::Answerable;
use crate::compare::methods::{ALL, task_names};
use crate::error::EvalError;

/// Two methods on the questions of one task. McNemar's exact test, not corrected for the number of pairs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairResult {
    /// The task, or [`ALL`].
    pub task: String,
    /// Name of the first.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// Who has the correct answers that the other has not.
    pub correct: McNemar,
    /// Who has the answers that are not wrong (correct or refused) where the other's are.
    pub not_wrong: McNemar,
}

/// Compares every two of `candidates` (name and answers to the whole set, in the order of its questions) on the questions
/// that have a right answer.
///
/// # Errors
/// [`EvalError::Questions`] (never for answers to the prepared questions).
pub(crate) fn pair_results(
    answerable: &Answerable<'_>,
    candidates: &[(&str, &[Answer])],
) -> Result<Vec<PairResult>, EvalError> {
    let tasks: Vec<&str> =
        answerable.prepared.questions.iter().map(|question| question.original.task.as_str()).collect();
    let mut names = task_names(tasks.iter().copied());
    names.push(ALL.to_owned());
    let candidates: Vec<(&str, Cow<'_, [Answer]>)> =
        candidates.iter().map(|(name, answers)| (*name, answerable.of_list(answers))).collect();
    let mut results = Vec::new();
    for (place, (first, before)) in candidates.iter().enumerate() {
        for (second, after) in &candidates[place + 1..] {
            for task in &names {
                let test = |has: fn(Verdict) -> bool| {
                    let of = |answers: &[Answer]| -> Vec<bool> {
                        let of_task =
                            tasks.iter().zip(answers).filter(|(name, _)| task == ALL || *name == task);
                        of_task.map(|(_, answer)| has(answer.judgement.verdict)).collect()
                    };
                    mcnemar(&of(before), &of(after))
                };
                results.push(PairResult {
                    task: task.clone(),
                    first: (*first).to_owned(),
                    second: (*second).to_owned(),
                    correct: test(|verdict| verdict == Verdict::Correct)?,
                    not_wrong: test(|verdict| verdict != Verdict::Wrong)?,
                });
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use idk_questions::{PromptStyle, Question};

    use super::*;
    use crate::answer::prepare::Prepared;
    use idk_questions::AskedQuestion;

    #[test]
    fn every_pair_is_tested_on_every_task_and_on_all() {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        let tasks = ["sound", "sound", "sound", "music"];
        let question = |(index, task): (usize, &&str)| {
            let question =
                Question { id: index.to_string(), task: (*task).to_owned(), ..Question::default() };
            AskedQuestion { shown: question.clone(), original: question }
        };
        let prepared = Prepared {
            questions: tasks.iter().enumerate().map(question).collect(),
            clips: Vec::new(),
            rejected: Vec::new(),
            cut_audio: 0,
            style: PromptStyle::default(),
            refusals: Vec::new(),
        };
        let answers = |verdicts: [Verdict; 4]| -> Vec<Answer> {
            let answer = |(index, verdict): (usize, Verdict)| Answer {
                id: index.to_string(),
                text: String::new(),
                judgement: verdict.into(),
                log_prob: None,
                tokens: None,
                option_log_probs: Vec::new(),
                refusal_margin: None,
                steps: Vec::new(),
                by_model: None,
            };
            verdicts.into_iter().enumerate().map(answer).collect()
        };
        let (base, one, other) = (answers([C, W, W, C]), answers([R, R, R, C]), answers([C, C, W, W]));
        let pairs =
            pair_results(&Answerable::of(&prepared), &[("base", &base), ("one", &one), ("other", &other)])
                .unwrap();
        assert_eq!(pairs.len(), 3 * 3);
        let found = |first: &str, second: &str, task: &str| {
            pairs
                .iter()
                .find(|row| {
                    (row.first.as_str(), row.second.as_str(), row.task.as_str()) == (first, second, task)
                })
                .unwrap()
        };
        // base -> one on sound: one correct answer lost, two wrong answers refused.
        let row = found("base", "one", "sound");
        assert_eq!((row.correct.only_first, row.correct.only_second, row.correct.p), (1, 0, Some(1.0)));
        assert_eq!((row.not_wrong.only_first, row.not_wrong.only_second, row.not_wrong.p), (0, 2, Some(0.5)));
        let row = found("base", "one", "music");
        assert_eq!((row.correct.p, row.correct.reason.as_deref()), (None, Some("no difference")));
        let row = found("one", "other", "all");
        assert_eq!((row.correct.only_first, row.correct.only_second), (1, 2));
    }
}
