//! DPO and validation while training, through the program.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use crate::support::{Desk, TRAIN, assert_same, files, outputs, question_set, said, with_overrides};
use idk_common::fs::read_to_string;
use idk_common::json::read_jsonl;
use serde_json::Value;

const DPO: [&str; 8] = [
    "train.method=dpo",
    "train.epochs=1",
    "train.eval_every=2",
    "train.metric_for_best=eval_acc",
    "train.early_stopping_patience=3",
    "data.val=val/questions.json",
    "dpo.sft_weight=0.1",
    "lora.dropout=0.1",
];

/// A folder with validation questions, too.
fn desk() -> Desk {
    let desk = Desk::new();
    question_set(&desk, "val", 3, |_| {});
    desk
}

#[test]
fn a_dpo_recipe_trains_validates_and_gives_the_same_bytes_on_one_thread() {
    let desk = desk();
    desk.train(&DPO).succeeded();
    let first = outputs(&desk.path("run"));
    let log = read_to_string(&desk.path("run/logs/metrics.jsonl")).unwrap();
    for name in ["rewards/chosen", "rewards/margins", "logps/rejected", "nll_loss"] {
        assert!(log.contains(&format!("\"{name}\"")), "{name}: {log}");
    }
    for name in ["eval_acc", "eval_refusal_rate", "eval_rgi"] {
        assert!(log.contains(&format!("\"{name}\"")), "{name}: {log}");
    }
    for name in ["checkpoints/best", "checkpoints/reference.json"] {
        assert!(first.contains_key(name), "{name}: {:?}", first.keys());
    }

    let elsewhere = [&DPO[..], &["output.dir=one-thread"]].concat();
    let mut command = desk.command(TRAIN, &with_overrides("quick.toml", &elsewhere));
    command.env("RAYON_NUM_THREADS", "1");
    said(command).succeeded();
    assert_same(&first, &outputs(&desk.path("one-thread")));

    // Started again it keeps what is there; other preferences are another run.
    desk.train(&DPO).succeeded();
    assert_same(&first, &outputs(&desk.path("run")));
    let before = files(&desk.path("run"));
    let other = [&DPO[..], &["dpo.beta=0.2"]].concat();
    desk.train(&other).failed(65, &["dpo.beta", "0.1", "0.2", "--fresh"]);
    assert_same(&before, &files(&desk.path("run")));
}

#[test]
fn a_dry_run_counts_the_features_of_a_recording_once_however_many_pairs_share_it() {
    let desk = desk();
    // Three different recordings.
    question_set(&desk, "three", 3, |_| {});
    let set = ["data.train=three/questions.json", "train.feature_cache_dir=cache"];
    let options = [&DPO[..], &set].concat();
    desk.train(&options).succeeded();
    let pairs: Vec<Value> = read_jsonl(&desk.path("run/dataset/dpo.jsonl")).unwrap();
    // A hash in hexadecimal, then the numbers.
    let stored = files(&desk.path("cache"));
    let bytes: usize = stored.values().map(|file| file.len() - 64).sum();
    assert!(stored.len() < pairs.len() && pairs.len() <= 24, "{} pairs", pairs.len());

    let mut command = desk.command(TRAIN, &with_overrides("quick.toml", &options));
    command.args(["--dry-run", "--json"]);
    assert_eq!(said(command).succeeded().json()["plan"]["memory_bytes"]["features"], bytes);
}

#[test]
fn dpo_goes_on_from_the_adapter_of_an_sft_run_and_refuses_one_of_another_shape() {
    let desk = desk();
    desk.train(&["output.dir=sft"]).succeeded();
    let init = [&DPO[..], &["dpo.init=sft/adapter"]].concat();
    desk.train(&init).succeeded();
    let adapter = |run: &str| files(&desk.path(run))["adapter/adapter_model.safetensors"].clone();
    assert_ne!(adapter("sft"), adapter("run"));
    let other = [&init[..], &["lora.rank=4", "output.dir=other"]].concat();
    // Said before the dataset is built, and by the look at the inputs.
    let said = ["sft/adapter", "rank 8", "[lora] says 4"];
    desk.train(&other).failed(65, &said);
    desk.run(TRAIN, &[&with_overrides("quick.toml", &other)[..], &["--check"]].concat()).failed(65, &said);
    assert!(!desk.path("other").exists());
}

#[test]
fn validation_questions_are_not_those_of_training_and_test() {
    let desk = desk();
    desk.train(&["data.val=set/questions.json"]).failed(2, &["`val` in [data]"]);
    desk.train(&["train.target_refusal_rate=0.4", "train.eval_every=1"])
        .failed(2, &["needs `val` in [data]"]);
    desk.train(&["data.val=nowhere.json"]).failed(66, &["nowhere.json"]);
    assert!(!desk.path("run").exists());
}
