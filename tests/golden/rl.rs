//! Methods that grade answers: losses, gradient norms, advantages and metrics of given answers against transformers and
//! PEFT, with the formulas of TRL (`tests/fixtures/make_rl_golden.py`).
use idk_common::json::read_json;
use idk_model::{Adapters, Prompt, TokenBatch};
use idk_trainer::testing::{
    Gradients, Loss, Rollout, Totals, TrainingBatch, adapter_gradients, advantages, exact_loss,
    exact_metrics, listwise_loss, listwise_metrics, rl_loss, rl_metrics,
};
use idk_trainer::{AdvantageKind, CalibratedConfig, Graded, RlConfig};
use serde_json::Value;

use crate::TOLERANCE;
use crate::fixture::{Fixture, assert_close, each_fixture};
use crate::train::golden_batch;

const GROUP: usize = 3;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|number| number as f32).collect()
}

/// The given answers behind the golden prompts; `keep` says which of them.
fn batch(fixture: &Fixture, golden: &Value, keep: usize) -> TrainingBatch {
    let chosen = golden_batch(fixture, "dpo.chosen");
    let prompts: Vec<Prompt> = fixture.batch_names().iter().map(|name| fixture.prompt(name, None)).collect();
    let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
    let answers = golden["answers"].as_array().unwrap().iter();
    TrainingBatch {
        prompts: TokenBatch::left_padded(&ids, fixture.lalm.tokenizer.pad_id()),
        answers: answers.map(|ids| numbers(ids).iter().map(|&id| id as u32).collect()).take(keep).collect(),
        prompt_of: numbers(&golden["prompt_of"]).iter().map(|&row| row as usize).take(keep).collect(),
        ..chosen
    }
}

fn gradients(fixture: &Fixture, batch: &TrainingBatch, loss: &Loss<'_>) -> (f64, f64, Vec<f64>) {
    let adapters = Adapters::load(&fixture.dir.join("lora_adapter"), &fixture.lalm).unwrap();
    let found = adapter_gradients(&fixture.lalm, &adapters, std::slice::from_ref(batch), &[], loss).unwrap();
    let norm = Gradients::norm(&found.gradients).unwrap();
    (found.loss, norm, found.sums)
}

fn each_golden(test: impl Fn(&Fixture, &Value)) {
    each_fixture(|fixture| {
        let path = fixture.dir.join("rl.json");
        if path.exists() {
            test(fixture, &read_json(&path).unwrap());
        }
    });
}

#[test]
fn sampled_answers_give_the_losses_and_gradients_of_trls_formulas() {
    each_golden(|fixture, golden| {
        let kinds = [
            ("grpo", AdvantageKind::Grpo),
            ("dr_grpo", AdvantageKind::DrGrpo),
            ("rloo", AdvantageKind::Rloo),
        ];
        for (name, advantage) in kinds {
            let of_kind = &golden[name];
            let config = RlConfig {
                advantage,
                group_size: GROUP,
                epsilon: golden["epsilon"].as_f64().unwrap(),
                beta: golden["beta"].as_f64().unwrap(),
                max_new_tokens: golden["max_new_tokens"].as_u64().unwrap() as usize,
                ..RlConfig::default()
            };
            let expected = numbers(&of_kind["advantages"]);
            if advantage != AdvantageKind::Rloo {
                // RLOO's rewards have the KL penalty in them.
                let rewards = numbers(&golden["rewards"]);
                for row in 0..2 {
                    let of_row =
                        |all: &[f64]| -> Vec<f64> { all.iter().skip(row).step_by(2).copied().collect() };
                    let found = advantages(advantage, &of_row(&rewards));
                    assert_close(&format!("{name}, advantages"), &found, &of_row(&expected), 1e-6);
                }
            }
            let mut batch = batch(fixture, golden, usize::MAX);
            let (old, reference) = (floats(&golden["old"]), floats(&golden["reference"]));
            batch.rollout = Rollout { advantages: expected, old, reference, measured: vec![6.0, 2.0] };
            let loss = |nll: &_, batch: &_, totals| rl_loss(&config, nll, batch, totals);
            let (loss, norm, sums) = gradients(fixture, &batch, &loss);
            let of = |key: &str| of_kind[key].as_f64().unwrap();
            assert_close(&format!("{name}, loss"), &[loss], &[of("loss")], TOLERANCE);
            let near = 1e-5 * of("grad_norm") + TOLERANCE;
            assert_close(&format!("{name}, gradient norm"), &[norm], &[of("grad_norm")], near);
            let metrics = rl_metrics(&config, &sums);
            let metric = |name: &str| metrics.iter().find(|(other, _)| *other == name).unwrap().1;
            let expected = [of("clip_ratio"), of("kl")];
            assert_close(
                &format!("{name}, clip ratio and KL"),
                &[metric("clip_ratio"), metric("kl")],
                &expected,
                TOLERANCE,
            );
        }
    });
}

