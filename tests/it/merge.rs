//! `idk-train merge`, through the program.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;
use std::time::Instant;

use crate::support::{Desk, EVAL, Said, TRAIN, assert_same, files, said, tiny_model};
use idk_common::json::{read_json, read_jsonl, write_json};
use idk_common::seed::Rng;
use serde_json::Value;

/// A folder with a finished run in `run`.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.train(&["train.learning_rate=0.01", "lora.modules=all"]).succeeded();
    desk
}

fn merge(desk: &Desk, arguments: &[&str]) -> Said {
    desk.run(TRAIN, &[&["merge"][..], arguments].concat())
}

/// Text and log-probability of every answer.
fn answers(desk: &Desk, file: &str) -> BTreeMap<String, (String, f64)> {
    let rows: Vec<Value> = read_jsonl(&desk.path(file)).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.iter().map(|row| (text(row, "id"), (text(row, "text"), row["log_prob"].as_f64().unwrap()))).collect()
}

#[test]
fn a_merged_run_answers_as_the_run_and_its_adapter() {
    let desk = desk();
    let said = merge(&desk, &["run", "--out", "merged", "--dtype", "f32", "--json"]).succeeded();
    let row = said.json();
    assert_eq!((row["tensors"].as_u64(), row["shards"].as_u64()), (Some(66), Some(1)));
    let model = tiny_model().display().to_string();
    let ask = |arguments: &[&str]| {
        desk.run(EVAL, &[&["--questions", "set/questions.json"][..], arguments].concat()).succeeded()
    };
    ask(&["--model", &model, "--adapter", "run/adapter", "--out", "with-adapter"]);
    ask(&["--model", "merged", "--out", "without"]);
    let with = answers(&desk, "with-adapter/answers-adapter.jsonl");
    let base = answers(&desk, "with-adapter/answers-base.jsonl");
    let without = answers(&desk, "without/answers-base.jsonl");
    assert_eq!(with.len(), 6);
    for (id, (text, log_prob)) in &with {
        assert_eq!(text, &without[id].0, "{id}");
        assert!((log_prob - without[id].1).abs() < 1e-4, "{id}: {log_prob} {}", without[id].1);
    }
    assert_ne!(with, base, "the adapter must change something");
}

#[test]
fn what_cannot_be_merged_is_refused_with_its_reason_before_anything_is_written() {
    let desk = desk();
    let model = tiny_model().display().to_string();
    merge(&desk, &["run", "--out", "set"]).failed(2, &["set: the folder is not empty", "hint:"]);
    merge(&desk, &["nowhere", "--out", "out"]).failed(66, &["nowhere/adapter/adapter_config.json"]);
    merge(&desk, &["run", "--out", "out", "--base", "set"])
        .failed(66, &["`set` is no model folder: it has no config.json", "docs/guide/models.md"]);
    merge(&desk, &["run", "--out", "out", "--dtype", "int8"]).failed(2, &["f32, f16 or bf16"]);
    merge(&desk, &["run", "--out", "out", "--shard-size", "5 apples"]).failed(2, &["5GB"]);
    merge(&desk, &["run", "out"]).failed(2, &["out"]);

    // Another base of the same shape, such as one that was changed after the training.
    for (name, bytes) in files(&tiny_model()).into_iter().filter(|(name, _)| !name.contains('/')) {
        desk.write(&format!("other/{name}"), &bytes);
    }
    desk.write("other/notes.txt", b"changed");
    let other = ["run", "--out", "out", "--base", "other"];
    let warned = merge(&desk, &other).succeeded();
    assert!(warned.stderr.contains("warning: `other` is not the model"), "{}", warned.stderr);
    std::fs::remove_dir_all(desk.path("out")).unwrap();
    let config = desk.path("run/adapter/adapter_config.json");
    let rename = |named: Value| {
        let mut changed: Value = read_json(&config).unwrap();
        changed["base_model_name_or_path"] = named;
        write_json(&config, &changed).unwrap();
    };
    rename(Value::from("other"));
    merge(&desk, &["run", "--out", "out"])
        .failed(65, &["`other` is not the model that the adapter was trained on", "--base"]);
    for (named, reason) in [
        (Value::from("Qwen/Qwen2-Audio-7B-Instruct"), "`Qwen/Qwen2-Audio-7B-Instruct`, which is no folder"),
        (Value::Null, "names no base model"),
    ] {
        rename(named);
        for (name, bytes) in files(&desk.path("run/adapter")) {
            desk.write(&format!("alone/{name}"), &bytes);
        }
        merge(&desk, &["alone", "--out", "out"]).failed(66, &[reason, "--base"]);
        // The run knows where its base model lies.
        merge(&desk, &["run", "--out", "of-run"]).succeeded();
        std::fs::remove_dir_all(desk.path("of-run")).unwrap();
    }
    assert!(!desk.path("out").exists());
    merge(&desk, &["run/adapter", "--out", "out", "--base", &model]).succeeded();
}

#[test]
fn the_run_of_an_earlier_version_is_merged_into_a_base_that_is_named_and_into_no_other() {
    let desk = desk();
    std::fs::remove_file(desk.path("run/identity.json")).unwrap();
    merge(&desk, &["run", "--out", "out"]).failed(65, &["it has no identity.json", "--base DIR"]);
    assert!(!desk.path("out").exists());
    let model = tiny_model().display().to_string();
    let warned = merge(&desk, &["run", "--out", "out", "--base", &model]).succeeded();
    assert!(warned.stderr.contains("warning: `run` holds another run"), "{}", warned.stderr);
}

#[test]
fn a_merge_that_is_killed_leaves_the_folder_whole_or_not_there() {
    const KILLS: usize = 20;
    let desk = desk();
    let arguments = ["merge", "run", "--shard-size", "50KB", "--out"];
    let started = Instant::now();
    desk.run(TRAIN, &[&arguments[..], &["whole"]].concat()).succeeded();
    let duration = started.elapsed();
    let expected = files(&desk.path("whole"));
    let mut rng = Rng::new(5);
    let (mut killed, mut halfway) = (0, 0);
    while killed < KILLS {
        let mut child = desk.command(TRAIN, &[&arguments[..], &["out"]].concat()).spawn().unwrap();
        std::thread::sleep(duration.mul_f64(rng.uniform()));
        child.kill().unwrap();
        killed += usize::from(!child.wait().unwrap().success());
        halfway += usize::from(desk.path(".out.merging").exists());
        if desk.path("out").exists() {
            assert_same(&expected, &files(&desk.path("out")));
            std::fs::remove_dir_all(desk.path("out")).unwrap();
        }
    }
    assert!(halfway > 0, "no kill hit the writing");
    said(desk.command(TRAIN, &[&arguments[..], &["out"]].concat())).succeeded();
    assert_same(&expected, &files(&desk.path("out")));
    assert!(!desk.path(".out.merging").exists());
}
