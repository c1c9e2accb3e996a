//! What is printed besides the main tables: groups, transitions, p-values.

use idk_common::text::ellipsis;
use idk_questions::metrics::{McNemar, show_with};

use crate::compare::groups::{GroupResult, Grouping};
use crate::compare::methods::{ALL, TaskResult};
use crate::compare::results::Results;
use crate::report::table::{change, percent, rgi_with_interval};
use crate::report::text_table::{Cell, TextTable, markdown};

/// Longest name of a group, so that a name from a file cannot widen the table.
const MAX_GROUP_CHARS: usize = 24;

fn title(grouping: Grouping) -> &'static str {
    match grouping {
        Grouping::SubCategory => "sub-category",
        Grouping::Difficulty => "difficulty",
    }
}

/// A table for each method, a row for each group; the base model's alone if there is no method.
pub(crate) fn group_tables(results: &Results, by: Grouping) -> String {
    let title = title(by);
    if results.methods.is_empty() {
        let groups = match by {
            Grouping::SubCategory => &results.base_sub_categories,
            Grouping::Difficulty => &results.base_difficulties,
        };
        let header = [title, "n", "Acc", "Tru", "Rel", "refused"];
        let mut grid: TextTable = vec![header.map(Cell::own).to_vec()];
        for row in groups {
            let shares = [row.counts.acc(), row.counts.tru(), row.counts.rel(), row.counts.refusal_rate()];
            let mut line = vec![group_cell(&row.group), Cell::own(row.counts.n.to_string())];
            line.extend(shares.map(|share| Cell::own(percent(share.map(|share| 100.0 * share)))));
            grid.push(line);
        }
        return format!("\nbase model by {title}:\n\n{}", markdown(&grid));
    }
    let table = |(name, groups): (&str, &[GroupResult])| {
        let header = [title, "n", "Acc", "Tru", "Rel", "refused", "dCon", "dHum", "RGI [95 %]"];
        let mut grid: TextTable = vec![header.map(Cell::own).to_vec()];
        grid.extend(groups.iter().map(group_line));
        format!("\n{name} by {title}, before→after:\n\n{}", markdown(&grid))
    };
    let groups = results.methods.iter().map(|method| match by {
        Grouping::SubCategory => (method.name.as_str(), method.sub_categories.as_slice()),
        Grouping::Difficulty => (method.name.as_str(), method.difficulties.as_slice()),
    });
    groups.map(table).collect()
}

fn group_cell(name: &str) -> Cell {
    Cell::Name(ellipsis(name, MAX_GROUP_CHARS))
}

fn group_line(row: &GroupResult) -> Vec<Cell> {
    let comparison = &row.comparison;
    let mut line = vec![group_cell(&row.group), Cell::own(comparison.n.to_string())];
    let pairs = [&comparison.acc, &comparison.tru, &comparison.rel, &comparison.refusal_rate];
    line.extend(pairs.map(|pair| Cell::own(change(pair))));
    line.extend([comparison.dcon, comparison.dhum].map(|share| Cell::own(percent(share))));
    line.push(Cell::own(rgi_with_interval(comparison)));
    line
}

/// For each method and task, how many answers went from one verdict to another.
pub(crate) fn transition_tables(results: &Results) -> String {
    let mut text = String::new();
    for method in &results.methods {
        let header = ["test", "before", "correct", "wrong", "refused"];
        let mut grid: TextTable = vec![header.map(Cell::own).to_vec()];
        grid.extend(method.tasks.iter().flat_map(transition_lines));
        text.push_str(&format!("\n{}, what became of every answer:\n\n{}", method.name, markdown(&grid)));
    }
    text
}

fn transition_lines(task: &TaskResult) -> Vec<Vec<Cell>> {
    let moved = &task.comparison.transition;
    let rows = [
        ("correct", [moved.cc, moved.cw, moved.cr]),
        ("wrong", [moved.wc, moved.ww, moved.wr]),
        ("refused", [moved.rc, moved.rw, moved.rr]),
    ];
    let line = |(before, after): (&str, [usize; 3])| {
        let mut line = vec![group_cell(&task.task), Cell::own(before)];
        line.extend(after.map(|count| Cell::own(count.to_string())));
        line
    };
    rows.into_iter().map(line).collect()
}

/// Every two that were compared, on all tasks together.
pub(crate) fn pair_table(results: &Results) -> String {
    let header = [
        "first",
        "second",
        "only first correct",
        "only second",
        "p",
        "only first not wrong",
        "only second",
        "p",
    ];
    let mut grid: TextTable = vec![header.map(Cell::own).to_vec()];
    for pair in results.pairs.iter().filter(|pair| pair.task == ALL) {
        let mut line = vec![group_cell(&pair.first), group_cell(&pair.second)];
        for test in [&pair.correct, &pair.not_wrong] {
            line.extend([test.only_first, test.only_second].map(|count| Cell::own(count.to_string())));
            line.push(Cell::own(p_value(test)));
        }
        grid.push(line);
    }
    if grid.len() == 1 {
        return String::new();
    }
    format!("\np-values, McNemar's exact test, not corrected for their number:\n\n{}", markdown(&grid))
}

fn p_value(test: &McNemar) -> String {
    match (test.p, &test.reason) {
        (Some(p), _) if p < 0.001 => "<0.001".to_owned(),
        (Some(p), _) => format!("{p:.3}"),
        (None, reason) => show_with(reason.clone(), |reason| reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::pairs::PairResult;
    use crate::report::table::tests::golden_results;

    #[test]
    fn groups_have_the_papers_numbers_and_fit_120_columns() {
        let results = golden_results("a task whose name is long");
        let text = group_tables(&results, Grouping::SubCategory);
        assert!(text.contains("adapter by sub-category") && text.contains("61.0→58.3"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        let alone = without_methods(results);
        let text = group_tables(&alone, Grouping::Difficulty);
        assert!(text.contains("base model by difficulty") && text.contains("61.0"), "{text}");
    }

    fn without_methods(results: Results) -> Results {
        Results { methods: Vec::new(), ..results }
    }

    #[test]
    fn a_transition_table_is_three_by_three() {
        let text = transition_tables(&golden_results("sound"));
        let cells = |before: &str| {
            let line =
                text.lines().find(|line| line.contains(&format!(" {before} |")) && line.contains("sound"));
            let cells: Vec<String> =
                line.unwrap().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            cells[2..].to_vec()
        };
        assert_eq!(cells("correct"), ["167", "16", "20"]);
        assert_eq!(cells("wrong"), ["27", "63", "40"]);
        assert_eq!(cells("refused"), ["0", "0", "0"]);
    }

    #[test]
    fn p_values_are_rounded_and_missing_ones_have_their_reason() {
        let test = |p: Option<f64>| McNemar {
            only_first: 7,
            only_second: 1,
            reason: p.is_none().then(|| "no difference".to_owned()),
            p,
        };
        let pair = |task: &str, correct, not_wrong| PairResult {
            task: task.to_owned(),
            first: "base".to_owned(),
            second: "k5".to_owned(),
            correct,
            not_wrong,
        };
        let mut results = golden_results("sound");
        assert_eq!(pair_table(&results), "");
        results.pairs = vec![
            pair("all", test(Some(0.0703)), test(Some(1e-9))),
            pair("all", test(None), test(Some(1.0))),
            pair("sound", test(Some(0.5)), test(Some(0.5))),
        ];
        let text = pair_table(&results);
        for part in ["0.070", "<0.001", "no difference", "1.000"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("0.500"), "only all tasks together: {text}");
    }
}
