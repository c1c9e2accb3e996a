//! The results as one flat table, for spreadsheets and papers.

use idk_questions::metrics::{Comparison, Counts};

use crate::compare::groups::Grouping;
use crate::compare::methods::{MethodResult, TaskResult};
use crate::compare::results::Results;
use crate::compare::yardsticks::RuleResult;
use crate::method::Method;
use crate::report::abstention_table::{CSV_COLUMNS, abstention_tables, csv_rows};
use crate::report::measure_table::measure_rows;
use crate::report::rate_table::{ranked_by, rate_table, rule_of};
use crate::report::text_table::{Cell, TextTable, csv, latex};

/// What a row compares, and what only rows of tasks have.
type ExportRow<'a> = (&'a str, &'a Comparison, Option<&'a TaskResult>);

/// The rows of a method: its tasks, or its groups.
fn rows(method: &MethodResult, by: Option<Grouping>) -> Vec<ExportRow<'_>> {
    let groups = match by {
        None => {
            let tasks = method.tasks.iter();
            return tasks.map(|row| (row.task.as_str(), &row.comparison, Some(row))).collect();
        }
        Some(Grouping::SubCategory) => &method.sub_categories,
        Some(Grouping::Difficulty) => &method.difficulties,
    };
    groups.iter().map(|row| (row.group.as_str(), &row.comparison, None)).collect()
}

/// The base model's counts for the same rows.
fn base_rows(results: &Results, by: Option<Grouping>) -> Vec<(&str, Counts)> {
    let groups = match by {
        None => return results.base.iter().map(|row| (row.task.as_str(), row.counts)).collect(),
        Some(Grouping::SubCategory) => &results.base_sub_categories,
        Some(Grouping::Difficulty) => &results.base_difficulties,
    };
    groups.iter().map(|row| (row.group.as_str(), row.counts)).collect()
}

/// Every number of every row, unrounded; what is undefined is empty. Questions without a right answer have rows and columns
/// of their own behind the others.
pub(crate) fn as_csv(results: &Results, by: Option<Grouping>) -> String {
    let header = [
        "name",
        "method",
        "test",
        "n",
        "acc_before",
        "acc_after",
        "tru_before",
        "tru_after",
        "rel_before",
        "rel_after",
        "refusal_rate_before",
        "refusal_rate_after",
        "unparsed_before",
        "unparsed_after",
        "cc",
        "cw",
        "cr",
        "wc",
        "ww",
        "wr",
        "rc",
        "rw",
        "rr",
        "dcon",
        "dhum",
        "rgi",
        "rgi_reason",
        "rgi_ci95_low",
        "rgi_ci95_high",
        "rgi_relative",
        "random_rgi",
        "threshold_rgi",
        "self_consistency_rgi",
        "group_rgi",
        "prudence",
        "over_conservativeness",
        "honesty",
        "aurc",
        "one_pass_rgi",
        "readable_n",
        "readable_rgi",
        "readable_one_pass_rgi",
        "readable_threshold_rgi",
        "auroc_ranking_within",
        "auroc_one_pass_within",
        "auroc_threshold_within",
        "auroc_ranking",
        "readable_auroc_ranking",
        "readable_auroc_ranking_within",
        "missing",
    ];
    let measures = measure_columns(results, &header);
    let of_measures = measures.iter().map(|column| Cell::own(&column.name));
    let mut grid: TextTable = vec![header.map(Cell::own).into_iter().chain(of_measures).collect()];
    let columns = grid[0].len();
    for (test, counts) in base_rows(results, by) {
        grid.push(base_line(test, &counts, columns));
    }
    for method in &results.methods {
        grid.extend(rows(method, by).into_iter().map(|row| csv_line(method, row, &measures)));
    }
    if let Some(of) = &results.unanswerable {
        grid[0].extend(CSV_COLUMNS.map(Cell::own));
        let all = grid[0].len();
        grid.iter_mut().for_each(|line| line.resize(all, number(None)));
        grid.extend(csv_rows(of).into_iter().map(|(who, test, n, cells)| {
            let method = results.methods.iter().find(|method| method.name == who.name);
            let method = method.map_or(Method::Base, |method| method.method);
            let mut line = vec![Cell::name(&who.name), Cell::own(method.name()), Cell::Name(test)];
            line.push(Cell::own(n.to_string()));
            line.resize(columns, number(None));
            line.extend(cells);
            line
        }));
    }
    csv(&grid)
}

