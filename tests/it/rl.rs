//! Reinforcement learning through the program.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use crate::support::{Desk, TRAIN, assert_same, outputs, said, with_overrides};
use idk_common::fs::read_to_string;

const RL: [&str; 6] = [
    "train.method=rl",
    "train.epochs=2",
    "build.val_share=0.34",
    "rl.group_size=3",
    "rl.max_new_tokens=4",
    "rl.num_iterations=2",
];

#[test]
fn a_recipe_trains_by_sampled_and_by_expected_rewards_with_the_same_bytes_on_one_thread() {
    for exact in ["rl.exact=false", "rl.exact=true"] {
        let desk = Desk::new();
        let recipe = [&RL[..], &[exact]].concat();
        let plan = desk.run(TRAIN, &[&with_overrides("quick.toml", &recipe)[..], &["--dry-run"]].concat());
        let plan = plan.succeeded().stdout;
        let expected = if exact.ends_with("true") { "what is learnt" } else { "what will be rewarded" };
        assert!(plan.contains("LoRA, RL") && plan.contains(expected), "{plan}");
        desk.train(&recipe).succeeded();
        let first = outputs(&desk.path("run"));
        let log = read_to_string(&desk.path("run/logs/metrics.jsonl")).unwrap();
        for name in ["reward", "right_rate", "refused_rate", "kl", "eval_reward"] {
            assert!(log.contains(&format!("\"{name}\"")), "{name}: {log}");
        }
        let card = read_to_string(&desk.path("run/adapter/README.md")).unwrap();
        assert!(card.contains("| refusal_reward | `0.0` |"), "{card}");

        let elsewhere = [&recipe[..], &["output.dir=one-thread"]].concat();
        let mut command = desk.command(TRAIN, &with_overrides("quick.toml", &elsewhere));
        command.env("RAYON_NUM_THREADS", "1");
        said(command).succeeded();
        assert_same(&first, &outputs(&desk.path("one-thread")));

        let other = [&recipe[..], &["rl.refusal_reward=0.5"]].concat();
        desk.train(&other).failed(65, &["rl.refusal_reward", "0.5", "--fresh"]);
    }
}

#[test]
fn training_starts_from_another_runs_adapter_and_dropout_is_rejected() {
    let desk = Desk::new();
    desk.train(&["output.dir=sft"]).succeeded();
    let warm = [&RL[..], &["rl.init=sft/adapter", "train.max_steps=1", "train.learning_rate=1e-12"]].concat();
    desk.train(&warm).succeeded();
    let weights =
        |run: &str| std::fs::read(desk.path(&format!("{run}/adapter/adapter_model.safetensors"))).unwrap();
    let apart = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let (sft, rl) = (weights("sft"), weights("run"));
    assert!(apart(&sft, &rl) < sft.len() / 4, "a step of almost nothing leaves the adapter almost as it was");
    let dropout = [&RL[..], &["lora.dropout=0.1"]].concat();
    desk.train(&dropout).failed(2, &["dropout", "whose samples are drawn without it"]);
    let wrong = [&RL[..], &["rl.init=sft/adapter", "lora.rank=3", "output.dir=other"]].concat();
    desk.train(&wrong).failed(65, &["sft/adapter", "rank"]);
}
