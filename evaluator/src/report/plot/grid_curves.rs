//! What becomes of RGI, accuracy and refusals when a number is turned: two plots for every grid of numbers.

use crate::compare::methods::ALL;
use crate::grid::cell::GridScore;
use crate::grid::file::Grid;
use crate::grid::kind::GridSet;

use super::draw::axis::{Axis, Positions, short};
use super::draw::panel::{SMALL, WITHIN};
use super::draw::shape::{Shape, circle, line, polyline, text};
use super::draw::{Key, Plot, file_name};

/// A value of the scores on all tasks, if they have one.
type Value<'a> = &'a dyn Fn(&GridScore) -> Option<f64>;

/// RGI of a grid, and its accuracy and refusals.
pub(crate) fn curves(grid: &Grid) -> [Plot; 2] {
    [rgi(grid), shares(grid)]
}

/// `val, 600 questions`.
pub(crate) fn questions(grid: &Grid) -> String {
    let set = match grid.set {
        GridSet::Val => "val",
        GridSet::Test => "test set",
    };
    format!("{set}, {} questions", grid.questions)
}

fn positions(grid: &Grid) -> Positions {
    Positions::new(&numbers(grid), WITHIN)
}

fn numbers(grid: &Grid) -> Vec<f64> {
    grid.cells.iter().filter_map(|cell| cell.value.number()).collect()
}

/// A value of every cell on a task.
fn along(grid: &Grid, task: &str, value: Value<'_>) -> Vec<Option<f64>> {
    grid.cells.iter().map(|cell| value(cell.tasks.get(task)?)).collect()
}

fn across_name(grid: &Grid, positions: &Positions) -> String {
    let names = grid.kind.names();
    format!("{}, {}", names.axis, if positions.to_scale { names.meaning } else { "not to scale" })
}

fn rgi(grid: &Grid) -> Plot {
    let (positions, tasks) = (positions(grid), grid.tasks());
    let rgi_of = |task: &str| along(grid, task, &|score| score.rgi);
    // As in the table: no interval around an RGI that has no value.
    let end_of = |end: usize| along(grid, ALL, &|score| score.rgi.and(score.rgi_ci95).map(|ends| ends[end]));
    let (low, high) = (end_of(0), end_of(1));
    let mut values = vec![0.0];
    values.extend([&low, &high].into_iter().flatten().flatten());
    values.extend(grid.tests().iter().flat_map(|task| rgi_of(task)).flatten());
    let up = Axis::around(&values, 6, SMALL.up);
    let mut shapes = SMALL.frame(
        &up,
        "RGI: wrong avoided / right lost, log10",
        &positions.labels(),
        &across_name(grid, &positions),
    );
    let mut key = vec![Key::line("curve c1", "all, 95 % interval")];
    for (index, ends) in low.iter().zip(&high).enumerate() {
        if let (Some(low), Some(high)) = ends {
            let x = positions.at(index);
            shapes.push(line([x, up.at(*low)], [x, up.at(*high)], "whisker c1"));
        }
    }
    for (number, task) in tasks.iter().enumerate() {
        let class = format!("curve c{}", 2 + number % 6);
        shapes.extend(curve(&rgi_of(task), &positions, &up, &class));
        key.push(Key::line(&class, task));
    }
    shapes.extend(curve(&rgi_of(ALL), &positions, &up, "curve c1"));
    shapes.extend(dots(&numbers(grid), &rgi_of(ALL), &positions, &up, "dot c1"));
    shapes.extend(picked(grid, &positions));
    plot(grid, "rgi", "RGI", shapes, key)
}