fn base_line(test: &str, counts: &Counts, columns: usize) -> Vec<Cell> {
    let base = Method::Base.name();
    let mut line = vec![Cell::own(base), Cell::own(base), Cell::name(test), Cell::own(counts.n.to_string())];
    for share in [counts.acc(), counts.tru(), counts.rel(), counts.refusal_rate()] {
        line.extend([number(share.map(|share| 100.0 * share)), number(None)]);
    }
    line.push(Cell::own(counts.unparsed.to_string()));
    line.resize(columns, number(None));
    line
}

/// A column with the RGI of refusing by a measure of doubt.
struct MeasureColumn {
    name: String,
    measure: Method,
    is_readable: bool,
}

/// Those that are not among the columns that every table has; none where no measures were computed.
fn measure_columns(results: &Results, others: &[&str]) -> Vec<MeasureColumn> {
    let columns = ranked_by(results).into_iter().flat_map(|measure| {
        let name = measure.name().replace('-', "_");
        let column = |prefix: &str| format!("{prefix}{name}_rgi");
        [("", false), ("readable_", true)].map(|(prefix, is_readable)| MeasureColumn {
            name: column(prefix),
            measure,
            is_readable,
        })
    });
    columns.filter(|column| !others.contains(&column.name.as_str())).collect()
}

fn csv_line(
    method: &MethodResult,
    (test, row, task): ExportRow<'_>,
    measures: &[MeasureColumn],
) -> Vec<Cell> {
    let mut line = vec![Cell::name(&method.name), Cell::own(method.method.name()), Cell::name(test)];
    line.push(Cell::own(row.n.to_string()));
    for pair in [&row.acc, &row.tru, &row.rel, &row.refusal_rate] {
        line.extend([number(pair.before), number(pair.after)]);
    }
    let moved = &row.transition;
    let counts = [
        row.unparsed.before,
        row.unparsed.after,
        moved.cc,
        moved.cw,
        moved.cr,
        moved.wc,
        moved.ww,
        moved.wr,
        moved.rc,
        moved.rw,
        moved.rr,
    ];
    line.extend(counts.map(|count| Cell::own(count.to_string())));
    line.extend([number(row.dcon), number(row.dhum), number(row.rgi)]);
    line.push(Cell::own(row.rgi_reason.clone().unwrap_or_default()));
    line.extend([number(row.rgi_ci95.map(|ends| ends[0])), number(row.rgi_ci95.map(|ends| ends[1]))]);
    line.extend([number(row.rgi_relative), number(row.random_rgi)]);
    let rule = |rule: Option<&RuleResult>| number(rule.and_then(|rule| rule.rgi));
    let of = task.map(|task| &task.yardsticks);
    line.push(rule(of.and_then(|of| of.threshold.as_ref())));
    line.push(rule(of.and_then(|of| of.self_consistency.as_ref())));
    line.push(rule(of.and_then(|of| of.group.as_ref())));
    line.extend([number(row.prudence), number(row.over_conservativeness), number(row.honesty)]);
    line.push(number(task.and_then(|task| task.risk_coverage.aurc)));
    line.push(rule(of.and_then(|of| of.one_pass.as_ref())));
    let readable = task.and_then(|task| task.readable.as_ref());
    line.push(Cell::own(readable.map_or(String::new(), |of| of.comparison.n.to_string())));
    line.push(number(readable.and_then(|of| of.comparison.rgi)));
    line.push(rule(readable.and_then(|of| of.yardsticks.one_pass.as_ref())));
    line.push(rule(readable.and_then(|of| of.yardsticks.threshold.as_ref())));
    let areas = of.map(|of| of.auroc).unwrap_or_default();
    line.extend([areas.ranking_within, areas.one_pass_within, areas.doubt_within].map(number));
    let of_readable = readable.map(|of| of.yardsticks.auroc).unwrap_or_default();
    line.extend([areas.ranking, of_readable.ranking, of_readable.ranking_within].map(number));
    line.push(Cell::own(task.map_or(String::new(), |_| method.missing.to_string())));
    line.extend(
        measures.iter().map(|of| rule(task.and_then(|row| rule_of(row, of.measure, of.is_readable)))),
    );
    line
}

