//! `curves.svg`: loss, accuracy and what validation measured, over the steps of a run.

use idk_common::atomic;
use idk_common::chart::{Panel, Series, line_charts};
use serde_json::{Map, Value};

use crate::error::TrainError;
use crate::logs::read_metrics;
use crate::run_dir::RunDir;

/// Titles of the panels and the metrics in each, by the names of the log. Panels without a value are left out.
const PANELS: [(&str, &[&str]); 8] = [
    ("loss", &["loss", "eval_loss"]),
    ("share of answer tokens predicted right", &["mean_token_accuracy", "eval_mean_token_accuracy"]),
    ("answers to validation questions", &["eval_acc", "eval_tru", "eval_rel", "eval_refusal_rate"]),
    ("reliability gain on validation questions", &["eval_rgi"]),
    (
        "accuracy on validation clips",
        &["eval_accuracy", "eval_accuracy_sound", "eval_accuracy_music", "eval_accuracy_speech"],
    ),
    (
        "share of pairs whose chosen answer has the higher reward",
        &["rewards/accuracies", "eval_rewards/accuracies"],
    ),
    ("reward margin", &["rewards/margins", "eval_rewards/margins"]),
    ("learning rate", &["learning_rate"]),
];

/// Draws the curves of a run from its metrics log, and writes them. They hold no time: the same run gives the same
/// bytes.
///
/// # Errors
/// [`TrainError::Common`] if the log cannot be read or the file cannot be written.
pub fn write_curves(run: &RunDir) -> Result<(), TrainError> {
    let rows = read_metrics(run)?;
    Ok(atomic::write_atomic(&run.curves(), curves(&rows).as_bytes())?)
}

fn curves(rows: &[Map<String, Value>]) -> String {
    let panels: Vec<Panel> = PANELS
        .iter()
        .map(|(title, metrics)| Panel {
            title: (*title).to_owned(),
            series: metrics.iter().filter_map(|metric| series(rows, metric)).collect(),
        })
        .filter(|panel| !panel.series.is_empty())
        .collect();
    line_charts("curves of the training", "optimiser steps", &panels)
}

/// The values of a metric; `None` if it has none.
fn series(rows: &[Map<String, Value>], metric: &str) -> Option<Series> {
    let point = |row: &Map<String, Value>| Some([row.get("step")?.as_f64()?, row.get(metric)?.as_f64()?]);
    let points: Vec<[f64; 2]> = rows.iter().filter_map(point).collect();
    let name =
        metric.strip_prefix("eval_").map_or_else(|| metric.to_owned(), |name| format!("validation {name}"));
    (!points.is_empty()).then(|| Series { name, points, marked: metric.starts_with("eval_") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows() -> Vec<Map<String, Value>> {
        let rows = json!([
            {"loss": 2.0, "learning_rate": 0.001, "step": 1},
            {"loss": 1.0, "learning_rate": 0.0005, "step": 2},
            {"eval_acc": 0.5, "eval_rgi": null, "step": 2},
        ]);
        serde_json::from_value(rows).unwrap()
    }

    #[test]
    fn there_is_a_panel_for_all_that_was_measured_and_for_nothing_else() {
        let svg = curves(&rows());
        for part in [">loss<", ">learning rate<", ">answers to validation questions<", ">validation acc<"] {
            assert!(svg.contains(part), "`{part}` is not in {svg}");
        }
        for part in ["reward", "reliability gain", "validation loss", "validation clips"] {
            assert!(!svg.contains(part), "{part}");
        }
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert_eq!(svg.matches("<circle").count(), 1, "the one evaluation");
    }

    #[test]
    fn a_run_without_a_step_has_an_empty_picture() {
        assert!(curves(&[]).contains("</svg>"));
    }
}
