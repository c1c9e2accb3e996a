//! The grids of a run: plots, the picked value in words, and the numbers.

use idk_questions::metrics::show_signed;

use crate::compare::methods::ALL;
use crate::grid::cell::{GridScore, GridValue};
use crate::grid::file::Grid;
use crate::grid::kind::{GridKind, GridSet};
use crate::grid::spread::Spread;
use crate::report::plot::draw::escape::escape;
use crate::report::plot::grid_curves::{curves, questions};
use crate::report::plot::heat::heat;
use crate::report::table::percent;

use super::page::{figure, figures, paragraph, row, section, table, wide};

/// A section for every kind of grid; nothing without grids.
pub(super) fn sections(grids: &[Grid]) -> String {
    let of = |kind: GridKind| {
        let of_kind = || grids.iter().filter(move |grid| grid.kind == kind);
        let parts = [picked, plots, numbers].map(|part| of_kind().map(part).collect::<String>());
        let names = kind.names();
        section(names.heading, names.note, &parts.concat())
    };
    GridKind::ALL.map(of).concat()
}

fn picked(grid: &Grid) -> String {
    match &grid.picked {
        // A grid of the test set repeats what was picked on val.
        Some(picked) if grid.set == GridSet::Val => {
            paragraph(&format!("Picked: {} = {} ({}).", grid.kind.name(), picked.value, picked.why))
        }
        _ => String::new(),
    }
}

/// A curve over a number, a heat map of names.
fn plots(grid: &Grid) -> String {
    match grid.kind {
        GridKind::Transfer => format!("<div class=\"scroll\" tabindex=\"0\">{}</div>\n", wide(&heat(grid))),
        _ => figures(&curves(grid).map(|plot| figure(&plot, ""))),
    }
}

/// A row for each number on all tasks, for each name and task; then one for each of several seeds.
fn numbers(grid: &Grid) -> String {
    let is_transfer = grid.kind == GridKind::Transfer;
    let tests = if is_transfer { grid.tests() } else { vec![ALL.to_owned()] };
    let axis = if is_transfer { "trained on → tested on" } else { grid.kind.name() };
    let mut head = vec![axis, "seed", "Acc", "Tru", "Rel", "refused", "RGI [95 %]", "random"];
    if grid.seeds().is_empty() {
        head.remove(1);
    }
    let mut rows = String::new();
    for value in grid.values() {
        for test in &tests {
            let name = if is_transfer { format!("{value} → {test}") } else { value.to_string() };
            rows.push_str(&value_rows(grid, value, test, &name));
        }
    }
    format!("<details><summary>{}</summary>\n{}</details>\n", escape(&questions(grid)), table(&head, &rows))
}

fn value_rows(grid: &Grid, value: &GridValue, test: &str, name: &str) -> String {
    let spread = grid.spread(value, test);
    let of_value = grid.cells.iter().filter(|cell| cell.value == *value);
    let mut rows = String::new();
    if spread.0.len() > 1 {
        rows.push_str(&row("first", name, &mean_cells(&spread)));
    }
    for cell in of_value {
        let Some(score) = cell.tasks.get(test) else { continue };
        let class = if grid.is_picked(value) { "chosen" } else { "" };
        let seed = cell.seed.map(|seed| seed.to_string());
        rows.push_str(&row(class, name, &cells(seed, score, score.rgi_text())));
    }
    rows
}

fn mean_cells(spread: &Spread<'_>) -> Vec<String> {
    let mean = GridScore {
        acc: spread.mean(|score| score.acc),
        tru: spread.mean(|score| score.tru),
        rel: spread.mean(|score| score.rel),
        refusal_rate: spread.mean(|score| score.refusal_rate),
        random_rgi: spread.mean(|score| score.random_rgi),
        ..GridScore::default()
    };
    let hull = spread.hull().map_or(String::new(), |[low, high]| format!(" [{low:+.2},{high:+.2}]"));
    cells(Some("mean".to_owned()), &mean, spread.rgi_text() + &hull)
}

fn cells(seed: Option<String>, score: &GridScore, rgi: String) -> Vec<String> {
    let mut cells: Vec<String> = seed.into_iter().collect();
    cells.extend([score.acc, score.tru, score.rel, score.refusal_rate].map(percent));
    cells.extend([rgi, show_signed(score.random_rgi, 2)]);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::file::tests::{sweep, transfer};

    #[test]
    fn a_sweep_has_its_plots_its_numbers_and_what_was_picked() {
        let val = sweep("sound");
        let html = sections(&[val.clone(), Grid { set: GridSet::Test, ..val }]);
        assert_eq!((html.matches("<h2>").count(), html.matches("role=\"img\"").count()), (1, 4));
        assert_eq!(html.matches("Picked: adapter_scale = 0.5 (best).").count(), 1, "{html}");
        let cells =
            ["55.0", "65.0", "62.0", "10.0", "+0.30 [+0.20,+0.40]"].map(|cell| format!("<td>{cell}</td>"));
        assert!(html.contains(&cells.concat()) && html.contains("<td>lost nothing</td>"), "{html}");
        assert_eq!(sections(&[]), "");
    }

    #[test]
    fn a_transfer_experiment_has_its_heat_map_and_the_mean_before_every_seed() {
        let html = sections(&[transfer("music")]);
        assert_eq!((html.matches("<h2>").count(), html.matches("role=\"img\"").count()), (1, 1));
        let cells = ["mean", "30.0", "65.0", "62.0", "50.0", "+0.30 ± 0.14 [-0.10,+0.60]", "-"];
        assert!(html.contains(&cells.map(|cell| format!("<td>{cell}</td>")).concat()), "{html}");
        assert_eq!(html.matches("<th scope=\"row\">sound → sound</th>").count(), 3);
    }

    #[test]
    fn every_row_is_as_long_as_the_head() {
        for html in [numbers(&sweep("sound")), numbers(&transfer("music"))] {
            let columns =
                html.lines().find(|line| line.starts_with("<thead>")).unwrap().matches("<th").count() - 1;
            for line in html.lines().filter(|line| line.contains("scope=\"row\"")) {
                assert_eq!(line.matches("<td>").count() + 1, columns, "{line}");
            }
        }
    }
}
