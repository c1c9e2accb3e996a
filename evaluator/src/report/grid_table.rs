//! A grid as a Markdown table for a terminal.

use std::path::Path;

use idk_questions::metrics::{show_signed, show_with};

use crate::compare::methods::ALL;
use crate::grid::cell::{GridCell, GridValue};
use crate::grid::file::{Grid, grid_file};
use crate::grid::kind::GridKind;
use crate::report::table::{name, percent};
use crate::report::text_table::{Cell, TextTable, markdown};

/// Most rows of a table; a longer grid is printed in steps.
const MAX_ROWS: usize = 16;
/// Most tasks with a column of their own, where there are other columns.
const MAX_TASKS: usize = 4;

/// The grid as a table. Numbers: shares in percent, RGI with its 95 % interval and, where there are several tasks, of
/// each of them; a star at the value that was picked. Names: a column for each task with RGI and share refused, the
/// base model's accuracy last.
pub fn grid_table(grid: &Grid) -> String {
    match grid.kind {
        GridKind::Transfer => matrix(grid),
        GridKind::AdapterScale | GridKind::RefusalOffset | GridKind::Threshold | GridKind::K => list(grid),
    }
}

/// How the seeds are summed up, in words.
pub(crate) fn of_seeds(grid: &Grid) -> String {
    match grid.seeds().len() {
        0 | 1 => "one seed".to_owned(),
        seeds => format!("mean ± standard deviation of {seeds} seeds"),
    }
}

fn matrix(grid: &Grid) -> String {
    let tests = grid.tests();
    let line = |first: Cell, cell: &dyn Fn(&str) -> Cell| {
        [first].into_iter().chain(tests.iter().map(|test| cell(test))).collect::<Vec<_>>()
    };
    let mut rows: TextTable = vec![line(Cell::own(""), &Cell::name)];
    for value in grid.values() {
        let cell = |test: &str| Cell::Own(grid.spread(value, test).text());
        rows.push(line(Cell::Name(value.to_string()), &cell));
    }
    let base = |test: &str| Cell::Own(show_with(grid.base_acc_of(test), |acc| format!("{acc:.1} %")));
    rows.push(line(Cell::own("base Acc"), &base));
    let (axis, seeds) = (grid.kind.names().axis, of_seeds(grid));
    format!(
        "RGI ({seeds}) and share refused; rows: {axis}, columns: tested on\n\n{}",
        markdown(&rows).trim_end()
    )
}

fn list(grid: &Grid) -> String {
    let kind = grid.kind.name();
    let mut tasks = grid.tasks();
    // The one task is what all of them are.
    tasks.truncate(if tasks.len() < 2 { 0 } else { MAX_TASKS });
    let mut rows: TextTable =
        vec![[kind, "Acc", "refused", "Tru", "Rel", "RGI [95 %]"].map(Cell::own).to_vec()];
    rows[0].extend(tasks.iter().map(|task| Cell::own(name(task))));
    let step = grid.cells.len().div_ceil(MAX_ROWS).max(1);
    for (index, cell) in grid.cells.iter().enumerate() {
        let is_last = index + 1 == grid.cells.len();
        if index % step == 0 || is_last || grid.is_picked(&cell.value) {
            rows.push(row(grid, cell, &tasks));
        }
    }
    let right = if tasks.is_empty() { "" } else { "; to the right: RGI of each task" };
    let mut text = format!(
        "{kind} sweep on {}, {} questions; base Acc {} %{right}\n\n{}",
        grid.set.name(),
        grid.questions,
        percent(grid.base_acc_of(ALL)),
        markdown(&rows)
    );
    let left_out = grid.cells.len() - (rows.len() - 1);
    if left_out > 0 {
        text.push_str(&format!(
            "{left_out} of the {} values are left out here; {} has them all.\n",
            grid.cells.len(),
            grid_file(Path::new(""), grid.kind, grid.set).display()
        ));
    }
    if let Some(picked) = &grid.picked {
        text.push_str(&format!("* {}\n", picked.why));
    }
    text
}

