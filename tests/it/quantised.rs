//! Runs on a base model whose weights are held in 8 or 4 bits, through the programs.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::json::{read_json, read_jsonl};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{Desk, METHODS, TRAIN, assert_same, outputs, question_set, tiny_model};

const DTYPES: [&str; 2] = ["model.dtype=int8", "model.dtype=nf4"];

/// The log-probability of every answer.
fn log_probs(desk: &Desk, file: &str) -> BTreeMap<String, f64> {
    let rows: Vec<Value> = read_jsonl(&desk.path(file)).unwrap();
    rows.iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row["log_prob"].as_f64().unwrap()))
        .collect()
}

#[test]
fn every_stage_runs_on_a_quantised_base_and_its_answers_are_not_those_of_the_whole_one() {
    for dtype in DTYPES {
        let desk = Desk::new();
        question_set(&desk, "val", 3, |_| {});
        desk.train(&[dtype, METHODS, "data.val=val/questions.json", "eval.max_step_tokens=6"]).succeeded();
        let identity: Value = read_json(&desk.path("run/identity.json")).unwrap();
        assert_eq!(identity["model.dtype"], dtype.split_once('=').unwrap().1);
        let dpo = [dtype, "train.method=dpo", "dpo.init=run/adapter", "output.dir=dpo"];
        desk.train(&dpo).succeeded();
        desk.train(&["output.dir=whole"]).succeeded();
        let [found, whole] =
            ["run", "whole"].map(|run| log_probs(&desk, &format!("{run}/eval/answers-base.jsonl")));
        assert!(found.keys().eq(whole.keys()) && found != whole, "{dtype}: {found:?} {whole:?}");
    }
}

#[test]
fn a_run_on_a_quantised_base_has_the_same_bytes_on_one_thread_and_after_a_stop_and_a_kill() {
    for dtype in DTYPES {
        let desk = Desk::new();
        desk.has_the_same_bytes_on_one_thread_and_after_a_stop_and_a_kill(&[dtype]);
    }
}

#[test]
fn a_run_does_not_resume_on_weights_that_are_held_in_another_way() {
    let desk = Desk::new();
    desk.train(&["model.dtype=nf4"]).succeeded();
    let before = outputs(&desk.path("run"));
    for other in ["model.dtype=int8", "model.dtype=f32"] {
        desk.train(&[other]).failed(65, &["`model.dtype` was nf4 and is"]);
        assert_same(&before, &outputs(&desk.path("run")));
    }
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    desk.train(&["model.dtype=nf4"]).failed(65, &["`model.dtype` was not set and is nf4 now"]);
    // The type of the numbers that are computed with may change, as before.
    desk.train(&["model.dtype=f32"]).succeeded();
}

#[test]
fn the_adapter_of_a_quantised_run_is_merged_into_the_weights_as_they_are_stored() {
    let desk = Desk::new();
    desk.train(&["model.dtype=nf4", "train.learning_rate=0.01", "lora.target_modules=[\"q_proj\"]"])
        .succeeded();
    desk.run(TRAIN, &["merge", "run", "--out", "merged"]).succeeded();
    let read = |dir: &Path| idk_common::fs::read(&dir.join("model.safetensors")).unwrap();
    let (base, merged) = (read(&tiny_model()), read(&desk.path("merged")));
    let (base, merged) =
        (SafeTensors::deserialize(&base).unwrap(), SafeTensors::deserialize(&merged).unwrap());
    let changed: Vec<&str> = base
        .names()
        .into_iter()
        .filter(|name| base.tensor(name).unwrap().data() != merged.tensor(name).unwrap().data())
        .collect();
    assert!(!changed.is_empty() && changed.iter().all(|name| name.ends_with("q_proj.weight")), "{changed:?}");
}