fn number(value: Option<f64>) -> Cell {
    Cell::own(value.map_or(String::new(), |value| value.to_string()))
}

/// The columns of the paper's table, rounded; the base model first. Questions without a right answer have tables of their
/// own behind it.
pub(crate) fn as_latex(results: &Results, by: Option<Grouping>) -> String {
    let header = ["Method", "Test", "n", "Acc", "Tru", "Rel", "Refused", "dCon", "dHum", "RGI", "95 %"];
    let mut grid: TextTable = vec![header.map(Cell::own).to_vec()];
    for (test, counts) in base_rows(results, by) {
        let mut line = vec![Cell::own("base"), Cell::name(test), Cell::own(counts.n.to_string())];
        for share in [counts.acc(), counts.tru(), counts.rel(), counts.refusal_rate()] {
            line.push(rounded(share.map(|share| 100.0 * share)));
        }
        line.resize(header.len(), Cell::own("--"));
        grid.push(line);
    }
    for method in &results.methods {
        for (test, row, _) in rows(method, by) {
            let mut line = vec![Cell::name(&method.name), Cell::name(test), Cell::own(row.n.to_string())];
            line.extend([row.acc, row.tru, row.rel, row.refusal_rate].map(|pair| rounded(pair.after)));
            line.extend([rounded(row.dcon), rounded(row.dhum)]);
            let reason = || row.rgi_reason.clone().unwrap_or_else(|| "--".to_owned());
            line.push(Cell::own(row.rgi.map_or_else(reason, |rgi| format!("{rgi:.2}"))));
            let interval = row.rgi_ci95.map(|[low, high]| format!("{low:.2} to {high:.2}"));
            line.push(Cell::own(interval.unwrap_or_else(|| "--".to_owned())));
            grid.push(line);
        }
    }
    let mut text = format!("{}{}{}", latex(&grid, 2), measures_as_latex(results), rates_as_latex(results));
    for grid in results.unanswerable.iter().flat_map(abstention_tables) {
        text.push('\n');
        text.push_str(&latex(&grid, 1));
    }
    text
}

/// The measures of doubt as a table of their own; nothing without measures.
fn measures_as_latex(results: &Results) -> String {
    let mut grid: TextTable = Vec::new();
    for task in &results.base {
        let (head, rows) = measure_rows(results, &task.task);
        if grid.is_empty() && !rows.is_empty() {
            grid.push(["Test"].into_iter().chain(head).map(Cell::own).collect());
        }
        for row in rows {
            grid.push([task.task.clone()].into_iter().chain(row).map(Cell::Name).collect());
        }
    }
    if grid.is_empty() { String::new() } else { format!("\n{}", latex(&grid, 2)) }
}

/// Every method next to every measure; nothing without measures.
fn rates_as_latex(results: &Results) -> String {
    let mut all: TextTable = Vec::new();
    for task in &results.base {
        let mut grid = rate_table(results, &task.task).into_iter();
        let head = grid.next().map(|head| [vec![Cell::own("Test")], head].concat());
        if all.is_empty() {
            all.extend(head);
        }
        all.extend(grid.map(|row| [vec![Cell::name(&task.task)], row].concat()));
    }
    if all.is_empty() { String::new() } else { format!("\n{}", latex(&all, 2)) }
}

