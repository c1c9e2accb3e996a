//! Promises about training, kept against the tiny model of tests/fixtures (values made with transformers, PEFT and
//! torch by its make_fixture.py).
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a failure is the test's")]

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use idk_model::{Adapters, ForwardContext, Lalm, LoraConfig, Message, TokenBatch};
use idk_trainer::testing::{
    AdamW, AudioInput, Gradients, Rollout, StepGradients, StepSize, TrainingBatch, WholeRows, answer_nll,
    full_gradients, make_trainable, sft_loss, update, whole_rows_nll,
};
use idk_trainer::{
    BestMetric, Clip, EarlyEnd, TrainConfig, TrainError, TrainRun, TrainedModel, TrainingRow, Validation,
    train_full,
};
use safetensors::SafeTensors;
use support::{
    Setup, assert_same_gradients, assert_same_tree, batch, clip, fixture, kill_after, lalm, lora,
    sft_gradients, train_lora, trained_adapters, tree,
};

const TOLERANCE: f64 = 1e-4;

// ---- golden ----

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let view = file.tensor(name).unwrap();
    let wide = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes));
    view.data().as_chunks::<4>().0.iter().map(wide).collect()
}

/// An integer tensor `[rows, columns]`.
fn integers(file: &SafeTensors<'_>, name: &str) -> Vec<Vec<i64>> {
    let view = file.tensor(name).unwrap();
    let values: Vec<i64> = match view.dtype() {
        safetensors::Dtype::I32 => {
            view.data().as_chunks::<4>().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect()
        }
        safetensors::Dtype::I64 => {
            view.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
        }
        other => panic!("{name} is {other:?}"),
    };
    values.chunks(view.shape()[1]).map(<[i64]>::to_vec).collect()
}

/// The golden batch: each row is a prompt and the answer at its end, which has the labels.
fn golden_batch(lalm: &Lalm, golden: &SafeTensors<'_>) -> TrainingBatch {
    let (ids, mask) = (integers(golden, "batch.input_ids"), integers(golden, "batch.attention_mask"));
    let labels = integers(golden, "batch.labels");
    let is_answer = |row: usize, column: usize| labels[row][column] != -100;
    let real = |row: usize, answer: bool| -> Vec<u32> {
        let columns = (0..ids[row].len()).filter(|&column| mask[row][column] == 1);
        columns
            .filter(|&column| is_answer(row, column) == answer)
            .map(|column| ids[row][column] as u32)
            .collect()
    };
    let prompts = [real(0, false), real(1, false)];
    let batch = TrainingBatch {
        ids: vec!["a".to_owned(), "b".to_owned()],
        rows: vec![0, 1],
        prompts: TokenBatch::left_padded(&prompts, lalm.tokenizer.pad_id()),
        audio: AudioInput::Mels(vec![vec![clip(lalm, "a.wav")], vec![clip(lalm, "b.wav")]]),
        answers: vec![real(0, true), real(1, true)],
        prompt_of: vec![0, 1],
        reference: Vec::new(),
        rollout: Rollout::default(),
    };
    let laid_out = WholeRows::of(&batch, lalm.tokenizer.pad_id());
    let expected: Vec<Vec<u32>> = ids.iter().map(|row| row.iter().map(|&id| id as u32).collect()).collect();
    assert_eq!(laid_out.tokens.ids, expected);
    batch
}

fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst <= TOLERANCE, "{what}: off by {worst:e}");
}

fn flat_gradient(step: &StepGradients, name: &str) -> Vec<f64> {
    support::flat_gradient(&step.gradients, name)
}

