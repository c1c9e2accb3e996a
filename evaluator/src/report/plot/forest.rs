//! The forest plot: RGI of every method on every task with its interval, and the RGI of simple rules at the same
//! refusal rate.

use std::collections::BTreeSet;

use idk_common::text::ellipsis;

use crate::compare::methods::TaskResult;
use crate::compare::results::Results;
use crate::compare::yardsticks::RuleResult;
use crate::report::table::rgi_with_interval;

use super::draw::axis::Axis;
use super::draw::shape::{Shape, circle, line, polygon, text};
use super::draw::{Key, MARK, Plot};

const WIDTH: f64 = 474.0;
/// Left and right end of the axis; names stand before it, numbers behind.
const PLOT: [f64; 2] = [112.0, 306.0];
const ROW: f64 = 20.0;
/// Characters that fit before the axis.
pub(crate) const MAX_CHARS: usize = 14;
/// Half of a marker.
const HALF: f64 = 4.0;

/// Where an RGI is on the axis: one that is infinite at its end, one that has no value nowhere.
pub(crate) fn extended(rgi: Option<f64>, reason: Option<&str>) -> Option<f64> {
    match (rgi, reason) {
        (Some(rgi), _) => Some(rgi),
        (None, Some("lost nothing")) => Some(f64::INFINITY),
        (None, Some("gained nothing")) => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The rules whose RGI stands next to that of a method, and what they are called in a sentence.
pub(crate) const RULES: [(&str, &str); 4] = [
    ("random", "at random"),
    ("one-pass", "by the probability of the whole answer"),
    ("confidence", "by the base model's confidence"),
    ("group", "by sub-category"),
];

/// The RGIs of refusing as many questions by each of [`RULES`].
pub(crate) fn rule_rgis(task: &TaskResult) -> [Option<f64>; 4] {
    let of_rule = |rule: &Option<RuleResult>| {
        let rule = rule.as_ref()?;
        extended(rule.rgi, rule.rgi_reason.as_deref())
    };
    let of = &task.yardsticks;
    [task.comparison.random_rgi, of_rule(&of.one_pass), of_rule(&of.threshold), of_rule(&of.group)]
}

/// The RGI of the method itself.
fn own_rgi(task: &TaskResult) -> Option<f64> {
    extended(task.comparison.rgi, task.comparison.rgi_reason.as_deref())
}

/// The plot of all tasks and methods, without axis and marks if no method has an RGI; nothing if there is no method.
pub(crate) fn forest(results: &Results) -> Option<Plot> {
    if results.methods.is_empty() {
        return None;
    }
    let all = || results.methods.iter().flat_map(|method| &method.tasks);
    let is_measured = all().any(|row| own_rgi(row).is_some());
    let mut values = vec![0.0];
    for row in all() {
        values.extend(interval(row).iter().flatten());
        // An axis to one at least, for an arrow at the end of one to zero would seem to be a value.
        let rgis = rule_rgis(row).into_iter().chain([own_rgi(row)]).flatten();
        values.extend(rgis.map(|rgi| if rgi.is_finite() { rgi } else { rgi.signum() }));
    }
    let axis = Axis::around(&values, 8, PLOT);
    let mut marks = Vec::new();
    let mut y = 6.0;
    for task in &results.base {
        y += ROW;
        let name = format!("{}, n {}", ellipsis(&task.task, 3 * MAX_CHARS), task.counts.n);
        marks.push(text(0.0, y, "strong", &name));
        for (index, method) in results.methods.iter().enumerate() {
            let Some(row) = method.tasks.iter().find(|row| row.task == task.task) else { continue };
            y += ROW;
            marks.push(text(PLOT[0] - 10.0, y, "end", &ellipsis(&method.name, MAX_CHARS)));
            if is_measured {
                marks.extend(row_marks(&axis, y - HALF, index + 1, row));
            }
            marks.push(text(PLOT[1] + 14.0, y, "", &rgi_with_interval(&row.comparison)));
        }
        y += ROW / 2.0;
    }
    let mut shapes = if is_measured { grid(&axis, y) } else { vec![no_rgi(results, y)] };
    shapes.extend(marks);
    let title = "Reliability gain (RGI) with 95 % intervals".to_owned();
    Some(Plot {
        file: "rgi-forest".to_owned(),
        label: title.clone(),
        title,
        size: [WIDTH, y + 34.0],
        shapes,
        key: if is_measured { key() } else { Vec::new() },
    })
}

/// What replaces the axis if there is no RGI: the reason.
fn no_rgi(results: &Results, bottom: f64) -> Shape {
    let rows = results.methods.iter().flat_map(|method| &method.tasks);
    let reasons: BTreeSet<&str> = rows.filter_map(|row| row.comparison.rgi_reason.as_deref()).collect();
    let reasons: Vec<&str> = reasons.into_iter().collect();
    let why = if reasons.is_empty() { "no questions".to_owned() } else { reasons.join(", ") };
    text(f64::midpoint(PLOT[0], PLOT[1]), bottom + 14.0, "middle faint", &format!("no RGI: {why}"))
}

/// The interval of an RGI that is a number: with a reason there is none, as in the tables.
fn interval(task: &TaskResult) -> Option<[f64; 2]> {
    task.comparison.rgi.and(task.comparison.rgi_ci95)
}

/// What the marks are.
fn key() -> Vec<Key> {
    let [x, y] = MARK.map(|edge| edge / 2.0);
    let own = vec![line([0.0, y], [MARK[0], y], "range c1"), circle([x, y], HALF, "dot c1")];
    let rules = [
        ("random", "refusing as many at random"),
        ("one-pass", "by whole answer"),
        ("confidence", "by confidence"),
        ("group", "by sub-category"),
    ];
    let mut key = vec![Key { mark: own, name: "method".to_owned() }];
    key.extend(rules.map(|(rule, name)| Key { mark: vec![rule_mark(rule, x, y)], name: name.to_owned() }));
    key
}

/// Lines at the ticks, with labels below; the one at zero is stronger.
fn grid(axis: &Axis, bottom: f64) -> Vec<Shape> {
    let mut grid = Vec::new();
    for (value, label) in axis.ticks() {
        let class = if label.parse() == Ok(0.0) { "axis" } else { "grid" };
        grid.push(line([axis.at(value), 14.0], [axis.at(value), bottom], class));
        grid.push(text(axis.at(value), bottom + 14.0, "middle faint", &label));
    }
    let middle = f64::midpoint(axis.pixels[0], axis.pixels[1]);
    grid.push(text(middle, bottom + 30.0, "middle faint", "log10(wrong avoided / right lost)"));
    grid
}

/// The interval, the value and the rules of one row.
fn row_marks(axis: &Axis, y: f64, colour: usize, row: &TaskResult) -> Vec<Shape> {
    let mut marks = Vec::new();
    if let Some([low, high]) = interval(row) {
        marks.push(line([axis.at(low), y], [axis.at(high), y], &format!("range c{}", colour % 8)));
    }
    for ((rule, _), rgi) in RULES.into_iter().zip(rule_rgis(row)) {
        if let Some(rgi) = rgi {
            marks.push(rule_mark(rule, axis.at(rgi), y));
        }
    }
    if let Some(rgi) = own_rgi(row) {
        let (x, class) = (axis.at(rgi), format!("dot c{}", colour % 8));
        let is_number = rgi.is_finite();
        marks.push(if is_number { circle([x, y], HALF, &class) } else { arrow(x, y, rgi.signum(), &class) });
    }
    marks
}

/// Points beyond the end of the axis at `x`, to the right (1) or the left (-1).
fn arrow(x: f64, y: f64, side: f64, class: &str) -> Shape {
    let [tip, back] = [x + side * 2.0 * HALF, x - side];
    polygon(vec![[tip, y], [back, y - HALF - 1.0], [back, y + HALF + 1.0]], class)
}

/// The hollow mark of a rule; they differ in form, not in colour.
fn rule_mark(rule: &str, x: f64, y: f64) -> Shape {
    let points: &[[f64; 2]] = match rule {
        "random" => &[[-HALF, -HALF], [HALF, -HALF], [HALF, HALF], [-HALF, HALF]],
        "one-pass" => &[[0.0, HALF + 1.0], [HALF + 1.0, -HALF], [-HALF - 1.0, -HALF]],
        "confidence" => &[[0.0, -HALF - 1.0], [HALF + 1.0, HALF], [-HALF - 1.0, HALF]],
        _ => &[[0.0, -HALF - 1.0], [HALF + 1.0, 0.0], [0.0, HALF + 1.0], [-HALF - 1.0, 0.0]],
    };
    polygon(points.iter().map(|[dx, dy]| [x + dx, y + dy]).collect(), "rule")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::yardsticks::Yardsticks;
    use crate::report::plot::draw::svg::{elements, inline};
    use crate::report::table::tests::golden_results;

    fn row() -> TaskResult {
        let mut row = golden_results("sound").methods[0].tasks[0].clone();
        row.comparison.rgi = Some(0.5);
        row.comparison.rgi_ci95 = Some([0.0, 2.0]);
        row.comparison.random_rgi = Some(-0.5);
        row.yardsticks.threshold = None;
        row
    }

    /// One pixel is a hundredth.
    const AXIS: Axis = Axis { values: [-1.0, 1.0], pixels: [100.0, 300.0], step: 0.5 };

    #[test]
    fn marks_are_where_their_values_are_and_stay_on_the_axis() {
        assert_eq!(
            elements(&row_marks(&AXIS, 50.0, 1, &row())),
            "<line x1=\"200\" y1=\"50\" x2=\"300\" y2=\"50\" class=\"range c1\"/>\n\
             <polygon points=\"146,46 154,46 154,54 146,54\" class=\"rule\"/>\n\
             <circle cx=\"250\" cy=\"50\" r=\"4\" class=\"dot c1\"/>\n"
        );
    }

    #[test]
    fn an_infinite_rgi_is_an_arrow_beyond_the_end_without_interval_and_one_without_value_is_nowhere() {
        for (reason, points) in [
            ("lost nothing", "\"308,50 299,45 299,55\" class=\"dot c1\""),
            ("gained nothing", "\"92,50 101,45 101,55\" class=\"dot c1\""),
            ("changed nothing", ""),
        ] {
            let mut row = row();
            row.comparison.rgi = None;
            row.comparison.rgi_reason = Some(reason.to_owned());
            let marks = elements(&row_marks(&AXIS, 50.0, 1, &row));
            assert!(!marks.contains("<circle") && !marks.contains("range"), "{reason}: {marks}");
            assert_eq!(marks.contains("dot c1"), !points.is_empty(), "{reason}");
            assert!(marks.contains(points), "{reason}: {marks}");
        }
    }

    #[test]
    fn the_axis_reaches_far_enough_that_what_is_beyond_it_is_not_taken_for_a_value() {
        let mut results = golden_results("sound");
        let row = &mut results.methods[0].tasks[0];
        (row.comparison.rgi, row.comparison.rgi_reason) = (None, Some("gained nothing".to_owned()));
        row.yardsticks = Yardsticks::default();
        row.comparison.random_rgi = None;
        assert!(inline(&forest(&results).unwrap()).contains(">-1.0</text>"));
    }

    #[test]
    fn without_any_rgi_there_is_its_reason_and_no_axis() {
        let mut results = golden_results("sound");
        for row in results.methods.iter_mut().flat_map(|method| &mut method.tasks) {
            (row.comparison.rgi, row.comparison.rgi_reason) = (None, Some("changed nothing".to_owned()));
        }
        let plot = forest(&results).unwrap();
        let svg = inline(&plot);
        assert!(
            svg.contains(">no RGI: changed nothing</text>") && svg.contains(">changed nothing</text>"),
            "{svg}"
        );
        for part in ["class=\"grid\"", "class=\"axis\"", "class=\"rule\"", "log10"] {
            assert!(!svg.contains(part), "{part}");
        }
        assert_eq!(plot.key, []);
    }

    #[test]
    fn an_undefined_rgi_is_shown_as_its_reason() {
        let mut results = golden_results("sound");
        let comparison = &mut results.methods[0].tasks[0].comparison;
        (comparison.rgi, comparison.rgi_reason) = (None, Some("lost nothing".to_owned()));
        assert!(inline(&forest(&results).unwrap()).contains(">lost nothing</text>"));
    }

    #[test]
    fn every_rule_has_a_form_of_its_own() {
        let forms: Vec<String> =
            ["random", "confidence", "group"].map(|rule| elements(&[rule_mark(rule, 0.0, 0.0)])).to_vec();
        assert_eq!(forms[1], "<polygon points=\"0,-5 5,4 -5,4\" class=\"rule\"/>\n");
        assert_eq!(forms[2], "<polygon points=\"0,-5 5,0 0,5 -5,0\" class=\"rule\"/>\n");
        assert_ne!(forms[0], forms[1]);
    }
}
