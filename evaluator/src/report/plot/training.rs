//! What a training run measured over its steps: the loss and the answers to validation questions for reports, everything
//! as one picture for the run folder.

use std::path::Path;

use idk_common::RunDir;
use idk_common::fs::write_atomic;
use idk_common::json::read_jsonl;
use serde_json::{Map, Value};

use crate::error::EvalError;

use super::draw::axis::{Axis, short};
use super::draw::panel::{Panel, SMALL, WIDE};
use super::draw::shape::{Shape, circle, polyline};
use super::draw::svg::sheet;
use super::draw::{Key, Plot};

/// Most points of a curve.
const MAX_POINTS: usize = 300;
/// Share of all steps that one point of the smooth curve is the mean of.
const SMOOTH: f64 = 0.05;
/// How far above a smooth curve the axis goes: a single step's loss may be many times the rest, and is cut.
const HEADROOM: f64 = 1.5;
/// Curves of at most so many points have dots on them.
const DOTTED: usize = 25;
/// Charts side by side in the picture of a run.
const COLUMNS: usize = 2;

/// The metrics of a run, one row per step; rows of the validation have names that begin with `eval_`.
pub(crate) type Metrics = Vec<Map<String, Value>>;

/// Points of a curve, `[step, value]`.
type Points = Vec<[f64; 2]>;

/// Metrics that are shown together.
struct Chart {
    /// Name of its file.
    file: &'static str,
    title: &'static str,
    /// What the upright axis is.
    up: &'static str,
    /// Metrics by the names of the log, each with its colour and what the key calls it.
    curves: &'static [(&'static str, usize, &'static str)],
}

const LOSS: Chart = Chart {
    file: "training-loss",
    title: "Training loss",
    up: "loss",
    curves: &[("loss", 1, "loss"), ("eval_loss", 2, "validation loss")],
};

const ANSWERS: Chart = Chart {
    file: "training-validation",
    title: "Validation answers while training",
    up: "share",
    curves: &[
        ("eval_acc", 1, "Acc (right)"),
        ("eval_tru", 4, "Tru (right or refused)"),
        ("eval_rel", 3, "Rel (reliability)"),
        ("eval_refusal_rate", 2, "refused"),
    ],
};

/// The charts of a run folder's picture; those without a value are left out.
const CHARTS: [Chart; 8] = [
    LOSS,
    Chart {
        file: "training-tokens",
        title: "Answer tokens predicted right",
        up: "share",
        curves: &[("mean_token_accuracy", 1, "training"), ("eval_mean_token_accuracy", 2, "validation")],
    },
    ANSWERS,
    Chart {
        file: "training-rgi",
        title: "Reliability gain on validation questions",
        up: "RGI: wrong avoided / right lost, log10",
        curves: &[("eval_rgi", 1, "RGI")],
    },
    Chart {
        file: "training-clips",
        title: "Accuracy on validation clips",
        up: "share",
        curves: &[
            ("eval_accuracy", 1, "all"),
            ("eval_accuracy_sound", 2, "sound"),
            ("eval_accuracy_music", 3, "music"),
            ("eval_accuracy_speech", 4, "speech"),
        ],
    },
    Chart {
        file: "training-rewards",
        title: "Pairs whose chosen answer has the higher reward",
        up: "share",
        curves: &[("rewards/accuracies", 1, "training"), ("eval_rewards/accuracies", 2, "validation")],
    },
    Chart {
        file: "training-margins",
        title: "Reward margin",
        up: "reward of the chosen answer - of the rejected",
        curves: &[("rewards/margins", 1, "training"), ("eval_rewards/margins", 2, "validation")],
    },
    Chart {
        file: "training-rate",
        title: "Learning rate",
        up: "",
        curves: &[("learning_rate", 1, "learning rate")],
    },
];

/// The metrics of a run; none if it has no log.
///
/// # Errors
/// [`EvalError::Common`] if the log cannot be read.
pub(crate) fn read_metrics(run_dir: &Path) -> Result<Metrics, EvalError> {
    let path = RunDir::new(run_dir).metrics();
    Ok(if path.is_file() { read_jsonl(&path)? } else { Metrics::new() })
}

/// Draws everything that the training of the run in `run_dir` measured, and writes it into the file `to` as SVG. It holds
/// no time: the same run gives the same bytes.
///
/// # Errors
/// [`EvalError::Common`] if the log cannot be read or the file cannot be written.
pub fn write_curves(run_dir: &Path, to: &Path) -> Result<(), EvalError> {
    let metrics = read_metrics(run_dir)?;
    Ok(write_atomic(to, picture(&metrics).as_bytes())?)
}

