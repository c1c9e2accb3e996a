//! Metrics of stored answers, joined with their questions by id.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::QuestionError;
use crate::judge::Judgement;
use crate::judge::{Scorer, judge_with};
use crate::metrics::{Clusters, Comparison, compare};
use crate::question::Question;
use crate::rows::AnswerRow;

/// Stored answers, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// One judgement a question, in the order of the questions.
    pub judgements: Vec<Judgement>,
    /// Ids of answers to none of the questions, sorted; they are not counted.
    pub unused: Vec<String>,
}

/// Judges the texts of `answers`; what the rows say about verdicts is not used. `side` names the answers in errors.
///
/// # Errors
/// [`QuestionError::DuplicateAnswers`], [`QuestionError::MissingAnswers`], [`QuestionError::OptionsDiffer`].
pub fn judge_rows(
    questions: &[Question],
    answers: &[AnswerRow],
    side: &str,
) -> Result<Judged, QuestionError> {
    judge_rows_with(Scorer::Ours, questions, answers, side)
}

/// [`judge_rows`] by another rule.
///
/// # Errors
/// As [`judge_rows`].
pub fn judge_rows_with(
    scorer: Scorer,
    questions: &[Question],
    answers: &[AnswerRow],
    side: &str,
) -> Result<Judged, QuestionError> {
    let by_id = index(answers, side)?;
    let missing: Vec<String> = questions
        .iter()
        .filter(|question| !by_id.contains_key(question.id.as_str()))
        .map(|q| q.id.clone())
        .collect();
    if !missing.is_empty() {
        return Err(QuestionError::MissingAnswers { side: side.to_owned(), ids: missing });
    }
    let answered =
        questions.iter().filter_map(|question| Some((question, *by_id.get(question.id.as_str())?)));
    let judgements = answered
        .map(|(question, answer)| judge_row(scorer, question, answer, side))
        .collect::<Result<_, _>>()?;
    let asked: BTreeSet<&str> = questions.iter().map(|question| question.id.as_str()).collect();
    let unused = by_id.keys().filter(|id| !asked.contains(*id)).map(|&id| id.to_owned()).collect();
    Ok(Judged { judgements, unused })
}

/// Judges both sets of answers and compares them; questions about the same clips form one cluster of the interval.
///
/// # Errors
/// As [`judge_rows`].
pub fn compare_rows(
    questions: &[Question],
    before: &[AnswerRow],
    after: &[AnswerRow],
    seed: u64,
    draws: usize,
) -> Result<Comparison, QuestionError> {
    let before = judge_rows(questions, before, "before")?;
    let after = judge_rows(questions, after, "after")?;
    compare(&before.judgements, &after.judgements, Some(&clusters(questions)), seed, draws)
}

/// The cluster of each question: its clips.
#[must_use]
pub fn clusters(questions: &[Question]) -> Clusters {
    Clusters::of(questions.iter().map(cluster))
}

/// The name of the cluster of a question.
#[must_use]
pub fn cluster(question: &Question) -> String {
    match question.audio.as_slice() {
        [clip] => clip.to_string_lossy().into_owned(),
        clips => clips.iter().map(|clip| clip.to_string_lossy()).collect::<Vec<_>>().join("\n"),
    }
}

fn index<'a>(
    answers: &'a [AnswerRow],
    side: &str,
) -> Result<BTreeMap<&'a str, &'a AnswerRow>, QuestionError> {
    let mut by_id = BTreeMap::new();
    let mut twice = BTreeSet::new();
    for answer in answers {
        if by_id.insert(answer.id.as_str(), answer).is_some() {
            twice.insert(answer.id.clone());
        }
    }
    if twice.is_empty() {
        Ok(by_id)
    } else {
        Err(QuestionError::DuplicateAnswers { side: side.to_owned(), ids: twice.into_iter().collect() })
    }
}

