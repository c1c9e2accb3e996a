//! `idk-eval score`: stored answers of any program, no model.

use std::path::PathBuf;

use clap::Args;
use idk_evaluator::{EvalConfig, abstention_text, score_files};
use idk_questions::Scorer;
use idk_questions::metrics::{Comparison, show, show_with};

use crate::command::args::one_of;
use crate::terminal::{Failure, print_result, say};

/// Options of `idk-eval score`.
#[derive(Args)]
pub(super) struct ScoreArguments {
    /// Question set, MMAU-shaped JSON or JSONL; its recordings may be missing
    #[arg(long)]
    questions: PathBuf,
    /// Answers of the base model
    #[arg(long)]
    before: PathBuf,
    /// Answers of the method
    #[arg(long)]
    after: PathBuf,
    /// Rule for what counts as right; only `ours` knows refusals
    #[arg(long, default_value = "ours", value_parser = one_of([
        ("ours", Scorer::Ours),
        ("mmau-wordset", Scorer::MmauWordset),
        ("mmau-substring", Scorer::MmauSubstring),
    ]))]
    scorer: Scorer,
}

impl ScoreArguments {
    /// Compares the answers and prints the metrics; those of questions without a right answer under `unanswerable`.
    ///
    /// # Errors
    /// Files that cannot be read, missing or double answers.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let draws = EvalConfig::default().bootstrap_draws;
        let score = score_files(&self.questions, &self.before, &self.after, self.scorer, 0, draws)?;
        let mut object = serde_json::to_value(&score.comparison).unwrap_or_default();
        let mut text = score_table(&score.comparison);
        if let Some(of) = &score.unanswerable {
            object["unanswerable"] = serde_json::to_value(of).unwrap_or_default();
            text.push_str(&format!("\n{}", abstention_text(of)));
        }
        print_result(json, &object, || text.trim_end().to_owned())?;
        if !score.rejected.is_empty() {
            say(&format!("{} questions cannot be used and are not counted", score.rejected.len()));
        }
        Ok(())
    }
}

fn score_table(comparison: &Comparison) -> String {
    let percent = |value: Option<f64>| show(value, 2);
    let plain = |value: Option<f64>, reason: &Option<String>| match value {
        Some(value) => format!("{value:.4}"),
        None => show_with(reason.clone(), |reason| reason),
    };
    let mut text = format!("n {}\n\n|  | before | after |\n|---|---:|---:|\n", comparison.n);
    for (name, pair) in [
        ("Acc %", &comparison.acc),
        ("Tru %", &comparison.tru),
        ("Rel %", &comparison.rel),
        ("refused %", &comparison.refusal_rate),
    ] {
        text.push_str(&format!("| {name} | {} | {} |\n", percent(pair.before), percent(pair.after)));
    }
    let interval = comparison.rgi_ci95.map_or(String::new(), |[low, high]| format!(" [{low:.2}, {high:.2}]"));
    text.push_str(&format!(
        "\ndCon {} %, dHum {} %\nRGI {}{interval}, relative {}, at random {}\n",
        percent(comparison.dcon),
        percent(comparison.dhum),
        plain(comparison.rgi, &comparison.rgi_reason),
        plain(comparison.rgi_relative, &comparison.rgi_reason),
        plain(comparison.random_rgi_of_refusals(), &None),
    ));
    text
}