fn picture(metrics: &Metrics) -> String {
    let plots: Vec<Plot> = CHARTS.iter().filter_map(|chart| chart.plot(metrics, &WIDE)).collect();
    sheet("Curves of the training", &plots, COLUMNS)
}

/// For reports: the loss; then what became of the validation questions, if there were some.
pub(crate) fn plots(metrics: &Metrics) -> Vec<Plot> {
    [LOSS, ANSWERS].iter().filter_map(|chart| chart.plot(metrics, &SMALL)).collect()
}

/// Step and value of every row that has that metric.
fn series(metrics: &Metrics, name: &str) -> Points {
    metrics.iter().filter_map(|row| Some([row.get("step")?.as_f64()?, row.get(name)?.as_f64()?])).collect()
}

impl Chart {
    /// The plot of what was measured of it; `None` if nothing was.
    fn plot(&self, metrics: &Metrics, panel: &Panel) -> Option<Plot> {
        let (mut curves, mut highest) = (Vec::new(), Vec::new());
        for (metric, colour, name) in self.curves {
            let points = series(metrics, metric);
            let class = format!("curve c{colour}");
            if *metric == "loss" && is_long(&points) {
                let smooth = smoothed(&points);
                highest.extend(smooth.iter().map(|[_, value]| HEADROOM * value));
                curves.push((format!("raw c{colour}"), "loss of a step", thinned(&points)));
                curves.push((class, "mean of 5 % of the steps", smooth));
            } else if !points.is_empty() {
                let points = thinned(&points);
                highest.extend(points.iter().map(|[_, value]| *value));
                curves.push((class, *name, points));
            }
        }
        if curves.is_empty() {
            return None;
        }
        highest.push(0.0);
        let up = Axis::around(&highest, 6, panel.up);
        let key = curves.iter().map(|(class, name, _)| Key::line(class, name)).collect();
        let title = self.title.to_owned();
        let shapes = self.shapes(panel, &up, &curves);
        Some(Plot { file: self.file.to_owned(), label: title.clone(), title, size: panel.size, shapes, key })
    }

    fn shapes(&self, panel: &Panel, up: &Axis, curves: &[(String, &str, Points)]) -> Vec<Shape> {
        let steps = curves.iter().flat_map(|(_, _, points)| points).map(|[step, _]| *step);
        let last = steps.fold(1.0, f64::max);
        let across = Axis { values: [0.0, last], pixels: panel.across, step: last };
        // The curves end at the axis' end, not at the next tick.
        let ticks = Axis::counting(&[0.0, last], 6, panel.across).ticks().into_iter();
        let ticks: Vec<(f64, String)> = ticks
            .filter(|(value, _)| *value <= last)
            .map(|(value, label)| (across.at(value), label))
            .collect();
        let mut shapes = panel.frame(up, self.up, &ticks, "step");
        for (class, _, points) in curves {
            shapes.extend(drawn(points, &across, up, class));
        }
        shapes
    }
}

/// A line, and a dot at every point where there are few.
fn drawn(points: &Points, across: &Axis, up: &Axis, class: &str) -> Vec<Shape> {
    let places: Points = points.iter().map(|[step, value]| [across.at(*step), up.at(*value)]).collect();
    let mut shapes = vec![polyline(places.clone(), class)];
    if points.len() <= DOTTED {
        let dot = class.replace("curve", "dot");
        let dots = places.into_iter().zip(points);
        shapes.extend(dots.map(|(place, [step, value])| {
            circle(place, 3.0, &dot).titled(format!("{step}: {}", short(*value)))
        }));
    }
    shapes
}

/// Means of as many neighbours as leave [`MAX_POINTS`].
fn thinned(points: &[[f64; 2]]) -> Points {
    let together = points.len().div_ceil(MAX_POINTS).max(1);
    points.chunks(together).map(mean).collect()
}

/// Steps on either side of one that its smooth value is the mean of, at most.
fn half_window(steps: usize) -> usize {
    (SMOOTH * steps as f64 / 2.0).round() as usize
}

/// Whether a smooth curve would be another than the curve itself.
fn is_long(points: &[[f64; 2]]) -> bool {
    half_window(points.len()) > 0
}

/// The mean of the steps around each point, but for those at the ends that have hardly any on one side.
fn smoothed(points: &[[f64; 2]]) -> Points {
    let half = half_window(points.len());
    let around = |at: usize| {
        // As many on either side: a one-sided mean would bend the ends.
        let reach = half.min(at).min(points.len() - 1 - at);
        (2 * reach >= half).then(|| [points[at][0], mean(&points[at - reach..=at + reach])[1]])
    };
    let every = points.len().div_ceil(MAX_POINTS).max(1);
    (0..points.len()).filter_map(around).step_by(every).collect()
}

