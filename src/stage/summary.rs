//! The final summary of `idk-train` on stderr: results, paths, and next commands.

use idk_common::RunDir;
use idk_common::text::{display_path, shell_path};
use idk_evaluator::{Method, REPORT_FILE, Results, results_file};
use idk_questions::metrics::{Comparison, show};
use idk_trainer::TrainReport;

use crate::recipe::Recipe;
use crate::run::questions::val_source;
use crate::terminal::grouped;

/// The lines of a summary, framed.
pub(crate) fn summary(recipe: &Recipe, dir: &RunDir, report: &TrainReport, results: &Results) -> String {
    let mut rows: Vec<(&str, String)> =
        vec![("training", training(report, losses(dir, recipe.train.log_every)))];
    if let Some(best) = best(recipe, report) {
        rows.push(("best", best));
    }
    let adapter = results.methods.iter().find(|found| found.method == Method::Adapter);
    let tasks: Vec<(&str, String)> = adapter
        .into_iter()
        .flat_map(|found| &found.tasks)
        .map(|row| (row.task.as_str(), metrics(&row.comparison)))
        .collect();
    rows.extend(tasks);
    let eval = dir.eval();
    for (name, path) in [
        ("adapter", dir.adapter()),
        ("curves", dir.curves()),
        ("results", results_file(&eval)),
        ("report", eval.join(REPORT_FILE)),
    ] {
        rows.push((name, display_path(&path)));
    }
    rows.extend(
        next(recipe, dir).into_iter().enumerate().map(|(at, line)| (if at == 0 { "next" } else { "" }, line)),
    );
    framed(&rows)
}

/// Mean losses at the beginning and at the end of a training. A single batch says little: its loss is noise.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Losses {
    first: f64,
    last: f64,
    /// Whether every step was logged.
    of_all_steps: bool,
}

/// Of all starts of the run, as its log holds them; `None` for fewer than two steps.
fn losses(dir: &RunDir, log_every: u64) -> Option<Losses> {
    let rows = idk_trainer::read_metrics(dir).ok()?;
    let losses: Vec<f64> = rows.iter().filter_map(|row| row.get("loss")?.as_f64()).collect();
    if losses.len() < 2 {
        return None;
    }
    let count = losses.len().div_ceil(20);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..count]), mean(&losses[losses.len() - count..]));
    Some(Losses { first, last, of_all_steps: log_every == 1 })
}

fn training(report: &TrainReport, losses: Option<Losses>) -> String {
    let steps = format!("{} of {} steps", grouped(report.steps), grouped(report.total_steps));
    let here = report.steps - report.resumed_from.unwrap_or(0).min(report.steps);
    let time = match here {
        0 => "done before".to_owned(),
        _ if report.resumed_from.is_some() => {
            format!("{} of them now, in {}", grouped(here), minutes(report.wall_s))
        }
        _ => minutes(report.wall_s),
    };
    let loss = losses.map_or(String::new(), |Losses { first, last, of_all_steps }| {
        let steps = if of_all_steps { "steps" } else { "logged steps" };
        format!("; loss {first:.3} -> {last:.3} (means of the first and last 5 % of {steps})")
    });
    format!("{steps}, {time}{loss}")
}

/// Which evaluation the adapter is from, if the recipe chooses one.
fn best(recipe: &Recipe, report: &TrainReport) -> Option<String> {
    let (best, metric) = (report.best?, recipe.train.metric_for_best?);
    Some(format!("step {}: eval_{} {:.4}", grouped(best.step), metric.name(), best.value))
}

fn minutes(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.0} s") } else { format!("{:.1} min", seconds / 60.0) }
}

fn metrics(row: &Comparison) -> String {
    let percent = |value: Option<f64>| show(value, 1);
    let both = |pair: &idk_questions::metrics::BeforeAfter<Option<f64>>| {
        format!("{} -> {}", percent(pair.before), percent(pair.after))
    };
    let rgi = match (row.rgi, row.rgi_ci95) {
        (Some(rgi), Some([low, high])) => format!("{rgi:+.2} [{low:+.2}, {high:+.2}]"),
        (Some(rgi), None) => format!("{rgi:+.2}"),
        (None, _) => format!("none ({})", row.rgi_reason.as_deref().unwrap_or("not defined")),
    };
    format!(
        "Acc {} %, Rel {} %, refused {} %, RGI {rgi}",
        both(&row.acc),
        both(&row.rel),
        both(&row.refusal_rate)
    )
}

