//! Promises about DPO, kept against the tiny model of tests/fixtures.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod support;

use idk_model::{Adapters, ForwardContext, Lalm, LoraConfig, Message};
use idk_trainer::testing::{
    Gradients, StepGradients, Totals, TrainingBatch, answer_nll, dpo_metrics, make_trainable,
};
use idk_trainer::{
    BestMetric, Clip, DpoConfig, DpoLoss, TrainConfig, TrainError, TrainReport, TrainingRow, Validation,
};
use serde_json::Value;
use support::{
    Setup, assert_same_gradients, assert_same_tree, clip, dpo_gradients, fixture, kill_after, lalm, lora,
    sft_gradients, train_dpo, trained_adapters, tree,
};

fn pairs(lalm: &Lalm, count: usize) -> Vec<TrainingRow> {
    let clips = ["a.wav", "b.wav", "c.wav"].map(|name| Clip::of_mel(clip(lalm, name), &lalm.mel));
    let pair = |index: usize| {
        let question = ["what is heard", "how many", "is it loud and what is it then"][index / 3 % 3];
        let (chosen, rejected) =
            [("dog", "I don't know"), ("I don't know", "two cats"), ("a", "rain")][index % 3];
        TrainingRow {
            id: format!("pair-{index}"),
            audio: vec![clips[index % 3].clone()],
            messages: vec![Message::from_tagged("user", &format!("<audio>{question}"))],
            answers: vec![chosen.to_owned(), rejected.to_owned()],
            error_rate: None,
        }
    };
    (0..count).map(pair).collect()
}

/// A batch with a made-up reference, which depends on the pair alone.
fn batch(lalm: &Lalm, pairs: &[TrainingRow]) -> TrainingBatch {
    let mut batch = support::batch(lalm, pairs);
    let of_pair = |pair: &TrainingRow| pair.id.len() as f64 + f64::from(pair.id.as_bytes()[5]);
    let side = |factor: f64| pairs.iter().map(move |pair| factor * of_pair(pair));
    batch.reference = side(-0.1).chain(side(-0.15)).collect();
    batch
}

/// Every answer as a row of its own, the chosen ones first.
fn rows(pairs: &[TrainingRow]) -> Vec<TrainingRow> {
    let side = |side: usize| {
        pairs
            .iter()
            .map(move |pair| TrainingRow { answers: vec![pair.answers[side].clone()], ..pair.clone() })
    };
    side(0).chain(side(1)).collect()
}

#[test]
fn a_prompt_that_both_answers_share_gives_the_loss_and_gradient_of_two_whole_rows() {
    let lalm = lalm();
    let pairs = pairs(&lalm, 5);
    let both_towers = Adapters::load(&fixture().join("lora_adapter_v4names"), &lalm).unwrap();
    for adapters in [trained_adapters(&lalm), both_towers] {
        let whole = support::batch(&lalm, &rows(&pairs));
        assert_eq!(whole.prompt_of, (0..10).collect::<Vec<_>>(), "no prompt is shared");
        let labels = whole.answer_tokens();
        let expected = sft_gradients(&lalm, &adapters, &[whole], &[]);
        let mut leaves = adapters.clone();
        make_trainable(&mut leaves);
        let (tape, loss) = {
            let context = ForwardContext { adapters: Some(&leaves), dropout_seed: None };
            let nll = answer_nll(&lalm, &context, &batch(&lalm, &pairs)).unwrap().tokens;
            assert_eq!(nll.dims(), [labels]);
            let loss = nll.mean();
            let value: f32 = loss.clone().inner().try_into_scalar().unwrap();
            (loss.backward(), f64::from(value))
        };
        assert!((loss - expected.loss).abs() < 1e-5, "{loss} {}", expected.loss);
        assert_same_gradients(&expected.gradients, &Gradients::of(&mut leaves, tape), 1e-5);
    }
}

fn assert_same_step(left: &StepGradients, right: &StepGradients, tolerance: f64) {
    assert!((left.loss - right.loss).abs() < tolerance, "{} {}", left.loss, right.loss);
    let metrics = |step: &StepGradients| {
        let totals = Totals { rows: 4, first_answer_tokens: 9, ..Totals::default() };
        dpo_metrics(&of_loss(DpoLoss::Sigmoid), &step.sums, totals)
    };
    assert_eq!(metrics(left).len(), 7);
    for ((name, a), (other, b)) in metrics(left).iter().zip(&metrics(right)) {
        assert!(name == other && (a - b).abs() < 1e-4, "{name}: {a} {b}");
    }
    assert_eq!(left.num_tokens, right.num_tokens);
    assert_same_gradients(&left.gradients, &right.gradients, tolerance);
}