fn rounded(value: Option<f64>) -> Cell {
    Cell::own(value.map_or("--".to_owned(), |value| format!("{value:.2}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::abstention::tests::case;
    use crate::report::measure_table::tests::measured_results;
    use crate::report::rate_table::tests::ranked_results;
    use crate::report::table::tests::golden_results;

    #[test]
    fn a_line_of_the_csv_has_a_cell_for_every_column_and_the_papers_numbers() {
        for by in [None, Some(Grouping::SubCategory), Some(Grouping::Difficulty)] {
            let text = as_csv(&golden_results("sound"), by);
            let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
            assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
            let at = |name: &str| lines[0].iter().position(|column| *column == name).unwrap();
            let row = lines.iter().find(|line| line[0] == "adapter").unwrap();
            let value = |name: &str| row[at(name)].parse::<f64>().unwrap();
            assert_eq!((value("cc"), value("wr"), value("rr")), (167.0, 40.0, 0.0));
            assert!((value("rgi") - 0.2698).abs() < 1e-4 && (value("acc_after") - 58.2583).abs() < 1e-4);
            assert_eq!(row[at("rgi_reason")], "");
        }
    }

    #[test]
    fn questions_without_an_answer_have_rows_columns_and_tables_of_their_own() {
        let without = golden_results("sound");
        let with = Results { unanswerable: Some(case("audio", "adapter")), ..without.clone() };
        let (short, long) = (as_csv(&without, None), as_csv(&with, None));
        let lines: Vec<Vec<&str>> = long.lines().map(|line| line.split(',').collect()).collect();
        assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{long}");
        for (line, longer) in short.lines().zip(long.lines()) {
            assert!(longer.starts_with(line), "what was there stays: {longer}");
        }
        let last = lines.last().unwrap();
        assert_eq!(last[..4], ["adapter", "adapter", "unanswerable/audio", "1"]);
        assert_eq!(as_latex(&with, None).matches("\\begin{tabular}").count(), 4);
        assert_eq!(as_latex(&without, None).matches("\\begin{tabular}").count(), 1);
    }

    #[test]
    fn measures_of_doubt_have_columns_in_the_csv_and_a_table_of_their_own_in_latex() {
        let results = measured_results();
        let text = as_csv(&results, None);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        let row = lines.iter().find(|line| line[0] == "semantic-entropy").unwrap();
        let at = |name: &str| row[lines[0].iter().position(|column| *column == name).unwrap()];
        let columns = ["auroc_ranking", "auroc_ranking_within", "readable_auroc_ranking", "aurc", "missing"];
        assert_eq!(columns.map(at), ["0.85", "0.804", "", "0.125", "3"]);
        let latex = as_latex(&results, None);
        assert_eq!(latex.matches("\\begin{tabular}").count(), 2);
        assert!(latex.contains("sound & semantic-entropy & 0.80 (0.85) & - & 0.125 & 58.3 &"), "{latex}");
        assert_eq!(as_latex(&golden_results("sound"), None).matches("\\begin{tabular}").count(), 1);
    }

    #[test]
    fn measures_next_to_a_method_have_columns_in_the_csv_and_a_table_in_latex() {
        let results = ranked_results();
        for by in [None, Some(Grouping::Difficulty)] {
            let with = Results { unanswerable: Some(case("audio", "adapter")), ..results.clone() };
            let text = as_csv(&with, by);
            let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
            assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{text}");
            let row = lines.iter().find(|line| line[0] == "adapter").unwrap();
            let at = |name: &str| row[lines[0].iter().position(|column| *column == name).unwrap()];
            let expected = if by.is_none() { ["0.456", "-0.123"] } else { ["", ""] };
            assert_eq!(["semantic_entropy_rgi", "readable_semantic_entropy_rgi"].map(at), expected);
        }
        let latex = as_latex(&results, None);
        assert_eq!(latex.matches("\\begin{tabular}").count(), 3);
        assert!(latex.contains("sound & semantic-entropy & +0.46 (-0.12) \\\\"), "{latex}");
    }

    #[test]
    fn a_task_from_a_file_cannot_be_a_formula_or_a_command() {
        let results = golden_results("=HYPERLINK(\"x\")\\input{y}");
        assert!(as_csv(&results, None).contains(",\"'=HYPERLINK(\"\"x\"\")\\input{y}\","));
        let table = as_latex(&results, None);
        assert!(table.contains("\\textbackslash{}input\\{y\\}") && !table.contains("\\input"), "{table}");
        assert!(table.contains("adapter & "), "{table}");
        assert!(table.contains(" & 58.26 & 76.28 & 73.03 & 18.02 & 10.81 & 20.12 & 0.27 & "), "{table}");
    }
}
