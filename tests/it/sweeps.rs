//! Sweeps as a program: adapter scale and threshold of a finished run, which scale to take, and K as an experiment of several runs.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use crate::support::{Desk, EVAL, assert_same, files, question_set, tiny_model, with_overrides};
use idk_common::json::read_json;
use serde_json::Value;

const VAL: &str = "data.val=val/questions.json";

/// A finished run with four questions to validate on.
fn finished_run() -> Desk {
    let desk = Desk::new();
    question_set(&desk, "val", 4, |rows| rows.iter_mut().for_each(|row| row["split"] = "val".into()));
    desk.train(&[VAL]).succeeded();
    desk
}

/// The values of a grid's cells.
fn values(grid: &Value) -> Vec<f64> {
    grid["cells"].as_array().unwrap().iter().map(|cell| cell["value"].as_f64().unwrap()).collect()
}

/// The results of a cell on all tasks.
fn at(grid: &Value, cell: usize) -> &Value {
    &grid["cells"][cell]["tasks"]["all"]
}

#[test]
fn a_sweep_answers_val_at_every_scale_and_a_second_one_finds_the_answers_and_writes_the_same_bytes() {
    let desk = finished_run();
    let scales = "sweep.adapter_scale=[1, 0, 0.5]";
    let sweep = |place: &str, options: &[&str]| {
        desk.run(EVAL, &[&["sweep"], &with_overrides(place, &[VAL, scales])[..], options].concat())
            .succeeded()
    };
    let said = sweep("quick.toml", &["--test"]);
    for part in [
        "adapter_scale sweep on val, 4 questions",
        "adapter_scale sweep on test, 6 questions",
        "threshold sweep on val",
    ] {
        assert!(said.stdout.contains(part), "`{part}` is not in {}", said.stdout);
    }
    let read = |name: &str| read_json::<Value>(&desk.path(&format!("run/sweep/{name}.json"))).unwrap();
    let (val, test) = (read("adapter_scale"), read("adapter_scale-test"));
    assert_eq!((&val["set"], &test["set"]), (&"val".into(), &"test".into()));
    assert_eq!(values(&val), [0.0, 0.5, 1.0]);
    for sweep in [&val, &test] {
        // Scale 0 is the base model.
        assert_eq!(
            (&at(sweep, 0)["acc"], &at(sweep, 0)["rgi_reason"]),
            (&sweep["base_acc"]["all"], &"changed nothing".into())
        );
    }
    // What the evaluation has answered is found: base and adapter on the test set.
    assert!(said.stderr.matches("6 of 6 answers were already stored").count() >= 2, "{}", said.stderr);
    let results: Value = read_json(&desk.path("run/eval/results.json")).unwrap();
    let after = &results["methods"][0]["tasks"][3];
    assert_eq!((&at(&test, 2)["acc"], &at(&test, 2)["rgi"]), (&after["acc"]["after"], &after["rgi"]));
    let curve = read("threshold");
    assert_eq!(at(&curve, values(&curve).len() - 1)["refusal_rate"], 100.0);
    assert_eq!(values(&curve), values(&read("threshold-test")), "the same thresholds");

    let before = files(&desk.path("run"));
    let again = sweep("run", &["--test"]);
    assert_eq!(again.stdout, said.stdout);
    let count = |part: &str| again.stderr.matches(part).count();
    assert_eq!(count("answers of "), count(" answers were already stored"), "{}", again.stderr);
    assert_same(&before, &files(&desk.path("run")));
    let lines = sweep("quick.toml", &["--json"]).stdout;
    let kinds: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].clone()).collect();
    assert_eq!(kinds, ["adapter_scale", "threshold"]);
}

