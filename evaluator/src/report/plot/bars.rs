//! Reliability of the base model and of every method, task by task, as bars.

use idk_common::text::ellipsis;
use idk_questions::metrics::show;

use crate::compare::results::Results;

use super::draw::Plot;
use super::draw::axis::Axis;
use super::draw::shape::{Shape, line, rectangle, text};
use super::forest::MAX_CHARS;

const WIDTH: f64 = 460.0;
/// Left and right end of the axis.
const PLOT: [f64; 2] = [112.0, 410.0];
const ROW: f64 = 17.0;
const THICKNESS: f64 = 11.0;

/// The bars of all tasks.
pub(crate) fn bars(results: &Results) -> Plot {
    let axis = Axis { values: [0.0, 100.0], pixels: PLOT, step: 20.0 };
    let mut content = Vec::new();
    let mut y = 0.0;
    for base in &results.base {
        y += ROW;
        content.push(text(0.0, y, "strong", &ellipsis(&base.task, 3 * MAX_CHARS)));
        let mut rows = vec![("base", base.counts.rel().map(|share| 100.0 * share))];
        for method in &results.methods {
            let row = method.tasks.iter().find(|row| row.task == base.task);
            rows.push((&method.name, row.and_then(|row| row.comparison.rel.after)));
        }
        for (colour, (name, percent)) in rows.into_iter().enumerate() {
            y += ROW;
            content.extend(bar(&axis, y, colour, name, percent));
        }
        y += 8.0;
    }
    let mut shapes = Vec::new();
    for (value, label) in axis.ticks() {
        let x = axis.at(value);
        shapes.push(line([x, 8.0], [x, y], if value == 0.0 { "axis" } else { "grid" }));
        shapes.push(text(x, y + 14.0, "middle faint", &label));
    }
    shapes.extend(content);
    let title = "Reliability in percent".to_owned();
    Plot {
        file: "reliability".to_owned(),
        label: title.clone(),
        title,
        size: [WIDTH, y + 20.0],
        shapes,
        ..Plot::default()
    }
}

/// One bar on the line of text at `y`, its name before it and its number behind.
fn bar(axis: &Axis, y: f64, colour: usize, name: &str, percent: Option<f64>) -> [Shape; 3] {
    let start = axis.at(0.0);
    let end = percent.map_or(start, |percent| axis.at(percent));
    let number = show(percent, 1);
    let class = format!("bar c{}", colour % 8);
    [
        text(start - 10.0, y, "end", &ellipsis(name, MAX_CHARS)),
        rectangle([start, y - THICKNESS + 1.0], end - start, THICKNESS, &class),
        text(end + 6.0, y, "", &number),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::draw::svg::{elements, inline};
    use crate::report::table::tests::golden_results;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        let axis = Axis { values: [0.0, 100.0], pixels: [100.0, 300.0], step: 20.0 };
        assert_eq!(
            elements(&bar(&axis, 50.0, 1, "a<b", Some(25.0))),
            "<text x=\"90\" y=\"50\" class=\"end\">a&lt;b</text>\n\
             <rect x=\"100\" y=\"40\" width=\"50\" height=\"11\" class=\"bar c1\"/>\n\
             <text x=\"156\" y=\"50\" class=\"\">25.0</text>\n"
        );
        assert!(elements(&bar(&axis, 50.0, 1, "a", None)).contains("width=\"0\""));
    }

    #[test]
    fn base_and_method_have_the_papers_reliability() {
        let svg = inline(&bars(&golden_results("sound")));
        assert!(svg.contains(">61.0</text>") && svg.contains(">73.0</text>"), "{svg}");
        assert_eq!(svg.matches("class=\"bar c").count(), 2);
    }
}
