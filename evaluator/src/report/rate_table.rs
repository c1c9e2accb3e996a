//! The table of measures of doubt next to each method: the RGI of refusing as many of the base model's answers by each of them.

use idk_questions::metrics::{Comparison, show_signed};

use crate::compare::methods::{MethodResult, TaskResult};
use crate::compare::results::Results;
use crate::compare::yardsticks::{RuleResult, Yardsticks};
use crate::method::Method;
use crate::report::measure_table::measures;
use crate::report::table::{name, percent};
use crate::report::text_table::{Cell, TextTable, markdown};
use crate::report::yardstick_table::{rgi, rule_rgi};

/// What the cells are.
pub(crate) const RATE_NOTE: &str = "refused: of all questions, in percent. itself: RGI of the method. The other rows: RGI of \
    refusing as many of the\nbase model's answers at random or by a measure of doubt, the most doubtful first, ties by \
    seed. In brackets the\nsame over readable answers, of which as many are refused as the method refuses.";

/// The title of the tables.
pub(crate) const RATE_TITLE: &str = "RGI of each method next to every measure at its own refusal rate";

/// The methods that run a model, where measures were computed.
fn compared(results: &Results) -> impl Iterator<Item = &MethodResult> {
    let has_measures =
        |method: &&MethodResult| method.tasks.iter().any(|row| !row.yardsticks.measures.is_empty());
    results.methods.iter().filter(has_measures)
}

/// The measures that were computed and that have a rule of their own.
pub(crate) fn ranked_by(results: &Results) -> Vec<Method> {
    let is_computed = compared(results).next().is_some();
    let all = measures(results).map(|of| of.method).filter(|method| method.is_measure());
    all.filter(|_| is_computed).collect()
}

/// One column per method that runs a model, one row per measure; nothing where no measures were computed.
pub(crate) fn rate_table<'a>(results: &'a Results, task: &str) -> TextTable {
    let of_task = |method: &'a MethodResult| {
        let row = method.tasks.iter().find(|row| row.task == task)?;
        Some((method.name.as_str(), row))
    };
    let methods: Vec<(&str, &TaskResult)> = compared(results).filter_map(of_task).collect();
    if methods.is_empty() {
        return Vec::new();
    }
    let line = |head: &str, cell: &dyn Fn(&TaskResult) -> String| {
        let cells = methods.iter().map(|(_, row)| Cell::own(cell(row)));
        [Cell::own(head)].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let names = methods.iter().map(|(name, _)| Cell::name(name));
    let own = |of: &Comparison| rgi(of.rgi, of.rgi_reason.as_deref());
    let random = |of: &Comparison| show_signed(of.random_rgi_of_refusals(), 2);
    let mut grid = vec![[Cell::own("refused by")].into_iter().chain(names).collect()];
    grid.push(line("refused", &|row| percent(row.comparison.refusal_rate.after)));
    grid.push(line("itself", &|row| both(row, |of, _| own(of))));
    grid.push(line("random", &|row| both(row, |of, _| random(of))));
    for measure in ranked_by(results) {
        let by = |of: &Yardsticks| -> String { rule_rgi(of.of_measure(measure)) };
        grid.push(line(measure.name(), &|row| both(row, |_, of| by(of))));
    }
    grid
}

/// Over all answers and, in brackets, over the readable ones if some are not.
fn both(row: &TaskResult, cell: impl Fn(&Comparison, &Yardsticks) -> String) -> String {
    let all = cell(&row.comparison, &row.yardsticks);
    match &row.readable {
        None => all,
        Some(of) => format!("{all} ({})", cell(&of.comparison, &of.yardsticks)),
    }
}

/// The tables of all tasks as Markdown; empty where no measures were computed.
pub(crate) fn rate_tables(results: &Results) -> String {
    let mut text = String::new();
    for task in &results.base {
        let grid = rate_table(results, &task.task);
        if !grid.is_empty() {
            text.push_str(&format!("\n{RATE_TITLE}, {}:\n\n{}", name(&task.task), markdown(&grid)));
        }
    }
    if text.is_empty() { text } else { format!("{text}{RATE_NOTE}\n") }
}

/// The rule of a measure on a task, over all answers or over readable ones.
pub(crate) fn rule_of(row: &TaskResult, measure: Method, is_readable: bool) -> Option<&RuleResult> {
    match is_readable {
        false => row.yardsticks.of_measure(measure),
        true => row.readable.as_ref()?.yardsticks.of_measure(measure),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::measure_table::tests::measured_results;
    use crate::report::table::tests::golden_results;

    /// The paper's row next to a measure, with a rule of it over all and readable answers.
    pub(crate) fn ranked_results() -> Results {
        let mut results = measured_results();
        let readable = results.methods[1].tasks[0].readable.clone();
        let task = &mut results.methods[0].tasks[0];
        let rule = task.yardsticks.threshold.clone().unwrap();
        let of = |rgi| RuleResult { rgi: Some(rgi), rgi_reason: None, ..rule.clone() };
        task.yardsticks.measures.insert(Method::SemanticEntropy, of(0.456));
        task.readable = readable;
        let readable = task.readable.as_mut().unwrap();
        readable.yardsticks.measures.insert(Method::SemanticEntropy, of(-0.123));
        results
    }

    #[test]
    fn a_method_has_a_column_with_its_own_rgi_and_that_of_each_measure_and_a_measure_has_none() {
        let grid = rate_table(&ranked_results(), "sound");
        let found: Vec<Vec<&str>> = grid.iter().map(|row| row.iter().map(Cell::text).collect()).collect();
        let expected = [
            ["refused by", "adapter"],
            ["refused", "18.0"],
            ["itself", "+0.27 (+0.27)"],
            ["random", "-0.19 (-0.19)"],
            ["semantic-entropy", "+0.46 (-0.12)"],
        ];
        assert_eq!(found, expected);
        for without in [golden_results("sound"), measured_results()] {
            assert!(rate_table(&without, "sound").is_empty() && rate_tables(&without).is_empty());
            assert!(ranked_by(&without).is_empty());
        }
    }

    #[test]
    fn the_tables_fit_120_columns_and_tame_names_of_adapters() {
        let mut results = ranked_results();
        for name in ["k5-listwise", "a|b\u{1b}[2J", "idk-prompt", "mcot-few-shot", "task-agent"] {
            let mut more = results.methods[0].clone();
            more.name = name.to_owned();
            results.methods.push(more);
        }
        let text = rate_tables(&results);
        assert!(text.lines().all(|line| line.chars().count() <= 120) && !text.contains('\u{1b}'), "{text}");
        let bars = |line: &str| line.matches('|').count();
        assert!(text.lines().filter(|line| line.starts_with('|')).all(|line| bars(line) == 8), "{text}");
    }
}
