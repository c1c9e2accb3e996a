//! What becomes of RGI, accuracy and refusals when a number is turned: two plots for every sweep of a run.

use std::collections::BTreeSet;
use std::path::Path;

use crate::error::EvalError;
use crate::grid::file::{Sweep, SweepKind, SweepPoint, SweepSet, sweep_file};

use super::draw::axis::{Axis, Positions, short};
use super::draw::panel::{SMALL, WITHIN};
use super::draw::shape::{Shape, circle, line, polyline, text};
use super::draw::{Key, Plot, file_name};

/// A value of a point, if it has one.
type Value<'a> = &'a dyn Fn(&SweepPoint) -> Option<f64>;

/// The sweeps of a run: of the adapter's scale, of the threshold and of K, each on val and on the test set, as far as they are there.
///
/// # Errors
/// [`EvalError::Common`], [`EvalError::Sweep`] if a file cannot be used.
pub(crate) fn read_sweeps(run_dir: &Path) -> Result<Vec<Sweep>, EvalError> {
    let mut sweeps = Vec::new();
    for kind in SweepKind::ALL {
        for set in [SweepSet::Val, SweepSet::Test] {
            let path = sweep_file(run_dir, kind, set);
            if path.is_file() {
                sweeps.push(Sweep::read(&path)?);
            }
        }
    }
    Ok(sweeps)
}

/// RGI of a sweep, and its accuracy and refusals.
pub(crate) fn plots(sweep: &Sweep) -> [Plot; 2] {
    [rgi(sweep), shares(sweep)]
}

/// What was turned, as the start of a title.
pub(crate) fn name(kind: SweepKind) -> &'static str {
    match kind {
        SweepKind::AdapterScale => "the adapter scale",
        SweepKind::Threshold => "the threshold",
        SweepKind::K => "K",
    }
}

/// `val, 600 questions`.
pub(crate) fn questions(sweep: &Sweep) -> String {
    let set = match sweep.set {
        SweepSet::Val => "val",
        SweepSet::Test => "test set",
    };
    format!("{set}, {} questions", sweep.questions)
}

fn positions(sweep: &Sweep) -> Positions {
    let values: Vec<f64> = sweep.points.iter().map(|point| point.value).collect();
    Positions::new(&values, WITHIN)
}

fn across_name(kind: SweepKind, positions: &Positions) -> String {
    let (name, meaning) = match kind {
        SweepKind::AdapterScale => ("adapter scale", "factor before the adapter"),
        SweepKind::Threshold => ("threshold", "least probability of an answer"),
        SweepKind::K => ("K", "right samples of a known question"),
    };
    format!("{name}, {}", if positions.to_scale { meaning } else { "not to scale" })
}

fn rgi(sweep: &Sweep) -> Plot {
    let positions = positions(sweep);
    let tasks: BTreeSet<&String> = sweep.points.iter().flat_map(|point| point.by_task.keys()).collect();
    let all = |point: &SweepPoint| point.rgi;
    let mut values = vec![0.0];
    for point in &sweep.points {
        if point.rgi.is_some() {
            values.extend([point.rgi, point.rgi_low, point.rgi_high].into_iter().flatten());
        }
        values.extend(point.by_task.values().filter_map(|row| row.rgi));
    }
    let up = Axis::around(&values, 6, SMALL.up);
    let mut shapes = SMALL.frame(
        &up,
        "RGI: wrong avoided / right lost, log10",
        &positions.labels(),
        &across_name(sweep.kind, &positions),
    );
    let mut key = vec![Key::line("curve c1", "all, 95 % interval")];
    for (index, point) in sweep.points.iter().enumerate() {
        // As in the table: no interval around an RGI that has no value.
        if let (Some(_), Some(low), Some(high)) = (point.rgi, point.rgi_low, point.rgi_high) {
            let x = positions.at(index);
            shapes.push(line([x, up.at(low)], [x, up.at(high)], "whisker c1"));
        }
    }
    for (number, task) in tasks.into_iter().enumerate() {
        let class = format!("curve c{}", 2 + number % 6);
        let of_task = |point: &SweepPoint| point.by_task.get(task)?.rgi;
        shapes.extend(curve(sweep, &positions, &up, &class, &of_task));
        key.push(Key::line(&class, task));
    }
    shapes.extend(curve(sweep, &positions, &up, "curve c1", &all));
    shapes.extend(dots(sweep, &positions, &up, "dot c1", &all));
    shapes.extend(picked(sweep, &positions));
    plot(sweep, "rgi", "RGI", shapes, key)
}

