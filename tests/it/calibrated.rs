//! Calibrated refusal through the program.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use crate::support::{Desk, TRAIN, assert_same, files, outputs, said, with_overrides};
use idk_common::fs::read_to_string;
use idk_common::json::read_jsonl;
use serde_json::Value;

const CALIBRATED: [&str; 5] = [
    "train.method=calibrated",
    "train.epochs=1",
    "build.val_share=0.34",
    "build.refusals=[\"I don't know\", \"unsure\"]",
    "lora.dropout=0.1",
];

#[test]
fn a_calibrated_recipe_trains_validates_and_gives_the_same_bytes_on_one_thread() {
    let desk = Desk::new();
    desk.train(&CALIBRATED).succeeded();
    let first = outputs(&desk.path("run"));
    let log = read_to_string(&desk.path("run/logs/metrics.jsonl")).unwrap();
    for name in ["loss/refusal", "loss/own", "loss/phrase", "probs/refusal", "error_rate", "eval_logps/own"] {
        assert!(log.contains(&format!("\"{name}\"")), "{name}: {log}");
    }
    let rows: Vec<Value> = read_jsonl(&desk.path("run/dataset/calibrated.jsonl")).unwrap();
    let labels: Vec<Value> = read_jsonl(&desk.path("run/dataset/labels.jsonl")).unwrap();
    assert!(!rows.is_empty());
    for row in &rows {
        let label = labels.iter().find(|label| label["id"] == row["id"]).unwrap();
        let of = |key: &str| label[key].as_f64().unwrap();
        assert_eq!(row["error_rate"], (of("n") - of("correct")) / of("n"), "{row}");
    }
    let card = read_to_string(&desk.path("run/adapter/README.md")).unwrap();
    for part in [&format!("| own answers | {} |", rows.len()), "| refusal_weight | `0.2` |"] {
        assert!(card.contains(part), "`{part}` is not in {card}");
    }

    let elsewhere = [&CALIBRATED[..], &["output.dir=one-thread"]].concat();
    let mut command = desk.command(TRAIN, &with_overrides("quick.toml", &elsewhere));
    command.env("RAYON_NUM_THREADS", "1");
    said(command).succeeded();
    assert_same(&first, &outputs(&desk.path("one-thread")));

    // Started again it keeps what is there; other weights are another run.
    desk.train(&CALIBRATED).succeeded();
    assert_same(&first, &outputs(&desk.path("run")));
    let before = files(&desk.path("run"));
    let other = [&CALIBRATED[..], &["calibrated.refusal_weight=0.4"]].concat();
    desk.train(&other).failed(65, &["calibrated.refusal_weight", "0.2", "0.4", "--fresh"]);
    assert_same(&before, &files(&desk.path("run")));
}

#[test]
fn a_dry_run_plans_a_calibrated_run_and_needs_every_sample() {
    let desk = Desk::new();
    let mut command = desk.command(TRAIN, &with_overrides("quick.toml", &CALIBRATED));
    command.args(["--dry-run"]);
    let plan = said(command).succeeded();
    assert!(plan.stdout.contains("calibrated refusal"), "{}", plan.stdout);
    let decided = [&CALIBRATED[..], &["build.stop_when_decided=true"]].concat();
    desk.train(&decided).failed(2, &["stop_when_decided", "needs all of them"]);
}

#[test]
fn calibrated_refusal_over_a_list_trains_validates_and_answers_from_the_list() {
    let desk = Desk::new();
    let listwise = [
        "train.method=calibrated",
        "calibrated.listwise=true",
        "build.val_share=0.34",
        "build.stop_when_decided=true",
        "eval.answer_by=guided",
    ];
    let plan = desk.run(TRAIN, &[&with_overrides("quick.toml", &listwise)[..], &["--dry-run"]].concat());
    let plan = plan.succeeded().stdout;
    assert!(plan.contains("calibrated refusal") && plan.contains("what is learnt"), "{plan}");
    desk.train(&listwise).succeeded();
    let log = read_to_string(&desk.path("run/logs/metrics.jsonl")).unwrap();
    for name in ["loss/refusal", "loss/own", "probs/refusal", "error_rate", "eval_loss/own"] {
        assert!(log.contains(&format!("\"{name}\"")), "{name}: {log}");
    }
    assert!(!log.contains("loss/phrase"), "{log}");
    let card = read_to_string(&desk.path("run/adapter/README.md")).unwrap();
    assert!(card.contains("| listwise | `true` |"), "{card}");
    let other = [&listwise[..], &["calibrated.listwise=false", "build.stop_when_decided=false"]].concat();
    desk.train(&other).failed(65, &["calibrated.listwise", "--fresh"]);
}
