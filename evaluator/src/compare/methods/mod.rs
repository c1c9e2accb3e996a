//! Compares a method with the base model, per task and overall.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use idk_questions::metrics::{Comparison, RiskCoverage, compare, risk_coverage};
use idk_questions::rows::{Label, LabelRow};
use idk_questions::score::clusters;
use idk_questions::{Judgement, Question, Verdict};
use serde::{Deserialize, Serialize};

use crate::answer::answers_file::check_aligned;
use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::compare::groups::{GroupResult, Grouping, compare_groups, group_name};
use crate::compare::results::is_zero;
use crate::compare::rules::Rule;
use crate::compare::yardsticks::{Answered, RuleInputs, Yardsticks};
use crate::config::EvalConfig;
use crate::error::EvalError;
use crate::method::{Candidate, Method};

/// Name of the row that covers all tasks.
pub const ALL: &str = "all";

/// A method compared with the base model on the questions of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// `sound`, `music`, `speech`, another task of the set, or [`ALL`].
    pub task: String,
    /// The metrics; `random_rgi` is what refusing at random is expected to score.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// What rules that need no training give at the same refusal rate.
    #[serde(flatten)]
    pub yardsticks: Yardsticks,
    /// The same over the questions whose answer of the base model can be read. `None` if all of them can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readable: Option<ReadableResult>,
    /// How the errors of the base model's answers fall with a measure of doubt; for other methods, how the errors of the
    /// likeliest options fall with their probability.
    pub risk_coverage: RiskCoverage,
}

/// A method compared with the base model on those questions of a task whose answer of the base model names an option,
/// refuses, or belongs to an open question. The others are wrong by definition: to refuse them takes no doubt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReadableResult {
    /// The metrics.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// What rules that need no training give at the same refusal rate.
    #[serde(flatten)]
    pub yardsticks: Yardsticks,
}

/// A method on every task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodResult {
    /// Its name: the method's, or the adapter's own.
    pub name: String,
    /// The method.
    pub method: Method,
    /// What a rule refused by; `null` for methods that run a model.
    pub rule: Option<Rule>,
    /// Questions for which a measure of doubt has no value, which counts as the most doubtful; not written if 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: usize,
    /// One row per task in the order sound, music, speech, others by name; [`ALL`] last.
    pub tasks: Vec<TaskResult>,
    /// One row for each sub-category, `task/sub-category`.
    pub sub_categories: Vec<GroupResult>,
    /// One row for each difficulty.
    pub difficulties: Vec<GroupResult>,
}

/// For each group (`task/sub-category`) of a labelled set, the share of questions that the base model knows, of those that
/// have a right answer.
pub fn known_shares(labels: &[LabelRow]) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for row in labels.iter().filter(|row| row.unanswerable.is_none()) {
        let (known, all) = counts.entry(group_name(&row.task, &row.sub_category)).or_default();
        *known += usize::from(row.label == Label::Known);
        *all += 1;
    }
    counts.into_iter().map(|(group, (known, all))| (group, known as f64 / all as f64)).collect()
}

/// Compares the answers of `who` with those of the base model.
///
/// # Errors
/// [`EvalError::Misaligned`] if either list is not about the prepared questions in their order.
pub fn compare_method(
    prepared: &Prepared,
    base: &[Answer],
    who: &Candidate,
    answers: &[Answer],
    rules: RuleInputs<'_>,
    config: &EvalConfig,
    seed: u64,
) -> Result<MethodResult, EvalError> {
    check_aligned(prepared, base, Method::Base.name())?;
    check_aligned(prepared, answers, &who.name)?;
    let sureness = |place: usize| rules.sureness.and_then(|sureness| sureness.get(place)).copied();
    let margin = |answer: &Answer| answer.refusal_margin.filter(|_| !who.method.is_rule());
    let items: Vec<Answered<'_>> = prepared
        .questions
        .iter()
        .zip(base.iter().zip(answers))
        .enumerate()
        .map(|(place, (question, (before, after)))| Answered {
            question: &question.original,
            shown: &question.shown,
            before,
            after,
            ranking: sureness(place).or_else(|| margin(after)).map(|sure| -sure),
            sureness: sureness(place),
            place,
        })
        .collect();
    let compared =
        |task: &str, items: &[Answered<'_>]| compare_items(task, items, &rules, who.method, config, seed);
    let mut tasks = Vec::new();
    for task in task_names(items.iter().map(|item| item.question.task.as_str())) {
        let of_task: Vec<Answered<'_>> =
            items.iter().copied().filter(|item| item.question.task == task).collect();
        tasks.push(compared(&task, &of_task)?);
    }
    tasks.push(compared(ALL, &items)?);
    let groups =
        |grouping: Grouping| compare_groups(prepared, base, answers, grouping, seed, config.bootstrap_draws);
    Ok(MethodResult {
        name: who.name.clone(),
        method: who.method,
        rule: None,
        missing: rules.sureness.map_or(0, |sure| sure.iter().filter(|value| !value.is_finite()).count()),
        tasks,
        sub_categories: groups(Grouping::SubCategory)?,
        difficulties: groups(Grouping::Difficulty)?,
    })
}

/// The tasks in the order of the paper's tables, then others by name.
pub(crate) fn task_names<'a>(tasks: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: BTreeSet<&str> = tasks.collect();
    let known = ["sound", "music", "speech"];
    let others = names.iter().copied().filter(|name| !known.contains(name));
    known.into_iter().filter(|name| names.contains(name)).chain(others).map(str::to_owned).collect()
}

