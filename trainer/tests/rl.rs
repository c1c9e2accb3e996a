//! Promises about the methods that grade answers (reinforcement learning, and calibrated refusal over a list), kept against
//! the tiny model of tests/fixtures.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod support;

use std::sync::atomic::AtomicBool;

use idk_common::json::read_jsonl;
use idk_model::{Adapters, ForwardContext, Lalm, LoraConfig, Message};
use idk_trainer::testing::{
    Rollout, StepGradients, Totals, TrainingBatch, adapter_gradients, answer_nll, exact_loss, listwise_loss,
    listwise_metrics, rl_loss,
};
use idk_trainer::{
    AdapterConfig, AdvantageKind, CalibratedConfig, Clip, Graded, Grader, MethodConfig, RlConfig,
    TrainConfig, TrainError, TrainReport, TrainRun, TrainingRow, Validation, train_adapters,
};
use serde_json::Value;
use support::{
    Setup, assert_same_gradients, assert_same_tree, clip, kill_after, lalm, lora, trained_adapters,
};

const KINDS: [AdvantageKind; 3] = [AdvantageKind::Grpo, AdvantageKind::DrGrpo, AdvantageKind::Rloo];

/// Questions, each with three answers to choose from, all of one token: the tiny model would be sure of the shortest.
fn rows(lalm: &Lalm, count: usize) -> Vec<TrainingRow> {
    let clips = ["a.wav", "b.wav", "c.wav"].map(|name| Clip::of_mel(clip(lalm, name), &lalm.mel));
    let row = |index: usize| TrainingRow {
        id: format!("row-{index}"),
        audio: vec![clips[index % 3].clone()],
        messages: vec![Message::from_tagged("user", ["<audio>what is heard", "<audio>how many"][index % 2])],
        answers: ["b", "a", "c"].map(str::to_owned).to_vec(),
        error_rate: None,
    };
    (0..count).map(row).collect()
}

/// Likes answers that begin with an even byte, and takes "c" for a refusal; a made-up rule that any text can be held against.
fn grade(_: &str, text: &str) -> Graded {
    let is_refusal = text == "c";
    let is_right = !is_refusal && text.as_bytes().first().is_some_and(|byte| byte.is_multiple_of(2));
    let reward = if is_refusal { 0.0 } else { f64::from(i8::from(is_right)) * 2.0 - 1.0 };
    Graded { reward, is_right, is_refusal }
}

/// Given answers as if they had been sampled by a policy near `adapters`, with advantages that depend on the row alone.
fn sampled(lalm: &Lalm, adapters: &Adapters, rows: &[TrainingRow]) -> TrainingBatch {
    let mut batch = support::batch(lalm, rows);
    let of_row = |answer: usize| f64::from(rows[batch.prompt_of[answer]].id.as_bytes()[4]) % 5.0;
    let place = |answer: usize| (answer / rows.len()) as f64;
    let gain = |answer: usize| (1.0 - place(answer)) * (1.0 + of_row(answer));
    let context = ForwardContext { adapters: Some(adapters), dropout_seed: None };
    let nll: Vec<f32> = answer_nll(lalm, &context, &batch).unwrap().tokens.try_into_vec_as().unwrap();
    let mut answer_of = Vec::new();
    for (answer, ids) in batch.answers.iter().enumerate() {
        answer_of.extend(vec![answer; ids.len()]);
    }
    let shifted = |by: f64| -> Vec<f32> {
        let shift = |(&nll, &answer): (&f32, &usize)| -nll + (by * (1.0 + of_row(answer))) as f32;
        nll.iter().zip(&answer_of).map(shift).collect()
    };
    let (old, reference) = (shifted(-0.03), shifted(0.2));
    let advantages = (0..batch.answers.len()).map(gain).collect();
    batch.rollout = Rollout { advantages, old, reference, measured: Vec::new() };
    batch
}

fn gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[TrainingBatch],
    config: &RlConfig,
) -> StepGradients {
    let loss = |nll: &_, batch: &_, totals| rl_loss(config, nll, batch, totals);
    adapter_gradients(lalm, adapters, batches, &[], &loss).unwrap()
}

fn exact_gradients(lalm: &Lalm, adapters: &Adapters, batches: &[TrainingBatch]) -> StepGradients {
    let config = RlConfig { exact: true, beta: 0.3, ..RlConfig::default() };
    let loss = |nll: &_, batch: &TrainingBatch, totals| {
        // Large, as the tiny model is nearly sure of one of them.
        let reward = |answer: usize| [5000.0, -5000.0, 0.0][answer / batch.len()];
        let graded = |answer| Graded { reward: reward(answer), is_right: false, is_refusal: false };
        exact_loss(&config, nll, batch, totals, &(0..batch.answers.len()).map(graded).collect::<Vec<_>>())
    };
    adapter_gradients(lalm, adapters, batches, &[], &loss).unwrap()
}

