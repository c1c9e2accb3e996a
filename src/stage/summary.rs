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
    let mut rows: Vec<(&str, String)> = vec![("training", training(report))];
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

fn training(report: &TrainReport) -> String {
    let steps = format!("{} of {} steps", grouped(report.steps), grouped(report.total_steps));
    let here = report.steps - report.resumed_from.unwrap_or(0).min(report.steps);
    let time = match here {
        0 => "done before".to_owned(),
        _ if report.resumed_from.is_some() => {
            format!("{} of them now, in {}", grouped(here), minutes(report.wall_s))
        }
        _ => minutes(report.wall_s),
    };
    let loss = match (report.first_loss, report.last_loss) {
        (Some(first), Some(last)) => format!("; loss {first:.3} -> {last:.3}"),
        _ => String::new(),
    };
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
        format!("idk-eval {} --by sub-category", shell_path(&dir.recipe())),
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

    use super::*;

    fn report(resumed_from: Option<u64>, steps: u64) -> TrainReport {
        TrainReport {
            steps,
            total_steps: 1200,
            resumed_from,
            skipped_steps: 0,
            samples_seen: 0,
            num_tokens: 0,
            first_loss: Some(2.0),
            last_loss: Some(0.25),
            last_eval: BTreeMap::new(),
            best: None,
            ended_early: None,
            interrupted: false,
            wall_s: 90.0,
        }
    }

    #[test]
    fn the_steps_of_this_start_are_told_from_those_before() {
        assert_eq!(training(&report(None, 1200)), "1,200 of 1,200 steps, 1.5 min; loss 2.000 -> 0.250");
        assert!(training(&report(Some(1000), 1200)).contains("200 of them now, in 1.5 min"));
        assert!(training(&report(Some(1200), 1200)).contains("done before"));
    }

    #[test]
    fn every_line_of_the_frame_has_the_same_width() {
        let text = framed(&[("a", "b".to_owned()), ("long", "a much longer line".to_owned())]);
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert_eq!(widths.len(), 4);
    }
}
