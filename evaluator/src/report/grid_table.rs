//! A sweep as a Markdown table for a terminal.

use std::collections::BTreeSet;
use std::path::Path;

use crate::compare::methods::task_names;
use crate::report::text_table::{Cell, markdown};
use crate::report::table::{name, percent};
use crate::grid::file::{Sweep, SweepKind, SweepPoint, SweepSet, sweep_file};
use idk_questions::metrics::{show_rgi, show_signed};

/// Most rows of a table; a longer sweep is printed in steps.
const MAX_ROWS: usize = 16;
/// Most tasks with a column of their own.
const MAX_TASKS: usize = 4;

/// The sweep as a table: shares in percent, RGI with its 95 % interval and, where there are several tasks, of each of
/// them; a star at the value that was picked.
pub fn sweep_table(sweep: &Sweep) -> String {
    let header = [sweep.parameter.as_str(), "Acc", "refused", "Tru", "Rel", "RGI [95 %]"];
    let tasks = tasks(sweep);
    let mut grid = vec![header.map(Cell::own).to_vec()];
    grid[0].extend(tasks.iter().map(|task| Cell::own(name(task))));
    let step = sweep.points.len().div_ceil(MAX_ROWS).max(1);
    for (index, point) in sweep.points.iter().enumerate() {
        let is_last = index + 1 == sweep.points.len();
        if index % step == 0 || is_last || is_picked(sweep, point) {
            grid.push(row(sweep, point, &tasks));
        }
    }
    let set = match sweep.set {
        SweepSet::Val => "val",
        SweepSet::Test => "test",
    };
    let right = if tasks.is_empty() { "" } else { "; to the right: RGI of each task" };
    let mut text = format!(
        "{} sweep on {set}, {} questions; base Acc {} %{right}\n\n{}",
        sweep.parameter,
        sweep.questions,
        percent(sweep.base.acc),
        markdown(&grid)
    );
    let left_out = sweep.points.len() - (grid.len() - 1);
    if left_out > 0 {
        text.push_str(&format!(
            "{left_out} of the {} values are left out here; {} has them all.\n",
            sweep.points.len(),
            sweep_file(Path::new(""), sweep.kind, sweep.set).display()
        ));
    }
    if let Some(picked) = &sweep.picked {
        text.push_str(&format!("* {}\n", picked.why));
    }
    text
}

fn is_picked(sweep: &Sweep, point: &SweepPoint) -> bool {
    sweep.picked.as_ref().is_some_and(|picked| picked.value == point.value)
}

/// The tasks in the papers' order; none if there is one only.
fn tasks(sweep: &Sweep) -> Vec<String> {
    let names: BTreeSet<&str> =
        sweep.points.iter().flat_map(|point| point.by_task.keys().map(String::as_str)).collect();
    if names.len() < 2 {
        return Vec::new();
    }
    let mut names = task_names(names.into_iter());
    names.truncate(MAX_TASKS);
    names
}

fn row(sweep: &Sweep, point: &SweepPoint, tasks: &[String]) -> Vec<Cell> {
    let value = match sweep.kind {
        SweepKind::Threshold => format!("{:.3}", point.value),
        SweepKind::AdapterScale | SweepKind::K => point.value.to_string(),
    };
    let star = if is_picked(sweep, point) { " *" } else { "" };
    let rgi = show_rgi(point.rgi, point.interval(), point.rgi_reason.as_deref());
    let mut cells = vec![value + star];
    cells.extend([point.acc, point.refusal_rate, point.tru, point.rel].map(percent));
    cells.push(rgi);
    cells.extend(tasks.iter().map(|task| show_signed(point.by_task.get(task).and_then(|of| of.rgi), 2)));
    cells.into_iter().map(Cell::Own).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::grid::file::{Picked, TaskPoint};

    fn sweep(kind: SweepKind, values: impl Iterator<Item = f64>) -> Sweep {
        let point = |value| SweepPoint {
            value,
            acc: Some(50.0),
            tru: Some(80.0),
            rel: Some(71.0),
            refusal_rate: Some(30.0),
            rgi: (value > 0.0).then_some(0.25),
            rgi_reason: (value <= 0.0).then(|| "changed nothing".to_owned()),
            rgi_low: (value > 0.0).then_some(-0.05),
            rgi_high: (value > 0.0).then_some(0.5),
            by_task: BTreeMap::new(),
        };
        Sweep::new(kind, SweepSet::Val, 300, Some(61.0), values.map(point).collect())
    }

    #[test]
    fn every_value_has_a_row_and_the_picked_one_a_star() {
        let mut sweep = sweep(SweepKind::AdapterScale, [0.0, 0.5, 1.0].into_iter());
        sweep.picked = Some(Picked { value: 0.5, why: "because".to_owned() });
        let table = sweep_table(&sweep);
        assert!(table.starts_with("adapter_scale sweep on val, 300 questions; base Acc 61.0 %\n"), "{table}");
        let cells = |line: &str| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<String>> =
            table.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect();
        assert_eq!(rows[0], ["0", "50.0", "30.0", "80.0", "71.0", "changed nothing"]);
        assert_eq!(rows[1], ["0.5 *", "50.0", "30.0", "80.0", "71.0", "+0.25 [-0.05,+0.50]"]);
        assert!(!table.contains("left out"), "{table}");
        assert!(rows.len() == 3 && table.ends_with("* because\n"), "{table}");
    }

    #[test]
    fn several_tasks_have_a_column_each_and_their_names_cannot_break_the_table() {
        let mut sweep = sweep(SweepKind::K, [1.0].into_iter());
        let of = |rgi| TaskPoint { acc: None, refusal_rate: None, rgi };
        sweep.points[0].by_task = [("speech", of(Some(-0.5))), ("sound", of(None)), ("a|b", of(Some(1.0)))]
            .map(|(name, point)| (name.to_owned(), point))
            .into();
        let table = sweep_table(&sweep);
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
        assert!(rows[0].ends_with(" sound | speech |   a/b |"), "{table}");
        assert!(rows[2].ends_with("     - |  -0.50 | +1.00 |"), "{table}");
    }

    #[test]
    fn a_long_curve_is_printed_in_steps_with_its_ends_and_the_picked_value() {
        let mut sweep = sweep(SweepKind::Threshold, (0..=50).map(|step| f64::from(step) / 50.0));
        sweep.picked = Some(Picked { value: 0.14, why: "fitted".to_owned() });
        let table = sweep_table(&sweep);
        let rows = table.lines().filter(|line| line.starts_with('|')).count() - 2;
        assert!(rows <= MAX_ROWS + 2, "{rows}");
        let said =
            format!("{} of the 51 values are left out here; sweep/threshold.json has them all", 51 - rows);
        assert!(table.contains(&said), "{table}");
        assert!(["| 0.000", "| 1.000", "| 0.140 *"].iter().all(|row| table.contains(row)), "{table}");
    }
}
