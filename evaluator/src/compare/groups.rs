//! The same comparison for each sub-category and each difficulty.

use std::collections::BTreeMap;

use idk_questions::metrics::{Clusters, Comparison, Counts, compare};
use idk_questions::score::cluster;
use idk_questions::{Judgement, Question};
use serde::{Deserialize, Serialize};

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::error::EvalError;

/// What questions are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// `task/sub-category`.
    SubCategory,
    /// `easy`, `medium`, `hard`, or what the question set has.
    Difficulty,
}

/// A method compared with the base model on the questions of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// The group's name.
    pub group: String,
    /// The metrics.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// The base model on the questions of one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupCounts {
    /// The group's name.
    pub group: String,
    /// How many answers are correct, wrong and refused.
    pub counts: Counts,
}

/// The sub-category of a question with its task: two tasks may have sub-categories of one name.
pub(crate) fn sub_category_name(question: &Question) -> String {
    group_name(&question.task, &question.sub_category)
}

pub(crate) fn group_name(task: &str, sub_category: &str) -> String {
    format!("{task}/{sub_category}")
}

fn name_of(question: &Question, grouping: Grouping) -> String {
    match grouping {
        Grouping::SubCategory => sub_category_name(question),
        Grouping::Difficulty if question.difficulty.is_empty() => "(none)".to_owned(),
        Grouping::Difficulty => question.difficulty.clone(),
    }
}

/// The places of the questions of every group; the known difficulties come first in their order, then names by the
/// alphabet.
fn places(prepared: &Prepared, grouping: Grouping) -> Vec<(String, Vec<usize>)> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, question) in prepared.questions.iter().enumerate() {
        groups.entry(name_of(&question.original, grouping)).or_default().push(index);
    }
    let mut groups: Vec<(String, Vec<usize>)> = groups.into_iter().collect();
    let order = ["easy", "medium", "hard"];
    groups.sort_by_key(|(name, _)| order.iter().position(|known| known == name).unwrap_or(order.len()));
    groups
}

fn judgements(answers: &[Answer], places: &[usize]) -> Vec<Judgement> {
    places.iter().map(|&index| answers[index].judgement).collect()
}

/// Compares answers with those of the base model, group by group; all three in the order of the questions.
///
/// # Errors
/// [`EvalError::Questions`] (never for answers to the prepared questions).
pub(crate) fn compare_groups(
    prepared: &Prepared,
    base: &[Answer],
    answers: &[Answer],
    grouping: Grouping,
    seed: u64,
    draws: usize,
) -> Result<Vec<GroupResult>, EvalError> {
    let clusters = Clusters::of(prepared.questions.iter().map(|question| cluster(&question.original)));
    let mut results = Vec::new();
    for (group, places) in places(prepared, grouping) {
        let clusters = clusters.of_places(places.iter().copied());
        let (before, after) = (judgements(base, &places), judgements(answers, &places));
        let comparison = compare(&before, &after, Some(&clusters), seed, draws)?;
        results.push(GroupResult { group, comparison });
    }
    Ok(results)
}

/// Counts the base model's answers, group by group.
pub(crate) fn count_groups(prepared: &Prepared, base: &[Answer], grouping: Grouping) -> Vec<GroupCounts> {
    let groups = places(prepared, grouping).into_iter();
    groups
        .map(|(group, places)| GroupCounts { group, counts: Counts::of(&judgements(base, &places)) })
        .collect()
}

#[cfg(test)]
mod tests {
    use idk_questions::{PromptStyle, Verdict};

    use super::*;
    use idk_questions::AskedQuestion;

    fn case() -> (Prepared, Vec<Answer>, Vec<Answer>) {
        use Verdict::{Correct as C, Refused as R, Wrong as W};
        let rows = [
            ("sound", "pitch", "hard", C, R),
            ("music", "pitch", "hard", W, R),
            ("sound", "event", "", W, C),
            ("sound", "pitch", "easy", C, C),
            ("music", "pitch", "odd", W, W),
        ];
        let answer = |id: usize, verdict: Verdict| Answer {
            id: id.to_string(),
            text: String::new(),
            judgement: verdict.into(),
            log_prob: None,
            tokens: None,
            option_log_probs: Vec::new(),
            refusal_margin: None,
            steps: Vec::new(),
            by_model: None,
        };
        let mut case = (
            Prepared {
                questions: Vec::new(),
                clips: Vec::new(),
                rejected: Vec::new(),
                cut_audio: 0,
                style: PromptStyle::default(),
                refusals: Vec::new(),
            },
            Vec::new(),
            Vec::new(),
        );
        for (id, (task, sub_category, difficulty, before, after)) in rows.into_iter().enumerate() {
            let question = Question {
                id: id.to_string(),
                task: task.to_owned(),
                sub_category: sub_category.to_owned(),
                difficulty: difficulty.to_owned(),
                ..Question::default()
            };
            case.0.questions.push(AskedQuestion { shown: question.clone(), original: question });
            case.1.push(answer(id, before));
            case.2.push(answer(id, after));
        }
        case
    }

    #[test]
    fn sub_categories_of_two_tasks_stay_apart_and_add_up_to_the_whole() {
        let (prepared, base, answers) = case();
        let groups = compare_groups(&prepared, &base, &answers, Grouping::SubCategory, 0, 10).unwrap();
        let found: Vec<(&str, usize, usize)> = groups
            .iter()
            .map(|row| (row.group.as_str(), row.comparison.n, row.comparison.transition.lost()))
            .collect();
        assert_eq!(found, [("music/pitch", 2, 0), ("sound/event", 1, 0), ("sound/pitch", 2, 1)]);
        let counts = count_groups(&prepared, &base, Grouping::SubCategory);
        assert_eq!(counts.iter().map(|row| row.counts.correct).sum::<usize>(), 2);
    }

    #[test]
    fn difficulties_come_in_their_order_and_a_missing_one_has_a_name() {
        let (prepared, base, _) = case();
        let names: Vec<String> =
            count_groups(&prepared, &base, Grouping::Difficulty).into_iter().map(|row| row.group).collect();
        assert_eq!(names, ["easy", "hard", "(none)", "odd"]);
    }

    #[test]
    fn the_order_of_the_questions_changes_nothing() {
        let (mut prepared, mut base, mut answers) = case();
        let groups = |prepared: &Prepared, base: &[Answer], answers: &[Answer]| {
            compare_groups(prepared, base, answers, Grouping::Difficulty, 3, 20).unwrap()
        };
        let straight = groups(&prepared, &base, &answers);
        prepared.questions.reverse();
        base.reverse();
        answers.reverse();
        assert_eq!(groups(&prepared, &base, &answers), straight);
    }
}
