//! A run of 24 steps gives the same result wherever it is interrupted, and how its batches are made up changes nothing.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use idk_common::RunDir;
use idk_common::seed::Rng;
use idk_model::{Adapters, Lalm, LoraConfig, Message};
use idk_trainer::{Clip, DpoConfig, TrainConfig, TrainError, TrainReport, TrainRun, TrainingRow, Validation};
use support::{Setup, assert_same_tree, clip, kill_after, lalm, lora, mels, train_dpo, train_lora, tree};

const STEPS: u64 = 24;

/// What a run trains on, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    Sft,
    Dpo,
}

/// Twelve rows of each kind, and two more for validation.
struct Bench {
    lalm: Lalm,
    lora: LoraConfig,
    examples: Vec<TrainingRow>,
    pairs: Vec<TrainingRow>,
}

impl Bench {
    fn new(dropout: f64) -> Self {
        let lalm = lalm();
        let clips = ["a.wav", "b.wav", "c.wav"].map(|name| Clip::of_mel(clip(&lalm, name), &lalm.mel));
        let question = |index: usize| {
            let text = ["what is heard", "how many", "is it loud and what is it then"][index / 3 % 3];
            vec![Message::from_tagged("user", &format!("<audio>{text}"))]
        };
        let example = |index: usize| TrainingRow {
            id: format!("row-{index}"),
            audio: vec![clips[index % 3].clone()],
            messages: question(index),
            answers: vec![["dog", "two cats", "I don't know"][index % 3].to_owned()],
            error_rate: None,
        };
        let pair = |index: usize| TrainingRow {
            id: format!("pair-{index}"),
            audio: vec![clips[index % 3].clone()],
            messages: question(index),
            answers: vec![
                ["dog", "I don't know", "a"][index % 3].to_owned(),
                ["I don't know", "two cats", "rain"][index % 3].to_owned(),
            ],
            error_rate: None,
        };
        let (examples, pairs) = ((0..14).map(example).collect(), (0..14).map(pair).collect());
        Self { lalm, lora: LoraConfig { dropout, ..lora() }, examples, pairs }
    }

    fn train(
        &self,
        task: Task,
        config: &TrainConfig,
        run: TrainRun<'_>,
    ) -> Result<(Adapters, TrainReport), TrainError> {
        match task {
            Task::Sft => {
                let (rows, val) = self.examples.split_at(12);
                train_lora(&self.lalm, &self.lora, rows, Validation::of_rows(val), config, run)
            }
            Task::Dpo => {
                let (pairs, val) = self.pairs.split_at(12);
                let dpo = DpoConfig { sft_weight: 0.05, ..DpoConfig::default() };
                train_dpo(&self.lalm, &self.lora, pairs, Validation::of_rows(val), config, &dpo, run)
            }
        }
    }
}

/// Four epochs of six steps, each step made of two micro-batches of one row, every step a checkpoint.
fn config() -> TrainConfig {
    TrainConfig {
        epochs: 4,
        batch_size: 1,
        gradient_accumulation_steps: 2,
        learning_rate: 5e-3,
        weight_decay: 0.01,
        save_every: 1,
        save_total_limit: 0,
        eval_every: 5,
        ..TrainConfig::default()
    }
}

fn uncut(bench: &Bench, task: Task) -> Setup {
    let whole = Setup::new();
    let report = whole.with(false, None, |run| bench.train(task, &config(), run)).unwrap().1;
    assert_eq!((report.steps, report.total_steps, report.samples_seen), (STEPS, STEPS, 48));
    whole
}

/// What training leaves at its end: the last checkpoint, the adapter and the log.
fn end_of(run: &RunDir) -> BTreeMap<String, Vec<u8>> {
    let mut files = tree(&run.root);
    files.retain(|name, _| {
        ["checkpoints/step-000024/", "adapter/", "logs/"].iter().any(|folder| name.starts_with(folder))
    });
    assert_eq!(files.len(), 8, "{:?}", files.keys());
    files
}