fn mean(points: &[[f64; 2]]) -> [f64; 2] {
    let n = points.len().max(1) as f64;
    [0, 1].map(|part| points.iter().map(|point| point[part]).sum::<f64>() / n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::draw::svg::inline;

    fn row(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_smooth_curve_is_the_mean_of_both_sides() {
        let points: Points = (0..40).map(|step| [f64::from(step), f64::from(step % 2)]).collect();
        let smooth = smoothed(&points);
        // One on either side: 0, 1, 0 has the mean 1/3. The ends have no neighbour on one side and are left out.
        assert_eq!((smooth.len(), smooth[0][0], smooth[37][0]), (38, 1.0, 38.0));
        assert!((smooth[0][1] - 1.0 / 3.0).abs() < 1e-12 && (smooth[1][1] - 2.0 / 3.0).abs() < 1e-12);
        let many = vec![[1.0, 2.0]; 1000];
        // 25 on either side, 13 at least: 974 points have them, and every fourth is drawn.
        assert_eq!((thinned(&many).len(), smoothed(&many).len()), (250, 244));
    }

    #[test]
    fn loss_and_validation_have_a_plot_each_and_rows_without_a_number_are_left_out() {
        let metrics = vec![
            row(r#"{"loss": 2.0, "step": 1}"#),
            row(r#"{"loss": null, "step": 2}"#),
            row(r#"{"eval_loss": 1.5, "eval_acc": 0.5, "eval_refusal_rate": 0.1, "step": 2}"#),
            row(r#"{"loss": 1.0, "step": 3}"#),
        ];
        let plots = plots(&metrics);
        let files: Vec<&str> = plots.iter().map(|plot| plot.file.as_str()).collect();
        assert_eq!(files, ["training-loss", "training-validation"]);
        assert!(inline(&plots[0]).contains("<title>2: 1.5</title>"), "{}", inline(&plots[0]));
        assert_eq!(plots[1].key.len(), 2);
        assert_eq!(super::plots(&Metrics::new()), []);
    }

    #[test]
    fn a_long_loss_is_shown_raw_and_smooth_and_a_single_outlier_does_not_flatten_it() {
        let loss = |step: u32| if step == 50 { 900.0 } else { 1.0 };
        let metrics: Metrics =
            (1..=100).map(|step| row(&format!(r#"{{"loss": {}, "step": {step}}}"#, loss(step)))).collect();
        let plot = LOSS.plot(&metrics, &WIDE).unwrap();
        let names: Vec<&str> = plot.key.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["loss of a step", "mean of 5 % of the steps"]);
        // The mean of seven steps with 900 among them is 129.4; half as much again, 194, is on the axis.
        assert!(inline(&plot).contains(">200</text>") && !inline(&plot).contains(">400</text>"));
    }

    #[test]
    fn steps_are_counted_in_whole_numbers() {
        let metrics = vec![row(r#"{"loss": 2.0, "step": 1}"#), row(r#"{"loss": 1.0, "step": 2}"#)];
        let svg = inline(&LOSS.plot(&metrics, &WIDE).unwrap());
        // Ticks of steps are at the bottom, 17 pixels below the axis.
        let labels: Vec<&str> = svg
            .lines()
            .filter(|line| line.contains("y=\"191\""))
            .filter_map(|line| line.split(['>', '<']).nth(2))
            .collect();
        assert_eq!(labels, ["0", "1", "2"]);
    }

    #[test]
    fn the_picture_has_a_chart_for_all_that_was_measured_and_for_nothing_else() {
        let metrics = vec![
            row(r#"{"loss": 2.0, "learning_rate": 0.001, "step": 1}"#),
            row(r#"{"loss": 1.0, "learning_rate": 0.0005, "step": 2}"#),
            row(r#"{"eval_acc": 0.5, "eval_rgi": null, "step": 2}"#),
        ];
        let svg = picture(&metrics);
        for part in
            [">Training loss<", ">loss<", ">Learning rate<", ">Acc (right)<", ">1: 0.001<", ">0.0004<"]
        {
            assert!(svg.contains(part), "`{part}` is not in {svg}");
        }
        for part in ["eward", "Reliability gain", "validation loss", "clips", ">refused<"] {
            assert!(!svg.contains(part), "{part}");
        }
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (3, 5));
        assert!(picture(&Metrics::new()).contains("</svg>"), "a run without a step");
    }
}
