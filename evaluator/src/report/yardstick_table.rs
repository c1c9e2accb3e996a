//! The rules and rankings that a method stands next to, as rows for tables of any kind.

use idk_questions::metrics::{Comparison, UNDEFINED, show, show_signed};

use crate::compare::methods::{MethodResult, TaskResult};
use crate::compare::yardsticks::{RuleResult, Yardsticks};
use crate::report::table::name;

/// Which answers of the base model a row is about.
const ALL_ANSWERS: &str = "all";
const READABLE: &str = "readable";

/// A table of texts: its head, then rows of the same length.
pub(crate) struct Yardstick {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// What the rows called `readable` are.
pub(crate) const READABLE_NOTE: &str =
    "readable: without the answers of the base model that name no option, which are wrong by definition.";

/// What the columns of [`rule_table`] are.
pub(crate) const RULES_NOTE: &str = "one-pass refuses the answers that are least likely as a whole, conf. those whose \
    option is least likely\n(first those that name none), group whole sub-categories.";

/// What [`ranking_table`] shows.
pub(crate) const RANKING_NOTE: &str = "method: log P(refusal) - log P(likeliest option); one-pass and conf.: the base \
    model's doubt.";

/// RGI of a method and of rules that refuse as many of the base model's answers; two rows for a task where some answers
/// name no option.
pub(crate) fn rule_table(method: &MethodResult) -> Yardstick {
    let sampled = rows(method).any(|(_, _, _, of)| of.self_consistency.is_some());
    let mut head = vec!["test", "answers", "n", "refused", "RGI", "random", "one-pass", "conf.", "group"];
    head.extend(sampled.then_some("self-consistency"));
    let row = |(task, answers, comparison, of): Row<'_>| {
        let moved = &comparison.transition;
        let refused = moved.cr + moved.wr + moved.rr;
        let mut row = vec![name(task), answers.to_owned(), comparison.n.to_string(), refused.to_string()];
        row.push(rgi(comparison.rgi, comparison.rgi_reason.as_deref()));
        row.push(show_signed(comparison.random_rgi_of_refusals(), 2));
        row.extend([&of.one_pass, &of.threshold, &of.group].map(|rule| rule_rgi(rule.as_ref())));
        row.extend(sampled.then(|| rule_rgi(of.self_consistency.as_ref())));
        row
    };
    Yardstick { head: head.into_iter().map(str::to_owned).collect(), rows: rows(method).map(row).collect() }
}

/// AUROC of rankings of the base model's answers, within sub-categories and, in brackets, over all questions.
pub(crate) fn ranking_table(method: &MethodResult) -> Yardstick {
    let head = ["test", "answers", "method", "one-pass", "conf."].map(str::to_owned).to_vec();
    let row = |(task, answers, _, of): Row<'_>| {
        let auroc = &of.auroc;
        let pairs = [
            (auroc.ranking_within, auroc.ranking),
            (auroc.one_pass_within, auroc.one_pass),
            (auroc.doubt_within, auroc.doubt),
        ];
        let mut row = vec![name(task), answers.to_owned()];
        row.extend(pairs.map(|(within, over)| match over {
            None => UNDEFINED.to_owned(),
            over => format!("{} ({})", show(within, 2), show(over, 2)),
        }));
        row
    };
    Yardstick { head, rows: rows(method).map(row).collect() }
}

/// The areas of refusing as a yes or no, in one line.
pub(crate) fn yes_or_no(method: &MethodResult) -> String {
    let of =
        |task: &TaskResult| format!("{} {}", name(&task.task), show(task.yardsticks.auroc.refusal_within, 2));
    let tasks: Vec<String> = method.tasks.iter().map(of).collect();
    format!(
        "Its refusals as a yes or no, within sub-categories, not comparable with rankings: {}",
        tasks.join(", ")
    )
}

/// Task, which answers, metrics and yardsticks.
type Row<'a> = (&'a str, &'static str, &'a Comparison, &'a Yardsticks);

fn rows(method: &MethodResult) -> impl Iterator<Item = Row<'_>> {
    method.tasks.iter().flat_map(|task| {
        let all = (task.task.as_str(), ALL_ANSWERS, &task.comparison, &task.yardsticks);
        let readable = task.readable.as_ref();
        let readable = readable.map(|of| (task.task.as_str(), READABLE, &of.comparison, &of.yardsticks));
        [all].into_iter().chain(readable)
    })
}

/// RGI of a rule in a narrow column.
pub(crate) fn rule_rgi(rule: Option<&RuleResult>) -> String {
    rule.map_or_else(|| UNDEFINED.to_owned(), |rule| rgi(rule.rgi, rule.rgi_reason.as_deref()))
}

/// An RGI in a narrow column, with short forms of the reasons why there is none.
pub(crate) fn rgi(rgi: Option<f64>, reason: Option<&str>) -> String {
    match (rgi, reason) {
        (Some(rgi), _) => format!("{rgi:+.2}"),
        (None, Some("lost nothing")) => "+inf".to_owned(),
        (None, Some("gained nothing")) => "-inf".to_owned(),
        _ => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::methods::ReadableResult;
    use crate::report::table::tests::golden_results;

    #[test]
    fn a_task_has_a_row_of_all_answers_and_one_of_the_readable_ones_where_some_are_not() {
        let mut method = golden_results("sound").methods.remove(0);
        assert_eq!(rule_table(&method).rows.len(), 1);
        let task = &mut method.tasks[0];
        let half = RuleResult { rgi: Some(0.5), ..task.yardsticks.threshold.clone().unwrap() };
        let yardsticks = Yardsticks { threshold: Some(half), ..task.yardsticks.clone() };
        task.readable = Some(ReadableResult { comparison: task.comparison.clone(), yardsticks });
        let table = rule_table(&method);
        assert_eq!(table.rows[0], ["sound", "all", "333", "60", "+0.27", "-0.19", "-", "+inf", "-"]);
        assert_eq!(table.rows[1], ["sound", "readable", "333", "60", "+0.27", "-0.19", "-", "+0.50", "-"]);
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
    }

    #[test]
    fn a_ranking_that_a_method_does_not_have_is_a_dash_and_the_yes_or_no_is_none_of_them() {
        let mut method = golden_results("sound").methods.remove(0);
        let auroc = &mut method.tasks[0].yardsticks.auroc;
        (auroc.one_pass, auroc.one_pass_within) = (Some(0.75), Some(0.8));
        assert_eq!(ranking_table(&method).rows, [["sound", "all", "-", "0.80 (0.75)", "-"]]);
        assert!(yes_or_no(&method).ends_with("not comparable with rankings: sound 0.52"));
    }
}