fn row(grid: &Grid, cell: &GridCell, tasks: &[String]) -> Vec<Cell> {
    let value = match (grid.kind, &cell.value) {
        (GridKind::Threshold, GridValue::Number(value)) => format!("{value:.3}"),
        (GridKind::RefusalOffset, GridValue::Number(value)) => format!("{value:+.3}"),
        (_, value) => value.to_string(),
    };
    let star = if grid.is_picked(&cell.value) { " *" } else { "" };
    let all = cell.tasks.get(ALL).cloned().unwrap_or_default();
    let mut cells = vec![value + star];
    cells.extend([all.acc, all.refusal_rate, all.tru, all.rel].map(percent));
    cells.push(all.rgi_text());
    cells.extend(tasks.iter().map(|task| show_signed(cell.tasks.get(task).and_then(|of| of.rgi), 2)));
    cells.into_iter().map(Cell::Own).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::grid::cell::GridScore;
    use crate::grid::file::Picked;
    use crate::grid::file::tests::transfer;
    use crate::grid::kind::GridSet;

    fn sweep(kind: GridKind, values: impl Iterator<Item = f64>) -> Grid {
        let cell = |value: f64| {
            let is_changed = value > 0.0;
            let score = GridScore {
                acc: Some(50.0),
                tru: Some(80.0),
                rel: Some(71.0),
                refusal_rate: Some(30.0),
                rgi: is_changed.then_some(0.25),
                rgi_reason: (!is_changed).then(|| "changed nothing".to_owned()),
                rgi_ci95: is_changed.then_some([-0.05, 0.5]),
                random_rgi: None,
            };
            GridCell { value: value.into(), seed: None, tasks: BTreeMap::from([(ALL.to_owned(), score)]) }
        };
        let base_acc = BTreeMap::from([(ALL.to_owned(), Some(61.0))]);
        Grid::new(kind, GridSet::Val, 300, base_acc, values.map(cell).collect())
    }

    fn rows(table: &str) -> Vec<Vec<String>> {
        let cells = |line: &str| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        table.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect()
    }

    #[test]
    fn every_value_has_a_row_and_the_picked_one_a_star() {
        let mut grid = sweep(GridKind::AdapterScale, [0.0, 0.5, 1.0].into_iter());
        grid.picked = Some(Picked { value: 0.5, why: "because".to_owned() });
        let table = grid_table(&grid);
        assert!(table.starts_with("adapter_scale sweep on val, 300 questions; base Acc 61.0 %\n"), "{table}");
        let rows = rows(&table);
        assert_eq!(rows[0], ["0", "50.0", "30.0", "80.0", "71.0", "changed nothing"]);
        assert_eq!(rows[1], ["0.5 *", "50.0", "30.0", "80.0", "71.0", "+0.25 [-0.05,+0.50]"]);
        assert!(!table.contains("left out"), "{table}");
        assert!(rows.len() == 3 && table.ends_with("* because\n"), "{table}");
    }

    #[test]
    fn several_tasks_have_a_column_each_and_their_names_cannot_break_the_table() {
        let mut grid = sweep(GridKind::K, [1.0].into_iter());
        for (task, rgi) in [("speech", Some(-0.5)), ("sound", None), ("a|b", Some(1.0))] {
            grid.cells[0].tasks.insert(task.to_owned(), GridScore { rgi, ..GridScore::default() });
        }
        let table = grid_table(&grid);
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows[0].ends_with(" sound | speech |   a/b |"), "{table}");
        assert!(rows[2].ends_with("     - |  -0.50 | +1.00 |"), "{table}");
    }

    #[test]
    fn a_long_curve_is_printed_in_steps_with_its_ends_and_the_picked_value() {
        let mut grid = sweep(GridKind::Threshold, (0..=50).map(|step| f64::from(step) / 50.0));
        grid.picked = Some(Picked { value: 0.14, why: "fitted".to_owned() });
        let table = grid_table(&grid);
        let rows = rows(&table).len();
        assert!(rows <= MAX_ROWS + 2, "{rows}");
        let said =
            format!("{} of the 51 values are left out here; sweep/threshold.json has them all", 51 - rows);
        assert!(table.contains(&said), "{table}");
        assert!(["| 0.000", "| 1.000", "| 0.140 *"].iter().all(|row| table.contains(row)), "{table}");
    }

    #[test]
    fn a_matrix_has_a_row_for_each_training_set_and_names_what_is_undefined() {
        let table = grid_table(&transfer("music"));
        assert!(
            table.starts_with("RGI (mean ± standard deviation of 2 seeds) and share refused;"),
            "{table}"
        );
        assert_eq!(
            rows(&table),
            [
                ["sound", "+0.30 ± 0.14, 50 %", "+0.10 (1 undefined), 50 %"],
                ["music", "undefined, 50 %", "-0.50 ± 0.00, 50 %"],
                ["base Acc", "55.0 %", "-"],
            ]
        );
    }
}