fn shares(sweep: &Sweep) -> Plot {
    let positions = positions(sweep);
    let up = Axis { values: [0.0, 100.0], pixels: SMALL.up, step: 20.0 };
    let mut shapes = SMALL.frame(&up, "percent", &positions.labels(), &across_name(sweep.kind, &positions));
    let mut key = Vec::new();
    if let Some(acc) = sweep.base.acc {
        shapes.push(line([WITHIN[0], up.at(acc)], [WITHIN[1], up.at(acc)], "base"));
        key.push(Key::line("base", "Acc of the base model"));
    }
    let all: [(&str, &str, Value<'_>); 3] = [
        ("c1", "Acc (right)", &|point| point.acc),
        ("c3", "Tru (right or refused)", &|point| point.tru),
        ("c2", "refused", &|point| point.refusal_rate),
    ];
    for (colour, name, value) in all {
        let class = format!("curve {colour}");
        shapes.extend(curve(sweep, &positions, &up, &class, value));
        shapes.extend(dots(sweep, &positions, &up, &format!("dot {colour}"), value));
        key.push(Key::line(&class, name));
    }
    shapes.extend(picked(sweep, &positions));
    plot(sweep, "shares", "Accuracy and refusals", shapes, key)
}

fn plot(sweep: &Sweep, part: &str, what: &str, shapes: Vec<Shape>, key: Vec<Key>) -> Plot {
    let title = format!("{what} over {} ({})", name(sweep.kind), questions(sweep));
    let set = if sweep.set == SweepSet::Val { "val" } else { "test" };
    let file = file_name(&["sweep", sweep.kind.name(), set, part]);
    Plot { file, label: title.clone(), title, size: SMALL.size, shapes, key }
}

/// The lines between neighbouring points that have a value; what lies between two others is not known.
fn curve(sweep: &Sweep, positions: &Positions, up: &Axis, class: &str, value: Value<'_>) -> Vec<Shape> {
    let places: Vec<Option<[f64; 2]>> = sweep
        .points
        .iter()
        .enumerate()
        .map(|(index, point)| Some([positions.at(index), up.at(value(point)?)]))
        .collect();
    let runs = places.split(Option::is_none).map(|run| run.iter().copied().flatten().collect::<Vec<_>>());
    runs.filter(|run| run.len() > 1).map(|run| polyline(run, class)).collect()
}

/// A dot at every value, which says it where the pointer rests on it.
fn dots(sweep: &Sweep, positions: &Positions, up: &Axis, class: &str, value: Value<'_>) -> Vec<Shape> {
    let dot = |(index, point): (usize, &SweepPoint)| {
        let of = value(point)?;
        let place = [positions.at(index), up.at(of)];
        Some(circle(place, 3.5, class).titled(format!("{}: {}", short(point.value), short(of))))
    };
    sweep.points.iter().enumerate().filter_map(dot).collect()
}

/// A line at the value that was picked, its name at the side where there is room.
fn picked(sweep: &Sweep, positions: &Positions) -> Vec<Shape> {
    let Some(x) = sweep.picked.as_ref().and_then(|picked| positions.of(picked.value)) else {
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
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use idk_common::fs::write_atomic;

    use super::*;
    use crate::report::plot::draw::svg::{elements, inline};
    use crate::grid::file::{Picked, TaskPoint};

    /// Three values, the RGI of the middle one undefined; 0.5 picked.
    pub(crate) fn sweep(task: &str) -> Sweep {
        let point = |value: f64, rgi: Option<f64>| SweepPoint {
            value,
            acc: Some(60.0 - 10.0 * value),
            tru: Some(65.0),
            rel: Some(62.0),
            refusal_rate: Some(20.0 * value),
            rgi,
            rgi_reason: rgi.is_none().then(|| "lost nothing".to_owned()),
            rgi_low: rgi.map(|rgi| rgi - 0.1),
            rgi_high: rgi.map(|rgi| rgi + 0.1),
            by_task: BTreeMap::from([(
                task.to_owned(),
                TaskPoint { acc: Some(50.0), refusal_rate: Some(10.0), rgi },
            )]),
        };
        let points =
            vec![point(0.25, Some(0.1)), point(0.5, Some(0.3)), point(1.0, None), point(2.0, Some(-0.1))];
        let mut sweep = Sweep::new(SweepKind::AdapterScale, SweepSet::Val, 600, Some(55.0), points);
        sweep.picked = Some(Picked { value: 0.5, why: "best".to_owned() });
        sweep
    }

    #[test]
    fn a_curve_is_broken_where_a_value_is_undefined() {
        let sweep = sweep("sound");
        let positions = Positions::new(&[0.25, 0.5, 1.0, 2.0], [0.0, 90.0]);
        let up = Axis { values: [0.0, 1.0], pixels: [100.0, 0.0], step: 0.5 };
        let shapes = curve(&sweep, &positions, &up, "curve c1", &|point| point.rgi);
        // 0.25 to 2 to scale on 90 pixels; the last value has no neighbour that is defined.
        assert_eq!(shapes.len(), 1);
        let drawn = elements(&shapes);
        assert!(drawn.contains("points=\"0,90 12.9,70\""), "{drawn}");
        assert_eq!(dots(&sweep, &positions, &up, "dot", &|point| point.rgi).len(), 3);
    }

    #[test]
    fn the_picked_value_and_the_base_are_marked_and_names_cannot_hold_markup() {
        let [rgi, shares] = plots(&sweep("<img src=x>"));
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

    #[test]
    fn all_sweeps_of_a_run_are_found_and_a_damaged_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_sweeps(dir.path()).unwrap(), []);
        let val = sweep("sound");
        let test = Sweep { set: SweepSet::Test, ..val.clone() };
        test.write(dir.path()).unwrap();
        val.write(dir.path()).unwrap();
        assert_eq!(read_sweeps(dir.path()).unwrap(), [val, test]);
        write_atomic(&sweep_file(dir.path(), SweepKind::K, SweepSet::Val), b"{").unwrap();
        assert!(read_sweeps(dir.path()).unwrap_err().to_string().contains("k.json"));
    }
}