#[test]
fn five_sft_steps_give_the_losses_gradients_and_adapter_of_peft_and_torch() {
    let lalm = lalm();
    let bytes = std::fs::read(fixture().join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let summary: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(fixture().join("golden.json")).unwrap()).unwrap();
    let list = |key: &str| -> Vec<f64> {
        summary["train"][key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };

    let batches = [golden_batch(&lalm, &golden)];
    let mut adapters = Adapters::load(&fixture().join("train_step0"), &lalm).unwrap();
    let first = sft_gradients(&lalm, &adapters, &batches, &[]);
    let mut checked = 0;
    for name in golden.names() {
        let Some(key) = name.strip_prefix("train.grad0.") else { continue };
        // The golden names are those of transformers 5.
        let key = key.replace("language_model.layers", "language_model.model.layers");
        assert_close(name, &flat_gradient(&first, &key), &floats(&golden, name));
        checked += 1;
    }
    assert_eq!(checked, 2);

    let config = TrainConfig { weight_decay: 0.1, ..TrainConfig::default() };
    let mut optimizer = AdamW::new(&config, true);
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let step = sft_gradients(&lalm, &adapters, &batches, &[]);
        let size = StepSize { learning_rate: 5e-3, max_grad_norm: 0.0 };
        let outcome = update(&mut adapters, step, Vec::new(), &batches, &mut optimizer, size).unwrap();
        losses.push(outcome.loss);
        norms.push(outcome.grad_norm);
    }
    losses.push(sft_gradients(&lalm, &adapters, &batches, &[]).loss);
    assert_close("losses", &losses, &list("losses_before_each_step_then_after"));
    assert_close("gradient norms", &norms, &list("grad_norms"));

    let expected = Adapters::load(&fixture().join("train_step5"), &lalm).unwrap();
    assert_eq!(adapters.modules.len(), expected.modules.len());
    for (name, pair) in &expected.modules {
        for (found, expected) in [(&adapters.modules[name].a, &pair.a), (&adapters.modules[name].b, &pair.b)]
        {
            let values = |tensor: &burn::tensor::Tensor<2>| -> Vec<f64> {
                tensor.try_to_vec_as::<f32>().unwrap().into_iter().map(f64::from).collect()
            };
            assert_close(name, &values(found), &values(expected));
        }
    }
}

// ---- rows of the tests below ----

fn example(lalm: &Lalm, index: usize) -> TrainingRow {
    let file = ["a.wav", "b.wav", "c.wav"][index % 3];
    let question = ["what is heard", "how many", "is it loud and what is it then"][index / 3 % 3];
    TrainingRow {
        id: format!("row-{index}"),
        audio: vec![Clip::of_mel(clip(lalm, file), &lalm.mel)],
        messages: vec![Message::from_tagged("user", &format!("<audio>{question}"))],
        answers: vec![["dog", "two cats", "I don't know"][index % 3].to_owned()],
        error_rate: None,
    }
}

fn examples(lalm: &Lalm, count: usize) -> Vec<TrainingRow> {
    (0..count).map(|index| example(lalm, index)).collect()
}

// ---- labels, padding, gradient accumulation ----

#[test]
fn the_labels_of_a_row_are_its_answer_and_the_end_token_and_nothing_else() {
    let lalm = lalm();
    let rows = examples(&lalm, 3);
    let laid_out = WholeRows::of(&batch(&lalm, &rows), lalm.tokenizer.pad_id());
    let mut targets = laid_out.targets.as_slice();
    for (row, answer) in rows.iter().zip(batch(&lalm, &rows).answers) {
        let (own, rest) = targets.split_at(answer.len());
        assert_eq!(own.last(), lalm.tokenizer.encode_with_special("<|im_end|>").unwrap().first());
        assert_eq!(lalm.tokenizer.decode(&own[..own.len() - 1], false).unwrap(), row.answers[0]);
        targets = rest;
    }
    assert!(targets.is_empty());
}

#[test]
fn more_padding_changes_neither_log_probabilities_nor_gradient() {
    let lalm = lalm();
    let adapters = trained_adapters(&lalm);
    let batch = batch(&lalm, &examples(&lalm, 4));
    let plain = WholeRows::of(&batch, lalm.tokenizer.pad_id());
    let mut padded = plain.clone();
    let extra = 7;
    for (ids, mask) in padded.tokens.ids.iter_mut().zip(&mut padded.tokens.mask) {
        ids.splice(0..0, vec![lalm.tokenizer.pad_id(); extra]);
        mask.splice(0..0, vec![false; extra]);
    }
    let [plain, padded] = [plain, padded].map(|rows| {
        let mut leaves = adapters.clone();
        make_trainable(&mut leaves);
        let (tape, nll) = {
            let context = ForwardContext { adapters: Some(&leaves), dropout_seed: None };
            let nll = whole_rows_nll(&lalm, &context, &rows, &batch.audio).unwrap().tokens;
            let values: Vec<f32> = nll.clone().inner().try_into_vec_as().unwrap();
            (nll.mean().backward(), values)
        };
        (nll, Gradients::of(&mut leaves, tape))
    });
    for (one, other) in plain.0.iter().zip(&padded.0) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
    assert_same_gradients(&plain.1, &padded.1, 1e-5);
}

