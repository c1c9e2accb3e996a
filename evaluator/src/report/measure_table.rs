//! The table of measures of doubt: how well each ranks the base model's answers, and what its threshold does to them.

use idk_questions::metrics::{UNDEFINED, show, show_signed};

use crate::compare::methods::{MethodResult, TaskResult};
use crate::compare::results::Results;
use crate::compare::yardsticks::Auroc;
use crate::method::Method;
use crate::report::table::{name, percent};
use crate::report::text_table::{Cell, TextTable, markdown};
use crate::report::yardstick_table::rgi;

/// What the columns are.
pub(crate) const MEASURE_NOTE: &str = "AUROC within sub-categories (over all questions): is what the model gets wrong \
    doubted more than what it gets right?\nreadable: the same without answers that name no option. AURC: area under \
    the risk-coverage curve, lower is better.\nThe other columns: with the threshold that was fitted on val \
    (explicit-option refuses by itself);\nrandom: RGI of refusing as many at random.";

const HEAD: [&str; 10] =
    ["measure", "AUROC", "readable", "AURC", "Acc", "Tru", "Rel", "refused", "RGI", "random"];

/// The measures of an evaluation, and the option that is one more way to ask for doubt.
pub(crate) fn measures(results: &Results) -> impl Iterator<Item = &MethodResult> {
    let is_shown = |method: Method| method.is_measure() || method == Method::ExplicitOption;
    results.methods.iter().filter(move |result| is_shown(result.method))
}

/// One row per measure on a task, below a head; no row without measures.
pub(crate) fn measure_rows(results: &Results, task: &str) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let of_task = |method: &'_ MethodResult| {
        let row = method.tasks.iter().find(|row| row.task == task)?;
        Some(cells(&method.name, row))
    };
    (HEAD.to_vec(), measures(results).filter_map(of_task).collect())
}

fn cells(measure: &str, row: &TaskResult) -> Vec<String> {
    let comparison = &row.comparison;
    let readable = row.readable.as_ref().map_or(&row.yardsticks.auroc, |of| &of.yardsticks.auroc);
    let mut cells = vec![measure.to_owned(), areas(&row.yardsticks.auroc), areas(readable)];
    cells.push(show(row.risk_coverage.aurc, 3));
    let shares = [&comparison.acc, &comparison.tru, &comparison.rel, &comparison.refusal_rate];
    cells.extend(shares.map(|share| percent(share.after)));
    cells.push(rgi(comparison.rgi, comparison.rgi_reason.as_deref()));
    cells.push(show_signed(comparison.random_rgi_of_refusals(), 2));
    cells
}

fn areas(auroc: &Auroc) -> String {
    match auroc.ranking {
        None => UNDEFINED.to_owned(),
        all => format!("{} ({})", show(auroc.ranking_within, 2), show(all, 2)),
    }
}

/// The tables of all tasks as Markdown; empty without measures.
pub(crate) fn measure_tables(results: &Results) -> String {
    let mut text = String::new();
    for task in &results.base {
        let (head, rows) = measure_rows(results, &task.task);
        if rows.is_empty() {
            continue;
        }
        let mut grid: TextTable = vec![head.into_iter().map(Cell::own).collect()];
        grid.extend(rows.into_iter().map(|row| row.into_iter().map(Cell::Name).collect()));
        text.push_str(&format!("\nmeasures of doubt, {}:\n\n{}", name(&task.task), markdown(&grid)));
    }
    if text.is_empty() { text } else { format!("{text}{MEASURE_NOTE}\n{}", missing_note(results)) }
}

/// For how many questions a measure has no value, as one line.
pub(crate) fn missing_note(results: &Results) -> String {
    let missing: Vec<String> = measures(results)
        .filter(|method| method.missing > 0)
        .map(|method| format!("{} {}", method.name, method.missing))
        .collect();
    match missing.is_empty() {
        true => String::new(),
        false => {
            format!("Without a value, and so the most doubtful: {} of {}.\n", missing.join(", "), results.n)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use idk_questions::metrics::RiskCoverage;

    use super::*;
    use crate::compare::methods::ReadableResult;
    use crate::report::table::tests::golden_results;

    /// The paper's row as that of a measure, with areas of its own.
    pub(crate) fn measured_results() -> Results {
        let mut results = golden_results("sound");
        let mut measure = results.methods[0].clone();
        (measure.name, measure.method) = ("semantic-entropy".to_owned(), Method::SemanticEntropy);
        measure.missing = 3;
        let task = &mut measure.tasks[0];
        let readable = task.yardsticks.clone();
        (task.yardsticks.auroc.ranking, task.yardsticks.auroc.ranking_within) = (Some(0.85), Some(0.804));
        task.readable = Some(ReadableResult { comparison: task.comparison.clone(), yardsticks: readable });
        task.risk_coverage = RiskCoverage {
            n: 2,
            aurc: Some(0.125),
            points: vec![[0.5, 0.0], [1.0, 0.25]],
            ..RiskCoverage::default()
        };
        results.methods.push(measure);
        results
    }

    #[test]
    fn a_measure_has_a_row_with_its_areas_and_what_its_threshold_does_and_others_have_none() {
        let (head, rows) = measure_rows(&measured_results(), "sound");
        let expected = [
            "semantic-entropy",
            "0.80 (0.85)",
            "-",
            "0.125",
            "58.3",
            "76.3",
            "73.0",
            "18.0",
            "+0.27",
            "-0.19",
        ];
        assert_eq!((head.len(), rows), (expected.len(), vec![expected.map(str::to_owned).to_vec()]));
        assert_eq!(measure_tables(&golden_results("sound")), "");
    }

    #[test]
    fn the_tables_fit_120_columns_and_say_what_has_no_value() {
        let mut results = measured_results();
        results.methods[1].name = Method::DiscreteSemanticEntropy.name().to_owned();
        results.methods[1].tasks[0].readable = None;
        let text = measure_tables(&results);
        assert!(text.contains("measures of doubt, sound:"), "{text}");
        assert!(text.contains("| 0.80 (0.85) | 0.80 (0.85) |"), "all can be read: {text}");
        assert!(text.contains("the most doubtful: discrete-semantic-entropy 3 of 333."), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }
}