/// Commands that lead on from a finished run.
fn next(recipe: &Recipe, dir: &RunDir) -> Vec<String> {
    let mut lines = vec![
        format!("open {} in a browser", display_path(&dir.eval().join(REPORT_FILE))),
        format!("idk-eval {} --by sub-category", shell_path(&dir.root)),
        format!("idk-train merge {} --out DIR", shell_path(&dir.root)),
    ];
    if val_source(recipe).is_ok() {
        lines.push(format!("idk-eval pick {}", shell_path(&dir.root)));
    }
    lines
}

/// `rows` in a frame of plain characters.
fn framed(rows: &[(&str, String)]) -> String {
    let lines: Vec<String> = rows.iter().map(|(name, text)| format!("{name:<9} {text}")).collect();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let edge = format!("+{}+", "-".repeat(width + 2));
    let body: Vec<String> = lines.iter().map(|line| format!("| {line:<width$} |")).collect();
    format!("{edge}\n{}\n{edge}", body.join("\n"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    fn report(resumed_from: Option<u64>, steps: u64) -> TrainReport {
        TrainReport {
            steps,
            total_steps: 1200,
            resumed_from,
            skipped_steps: 0,
            samples_seen: 0,
            num_tokens: 0,
            first_loss: Some(9.0),
            last_loss: Some(0.0),
            last_eval: BTreeMap::new(),
            best: None,
            ended_early: None,
            interrupted: false,
            wall_s: 90.0,
        }
    }

    #[test]
    fn the_steps_of_this_start_are_told_from_those_before() {
        let losses = Some(Losses { first: 2.0, last: 0.25, of_all_steps: true });
        let expected =
            "1,200 of 1,200 steps, 1.5 min; loss 2.000 -> 0.250 (means of the first and last 5 % of steps)";
        assert_eq!(training(&report(None, 1200), losses), expected);
        assert_eq!(training(&report(None, 1200), None), "1,200 of 1,200 steps, 1.5 min");
        assert!(training(&report(Some(1000), 1200), losses).contains("200 of them now, in 1.5 min"));
        assert!(training(&report(Some(1200), 1200), losses).contains("done before"));
    }

    #[test]
    fn losses_are_means_over_the_first_and_last_twentieth_of_the_logged_steps_of_all_starts() {
        let root = tempfile::tempdir().unwrap();
        let dir = RunDir::new(root.path());
        let of_log = |rows: &[Value]| {
            let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
            idk_common::fs::write_atomic(&dir.metrics(), text.as_bytes()).unwrap();
            losses(&dir, 1)
        };
        assert_eq!(losses(&dir, 1), None, "no log");
        assert_eq!(of_log(&[json!({"loss": 1.0, "step": 1})]), None);
        let two = [json!({"loss": 3.0, "step": 1}), json!({"loss": 1.0, "step": 2})];
        assert_eq!(of_log(&two), Some(Losses { first: 3.0, last: 1.0, of_all_steps: true }));
        // 40 steps: two on each side. Evaluations and steps without a finite loss do not count.
        let mut rows: Vec<Value> =
            (1..=40).map(|step| json!({"loss": f64::from(step), "step": step})).collect();
        rows.insert(1, json!({"eval_loss": 100.0, "step": 1}));
        rows.push(json!({"loss": null, "step": 41}));
        assert_eq!(of_log(&rows), Some(Losses { first: 1.5, last: 39.5, of_all_steps: true }));
        let text = training(&report(None, 1200), losses(&dir, 10));
        assert!(
            text.ends_with("loss 1.500 -> 39.500 (means of the first and last 5 % of logged steps)"),
            "{text}"
        );
    }

    #[test]
    fn every_line_of_the_frame_has_the_same_width() {
        let text = framed(&[("a", "b".to_owned()), ("long", "a much longer line".to_owned())]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert_eq!(widths.len(), 4);
    }
}
