//! Scores two files of answers to the same questions, such as those of a base model and of an adapter.
//!
//!     cargo run --release --example score -- QUESTIONS BEFORE.jsonl AFTER.jsonl
#![expect(clippy::print_stdout, reason = "the metrics are the result")]

use idk_evaluator::score_files;
use idk_questions::Scorer;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [questions, before, after] = files.as_slice() else {
        return Err("give QUESTIONS BEFORE.jsonl AFTER.jsonl".into());
    };
    let score = score_files(questions.as_ref(), before.as_ref(), after.as_ref(), Scorer::Ours, 0, 2000)?;
    let metrics = score.comparison;
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    println!("accuracy     {} -> {}", shown(metrics.acc.before), shown(metrics.acc.after));
    println!("truthfulness {} -> {}", shown(metrics.tru.before), shown(metrics.tru.after));
    println!("reliability  {} -> {}", shown(metrics.rel.before), shown(metrics.rel.after));
    match metrics.rgi {
        Some(rgi) => println!("RGI          {rgi:+.2}"),
        None => println!("RGI          undefined: {}", metrics.rgi_reason.unwrap_or_default()),
    }
    Ok(())
}