#[test]
fn the_expected_reward_over_given_answers_has_the_golden_loss_and_gradient() {
    each_golden(|fixture, golden| {
        let config = RlConfig { exact: true, beta: golden["beta"].as_f64().unwrap(), ..RlConfig::default() };
        // Three answers to the first prompt, two to the second.
        let mut batch = batch(fixture, golden, 5);
        batch.reference = numbers(&golden["of_base"]);
        let rewards = numbers(&golden["rewards"]);
        let graded: Vec<Graded> = rewards
            .iter()
            .map(|&reward| Graded { reward, is_right: reward > 0.0, is_refusal: reward == 0.0 })
            .collect();
        let loss = |nll: &_, batch: &_, totals| exact_loss(&config, nll, batch, totals, &graded);
        let (loss, norm, sums) = gradients(fixture, &batch, &loss);
        let of = |key: &str| golden["exact"][key].as_f64().unwrap();
        assert_close("exact, loss", &[loss], &[of("loss")], TOLERANCE);
        assert_close("exact, gradient norm", &[norm], &[of("grad_norm")], TOLERANCE);
        let totals = Totals { rows: 2, ..Default::default() };
        let metrics = exact_metrics(&config, &sums, totals);
        assert_close("exact, reward", &[metrics[0].1], &[of("reward")], TOLERANCE);
        assert_close("exact, KL", &[metrics[3].1], &[of("kl")], TOLERANCE);
        let shares = metrics[1].1 + metrics[2].1;
        assert!((0.0..=1.0).contains(&shares), "{metrics:?}");
    });
}

#[test]
fn calibrated_refusal_over_a_list_has_the_golden_loss_terms_and_gradient() {
    each_golden(|fixture, golden| {
        let listwise = &golden["listwise"];
        let of = |key: &str| listwise[key].as_f64().unwrap();
        let flags = |key: &str| -> Vec<bool> {
            listwise[key].as_array().unwrap().iter().map(|flag| flag.as_bool().unwrap()).collect()
        };
        let config = CalibratedConfig {
            refusal_weight: of("refusal_weight"),
            own_weight: of("own_weight"),
            ..CalibratedConfig::default()
        };
        let batch = TrainingBatch {
            answers: numbers(&listwise["answers"]).iter().map(|&id| vec![id as u32]).collect(),
            prompt_of: numbers(&listwise["prompt_of"]).iter().map(|&row| row as usize).collect(),
            reference: numbers(&listwise["of_base"]),
            ..batch(fixture, golden, usize::MAX)
        };
        let graded: Vec<Graded> = flags("right")
            .into_iter()
            .zip(flags("refuses"))
            .map(|(is_right, is_refusal)| Graded { reward: 0.0, is_right, is_refusal })
            .collect();
        let loss = |nll: &_, batch: &_, totals| listwise_loss(&config, nll, batch, totals, &graded);
        let (loss, norm, sums) = gradients(fixture, &batch, &loss);
        assert_close("listwise, loss", &[loss], &[of("loss")], TOLERANCE);
        let near = 1e-5 * of("grad_norm") + TOLERANCE;
        assert_close("listwise, gradient norm", &[norm], &[of("grad_norm")], near);
        let metrics = listwise_metrics(&sums, Totals { rows: 2, ..Default::default() });
        let found: Vec<f64> = metrics.iter().map(|(_, value)| *value).collect();
        let expected = ["refusal", "own", "p", "error_rate"].map(of);
        assert_close("listwise, terms, p and error rate", &found, &expected, TOLERANCE);
    });
}