fn compare_items(
    task: &str,
    items: &[Answered<'_>],
    rules: &RuleInputs<'_>,
    who: Method,
    config: &EvalConfig,
    seed: u64,
) -> Result<TaskResult, EvalError> {
    let (comparison, yardsticks) = measure(items, rules, who, config, seed)?;
    let readable: Vec<Answered<'_>> =
        items.iter().copied().filter(|item| !item.before.judgement.unparsed).collect();
    let readable = match readable.len() == items.len() {
        true => None,
        false => {
            let (comparison, yardsticks) = measure(&readable, rules, who, config, seed)?;
            Some(ReadableResult { comparison, yardsticks })
        }
    };
    let risk_coverage = match items.iter().map(|item| item.sureness).collect::<Option<Vec<f64>>>() {
        Some(sureness) if !items.is_empty() => measure_curve(items, &sureness)?,
        _ => forced_choice(items.iter().map(|item| (item.after, item.shown)))?,
    };
    Ok(TaskResult { task: task.to_owned(), comparison, yardsticks, readable, risk_coverage })
}

/// The metrics of some questions, and the yardsticks at the refusal rate of the method on them.
fn measure(
    items: &[Answered<'_>],
    rules: &RuleInputs<'_>,
    who: Method,
    config: &EvalConfig,
    seed: u64,
) -> Result<(Comparison, Yardsticks), EvalError> {
    let questions: Vec<Question> = items.iter().map(|item| item.question.clone()).collect();
    let before: Vec<Judgement> = items.iter().map(|item| item.before.judgement).collect();
    let after: Vec<Judgement> = items.iter().map(|item| item.after.judgement).collect();
    let comparison = compare(&before, &after, Some(&clusters(&questions)), seed, config.bootstrap_draws)?;
    Ok((comparison, Yardsticks::new(items, rules, who, seed)?))
}

/// The risk-coverage curve of a measure of doubt over the base model's answers; what it refuses is not answered.
fn measure_curve(items: &[Answered<'_>], sureness: &[f64]) -> Result<RiskCoverage, EvalError> {
    if sureness.iter().all(|value| value.is_infinite()) {
        return Ok(RiskCoverage { reason: Some("no value".to_owned()), ..RiskCoverage::default() });
    }
    let answered = items.iter().zip(sureness).filter_map(|(item, &sureness)| {
        let verdict = item.before.judgement.verdict;
        (verdict != Verdict::Refused).then_some((sureness, verdict == Verdict::Correct))
    });
    let (sureness, is_right): (Vec<f64>, Vec<bool>) = answered.unzip();
    Ok(risk_coverage(&sureness, &is_right)?)
}

/// The risk-coverage curve of the likeliest options: each question answered with the option that the model finds most
/// likely, as sure as that option is likely. What the model said, or refused, does not matter.
///
/// # Errors
/// [`EvalError::Questions`] (never: both lists come from the same answers).
pub(crate) fn forced_choice<'a>(
    answers: impl Iterator<Item = (&'a Answer, &'a Question)>,
) -> Result<RiskCoverage, EvalError> {
    let chosen = answers.filter_map(|(answer, shown)| {
        let (option, log_prob) = answer.likeliest_option()?;
        Some((log_prob, shown.choices.get(option) == Some(&shown.answer)))
    });
    let (confidence, is_right): (Vec<f64>, Vec<bool>) = chosen.unzip();
    Ok(risk_coverage(&confidence, &is_right)?)
}