#[test]
fn a_run_killed_after_any_of_24_steps_and_resumed_leaves_the_bytes_of_an_uncut_one() {
    let bench = Bench::new(0.2);
    // Fewer checkpoints are written the second time, which a resumed run may do.
    let resumed = TrainConfig { save_every: 0, ..config() };
    for (task, every) in [(Task::Sft, 1), (Task::Dpo, 4)] {
        let whole = uncut(&bench, task);
        let expected = end_of(&whole.run);
        for step in (1..STEPS).step_by(every) {
            let cut = Setup::new();
            kill_after(step, &whole.run, &cut.run);
            let report = cut.with(true, None, |run| bench.train(task, &resumed, run)).unwrap().1;
            assert_eq!(report.resumed_from, Some(step));
            assert!(expected == end_of(&cut.run), "{task:?} killed after step {step}");
            assert_eq!(*cut.warnings.lock().unwrap(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_run_that_is_told_to_stop_at_every_step_makes_one_step_at_a_time_to_the_same_bytes() {
    let bench = Bench::new(0.2);
    for task in [Task::Sft, Task::Dpo] {
        let whole = uncut(&bench, task);
        let (cut, stop) = (Setup::new(), AtomicBool::new(true));
        for step in 1..=STEPS {
            let report = cut.with(true, Some(&stop), |run| bench.train(task, &config(), run)).unwrap().1;
            assert_eq!((report.steps, report.interrupted), (step, step < STEPS));
        }
        assert_same_tree(&whole.run, &cut.run, &format!("{task:?}"));
    }
}

/// Waits until the run has logged `rows` rows, then a little longer, so that a step is under way.
fn wait_for_rows(log: &Path, rows: u64, longer: Duration, done: &AtomicBool) {
    let started = Instant::now();
    let logged = || std::fs::read_to_string(log).unwrap_or_default().lines().count() as u64;
    while logged() < rows && !done.load(Ordering::Relaxed) {
        assert!(started.elapsed() < Duration::from_secs(120), "row {rows} does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(longer);
}

#[test]
fn a_stop_that_arrives_while_micro_batches_are_under_way_ends_after_their_step_with_the_same_bytes() {
    let bench = Bench::new(0.2);
    let mut rng = Rng::new(24);
    for task in [Task::Sft, Task::Dpo] {
        let started = Instant::now();
        let whole = uncut(&bench, task);
        let step_time = started.elapsed().div_f64(STEPS as f64);
        let cut = Setup::new();
        let (mut steps, mut stops) = (0, 0);
        while steps < STEPS {
            let (stop, done) = (AtomicBool::new(false), AtomicBool::new(false));
            let report = std::thread::scope(|scope| {
                let (stop, done, log) = (&stop, &done, cut.run.metrics());
                let (rows, longer) = (steps + 3, step_time.mul_f64(rng.uniform()));
                scope.spawn(move || {
                    wait_for_rows(&log, rows, longer, done);
                    stop.store(true, Ordering::Relaxed);
                });
                let report = cut.with(true, Some(stop), |run| bench.train(task, &config(), run)).unwrap().1;
                done.store(true, Ordering::Relaxed);
                report
            });
            assert!(report.steps > steps);
            stops += usize::from(report.interrupted);
            steps = report.steps;
        }
        assert!(stops >= 2, "{task:?}: only {stops} stops");
        assert_same_tree(&whole.run, &cut.run, &format!("{task:?}"));
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_one_step_and_one_warning_in_either_task() {
    let bench = Bench::new(0.2);
    for task in [Task::Sft, Task::Dpo] {
        let whole = uncut(&bench, task);
        for file in ["optimizer.safetensors", "state.json"] {
            let cut = Setup::new();
            kill_after(20, &whole.run, &cut.run);
            let path = cut.run.checkpoint(20).join(file);
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            idk_common::fs::write_atomic(&path, &bytes).unwrap();
            let report = cut.with(true, None, |run| bench.train(task, &config(), run)).unwrap().1;
            assert_eq!(report.resumed_from, Some(19));
            let warnings = cut.warnings.lock().unwrap().clone();
            assert!(warnings.len() == 1 && warnings[0].contains("step-000020"), "{warnings:?}");
            assert_same_tree(&whole.run, &cut.run, &format!("{task:?} {file}"));
        }
    }
}

#[test]
fn what_a_kill_cut_off_of_the_last_save_is_done_when_the_run_is_started_again() {
    let bench = Bench::new(0.2);
    let all = uncut(&bench, Task::Sft);
    let (few, config) = (Setup::new(), TrainConfig { save_total_limit: 2, ..config() });
    few.with(false, None, |run| bench.train(Task::Sft, &config, run)).unwrap();
    // The last checkpoint is in place, but not yet named, and the old ones are still there.
    let cut = Setup::new();
    kill_after(STEPS, &all.run, &cut.run);
    let file = |name: &str| cut.run.checkpoints().join(name);
    idk_common::fs::write_atomic(&file("last"), b"step-000023\n").unwrap();
    idk_common::fs::write_atomic(&file(".tmp-step-000001/weights"), b"half removed").unwrap();
    let report = cut.with(true, None, |run| bench.train(Task::Sft, &config, run)).unwrap().1;
    assert_eq!(report.resumed_from, Some(STEPS));
    assert_same_tree(&few.run, &cut.run, "started again");
    assert!(!file(".tmp-step-000001").exists());
}

#[test]
fn the_weights_before_a_loss_that_is_not_finite_are_kept_even_where_no_checkpoint_was_due() {
    let mut bench = Bench::new(0.0);
    let config = TrainConfig { shuffle: false, save_every: 0, save_total_limit: 1, ..config() };
    let mut mel = mels(&bench.lalm, &bench.examples[9].audio).remove(0);
    mel.data[0] = f32::NAN;
    bench.examples[9].audio = vec![Clip::of_mel(mel, &bench.lalm.mel)];
    let setup = Setup::new();
    let error = setup.with(false, None, |run| bench.train(Task::Sft, &config, run)).unwrap_err();
    let TrainError::NonFinite { step: 5, ids, .. } = &error else { panic!("{error}") };
    assert_eq!(ids.as_slice(), ["row-9"]);
    let kept = Adapters::load(&setup.run.checkpoint(4), &bench.lalm).unwrap();

    // They are those of a run of which the bad row is no part.
    let good = Bench::new(0.0);
    let (whole, stopped) =
        (Setup::new(), TrainConfig { save_every: 1, save_total_limit: 0, ..config.clone() });
    whole.with(false, None, |run| good.train(Task::Sft, &stopped, run)).unwrap();
    let expected = Adapters::load(&whole.run.checkpoint(4), &good.lalm).unwrap();
    assert_eq!(distance(&kept, &expected), 0.0);
    // Again: the same end, and nothing else is written.
    let again = setup.with(true, None, |run| bench.train(Task::Sft, &config, run)).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert!(!setup.run.checkpoint(5).exists());
}

/// Norm of the difference of two sets of adapters, as a share of the norm of the second.
fn distance(left: &Adapters, right: &Adapters) -> f64 {
    assert_eq!(left.modules.len(), right.modules.len());
    let (mut apart, mut size) = (0.0, 0.0);
    for (name, pair) in &right.modules {
        let other = &left.modules[name];
        for (a, b) in [(&other.a, &pair.a), (&other.b, &pair.b)] {
            let values = |tensor: &burn::tensor::Tensor<2>| tensor.try_to_vec_as::<f32>().unwrap();
            for (a, b) in values(a).into_iter().zip(values(b)) {
                apart += f64::from(a - b).powi(2);
                size += f64::from(b).powi(2);
            }
        }
    }
    (apart / size).sqrt()
}

#[test]
fn eight_micro_batches_of_one_row_train_the_adapter_of_one_batch_of_eight() {
    let bench = Bench::new(0.0);
    for task in [Task::Sft, Task::Dpo] {
        let train = |batch_size: usize, gradient_accumulation_steps: usize, steps: u64| {
            let config = TrainConfig {
                batch_size,
                gradient_accumulation_steps,
                max_steps: Some(steps),
                eval_every: 0,
                ..config()
            };
            let setup = Setup::new();
            let (adapters, _) = setup.with(false, None, |run| bench.train(task, &config, run)).unwrap();
            let rows = idk_trainer::read_metrics(&setup.run).unwrap();
            let losses: Vec<f64> = rows.iter().filter_map(|row| row.get("loss")?.as_f64()).collect();
            (adapters, losses)
        };
        let (one, losses) = train(8, 1, 6);
        let (eight, other_losses) = train(1, 8, 6);
        assert_eq!((losses.len(), other_losses.len()), (6, 6));
        for (a, b) in losses.iter().zip(&other_losses) {
            assert!((a - b).abs() < 1e-5 * a.abs(), "{task:?}: {losses:?} {other_losses:?}");
        }
        // Adam divides a gradient by its own size, so an element whose gradient is nearly 0 turns rounding into a part of a
        // step: two splits may end further apart than one step leaves them.
        assert!(distance(&eight, &one) < 5e-5, "{task:?}: {:e}", distance(&eight, &one));
        assert!(distance(&train(2, 4, 6).0, &one) < 5e-5);
        let (one_step, eight_step) = (train(8, 1, 1).0, train(1, 8, 1).0);
        assert!(distance(&eight_step, &one_step) < 1e-7, "{task:?}: {:e}", distance(&eight_step, &one_step));
        // On the CPU a batch of eight is run in parts of four.
        assert_eq!(distance(&train(4, 2, 6).0, &one), 0.0);
    }
}