#[test]
fn the_order_of_rows_changes_neither_loss_nor_gradient() {
    let lalm = lalm();
    let adapters = trained_adapters(&lalm);
    let rows = examples(&lalm, 4);
    let reversed: Vec<TrainingRow> = rows.iter().rev().cloned().collect();
    let [one, other] =
        [rows, reversed].map(|rows| sft_gradients(&lalm, &adapters, &[batch(&lalm, &rows)], &[]));
    assert_same_step(&one, &other, 1e-5);
}

fn assert_same_step(left: &StepGradients, right: &StepGradients, tolerance: f64) {
    assert!((left.loss - right.loss).abs() < tolerance, "{} {}", left.loss, right.loss);
    assert_eq!((&left.sums, left.num_tokens), (&right.sums, right.num_tokens));
    assert_same_gradients(&left.gradients, &right.gradients, tolerance);
}

#[test]
fn two_by_four_accumulation_equals_one_batch_of_eight_although_answers_differ_in_length() {
    let lalm = lalm();
    let adapters = trained_adapters(&lalm);
    let rows = examples(&lalm, 8);
    let one = sft_gradients(&lalm, &adapters, &[batch(&lalm, &rows)], &[]);
    let split: Vec<TrainingBatch> = rows.chunks(4).map(|rows| batch(&lalm, rows)).collect();
    assert_ne!(split[0].answer_tokens(), split[1].answer_tokens(), "the test needs unequal label counts");
    assert_same_step(&one, &sft_gradients(&lalm, &adapters, &split, &[]), 1e-5);
}

#[test]
fn the_gradient_agrees_with_finite_differences() {
    let lalm = lalm();
    let adapters = trained_adapters(&lalm);
    let batches = [batch(&lalm, &examples(&lalm, 2))];
    let gradients = sft_gradients(&lalm, &adapters, &batches, &[]);
    // Along the gradient itself, loss changes by |g|^2 h: one number that every element enters.
    let loss_at = |h: f64| {
        let mut moved = adapters.clone();
        moved.for_each_tensor(&mut |name, tensor| {
            let direction = gradients.gradients.by_name[name].clone().reshape(tensor.dims());
            *tensor = tensor.clone() + direction.mul_scalar(h);
        });
        sft_gradients(&lalm, &moved, &batches, &[]).loss
    };
    let norm = gradients.gradients.norm().unwrap();
    let h = 1e-2 / norm;
    let slope = (loss_at(h) - loss_at(-h)) / (2.0 * h);
    assert!((slope / (norm * norm) - 1.0).abs() < 5e-3, "slope {slope}, squared norm {}", norm * norm);
}

#[test]
fn full_mode_has_a_gradient_for_every_tensor_but_the_encoder_positions_and_leaves_the_model_plain() {
    let mut lalm = lalm();
    let batches = [batch(&lalm, &examples(&lalm, 3))];
    let frozen_loss = {
        let nll = answer_nll(&lalm, &ForwardContext::default(), &batches[0]).unwrap();
        let values: Vec<f32> = nll.tokens.try_into_vec_as().unwrap();
        values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64
    };
    let step = full_gradients(&TrainedModel::whole(lalm.clone()), &batches, &sft_loss).unwrap();
    assert!((step.loss - frozen_loss).abs() < 1e-5);
    let mut missing = Vec::new();
    lalm.for_each_tensor(&mut |name, slot| {
        if !step.gradients.by_name.contains_key(name) {
            missing.push(name.to_owned());
        }
        if let idk_model::TensorMut::R2(tensor) = slot {
            assert!(!tensor.is_autodiff(), "{name}");
        }
    });
    assert_eq!(missing, ["audio_tower.embed_positions.weight"]);
}

// ---- whole runs ----

fn short_config() -> TrainConfig {
    TrainConfig {
        epochs: 2,
        batch_size: 2,
        gradient_accumulation_steps: 2,
        learning_rate: 5e-3,
        weight_decay: 0.01,
        save_every: 1,
        save_total_limit: 0,
        eval_every: 3,
        ..TrainConfig::default()
    }
}

