//! A run of every family of models through the programs: build, SFT, DPO, evaluate, merge. The models are the tiny ones of
//! `tests/fixtures`; the longest clip of the questions is longer than their windows.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;

use crate::support::{BUILD, Desk, EVAL, METHODS, TRAIN, question_set, repo, with_overrides};
use idk_common::json::{read_json, read_jsonl};
use safetensors::SafeTensors;
use serde_json::Value;

/// Folders of the families besides Qwen2-Audio, which the other tests run.
const FAMILIES: [&str; 4] =
    ["audioflamingo3-tiny", "musicflamingo-tiny", "qwen2_5-omni-tiny", "voxtral-tiny"];

/// Adapters in every part of the model that change its answers.
const ADAPTED: [&str; 3] = ["train.learning_rate=0.01", "lora.modules=all", "lora.rank=2"];

fn model(family: &str) -> String {
    repo("tests/fixtures").join(family).display().to_string()
}

fn recipe<'a>(path: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[path][..], &ADAPTED, more].concat()
}

/// Text and log-probability of every answer.
fn answers(desk: &Desk, file: &str) -> BTreeMap<String, (String, f64)> {
    let rows: Vec<Value> = read_jsonl(&desk.path(file)).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "id"), (text(row, "text"), row["log_prob"].as_f64().unwrap()))).collect()
}

#[test]
fn every_family_builds_trains_by_both_methods_evaluates_and_merges() {
    for family in FAMILIES {
        let desk = Desk::new();
        let (folder, path) = (model(family), format!("model.path={}", model(family)));
        desk.run(TRAIN, &[&with_overrides("quick.toml", &recipe(&path, &[]))[..], &["--dry-run"]].concat())
            .succeeded();
        desk.run(BUILD, &with_overrides("quick.toml", &recipe(&path, &[]))).succeeded();
        question_set(&desk, "val", 3, |_| {});
        let every_method = [METHODS, "data.val=val/questions.json", "eval.max_step_tokens=6"];
        desk.train(&recipe(&path, &every_method)).succeeded();
        let results: Value = read_json(&desk.path("run/eval/results.json")).unwrap();
        let methods = METHODS.split(',').count();
        assert_eq!(results["methods"].as_array().unwrap().len(), methods, "{family}");
        let manifest: Value = read_json(&desk.path("run/dataset/manifest.json")).unwrap();
        assert_eq!(manifest["cut_audio"].as_u64().unwrap_or(0), 0, "{family}: whole clips are heard");
        let dpo = [
            "train.method=dpo",
            "dpo.init=run/adapter",
            "output.dir=dpo",
            "data.val=val/questions.json",
            "train.eval_every=1",
        ];
        desk.train(&recipe(&path, &dpo)).succeeded();

        desk.run(TRAIN, &["merge", "run", "--out", "merged", "--dtype", "f32"]).succeeded();
        let ask = |arguments: &[&str]| {
            desk.run(EVAL, &[&["--questions", "set/questions.json"][..], arguments].concat()).succeeded()
        };
        ask(&["--model", &folder, "--adapter", "run/adapter", "--out", "with"]);
        ask(&["--model", "merged", "--out", "without"]);
        let (base, with) =
            (answers(&desk, "with/answers-base.jsonl"), answers(&desk, "with/answers-adapter.jsonl"));
        let without = answers(&desk, "without/answers-base.jsonl");
        assert_eq!(with.len(), 6);
        assert_ne!(with, base, "{family}: the adapter must change something");
        for (id, (text, log_prob)) in &with {
            assert_eq!(text, &without[id].0, "{family} {id}");
            assert!((log_prob - without[id].1).abs() < 1e-4, "{family} {id}: {log_prob} {}", without[id].1);
        }
        desk.run(TRAIN, &["merge", "run", "--out", "as-stored"]).succeeded();
        assert_copied(&desk, &folder);
    }
}

/// Tensors that no adapter changes, those of parts that are not run among them, keep their bytes and names.
fn assert_copied(desk: &Desk, folder: &str) {
    let read = |dir: &std::path::Path| idk_common::fs::read(&dir.join("model.safetensors")).unwrap();
    let (base, merged) = (read(folder.as_ref()), read(&desk.path("as-stored")));
    let (base, merged) =
        (SafeTensors::deserialize(&base).unwrap(), SafeTensors::deserialize(&merged).unwrap());
    assert_eq!(base.len(), merged.len(), "{folder}");
    let changed = |name: &str| base.tensor(name).unwrap().data() != merged.tensor(name).unwrap().data();
    let changed: Vec<&str> = base.names().into_iter().filter(|name| changed(name)).collect();
    assert!(!changed.is_empty(), "{folder}");
    for name in changed {
        let is_linear = name.ends_with(".weight") && !name.contains("norm") && !name.contains("conv");
        let is_run =
            !["talker", "token2wav", "visual", "embed", "lm_head"].iter().any(|part| name.contains(part));
        assert!(is_linear && is_run, "{folder}: {name}");
    }
}

#[test]
fn runs_of_every_family_have_the_same_bytes_on_one_thread_and_after_a_stop_and_a_kill() {
    for family in FAMILIES {
        let desk = Desk::new();
        let path = format!("model.path={}", model(family));
        desk.has_the_same_bytes_on_one_thread_and_after_a_stop_and_a_kill(&recipe(&path, &[]));
    }
}

#[test]
fn two_clips_in_one_message_are_rejected_where_the_template_takes_one() {
    let desk = Desk::new();
    question_set(&desk, "pairs", 2, |rows| {
        for row in rows {
            row["audio_id"] = serde_json::json!(["audio/q0.wav", "audio/q1.wav"]);
        }
    });
    let path = format!("model.path={}", model("audioflamingo3-tiny"));
    let overrides = [path.as_str(), "data.train=pairs/questions.json"];
    desk.run(BUILD, &with_overrides("quick.toml", &overrides)).failed(65, &["2 bad-prompt"]);
    let rejected: Vec<Value> = read_jsonl(&desk.path("run/dataset/rejected.jsonl")).unwrap();
    assert_eq!(rejected.len(), 2);
    for row in rejected {
        assert!(row["detail"].as_str().unwrap().contains("2 clips gets 1 <sound>"), "{row}");
    }
}
