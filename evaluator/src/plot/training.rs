//! The loss of a run over its steps, and what the validation found on the way.

use std::path::{Path, PathBuf};

use idk_common::json::read_jsonl;
use serde_json::{Map, Value};

use crate::error::EvalError;

use super::axis::{Axis, Positions, short};
use super::panel::{ACROSS, SIZE, UP, frame};
use super::shape::{Shape, circle, polyline};
use super::{Key, Plot};

/// Most points of a curve.
const MAX_POINTS: usize = 300;
/// Share of all steps that one point of the smooth curve is the mean of.
const SMOOTH: f64 = 0.05;

/// The metrics of a run, one row a step; rows of the validation have names that begin with `eval_`.
pub(crate) type Metrics = Vec<Map<String, Value>>;

/// The log of metrics in a run folder.
pub(crate) fn metrics_file(run_dir: &Path) -> PathBuf {
    run_dir.join("logs").join("metrics.jsonl")
}

/// The metrics of a run; none if it has no log.
///
/// # Errors
/// [`EvalError::Common`] if the log cannot be read.
pub(crate) fn read_metrics(run_dir: &Path) -> Result<Metrics, EvalError> {
    let path = metrics_file(run_dir);
    Ok(if path.is_file() { read_jsonl(&path)? } else { Metrics::new() })
}

/// Step and value of every row that has that metric.
fn series(metrics: &Metrics, name: &str) -> Vec<[f64; 2]> {
    metrics.iter().filter_map(|row| Some([row.get("step")?.as_f64()?, row.get(name)?.as_f64()?])).collect()
}

/// The loss; then accuracy, refusals and reliability on the validation questions, if there were some.
pub(crate) fn plots(metrics: &Metrics) -> Vec<Plot> {
    let mut plots = Vec::new();
    let (train, eval) = (series(metrics, "loss"), series(metrics, "eval_loss"));
    if train.len() > 1 {
        let smooth = smoothed(&train);
        // A single step's loss may be many times the rest: the axis is that of the smooth curve.
        let raw = thinned(&train);
        let mut shown: Vec<[f64; 2]> = smooth.clone();
        shown.extend(&eval);
        let mut curves =
            vec![("raw c1", "loss of a step", raw), ("curve c1", "mean of 5 % of the steps", smooth)];
        if !eval.is_empty() {
            curves.push(("curve c2", "loss on val", eval));
        }
        plots.push(plot("training-loss", "Training loss", &shown, 1.5, &curves));
    }
    let shares = [
        ("curve c1", "Acc (right)", series(metrics, "eval_acc")),
        ("curve c3", "Rel (reliability)", series(metrics, "eval_rel")),
        ("curve c2", "refused", series(metrics, "eval_refusal_rate")),
    ];
    let shares: Vec<_> = shares.into_iter().filter(|(_, _, points)| !points.is_empty()).collect();
    if !shares.is_empty() {
        let all: Vec<[f64; 2]> = shares.iter().flat_map(|(_, _, points)| points.clone()).collect();
        plots.push(plot("training-validation", "Validation answers while training", &all, 1.0, &shares));
    }
    plots
}

/// `shown`: what the upright axis must hold; `headroom`: how far above it that goes, curves beyond are cut.
fn plot(
    file: &str,
    title: &str,
    shown: &[[f64; 2]],
    headroom: f64,
    curves: &[(&str, &str, Vec<[f64; 2]>)],
) -> Plot {
    let mut values: Vec<f64> = shown.iter().map(|[_, value]| headroom * value).collect();
    values.push(0.0);
    let up = Axis::around(&values, 6, UP);
    let last = curves.iter().flat_map(|(_, _, points)| points).map(|[step, _]| *step).fold(1.0, f64::max);
    let across = Axis { values: [0.0, last], pixels: ACROSS, step: last };
    let ticks = Axis::around(&[0.0, last], 6, ACROSS).ticks();
    let ticks: Vec<f64> = ticks.into_iter().map(|(value, _)| value).filter(|value| *value <= last).collect();
    let labels =
        Positions::new(&ticks, [across.at(0.0), across.at(ticks.last().copied().unwrap_or_default())]);
    let mut shapes = frame(&up, if headroom > 1.0 { "loss" } else { "share" }, &labels.labels(), "step");
    for (class, _, points) in curves {
        shapes.extend(drawn(points, &across, &up, class));
    }
    let key = curves.iter().map(|(class, name, _)| Key::line(class, name)).collect();
    Plot { file: file.to_owned(), label: title.to_owned(), title: title.to_owned(), size: SIZE, shapes, key }
}

/// A line, and a dot at every point where there are few.
fn drawn(points: &[[f64; 2]], across: &Axis, up: &Axis, class: &str) -> Vec<Shape> {
    let places: Vec<[f64; 2]> =
        points.iter().map(|[step, value]| [across.at(*step), up.at(*value)]).collect();
    let mut shapes = vec![polyline(places.clone(), class)];
    if points.len() <= 25 {
        let dot = class.replace("curve", "dot");
        let dots = places.into_iter().zip(points);
        shapes.extend(dots.map(|(place, [step, value])| {
            circle(place, 3.0, &dot).titled(format!("{step}: {}", short(*value)))
        }));
    }
    shapes
}

/// Means of as many neighbours as leave [`MAX_POINTS`].
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let together = points.len().div_ceil(MAX_POINTS).max(1);
    points.chunks(together).map(mean).collect()
}

/// The mean of the steps around each point, but for those at the ends that have hardly any on one side.
fn smoothed(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let half = (SMOOTH * points.len() as f64 / 2.0).round() as usize;
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
    use super::super::svg::inline;
    use super::*;

    fn row(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_smooth_curve_is_the_mean_of_both_sides() {
        let points: Vec<[f64; 2]> = (0..40).map(|step| [f64::from(step), f64::from(step % 2)]).collect();
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
}