fn shares(grid: &Grid) -> Plot {
    let positions = positions(grid);
    let up = Axis { values: [0.0, 100.0], pixels: SMALL.up, step: 20.0 };
    let mut shapes = SMALL.frame(&up, "percent", &positions.labels(), &across_name(grid, &positions));
    let mut key = Vec::new();
    if let Some(acc) = grid.base_acc_of(ALL) {
        shapes.push(line([WITHIN[0], up.at(acc)], [WITHIN[1], up.at(acc)], "base"));
        key.push(Key::line("base", "Acc of the base model"));
    }
    let all: [(&str, &str, Value<'_>); 3] = [
        ("c1", "Acc (right)", &|score| score.acc),
        ("c3", "Tru (right or refused)", &|score| score.tru),
        ("c2", "refused", &|score| score.refusal_rate),
    ];
    for (colour, name, value) in all {
        let (class, values) = (format!("curve {colour}"), along(grid, ALL, value));
        shapes.extend(curve(&values, &positions, &up, &class));
        shapes.extend(dots(&numbers(grid), &values, &positions, &up, &format!("dot {colour}")));
        key.push(Key::line(&class, name));
    }
    shapes.extend(picked(grid, &positions));
    plot(grid, "shares", "Accuracy and refusals", shapes, key)
}

fn plot(grid: &Grid, part: &str, what: &str, shapes: Vec<Shape>, key: Vec<Key>) -> Plot {
    let title = format!("{what} over {} ({})", grid.kind.names().title, questions(grid));
    let file = file_name(&["sweep", grid.kind.name(), grid.set.name(), part]);
    Plot { file, label: title.clone(), title, size: SMALL.size, shapes, key }
}

/// The lines between neighbouring values that are defined; what lies between two others is not known.
fn curve(values: &[Option<f64>], positions: &Positions, up: &Axis, class: &str) -> Vec<Shape> {
    let place = |(index, value): (usize, &Option<f64>)| Some([positions.at(index), up.at((*value)?)]);
    let places: Vec<Option<[f64; 2]>> = values.iter().enumerate().map(place).collect();
    let runs = places.split(Option::is_none).map(|run| run.iter().copied().flatten().collect::<Vec<_>>());
    runs.filter(|run| run.len() > 1).map(|run| polyline(run, class)).collect()
}

/// A dot at every value, which says it where the pointer rests on it.
fn dots(
    numbers: &[f64],
    values: &[Option<f64>],
    positions: &Positions,
    up: &Axis,
    class: &str,
) -> Vec<Shape> {
    let dot = |(index, (number, value)): (usize, (&f64, &Option<f64>))| {
        let (place, shown) = ([positions.at(index), up.at((*value)?)], short((*value)?));
        Some(circle(place, 3.5, class).titled(format!("{}: {shown}", short(*number))))
    };
    numbers.iter().zip(values).enumerate().filter_map(dot).collect()
}

/// A line at the value that was picked, its name at the side where there is room.
fn picked(grid: &Grid, positions: &Positions) -> Vec<Shape> {
    let Some(x) = grid.picked.as_ref().and_then(|picked| positions.of(picked.value)) else {
        return Vec::new();
    };
    let right = x < f64::midpoint(WITHIN[0], WITHIN[1]);
    let (x_text, class) = if right { (x + 4.0, "small") } else { (x - 4.0, "small end") };
    vec![
        line([x, SMALL.up[0]], [x, SMALL.up[1] - 8.0], "picked"),
        text(x_text, SMALL.up[1] - 1.0, class, "picked"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::file::tests::sweep;
    use crate::report::plot::draw::svg::{elements, inline};

    #[test]
    fn a_curve_is_broken_where_a_value_is_undefined() {
        let numbers = [0.25, 0.5, 1.0, 2.0];
        let values = [Some(0.1), Some(0.3), None, Some(-0.1)];
        let positions = Positions::new(&numbers, [0.0, 90.0]);
        let up = Axis { values: [0.0, 1.0], pixels: [100.0, 0.0], step: 0.5 };
        let shapes = curve(&values, &positions, &up, "curve c1");
        // 0.25 to 2 to scale on 90 pixels; the last value has no neighbour that is defined.
        assert_eq!(shapes.len(), 1);
        let drawn = elements(&shapes);
        assert!(drawn.contains("points=\"0,90 12.9,70\""), "{drawn}");
        assert_eq!(dots(&numbers, &values, &positions, &up, "dot").len(), 3);
    }

    #[test]
    fn the_picked_value_and_the_base_are_marked_and_names_cannot_hold_markup() {
        let [rgi, shares] = curves(&sweep("<img src=x>"));
        for plot in [&rgi, &shares] {
            assert_eq!(inline(plot).matches(">picked</text>").count(), 1);
        }
        assert!(inline(&shares).contains("class=\"base\""));
        assert_eq!(rgi.title, "RGI over the adapter scale (val, 600 questions)");
        assert_eq!(
            (rgi.file.as_str(), shares.file.as_str()),
            ("sweep-adapter-scale-val-rgi", "sweep-adapter-scale-val-shares")
        );
        let svg = crate::report::plot::draw::svg::document(&rgi);
        assert!(!svg.contains("<img") && svg.contains("&lt;img src=x&gt;"), "{svg}");
    }
}