const WEIGHTS: CalibratedConfig =
    CalibratedConfig { refusal_weight: 0.6, own_weight: 0.4, phrase_weight: 0.3, listwise: true };

/// With a reference near `adapters`, so that no probability is 0, which likes the first option best in every second row and
/// the second one in the others.
fn listwise_batch(lalm: &Lalm, adapters: &Adapters, batch: &TrainingBatch) -> TrainingBatch {
    let context = ForwardContext { adapters: Some(adapters), dropout_seed: None };
    let nll: Vec<f32> = answer_nll(lalm, &context, batch).unwrap().tokens.try_into_vec_as().unwrap();
    let mut tokens = nll.into_iter();
    let score = |(answer, ids): (usize, &Vec<u32>)| {
        let own: f32 = tokens.by_ref().take(ids.len()).sum();
        let (place, row) = (answer / batch.len(), batch.prompt_of[answer]);
        let best = usize::from(batch.ids[row].as_bytes()[4].is_multiple_of(2));
        f64::from(-own) * 0.01 + if place == best { 0.5 } else { 0.0 }
    };
    let reference = batch.answers.iter().enumerate().map(score).collect();
    TrainingBatch { reference, ..batch.clone() }
}

/// The first two answers are options, of which the second is right; the third is a refusal.
fn listwise_gradients(lalm: &Lalm, adapters: &Adapters, batches: &[TrainingBatch]) -> StepGradients {
    let loss = |nll: &_, batch: &TrainingBatch, totals| {
        let place = |answer: usize| answer / batch.len();
        let graded =
            |answer| Graded { reward: 0.0, is_right: place(answer) == 1, is_refusal: place(answer) == 2 };
        let graded: Vec<Graded> = (0..batch.answers.len()).map(graded).collect();
        listwise_loss(&WEIGHTS, nll, batch, totals, &graded)
    };
    adapter_gradients(lalm, adapters, batches, &[], &loss).unwrap()
}

fn of_kind(advantage: AdvantageKind) -> RlConfig {
    RlConfig { advantage, group_size: 3, ..RlConfig::default() }
}

#[test]
fn micro_batches_of_one_row_give_the_loss_and_gradient_of_one_batch() {
    let lalm = lalm();
    let (adapters, rows) = (trained_adapters(&lalm), rows(&lalm, 4));
    let split: Vec<TrainingBatch> = rows.chunks(1).map(|row| sampled(&lalm, &adapters, row)).collect();
    let whole = [sampled(&lalm, &adapters, &rows)];
    let same = |one: StepGradients, four: StepGradients| {
        assert!((one.loss - four.loss).abs() < 1e-6 * one.loss.abs().max(1.0), "{} {}", one.loss, four.loss);
        assert_same_gradients(&one.gradients, &four.gradients, 1e-5);
    };
    for kind in KINDS {
        let step = |batches: &[TrainingBatch]| gradients(&lalm, &adapters, batches, &of_kind(kind));
        same(step(&whole), step(&split));
    }
    same(exact_gradients(&lalm, &adapters, &whole), exact_gradients(&lalm, &adapters, &split));
    let listwise = |batches: &[TrainingBatch]| {
        let batches: Vec<_> = batches.iter().map(|batch| listwise_batch(&lalm, &adapters, batch)).collect();
        listwise_gradients(&lalm, &adapters, &batches)
    };
    same(listwise(&whole), listwise(&split));
}

#[test]
fn gradients_agree_with_finite_differences() {
    let lalm = lalm();
    let (adapters, rows) = (trained_adapters(&lalm), rows(&lalm, 2));
    let batch = [sampled(&lalm, &adapters, &rows)];
    let check = |what: &str, step: &dyn Fn(&Adapters) -> StepGradients| {
        let gradients = step(&adapters).gradients;
        // Along the gradient itself, the loss changes by |g|^2 h.
        let loss_at = |h: f64| {
            let mut moved = adapters.clone();
            moved.for_each_tensor(&mut |name, tensor| {
                let direction = gradients.by_name[name].clone().reshape(tensor.dims());
                *tensor = tensor.clone() + direction.mul_scalar(h);
            });
            step(&moved).loss
        };
        let norm = gradients.norm().unwrap();
        let h = 2e-3 / norm;
        let slope = (loss_at(h) - loss_at(-h)) / (2.0 * h);
        assert!(
            (slope / (norm * norm) - 1.0).abs() < 0.01,
            "{what}: slope {slope}, squared norm {}",
            norm * norm
        );
    };
    for kind in KINDS {
        // Wide, so that no ratio lies at the edge of the clip.
        let config = RlConfig { epsilon: 50.0, ..of_kind(kind) };
        check(&format!("{kind:?}"), &|adapters| gradients(&lalm, adapters, &batch, &config));
    }
    check("exact", &|adapters| exact_gradients(&lalm, adapters, &batch));
    // The reference stays what it is when the adapters move.
    let batch = [listwise_batch(&lalm, &adapters, &batch[0])];
    check("listwise", &|adapters| listwise_gradients(&lalm, adapters, &batch));
}