#[test]
fn pick_never_reads_the_test_set_and_says_so_when_no_scale_helps() {
    let desk = finished_run();
    std::fs::remove_file(desk.path("set/questions.json")).unwrap();
    let pick = |options: &[&str]| desk.run(EVAL, &[&["pick", "run"], options].concat());
    // The tiny model's weights are random: nothing that it learns is a refusal.
    let said = pick(&[]).succeeded();
    assert!(
        said.stdout
            .contains("No adapter scale is recommended: no adapter_scale gains more than it loses on val."),
        "{}",
        said.stdout
    );
    assert_eq!(pick(&["--json"]).succeeded().json()["picked"], Value::Null);
    pick(&["--write", "picked"]).failed(
        65,
        &["nothing was written", "no adapter_scale gains", "a lower --min-accuracy changes nothing"],
    );
    pick(&["--write", "set"]).failed(2, &["`set` already exists"]);
    assert!(!desk.path("picked").exists());
}

#[test]
fn what_cannot_be_swept_is_said_before_a_model_is_loaded() {
    let desk = Desk::new();
    let sweep = |overrides: &[&str]| {
        desk.run(EVAL, &[&["sweep"], &with_overrides("quick.toml", overrides)[..]].concat())
    };
    sweep(&[]).failed(2, &["give `val` in [data]"]);
    sweep(&["data.val=set/questions.json"]).failed(2, &["val"]);
    sweep(&["data.val=none.json"]).failed(66, &["none.json"]);
    sweep(&[VAL, "sweep.adapter_scale=[-1]"]).failed(2, &["`adapter_scale` in [sweep]", "between 0 and 100"]);
    question_set(&desk, "val", 4, |_| {});
    sweep(&[VAL]).failed(66, &["adapter_config.json"]);
    desk.run(EVAL, &["sweep", "nowhere"]).failed(66, &["nowhere"]);
    desk.run(EVAL, &["--out", "x", "sweep", "quick.toml"]).failed(2, &["`sweep` does not take --out"]);
    assert!(!desk.path("run").exists());
}

#[test]
fn every_k_is_trained_on_the_same_samples_and_kept_when_the_experiment_goes_on() {
    let desk = Desk::new();
    question_set(&desk, "val", 4, |_| {});
    let overrides = [VAL, "sweep.k=[3, 1]", "train.epochs=1"];
    let said = desk.train(&overrides).succeeded();
    assert!(
        said.stdout.contains("k sweep on val") && said.stdout.contains("k sweep on test"),
        "{}",
        said.stdout
    );
    let read = |name: &str| read_json::<Value>(&desk.path(&format!("run/sweep/{name}.json"))).unwrap();
    let (val, test) = (read("k"), read("k-test"));
    assert_eq!((values(&val), values(&test)), (vec![1.0, 3.0], vec![1.0, 3.0]));
    assert_eq!((&val["questions"], &test["questions"]), (&4.into(), &6.into()));
    let of = |cell: &str| files(&desk.path(&format!("run/cells/{cell}")));
    let (one, three) = (of("k1"), of("k3"));
    assert_eq!(one["dataset/samples.jsonl"], three["dataset/samples.jsonl"]);
    let labels = |cell: &str| {
        read_json::<Value>(&desk.path(&format!("run/cells/{cell}/dataset/manifest.json"))).unwrap()
    };
    assert_eq!((&labels("k1")["config"]["k"], &labels("k3")["config"]["k"]), (&1.into(), &3.into()));

    // A cell that was lost is made again; the others are kept.
    let before = files(&desk.path("run/sweep"));
    std::fs::remove_dir_all(desk.path("run/cells/k3")).unwrap();
    let again = desk.train(&overrides).succeeded();
    assert_eq!(again.stdout, said.stdout);
    assert_same(&before, &files(&desk.path("run/sweep")));
    assert_eq!(of("k3")["adapter/adapter_model.safetensors"], three["adapter/adapter_model.safetensors"]);
    desk.train(&["sweep.k=[1]"]).failed(2, &["give `val` in [data]"]);
    desk.train(&[VAL, "sweep.k=[4]"]).failed(2, &["`k` in [sweep]", "n_samples"]);
    desk.train(&[VAL, "sweep.k=[1]", "build.stop_when_decided=true"]).failed(2, &["stop_when_decided"]);
}

