//! A sweep as a Markdown table for a terminal.

use crate::grid::{Cell, markdown};
use crate::sweep::{Sweep, SweepKind, SweepPoint, SweepSet};
use crate::table::percent;

/// Most rows of a table; a longer sweep is printed in steps.
const MAX_ROWS: usize = 16;

/// The sweep as a table: shares in percent, RGI with its 95 % interval, a star at the value that was picked.
pub fn sweep_table(sweep: &Sweep) -> String {
    let header = [sweep.parameter.as_str(), "Acc", "refused", "Tru", "Rel", "RGI [95 %]"];
    let mut grid = vec![header.map(Cell::own).to_vec()];
    let step = sweep.points.len().div_ceil(MAX_ROWS).max(1);
    for (index, point) in sweep.points.iter().enumerate() {
        let is_last = index + 1 == sweep.points.len();
        if index % step == 0 || is_last || is_picked(sweep, point) {
            grid.push(row(sweep, point));
        }
    }
    let set = match sweep.set {
        SweepSet::Val => "val",
        SweepSet::Test => "test",
    };
    let mut text = format!(
        "{} sweep on {set}, {} questions; base Acc {} %\n\n{}",
        sweep.parameter,
        sweep.questions,
        percent(sweep.base.acc),
        markdown(&grid)
    );
    if let Some(picked) = &sweep.picked {
        text.push_str(&format!("* {}\n", picked.why));
    }
    text
}

fn is_picked(sweep: &Sweep, point: &SweepPoint) -> bool {
    sweep.picked.as_ref().is_some_and(|picked| picked.value == point.value)
}

fn row(sweep: &Sweep, point: &SweepPoint) -> Vec<Cell> {
    let value = match sweep.kind {
        SweepKind::Threshold => format!("{:.3}", point.value),
        SweepKind::Alpha | SweepKind::K => point.value.to_string(),
    };
    let star = if is_picked(sweep, point) { " *" } else { "" };
    let rgi = match (point.rgi, point.rgi_low, point.rgi_high) {
        (Some(rgi), Some(low), Some(high)) => format!("{rgi:+.2} [{low:+.2},{high:+.2}]"),
        (Some(rgi), ..) => format!("{rgi:+.2}"),
        (None, ..) => point.rgi_reason.clone().unwrap_or_else(|| "-".to_owned()),
    };
    let mut cells = vec![value + star];
    cells.extend([point.acc, point.refusal_rate, point.tru, point.rel].map(percent));
    cells.push(rgi);
    cells.into_iter().map(Cell::Own).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sweep::Picked;

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
        let mut sweep = sweep(SweepKind::Alpha, [0.0, 0.5, 1.0].into_iter());
        sweep.picked = Some(Picked { value: 0.5, why: "because".to_owned() });
        let table = sweep_table(&sweep);
        assert!(table.starts_with("alpha sweep on val, 300 questions; base Acc 61.0 %\n"), "{table}");
        let cells = |line: &str| {
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<String>> =
            table.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect();
        assert_eq!(rows[0], ["0", "50.0", "30.0", "80.0", "71.0", "changed nothing"]);
        assert_eq!(rows[1], ["0.5 *", "50.0", "30.0", "80.0", "71.0", "+0.25 [-0.05,+0.50]"]);
        assert!(rows.len() == 3 && table.ends_with("* because\n"), "{table}");
    }

    #[test]
    fn a_long_curve_is_printed_in_steps_with_its_ends_and_the_picked_value() {
        let mut sweep = sweep(SweepKind::Threshold, (0..=50).map(|step| f64::from(step) / 50.0));
        sweep.picked = Some(Picked { value: 0.14, why: "fitted".to_owned() });
        let table = sweep_table(&sweep);
        let rows = table.lines().filter(|line| line.starts_with('|')).count() - 2;
        assert!(rows <= MAX_ROWS + 2, "{rows}");
        assert!(["| 0.000", "| 1.000", "| 0.140 *"].iter().all(|row| table.contains(row)), "{table}");
    }
}