/// Judges one answer, against the options as they were shown where the row has them. `side` names the answer in an error.
///
/// # Errors
/// [`QuestionError::OptionsDiffer`].
pub fn judge_row(
    scorer: Scorer,
    question: &Question,
    answer: &AnswerRow,
    side: &str,
) -> Result<Judgement, QuestionError> {
    let Some(shown) = &answer.choices else { return Ok(judge_with(scorer, &answer.text, question)) };
    let sorted = |choices: &[String]| {
        let mut choices = choices.to_vec();
        choices.sort();
        choices
    };
    if sorted(shown) != sorted(&question.choices) {
        return Err(QuestionError::OptionsDiffer { side: side.to_owned(), id: answer.id.clone() });
    }
    Ok(judge_with(scorer, &answer.text, &Question { choices: shown.clone(), ..question.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Verdict;

    fn questions(n: usize) -> Vec<Question> {
        let question = |i: usize| Question {
            id: format!("q{i}"),
            audio: vec![format!("clip{}.wav", i / 2).into()],
            choices: ["dog", "cat", "hen"].map(str::to_owned).to_vec(),
            answer: "cat".to_owned(),
            ..Question::default()
        };
        (0..n).map(question).collect()
    }

    fn answer(id: &str, text: &str) -> AnswerRow {
        AnswerRow { id: id.to_owned(), text: text.to_owned(), ..AnswerRow::default() }
    }

    #[test]
    fn answers_are_joined_by_id_in_any_order() {
        let questions = questions(4);
        let before = [answer("q3", "cat"), answer("q0", "cat"), answer("q1", "dog"), answer("q2", "hen")];
        let after =
            [answer("q0", "B"), answer("q1", "I don't know"), answer("q2", "cat"), answer("q3", "???")];
        let row = compare_rows(&questions, &before, &after, 0, 20).unwrap();
        let table = row.transition;
        assert_eq!((table.cc, table.cw, table.wr, table.wc), (1, 1, 1, 1));
        assert_eq!((row.unparsed.before, row.unparsed.after), (0, 1));
    }

    #[test]
    fn missing_answers_are_listed() {
        let error =
            judge_rows(&questions(4), &[answer("q1", "cat"), answer("q3", "cat")], "after").unwrap_err();
        assert!(
            matches!(&error, QuestionError::MissingAnswers { ids, .. } if *ids == ["q0", "q2"]),
            "{error}"
        );
    }

    #[test]
    fn two_answers_to_one_question_are_an_error() {
        let answers = [answer("q0", "cat"), answer("q1", "cat"), answer("q0", "cat")];
        let error = judge_rows(&questions(2), &answers, "before").unwrap_err();
        assert!(matches!(&error, QuestionError::DuplicateAnswers { ids, .. } if *ids == ["q0"]), "{error}");
    }

    #[test]
    fn answers_to_other_questions_are_named_and_not_counted() {
        let judged = judge_rows(&questions(1), &[answer("q0", "cat"), answer("x", "cat")], "after").unwrap();
        assert_eq!((judged.judgements.len(), judged.unused), (1, vec!["x".to_owned()]));
    }

    #[test]
    fn another_scorer_sees_the_options_as_they_were_shown_too() {
        let shown = ["cat", "hen", "dog"].map(str::to_owned).to_vec();
        let answers =
            [AnswerRow { choices: Some(shown), ..answer("q0", "cat or hen") }, answer("q1", "A cat!")];
        let by = |scorer| {
            let judged = judge_rows_with(scorer, &questions(2), &answers, "after").unwrap();
            judged.judgements.iter().map(|judgement| judgement.verdict).collect::<Vec<_>>()
        };
        assert_eq!(by(Scorer::MmauWordset), [Verdict::Wrong, Verdict::Correct]);
        assert_eq!(by(Scorer::MmauSubstring), [Verdict::Wrong, Verdict::Correct]);
    }

    #[test]
    fn letters_refer_to_the_options_as_they_were_shown() {
        let questions = questions(1);
        let shown = |choices: [&str; 3]| AnswerRow {
            choices: Some(choices.map(str::to_owned).to_vec()),
            verdict: Some(Verdict::Wrong),
            ..answer("q0", "(A)")
        };
        let judged = judge_rows(&questions, &[shown(["cat", "hen", "dog"])], "after").unwrap();
        assert_eq!(judged.judgements[0].verdict, Verdict::Correct);
        let judged = judge_rows(&questions, &[answer("q0", "(A)")], "after").unwrap();
        assert_eq!(judged.judgements[0].verdict, Verdict::Wrong);
        let error = judge_rows(&questions, &[shown(["cat", "hen", "pig"])], "after").unwrap_err();
        assert!(matches!(error, QuestionError::OptionsDiffer { .. }));
    }
}
