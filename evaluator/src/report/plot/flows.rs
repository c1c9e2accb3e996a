//! What became of every answer: bands from the verdicts before to those after, as wide as there are answers.

use idk_questions::metrics::Transition;

use crate::compare::methods::{ALL, MethodResult, TaskResult};
use crate::compare::results::Results;

use super::draw::shape::{Shape, band, rectangle, text};
use super::draw::{Plot, file_name};

/// The verdicts, in the order of the bands; also the classes of their colours.
pub(crate) const VERDICTS: [&str; 3] = ["correct", "wrong", "refused"];

const WIDTH: f64 = 320.0;
const TOP: f64 = 6.0;
/// Height of all answers, the gaps between the verdicts included.
const HEIGHT: f64 = 162.0;
const GAP: f64 = 6.0;
/// Left edges of the two columns.
const COLUMNS: [f64; 2] = [88.0, 224.0];
const COLUMN_WIDTH: f64 = 8.0;

/// The counts, a row for each verdict before, a column for each after.
pub(crate) fn cells(moved: &Transition) -> [[usize; 3]; 3] {
    [[moved.cc, moved.cw, moved.cr], [moved.wc, moved.ww, moved.wr], [moved.rc, moved.rw, moved.rr]]
}

/// The methods and tasks that have a plot: every method on all tasks, the main one on each task too.
pub(crate) fn shown<'a>(
    results: &'a Results,
    main: Option<&MethodResult>,
) -> Vec<(&'a MethodResult, &'a TaskResult)> {
    let main = main.map(|method| &method.name);
    let of = |method: &'a MethodResult| {
        let is_main = Some(&method.name) == main;
        let rows = method.tasks.iter().filter(move |row| is_main || row.task == ALL);
        rows.filter(|row| row.comparison.transition.n() > 0).map(move |row| (method, row))
    };
    results.methods.iter().flat_map(of).collect()
}

/// The plot of one table of transitions, of a method on a task; without shapes if there are no answers.
pub(crate) fn flow(method: &str, task: &str, moved: &Transition) -> Plot {
    let title = format!("{method}, {task}: answers before and after");
    Plot {
        file: file_name(&["transitions", method, task]),
        label: title.clone(),
        title,
        size: [WIDTH, HEIGHT + 2.0 * TOP],
        shapes: shapes(moved),
        key: Vec::new(),
    }
}

fn shapes(moved: &Transition) -> Vec<Shape> {
    if moved.n() == 0 {
        return Vec::new();
    }
    let cells = cells(moved);
    let per_answer = (HEIGHT - 2.0 * GAP) / moved.n() as f64;
    let sums =
        [cells.map(|row| row.iter().sum()), [0, 1, 2].map(|after| cells.iter().map(|row| row[after]).sum())];
    let tops = sums.map(|sums: [usize; 3]| {
        let mut y = TOP;
        sums.map(|sum| {
            let top = y;
            y += sum as f64 * per_answer + GAP;
            top
        })
    });
    let mut content = Vec::new();
    let x = [COLUMNS[0] + COLUMN_WIDTH, COLUMNS[1]];
    let [mut left, mut right] = tops;
    for (before, row) in cells.iter().enumerate() {
        for (after, &count) in row.iter().enumerate() {
            let thickness = count as f64 * per_answer;
            if count > 0 {
                let title = format!("{} → {}: {count}", VERDICTS[before], VERDICTS[after]);
                let class = format!("band {}", VERDICTS[before]);
                content.push(band(x, [left[before], right[after]], thickness, &class).titled(title));
            }
            left[before] += thickness;
            right[after] += thickness;
        }
    }
    for (side, (sums, tops)) in sums.iter().zip(tops).enumerate() {
        content.extend(column(side, sums, tops, per_answer));
    }
    content
}

/// The verdicts of one side, with their counts next to them.
fn column(side: usize, sums: &[usize; 3], tops: [f64; 3], per_answer: f64) -> Vec<Shape> {
    let (x, class) =
        if side == 0 { (COLUMNS[0] - 8.0, "end") } else { (COLUMNS[1] + COLUMN_WIDTH + 8.0, "") };
    let mut content = Vec::new();
    let mut free = 0.0;
    for ((verdict, &sum), top) in VERDICTS.iter().zip(sums).zip(tops).filter(|((_, sum), _)| **sum > 0) {
        let height = sum as f64 * per_answer;
        content.push(rectangle([COLUMNS[side], top], COLUMN_WIDTH, height, verdict));
        // Labels of thin bands must not lie on each other.
        let y = (top + height / 2.0 + 4.0).max(free);
        free = y + 13.0;
        content.push(text(x, y, class, &format!("{verdict} {sum}")));
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::draw::svg::elements;

    #[test]
    fn two_answers_are_two_bands_of_half_the_height() {
        // 150 pixels without the gaps, 75 an answer. Before: correct 6..81, wrong 87..162. After: correct 6..81, then
        // a gap for wrong (87) without height, refused from 93.
        let svg = elements(&shapes(&Transition { cc: 1, wr: 1, ..Transition::default() }));
        let paths: Vec<&str> = svg.lines().filter(|line| line.starts_with("<path")).collect();
        assert_eq!(
            paths,
            [
                "<path d=\"M96,6 C160,6 160,6 224,6 V81 C160,81 160,81 96,81 Z\" class=\"band correct\">\
                 <title>correct → correct: 1</title></path>",
                "<path d=\"M96,87 C160,87 160,93 224,93 V168 C160,168 160,162 96,162 Z\" class=\"band wrong\">\
                 <title>wrong → refused: 1</title></path>",
            ]
        );
        assert!(
            svg.contains("<rect x=\"224\" y=\"93\" width=\"8\" height=\"75\" class=\"refused\"/>"),
            "{svg}"
        );
        assert!(svg.contains("class=\"end\">wrong 1</text>"), "{svg}");
        assert!(!svg.contains("refused 0"), "{svg}");
    }

    #[test]
    fn labels_of_thin_bands_do_not_lie_on_each_other() {
        let svg = elements(&shapes(&Transition { cc: 1000, cw: 1, cr: 1, ..Transition::default() }));
        let of_label = |label: &str| {
            let line = svg.lines().find(|line| line.contains(&format!(">{label} 1<"))).unwrap();
            line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(of_label("refused") - of_label("wrong") >= 13.0, "{svg}");
    }

    #[test]
    fn without_answers_there_is_no_picture() {
        assert_eq!(shapes(&Transition::default()), []);
    }
}