// ---- whole runs ----

const STEPS: u64 = 8;

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 2,
        batch_size: 1,
        gradient_accumulation_steps: 2,
        learning_rate: 5e-3,
        save_every: 1,
        save_total_limit: 0,
        eval_every: 3,
        ..TrainConfig::default()
    }
}

fn rl(exact: bool) -> RlConfig {
    RlConfig { exact, group_size: 4, max_new_tokens: 4, num_iterations: 2, ..RlConfig::default() }
}

fn train(
    lalm: &Lalm,
    lora: &LoraConfig,
    train: &TrainConfig,
    method: MethodConfig<'_>,
    run: TrainRun<'_>,
) -> Result<(Adapters, TrainReport), TrainError> {
    let rows = rows(lalm, 10);
    let config = AdapterConfig { lora, train, method, grader: Some(Grader(&grade)) };
    train_adapters(lalm, config, &rows[..8], Validation::of_rows(&rows[8..]), run)
}

#[test]
fn a_run_killed_after_any_step_and_resumed_draws_the_same_samples_and_leaves_the_same_bytes() {
    let (lalm, lora) = (lalm(), lora());
    let (sampled, exact) = (rl(false), rl(true));
    for method in [MethodConfig::Rl(&sampled), MethodConfig::Rl(&exact), MethodConfig::Calibrated(&WEIGHTS)] {
        let whole = Setup::new();
        let report = whole.with(false, None, |run| train(&lalm, &lora, &config(), method, run)).unwrap().1;
        assert_eq!(report.steps, STEPS);
        for step in 1..STEPS {
            let cut = Setup::new();
            kill_after(step, &whole.run, &cut.run);
            cut.with(true, None, |run| train(&lalm, &lora, &config(), method, run)).unwrap();
            assert_same_tree(&whole.run, &cut.run, &format!("{:?}, killed after step {step}", method.rows()));
        }
        let (cut, stop) = (Setup::new(), AtomicBool::new(true));
        for _ in 0..STEPS {
            cut.with(true, Some(&stop), |run| train(&lalm, &lora, &config(), method, run)).unwrap();
        }
        assert_same_tree(&whole.run, &cut.run, "stopped at every step");
    }
}

fn logged(setup: &Setup, key: &str) -> Vec<f64> {
    let rows: Vec<Value> = read_jsonl(&setup.run.metrics()).unwrap();
    rows.iter().filter_map(|row| row[key].as_f64()).collect()
}

#[test]
fn rewards_rise_whether_they_are_sampled_or_expected_and_trls_names_are_logged() {
    let (lalm, lora) = (lalm(), lora());
    for kind in [None, Some(AdvantageKind::Grpo), Some(AdvantageKind::DrGrpo), Some(AdvantageKind::Rloo)] {
        let setup = Setup::new();
        let rl = RlConfig {
            exact: kind.is_none(),
            advantage: kind.unwrap_or_default(),
            group_size: 8,
            max_new_tokens: 4,
            beta: 0.001,
            ..RlConfig::default()
        };
        let long = TrainConfig {
            epochs: 12,
            batch_size: 4,
            gradient_accumulation_steps: 1,
            save_every: 0,
            ..config()
        };
        setup.with(false, None, |run| train(&lalm, &lora, &long, MethodConfig::Rl(&rl), run)).unwrap();
        let rewards = logged(&setup, "reward");
        assert_eq!(rewards.len(), 24);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (first, last) = (rewards[0], mean(&rewards[20..]));
        assert!(last > first + 0.2, "{kind:?}: {first:.3} then {last:.3}");
        assert!(!logged(&setup, "eval_reward").is_empty(), "validation measures the reward, too");
        let named = ["kl", "right_rate", "refused_rate"];
        let sampled =
            ["reward_std", "frac_reward_zero_std", "completions/mean_length", "entropy", "clip_ratio"];
        for name in named.iter().chain(sampled.iter().filter(|_| kind.is_some())) {
            let values = logged(&setup, name);
            assert!(values.len() == 24 && values.iter().all(|value| value.is_finite()), "{kind:?} {name}");
        }
        if kind.is_some() {
            let clipped = logged(&setup, "clip_ratio");
            assert!(
                clipped.iter().all(|&ratio| ratio == 0.0),
                "one update per step is on-policy: {clipped:?}"
            );
        }
    }
}