#[test]
fn a_run_killed_after_any_step_and_resumed_leaves_the_bytes_of_an_uninterrupted_one() {
    let lalm = lalm();
    let (rows, val) = (examples(&lalm, 9), examples(&lalm, 2));
    let config = short_config();
    let lora = LoraConfig { dropout: 0.2, ..lora() };
    let whole = Setup::new();
    let train = |setup: &Setup, resume: bool| {
        setup
            .with(resume, None, |run| {
                train_lora(&lalm, &lora, &rows, Validation::of_rows(&val), &config, run)
            })
            .unwrap()
            .1
    };
    let report = train(&whole, false);
    assert_eq!((report.steps, report.total_steps, report.samples_seen), (6, 6, 18));
    assert!(report.last_eval.contains_key("loss"));
    assert!(report.last_loss < report.first_loss);

    for step in 1..=6 {
        let cut = Setup::new();
        kill_after(step, &whole.run, &cut.run);
        assert_eq!(train(&cut, true).resumed_from, Some(step));
        assert_same_tree(&whole.run, &cut.run, &format!("killed after step {step}"));
        assert_eq!(*cut.warnings.lock().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_killed_run_whose_newest_checkpoint_is_damaged_resumes_from_the_one_before_with_one_warning() {
    let lalm = lalm();
    let rows = examples(&lalm, 9);
    let config = short_config();
    let (whole, cut) = (Setup::new(), Setup::new());
    whole
        .with(false, None, |run| train_lora(&lalm, &lora(), &rows, Validation::none(), &config, run))
        .unwrap();
    kill_after(4, &whole.run, &cut.run);
    std::fs::remove_file(cut.run.checkpoint(4).join("optimizer.safetensors")).unwrap();
    std::fs::create_dir(cut.run.checkpoints().join(".tmp-step-000005")).unwrap();
    let (_, report) = cut
        .with(true, None, |run| train_lora(&lalm, &lora(), &rows, Validation::none(), &config, run))
        .unwrap();
    assert_eq!(report.resumed_from, Some(3));
    assert_eq!(cut.warnings.lock().unwrap().len(), 1);
    assert_same_tree(&whole.run, &cut.run, "resumed");
}

#[test]
fn a_run_is_not_started_over_and_not_resumed_with_other_inputs() {
    let lalm = lalm();
    let rows = examples(&lalm, 4);
    let setup = Setup::new();
    let config = TrainConfig { epochs: 1, ..short_config() };
    setup
        .with(false, None, |run| train_lora(&lalm, &lora(), &rows, Validation::none(), &config, run))
        .unwrap();
    let before = tree(&setup.run.root);
    let again =
        setup.with(false, None, |run| train_lora(&lalm, &lora(), &rows, Validation::none(), &config, run));
    assert!(matches!(again, Err(TrainError::RunNotEmpty { .. })));
    let other = TrainConfig { learning_rate: 1e-4, ..config };
    let changed =
        setup.with(true, None, |run| train_lora(&lalm, &lora(), &rows[..3], Validation::none(), &other, run));
    let message = changed.unwrap_err().to_string();
    assert!(message.contains("`train.learning_rate` was 0.005 and is 0.0001 now"), "{message}");
    assert!(message.contains("the content of `rows` has changed"), "{message}");
    assert_eq!(before, tree(&setup.run.root));
}

#[test]
fn a_loss_that_is_not_finite_stops_a_lora_run_and_names_the_rows() {
    let lalm = lalm();
    let mut rows = examples(&lalm, 4);
    let mut mel = clip(&lalm, "c.wav");
    mel.data[0] = f32::NAN;
    rows[2].audio[0] = Clip::of_mel(mel, &lalm.mel);
    let setup = Setup::new();
    let config =
        TrainConfig { batch_size: 1, gradient_accumulation_steps: 1, shuffle: false, ..short_config() };
    let error = setup
        .with(false, None, |run| train_lora(&lalm, &lora(), &rows, Validation::none(), &config, run))
        .unwrap_err();
    let TrainError::NonFinite { step, ids, .. } = &error else { panic!("{error}") };
    assert_eq!((*step, ids.as_slice()), (3, ["row-2".to_owned()].as_slice()));
    assert!(setup.run.checkpoint(2).exists() && !setup.run.checkpoint(3).exists());
}

#[test]
fn full_training_learns_and_a_run_told_to_stop_resumes_to_the_same_bytes() {
    let lalm = lalm();
    let rows = examples(&lalm, 9);
    let config = TrainConfig {
        max_steps: Some(6),
        batch_size: 2,
        learning_rate: 2e-3,
        weight_decay: 0.05,
        save_every: 2,
        save_total_limit: 0,
        eval_every: 1,
        ..TrainConfig::default()
    };
    let next = |step: u64| {
        let from = (step as usize * 3) % 9;
        Ok(rows[from..from + 3].to_vec())
    };
    let train = |setup: &Setup, resume: bool, stop_at: u64| {
        let stop = AtomicBool::new(false);
        let mut evaluate = |step: u64, lalm: &Lalm| {
            stop.store(step == stop_at, Ordering::Relaxed);
            Ok(BTreeMap::from([("num_params".to_owned(), lalm.num_params() as f64)]))
        };
        let run = |run: TrainRun<'_>| {
            train_full(TrainedModel::whole(lalm.clone()), &next, Some(&mut evaluate), &config, run)
        };
        setup.with(resume, Some(&stop), run).unwrap().1
    };
    let whole = Setup::new();
    let report = train(&whole, false, 0);
    assert!(report.last_loss.unwrap() < 0.8 * report.first_loss.unwrap(), "{report:?}");

    let cut = Setup::new();
    let report = train(&cut, false, 3);
    assert_eq!((report.steps, report.interrupted), (3, true));
    let report = train(&cut, true, 0);
    assert_eq!((report.resumed_from, report.interrupted), (Some(3), false));
    // The stop left one checkpoint more.
    std::fs::remove_dir_all(cut.run.checkpoint(3)).unwrap();
    assert_same_tree(&whole.run, &cut.run, "full run");
}

#[test]
fn full_training_skips_a_bad_batch_and_stops_after_too_many() {
    let lalm = lalm();
    let rows = examples(&lalm, 3);
    let mut bad = rows.clone();
    let mut mel = clip(&lalm, "b.wav");
    mel.data[5] = f32::INFINITY;
    bad[1].audio[0] = Clip::of_mel(mel, &lalm.mel);
    let config = TrainConfig { max_steps: Some(8), ..TrainConfig::default() };
    let run_with = |bad_steps: &[u64]| {
        let setup = Setup::new();
        let next = |step: u64| Ok(if bad_steps.contains(&step) { bad.clone() } else { rows.clone() });
        let result = setup.with(false, None, |run| {
            train_full(TrainedModel::whole(lalm.clone()), &next, None, &config, run)
        });
        let warnings = setup.warnings.lock().unwrap().len();
        (result.map(|(_, report)| report), warnings)
    };
    let (report, warnings) = run_with(&[2, 5]);
    assert_eq!((report.unwrap().skipped_steps, warnings), (2, 2));
    let (report, _) = run_with(&[1, 2, 3, 4]);
    assert!(matches!(report, Err(TrainError::NonFinite { step: 5, .. })), "{report:?}");
}

#[test]
fn an_error_of_the_row_source_ends_full_training_with_the_step() {
    let setup = Setup::new();
    let config = TrainConfig { max_steps: Some(3), ..TrainConfig::default() };
    let lalm = lalm();
    let rows = examples(&lalm, 2);
    let next = |step: u64| if step < 1 { Ok(rows.clone()) } else { Err("no more clips".into()) };
    let error = setup
        .with(false, None, |run| train_full(TrainedModel::whole(lalm.clone()), &next, None, &config, run))
        .unwrap_err();
    assert!(matches!(error, TrainError::Batch { step: 1, .. }), "{error}");
}

// ---- validation while training ----

/// What a made-up measurement gives after each step.
const RGI_BY_STEP: [f64; 6] = [f64::NAN, -0.1, 0.3, 0.2, 0.3, 0.1];

/// Runs six steps, measured after each, with `change` made to the configuration.
fn measured_run(setup: &Setup, resume: bool, change: impl Fn(&mut TrainConfig)) -> idk_trainer::TrainReport {
    let lalm = lalm();
    let rows = examples(&lalm, 9);
    let mut config = TrainConfig { eval_every: 1, ..short_config() };
    change(&mut config);
    let mut measure = |step: u64, _: &Adapters| {
        let rgi = RGI_BY_STEP[step as usize - 1];
        Ok(BTreeMap::from([("rgi".to_owned(), rgi), ("refusal_rate".to_owned(), 0.1 * step as f64)]))
    };
    let run = |run: TrainRun<'_>| {
        let validation = Validation { rows: &rows[..2], measure: Some(&mut measure) };
        train_lora(&lalm, &lora(), &rows, validation, &config, run)
    };
    setup.with(resume, None, run).unwrap().1
}

fn adapter_of(setup: &Setup, step: u64) -> Vec<u8> {
    std::fs::read(setup.run.checkpoint(step).join("adapter_model.safetensors")).unwrap()
}

#[test]
fn the_adapter_of_the_best_evaluation_is_kept_and_exported_however_the_run_is_cut() {
    let best = |config: &mut TrainConfig| {
        config.metric_for_best = Some(BestMetric::Rgi);
        (config.save_every, config.save_total_limit) = (0, 1);
    };
    let whole = Setup::new();
    let report = measured_run(&whole, false, best);
    assert_eq!(report.best.map(|best| (best.step, best.value)), Some((3, 0.3)));
    assert_eq!((report.steps, report.ended_early, report.interrupted), (6, None, false));
    let exported = std::fs::read(whole.run.adapter().join("adapter_model.safetensors")).unwrap();
    assert!(exported == adapter_of(&whole, 3) && exported != adapter_of(&whole, 6));
    let kept: Vec<u64> = (1..=6).filter(|step| whole.run.checkpoint(*step).exists()).collect();
    assert_eq!(kept, [3, 6]);
    let log = std::fs::read_to_string(whole.run.metrics()).unwrap();
    assert!(log.contains("\"eval_rgi\":null") && log.contains("\"eval_rgi\":0.3"), "{log}");

    let cut = Setup::new();
    kill_after(3, &whole.run, &cut.run);
    std::fs::remove_dir_all(cut.run.checkpoint(6)).unwrap();
    assert_eq!(measured_run(&cut, true, best).resumed_from, Some(3));
    assert_same_tree(&whole.run, &cut.run, "resumed");
}

#[test]
fn a_run_without_improvement_ends_early_and_stays_ended_when_it_is_started_again() {
    let patient = |config: &mut TrainConfig| {
        config.metric_for_best = Some(BestMetric::Rgi);
        config.early_stopping_patience = Some(2);
    };
    let setup = Setup::new();
    let report = measured_run(&setup, false, patient);
    assert_eq!((report.steps, report.total_steps), (5, 6));
    assert_eq!((report.ended_early, report.interrupted), (Some(EarlyEnd::Patience), false));
    let before = tree(&setup.run.root);
    let again = measured_run(&setup, true, patient);
    assert_eq!((again.steps, again.ended_early), (5, Some(EarlyEnd::Patience)));
    assert_eq!(before, tree(&setup.run.root));

    for step in 1..=4 {
        let cut = Setup::new();
        kill_after(step, &setup.run, &cut.run);
        assert_eq!(measured_run(&cut, true, patient).resumed_from, Some(step));
        assert_same_tree(&setup.run, &cut.run, &format!("killed after step {step}"));
    }
}

#[test]
fn a_run_ends_at_the_refusal_rate_that_it_was_given() {
    let setup = Setup::new();
    let report = measured_run(&setup, false, |config| config.target_refusal_rate = Some(0.4));
    assert_eq!((report.steps, report.ended_early), (4, Some(EarlyEnd::TargetRefusalRate)));
    let exported = std::fs::read(setup.run.adapter().join("adapter_model.safetensors")).unwrap();
    assert!(exported == adapter_of(&setup, 4));
}

#[test]
fn a_metric_that_nothing_measures_is_refused_before_anything_is_written() {
    let lalm = lalm();
    let rows = examples(&lalm, 4);
    for (metric, needs) in [(BestMetric::Loss, "rows"), (BestMetric::Rgi, "questions")] {
        let setup = Setup::new();
        let config = TrainConfig { metric_for_best: Some(metric), ..short_config() };
        let refused = setup
            .with(false, None, |run| train_lora(&lalm, &lora(), &rows, Validation::none(), &config, run));
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("metric_for_best") && message.contains(needs), "{message}");
        assert!(!setup.run.root.exists());
    }
}
