//! Trainings that are killed or that diverge: no step is lost, and every byte is the same.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use idk_common::fs::write_atomic;
use idk_common::seed::Rng;
use support::{Desk, TRAIN, assert_same, files, outputs, with_overrides};

/// A run of 24 steps with dropout and gradient accumulation, little else, and checkpoints on the way.
const SFT: [&str; 7] = [
    "train.epochs=16",
    "train.batch_size=2",
    "train.gradient_accumulation_steps=2",
    "train.save_every=3",
    "lora.dropout=0.1",
    "eval.bootstrap_draws=10",
    "eval.limit=1",
];

/// A folder whose run `whole` is done; gives its time from the start of the training to the end.
fn desk(method: &[&str]) -> (Desk, Duration) {
    let desk = Desk::new();
    desk.build(&[method, &["output.dir=data"]].concat()).succeeded();
    copy_dataset(&desk, "whole");
    let started = Instant::now();
    desk.train(&[method, &["output.dir=whole"]].concat()).succeeded();
    (desk, started.elapsed())
}

/// Lays the built dataset into another run's folder.
fn copy_dataset(desk: &Desk, run: &str) {
    for (name, bytes) in files(&desk.path("data")) {
        if name.starts_with("dataset/") {
            write_atomic(&desk.path(run).join(name), &bytes).unwrap();
        }
    }
}

/// Files of killed writers that are still there.
fn leftovers(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.starts_with(".tmp") || name.ends_with(".tmp") {
                found.push(path.display().to_string());
            } else if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

fn kill_at_random_moments(method: &[&str], seed: u64) {
    const KILLS: usize = 15;
    let (desk, duration) = desk(method);
    let expected = outputs(&desk.path("whole"));
    let mut rng = Rng::new(seed);
    let (mut kills, mut finished, mut between_steps) = (0, 0, 0);
    while kills < KILLS {
        let name = format!("run{finished}");
        let folder = format!("output.dir={name}");
        let arguments = [method, &[folder.as_str()]].concat();
        if !desk.path(&name).exists() {
            copy_dataset(&desk, &name);
        }
        let mut child = desk.command(TRAIN, &with_overrides("quick.toml", &arguments)).spawn().unwrap();
        std::thread::sleep(duration.mul_f64(rng.uniform()));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        kills += usize::from(!status.success());
        let (begun, done) = (desk.path(&name).join("logs/metrics.jsonl"), desk.path(&name).join("adapter"));
        between_steps += usize::from(begun.exists() && !done.exists());
        if kills == KILLS || desk.path(&name).join("eval/results.json").exists() {
            let said = desk.train(&arguments).succeeded();
            assert!(!said.stderr.contains("warning"), "{}", said.stderr);
            assert_same(&expected, &outputs(&desk.path(&name)));
            assert_eq!(leftovers(&desk.path(&name)), Vec::<String>::new());
            finished += 1;
        }
    }
    assert!(between_steps >= 5, "only {between_steps} of {KILLS} kills hit the training");
}

#[test]
fn a_training_on_answers_that_is_killed_at_fifteen_random_moments_ends_with_the_same_bytes() {
    kill_at_random_moments(&SFT, 31);
}

#[test]
fn a_training_on_preferences_that_is_killed_at_fifteen_random_moments_ends_with_the_same_bytes() {
    kill_at_random_moments(&[&SFT[..], &["train.method=dpo", "dpo.sft_weight=0.1"]].concat(), 32);
}

#[test]
fn a_loss_that_is_not_finite_ends_with_70_names_the_rows_and_keeps_the_last_good_weights() {
    let desk = Desk::new();
    for method in ["sft", "dpo"] {
        let (method, folder) = (format!("train.method={method}"), format!("output.dir={method}"));
        let astray = ["train.learning_rate=1e30", "train.warmup_ratio=0.0", &method, &folder];
        let said =
            desk.train(&astray).failed(70, &["is not finite at step", "rows of the step: ", "q", "hint:"]);
        assert!(said.stderr.contains("not updated"), "{}", said.stderr);
        let run = desk.path(folder.split_once('=').unwrap().1);
        let kept: Vec<String> = files(&run.join("checkpoints")).into_keys().collect();
        assert!(kept.iter().any(|name| name.ends_with("adapter_model.safetensors")), "{kept:?}");
        assert!(!run.join("adapter").exists() && !run.join("eval").exists());
        // The same command comes to the same end; it does not continue with weights that were never good.
        desk.train(&astray).failed(70, &["is not finite at step"]);
    }
}