fn of_loss(loss: DpoLoss) -> DpoConfig {
    DpoConfig { loss, sft_weight: 0.3, ..DpoConfig::default() }
}

#[test]
fn four_times_one_pair_is_one_batch_of_four_for_every_loss_although_answers_differ_in_length() {
    let lalm = lalm();
    let adapters = trained_adapters(&lalm);
    let pairs = pairs(&lalm, 4);
    let one = [batch(&lalm, &pairs)];
    let four: Vec<TrainingBatch> = pairs.chunks(1).map(|pairs| batch(&lalm, pairs)).collect();
    for loss in [DpoLoss::Sigmoid, DpoLoss::Ipo, DpoLoss::Hinge] {
        let step = |batches: &[TrainingBatch]| dpo_gradients(&lalm, &adapters, batches, &of_loss(loss));
        let (one, four) = (step(&one), step(&four));
        assert_same_step(&one, &four, 1e-6 * one.loss.max(1.0));
    }
}

#[test]
fn padding_and_the_order_of_pairs_change_neither_loss_nor_gradient() {
    let lalm = lalm();
    let adapters = trained_adapters(&lalm);
    let pairs = pairs(&lalm, 4);
    let step = |batch: TrainingBatch| dpo_gradients(&lalm, &adapters, &[batch], &of_loss(DpoLoss::Sigmoid));
    let together = step(batch(&lalm, &pairs));
    let mut padded = batch(&lalm, &pairs);
    for (ids, mask) in padded.prompts.ids.iter_mut().zip(&mut padded.prompts.mask) {
        ids.splice(0..0, [lalm.tokenizer.pad_id(); 7]);
        mask.splice(0..0, [false; 7]);
    }
    let reversed: Vec<TrainingRow> = pairs.iter().rev().cloned().collect();
    for other in [padded, batch(&lalm, &reversed)] {
        assert_same_step(&together, &step(other), 1e-5);
    }
}

// ---- whole runs ----

fn short_config() -> TrainConfig {
    TrainConfig {
        epochs: 3,
        batch_size: 2,
        gradient_accumulation_steps: 2,
        learning_rate: 5e-3,
        weight_decay: 0.01,
        save_every: 1,
        save_total_limit: 0,
        eval_every: 2,
        metric_for_best: Some(BestMetric::RewardMargins),
        ..TrainConfig::default()
    }
}

fn dpo() -> DpoConfig {
    DpoConfig { sft_weight: 0.05, label_smoothing: 0.1, ..DpoConfig::default() }
}

fn train(
    setup: &Setup,
    resume: bool,
    lora: &LoraConfig,
    dpo: &DpoConfig,
) -> Result<(Adapters, TrainReport), TrainError> {
    let lalm = lalm();
    let pairs = pairs(&lalm, 9);
    let (train, val) = pairs.split_at(7);
    setup.with(resume, None, |run| {
        train_dpo(&lalm, lora, train, Validation::of_rows(val), &short_config(), dpo, run)
    })
}

fn metrics(setup: &Setup) -> Vec<serde_json::Map<String, Value>> {
    idk_trainer::read_metrics(&setup.run).unwrap()
}