#[test]
fn transfer_trains_a_cell_for_every_set_and_seed_and_a_file_of_an_older_program_is_rejected() {
    let desk = Desk::new();
    let overrides = ["transfer.train=[\"all\", \"sound\"]", "transfer.seeds=[0, 1]", "train.epochs=1"];
    let said = desk.train(&overrides).succeeded();
    assert!(said.stdout.starts_with("RGI (mean ± standard deviation of 2 seeds)"), "{}", said.stdout);
    let file = desk.path("run/transfer.json");
    let grid: Value = read_json(&file).unwrap();
    let cells = grid["cells"].as_array().unwrap();
    let places: Vec<String> =
        cells.iter().map(|cell| format!("{} {}", cell["value"], cell["seed"])).collect();
    assert_eq!(places, ["\"all\" 0", "\"all\" 1", "\"sound\" 0", "\"sound\" 1"]);
    let results: Value = read_json(&desk.path("run/cells/sound-seed1/eval/results.json")).unwrap();
    for (task, row) in results["methods"][0]["tasks"].as_array().unwrap().iter().enumerate() {
        let score = &cells[3]["tasks"][row["task"].as_str().unwrap()];
        assert_eq!((&score["rgi"], &score["rgi_ci95"]), (&row["rgi"], &row["rgi_ci95"]), "task {task}");
    }
    desk.run(EVAL, &["plot", "run"]).succeeded();
    assert!(desk.path("run/plots/transfer.svg").is_file() && desk.path("run/report.html").is_file());
    let old = r#"{"format": 1, "seeds": [0], "base_acc": {}, "cells": []}"#;
    idk_common::fs::write_atomic(&file, old.as_bytes()).unwrap();
    desk.run(EVAL, &["plot", "run"]).failed(65, &["run/transfer.json", "version is 1", "idk-train RECIPE"]);
}

#[test]
fn a_refusal_offset_is_picked_by_the_share_to_refuse_and_an_evaluation_takes_it() {
    let desk = finished_run();
    let guided = [VAL, "eval.answer_by=guided"];
    let pick = |overrides: &[&str], options: &[&str]| {
        desk.run(EVAL, &[&["pick"], &with_overrides("quick.toml", overrides)[..], options].concat())
    };
    pick(&[VAL], &["--refuse", "0.5"]).failed(2, &["answer_by=guided"]);
    pick(&guided, &["--refuse", "1.5"]).failed(2, &["between 0 and 1"]);
    let said = pick(&guided, &["--refuse", "0.5", "--json"]).succeeded();
    let grid: Value = serde_json::from_str(&said.stdout).unwrap();
    let picked = grid["picked"]["value"].as_f64().unwrap();
    let place = values(&grid).iter().position(|&value| value == picked).unwrap();
    assert_eq!((&grid["kind"], &at(&grid, place)["refusal_rate"]), (&"refusal_offset".into(), &50.0.into()));
    // The same rate by decoding with the offset.
    let offset = format!("eval.refusal_offset={picked}");
    let model = tiny_model().display().to_string();
    let questions = ["--questions", "val/questions.json", "--out", "at-offset"];
    let who = ["--model", &model, "--adapter", "run/adapter"];
    let how = ["--set", "eval.answer_by=guided", "--set", &offset];
    desk.run(EVAL, &[&who[..], &questions, &how].concat()).succeeded();
    let results: Value = read_json(&desk.path("at-offset/results.json")).unwrap();
    let tasks = results["methods"][0]["tasks"].as_array().unwrap();
    assert_eq!(tasks.last().unwrap()["refusal_rate"]["after"], Value::from(50.0));
    assert_eq!(tasks.last().unwrap()["unparsed"]["after"], Value::from(0));
    pick(&guided, &["--offset"]).succeeded();
}