#[test]
fn lora_dropout_and_a_missing_grader_are_rejected_before_anything_is_written() {
    let lalm = lalm();
    let (setup, rl) = (Setup::new(), rl(false));
    let dropout = LoraConfig { dropout: 0.1, ..lora() };
    let error = setup
        .with(false, None, |run| train(&lalm, &dropout, &config(), MethodConfig::Rl(&rl), run))
        .unwrap_err();
    assert!(error.to_string().contains("`dropout` in [lora] must be 0"), "{error}");
    let (lora, config) = (lora(), config());
    let rows = rows(&lalm, 2);
    for method in [MethodConfig::Rl(&rl), MethodConfig::Calibrated(&WEIGHTS)] {
        let none = AdapterConfig { lora: &lora, train: &config, method, grader: None };
        let error =
            setup.with(false, None, |run| train_adapters(&lalm, none, &rows, Validation::none(), run));
        assert!(matches!(error.unwrap_err(), TrainError::NoGrader));
    }
    assert!(!setup.run.root.exists());
}

#[test]
fn given_answers_are_graded_by_their_own_text_even_where_tokens_decode_to_another_spelling() {
    let lalm = lalm();
    let mut rows = rows(&lalm, 2);
    // The tokenizer composes this to one character.
    let given = ["e\u{301}", "a"];
    rows.iter_mut().for_each(|row| row.answers = given.map(str::to_owned).to_vec());
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let note = |id: &str, text: &str| {
        seen.lock().unwrap().insert(text.to_owned());
        grade(id, text)
    };
    let (lora, rl) = (lora(), rl(true));
    let train = TrainConfig { max_steps: Some(1), eval_every: 0, ..config() };
    let config = AdapterConfig {
        lora: &lora,
        train: &train,
        method: MethodConfig::Rl(&rl),
        grader: Some(Grader(&note)),
    };
    let setup = Setup::new();
    setup.with(false, None, |run| train_adapters(&lalm, config, &rows, Validation::none(), run)).unwrap();
    assert_eq!(*seen.lock().unwrap(), given.map(str::to_owned).into());
}

#[test]
fn training_over_a_list_learns_where_the_bases_best_option_is_wrong_and_keeps_its_ranking() {
    let (lalm, lora) = (lalm(), lora());
    let setup = Setup::new();
    let long =
        TrainConfig { epochs: 30, batch_size: 4, gradient_accumulation_steps: 1, save_every: 0, ..config() };
    let method = MethodConfig::Calibrated(&WEIGHTS);
    setup.with(false, None, |run| train(&lalm, &lora, &long, method, run)).unwrap();
    let (loss, own, error_rate) =
        (logged(&setup, "loss"), logged(&setup, "loss/own"), logged(&setup, "error_rate"));
    assert_eq!(loss.len(), 60);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (first, last) = (mean(&loss[..4]), mean(&loss[56..]));
    assert!(last < 0.5 * first, "{first:.3} then {last:.3}");
    assert!(own.iter().all(|&kl| kl > -1e-6), "a divergence is not negative: {own:?}");
    assert!(
        (mean(&error_rate) - mean(&error_rate[..2])).abs() < 1e-9,
        "the base does not change: {error_rate:?}"
    );
    assert!(!logged(&setup, "eval_loss/refusal").is_empty());
}

#[test]
fn a_row_without_an_option_or_without_a_refusal_has_no_loss_over_a_list() {
    let lalm = lalm();
    let (adapters, rows) = (trained_adapters(&lalm), rows(&lalm, 1));
    let batch = listwise_batch(&lalm, &adapters, &support::batch(&lalm, &rows));
    for refuses in [true, false] {
        let graded = [Graded { reward: 0.0, is_right: false, is_refusal: refuses }; 3];
        let loss =
            |nll: &_, batch: &TrainingBatch, totals| listwise_loss(&WEIGHTS, nll, batch, totals, &graded);
        let found = adapter_gradients(&lalm, &adapters, std::slice::from_ref(&batch), &[], &loss).unwrap();
        assert_eq!((found.loss, found.gradients.norm().unwrap()), (0.0, 0.0), "all refuse: {refuses}");
        let metrics = listwise_metrics(&found.sums, Totals { rows: 1, ..Totals::default() });
        assert!(metrics.iter().all(|(_, value)| *value == 0.0), "{metrics:?}");
    }
}
