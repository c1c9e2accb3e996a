//! The heat map of a grid of names: what an adapter was trained on, what it was tested on, and RGI.

use idk_common::text::ellipsis;
use idk_questions::metrics::show_with;

use crate::grid::file::Grid;
use crate::grid::spread::Spread;

use super::draw::shape::{Shape, rectangle, text};
use super::draw::style::STEPS;
use super::draw::{Key, MARK, Plot};

/// RGI from one strength to the next; from `STEPS` of them on the colour stays.
const PER_STEP: f64 = 0.1;

/// Left and upper edge of the cells.
const LEFT: f64 = 92.0;
const TOP: f64 = 44.0;
/// Width and height of a cell, and the gap to the next.
const CELL: [f64; 2] = [116.0, 62.0];
const GAP: f64 = 3.0;
/// Characters of a name that fit.
const MAX_CHARS: usize = 14;

/// The heat map.
pub(crate) fn heat(grid: &Grid) -> Plot {
    let (values, tests) = (grid.values(), grid.tests());
    let x = |column: usize| LEFT + column as f64 * (CELL[0] + GAP);
    let y = |row: usize| TOP + row as f64 * (CELL[1] + GAP);
    let width = x(tests.len()) - GAP;
    let mut shapes = vec![
        text(f64::midpoint(LEFT, width), 12.0, "middle faint", "tested on"),
        text(0.0, TOP - 10.0, "faint", grid.kind.names().axis),
    ];
    for (column, test) in tests.iter().enumerate() {
        let middle = x(column) + CELL[0] / 2.0;
        shapes.push(text(middle, TOP - 10.0, "middle strong", &ellipsis(test, MAX_CHARS)));
    }
    for (row, value) in values.iter().enumerate() {
        let middle = y(row) + CELL[1] / 2.0 + 4.0;
        shapes.push(text(0.0, middle, "strong", &ellipsis(&value.to_string(), MAX_CHARS)));
        for (column, test) in tests.iter().enumerate() {
            let names = format!("trained on {value}, tested on {test}");
            shapes.extend(cell_shapes(&grid.spread(value, test), &names, [x(column), y(row)]));
        }
    }
    let bottom = y(values.len()) + 14.0;
    shapes.push(text(0.0, bottom, "faint", "base Acc"));
    for (column, test) in tests.iter().enumerate() {
        let acc = show_with(grid.base_acc_of(test), |acc| format!("{acc:.1} %"));
        shapes.push(text(x(column) + CELL[0] / 2.0, bottom, "middle faint", &acc));
    }
    let what = match grid.seeds().len() {
        0 | 1 => "[ ] its 95 % interval".to_owned(),
        seeds => format!("± spread of {seeds} seeds, [ ] lowest to highest end of their 95 % intervals"),
    };
    shapes.push(text(LEFT, bottom + 22.0, "small faint", &what));
    let title = "RGI of every adapter on every test set".to_owned();
    let size = [width, bottom + 30.0];
    Plot { file: grid.kind.name().to_owned(), label: title.clone(), title, size, shapes, key: key() }
}

/// The class of a value's colour: none at zero, stronger step by step away from it.
fn class(rgi: Option<f64>) -> String {
    // A value that is printed as zero has no colour.
    let rgi = rgi.map(|rgi| (100.0 * rgi).round() / 100.0);
    let strength = |rgi: f64| ((rgi.abs() / PER_STEP - 1e-9).ceil() as usize).clamp(1, STEPS);
    match rgi {
        Some(rgi) if rgi > 0.0 => format!("gain{}", strength(rgi)),
        Some(rgi) if rgi < 0.0 => format!("loss{}", strength(rgi)),
        _ => "blank".to_owned(),
    }
}

/// The cell with its mean, spread, interval and share refused.
fn cell_shapes(spread: &Spread<'_>, names: &str, [left, top]: [f64; 2]) -> Vec<Shape> {
    let middle = left + CELL[0] / 2.0;
    let title = format!("{names}: {}", spread.text());
    let mut shapes = vec![rectangle([left, top], CELL[0], CELL[1], &class(spread.rgi())).titled(title)];
    let value = spread.rgi().map_or("undefined".to_owned(), |mean| format!("{mean:+.2}"));
    let std = spread.rgi_std().map_or(String::new(), |std| format!(" ± {std:.2}"));
    shapes.push(text(middle, top + 21.0, "middle strong", &(value + &std)));
    let interval = show_with(spread.hull(), |[low, high]| format!("[{low:+.2}, {high:+.2}]"));
    shapes.push(text(middle, top + 37.0, "middle small", &interval));
    let refused = format!("{} refused", spread.refused_text());
    shapes.push(text(middle, top + 52.0, "middle small", &refused));
    shapes
}

/// The scale, from the strongest loss over zero to the strongest gain.
fn key() -> Vec<Key> {
    let strongest = STEPS as f64 * PER_STEP;
    [-strongest, -2.0 * PER_STEP, 0.0, 2.0 * PER_STEP, strongest]
        .map(|value| {
            let name = match value {
                value if value <= -strongest => format!("{value:+.1} or less"),
                value if value >= strongest => format!("{value:+.1} or more"),
                0.0 => "0".to_owned(),
                value => format!("{value:+.1}"),
            };
            Key { mark: vec![rectangle([0.0, 0.0], MARK[0], MARK[1], &class(Some(value)))], name }
        })
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::file::tests::transfer;
    use crate::report::plot::draw::svg::inline;

    #[test]
    fn colours_are_even_around_zero_and_zero_has_none() {
        let classes = [0.0, 0.004, 0.05, 0.1, 0.11, 0.5, 9.0].map(|rgi| class(Some(rgi)));
        assert_eq!(classes, ["blank", "blank", "gain1", "gain1", "gain2", "gain5", "gain5"]);
        assert_eq!([-0.05, -0.5].map(|rgi| class(Some(rgi))), ["loss1", "loss5"]);
        assert_eq!(class(None), "blank");
    }

    #[test]
    fn every_cell_has_its_mean_spread_interval_and_share_refused() {
        let svg = inline(&heat(&transfer("music")));
        for part in
            [">+0.30 ± 0.14</text>", ">[-0.10, +0.60]</text>", ">50 % refused</text>", ">undefined</text>"]
        {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 4);
        assert!(svg.contains("class=\"loss5\"") && svg.contains(">55.0 %</text>"), "{svg}");
    }

    #[test]
    fn names_of_tasks_cannot_hold_markup() {
        let svg = inline(&heat(&transfer("<img src=x>")));
        assert!(!svg.contains("<img") && svg.contains("&lt;img"), "{svg}");
    }
}