#[test]
fn a_dpo_run_killed_after_any_step_and_resumed_leaves_the_bytes_of_an_uninterrupted_one() {
    let lora = LoraConfig { dropout: 0.2, ..lora() };
    let whole = Setup::new();
    let report = train(&whole, false, &lora, &dpo()).unwrap().1;
    assert_eq!((report.steps, report.samples_seen), (6, 21));
    assert!(report.best.is_some());
    for step in 1..=6 {
        let cut = Setup::new();
        kill_after(step, &whole.run, &cut.run);
        if step == 2 {
            // Torn by the kill: computed again, to the same bytes.
            let path = cut.run.checkpoints().join("reference.json");
            let bytes = std::fs::read(&path).unwrap();
            idk_common::fs::write_atomic(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
        assert_eq!(train(&cut, true, &lora, &dpo()).unwrap().1.resumed_from, Some(step));
        assert_same_tree(&whole.run, &cut.run, &format!("killed after step {step}"));
        assert_eq!(cut.warnings.lock().unwrap().len(), usize::from(step == 2));
    }
}

#[test]
fn a_changed_reference_is_noticed_by_its_hash() {
    let setup = Setup::new();
    train(&setup, false, &lora(), &dpo()).unwrap();
    let before = tree(&setup.run.root);
    let path = setup.run.checkpoints().join("reference.json");
    let mut stored: Value = idk_common::json::read_json(&path).unwrap();
    stored["log_probs"][0][1][0] = Value::from(-1.5);
    idk_common::json::write_json(&path, &stored).unwrap();
    train(&setup, true, &lora(), &dpo()).unwrap();
    assert!(setup.warnings.lock().unwrap()[0].contains("damaged"));
    assert_eq!(before, tree(&setup.run.root));
}

#[test]
fn dpo_lowers_its_loss_raises_the_margin_and_logs_trls_names() {
    for loss in [DpoLoss::Sigmoid, DpoLoss::Ipo, DpoLoss::Hinge] {
        let setup = Setup::new();
        let report = train(&setup, false, &lora(), &DpoConfig { loss, ..DpoConfig::default() }).unwrap().1;
        assert!(report.last_loss < report.first_loss, "{loss:?}: {report:?}");
        let rows = metrics(&setup);
        let steps: Vec<_> = rows.iter().filter(|row| row.contains_key("loss")).collect();
        let number = |row: &serde_json::Map<String, Value>, key: &str| row[key].as_f64().unwrap();
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        for name in ["chosen", "rejected", "margins"] {
            // A fresh adapter is the reference: nothing is rewarded yet.
            assert!(number(first, &format!("rewards/{name}")).abs() < 1e-5, "{first:?}");
        }
        assert!(number(last, "rewards/margins") > 0.01, "{loss:?}: {last:?}");
        assert!(number(last, "rewards/accuracies") > 0.5, "{loss:?}: {last:?}");
        assert!(number(first, "logps/chosen") < 0.0 && number(first, "logps/rejected") < 0.0);
        let eval = rows.iter().rev().find(|row| row.contains_key("eval_loss")).unwrap();
        assert!(eval.contains_key("eval_rewards/margins") && eval.contains_key("eval_logps/rejected"));
    }
}

#[test]
fn dpo_goes_on_from_an_adapter_which_is_then_the_reference() {
    let lalm = lalm();
    let adapters = trained_adapters(&lalm);
    let init = fixture().join("lora_adapter");
    let setup = Setup::new();
    let dpo = DpoConfig { init: init.clone(), ..DpoConfig::default() };
    let (trained, _) = train(&setup, false, &adapters.config, &dpo).unwrap();
    let first = &metrics(&setup)[0];
    assert!(first["rewards/margins"].as_f64().unwrap().abs() < 1e-5, "{first:?}");
    let norm = |adapters: &Adapters| {
        let b = adapters.modules.values().next().unwrap().b.clone();
        let sum: f32 = (b.clone() * b).sum().try_into_scalar().unwrap();
        sum
    };
    assert!(norm(&trained) != norm(&adapters) && norm(&trained) > 0.5 * norm(&adapters));

    let other = LoraConfig { rank: adapters.config.rank + 1, ..adapters.config.clone() };
    let error = train(&Setup::new(), false, &other, &dpo).unwrap_err().to_string();
    assert!(error.contains("lora_adapter") && error.contains("rank"), "{error}");
}

#[test]
fn a_dpo_run_is_not_resumed_with_other_preferences() {
    let setup = Setup::new();
    train(&setup, false, &lora(), &dpo()).unwrap();
    let before = tree(&setup.run.root);
    let other = DpoConfig { beta: 0.2, ..dpo() };
    let message = train(&setup, true, &lora(), &other).unwrap_err().to_string();
    assert!(message.contains("`dpo.beta` was 0.1 and is 0.2 now"), "{message}");
    assert_eq!(before, tree(&setup.run.root));
}

#[test]
fn a_pair_that_cannot_be_learnt_from_is_named() {
    let lalm = lalm();
    let run = |pairs: &[TrainingRow]| {
        let config = TrainConfig {
            batch_size: 1,
            gradient_accumulation_steps: 1,
            shuffle: false,
            ..TrainConfig::default()
        };
        let (setup, dpo) = (Setup::new(), DpoConfig::default());
        setup
            .with(false, None, |run| train_dpo(&lalm, &lora(), pairs, Validation::none(), &config, &dpo, run))
            .unwrap_err()
    };
    let mut same = pairs(&lalm, 3);
    same[1].answers[1] = same[1].answers[0].clone();
    assert!(matches!(run(&same), TrainError::SameAnswers { id } if id == "pair-1"));

    let mut bad = pairs(&lalm, 3);
    let mut mel = clip(&lalm, "c.wav");
    mel.data[0] = f32::NAN;
    bad[2].audio = vec![Clip::of_mel(mel, &lalm.mel)];
    let error = run(&bad);
    let TrainError::NonFinite { step, ids, .. } = &error else { panic!("{error}") };
    assert_eq!((*step, ids.as_slice()), (3, ["pair-2".to_owned()].as_slice()));
}
