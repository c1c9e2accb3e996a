//! Calibrated refusal through the trainer: the terms of the loss, the gradient and five steps, against PyTorch in float64.
use idk_common::json::read_json;
use idk_trainer::CalibratedConfig;
use idk_trainer::testing::{
    StepSize, Totals, TrainingBatch, adapter_gradients, calibrated_loss, calibrated_metrics, update,
};
use serde_json::Value;

use crate::TOLERANCE;
use crate::dpo::{adapters, pair_batch};
use crate::fixture::{Fixture, assert_close, each_fixture};
use crate::train::optimizer;

/// What `make_calibrated.py` wrote for the folder, if it did.
fn golden(fixture: &Fixture) -> Option<Value> {
    let path = fixture.dir.join("calibrated.json");
    path.exists().then(|| read_json(&path).unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// The golden pairs, with the first tokens of other refusals as answers of one token.
fn batch_with(fixture: &Fixture, others: &[u32]) -> TrainingBatch {
    let mut batch = pair_batch(fixture);
    for row in 0..batch.len() {
        let own = batch.answers[batch.len() + row][0];
        for &token in others.iter().filter(|&&token| token != own) {
            batch.answers.push(vec![token]);
            batch.prompt_of.push(row);
        }
    }
    batch
}

/// Ratios, so that the tolerance is relative: losses here are sums of many nats.
fn assert_same_but_for_rounding(what: &str, found: &[f64], expected: &[f64]) {
    let ratios: Vec<f64> = found.iter().zip(expected).map(|(found, expected)| found / expected).collect();
    assert_close(what, &ratios, &vec![1.0; expected.len()], TOLERANCE);
}

#[test]
fn five_steps_of_calibrated_refusal_give_the_losses_and_gradients_of_pytorch() {
    let mut compared = 0;
    each_fixture(|fixture| {
        // Only the first family's folder has these values.
        let Some(golden) = golden(fixture) else { return };
        compared += 1;
        let config: CalibratedConfig = serde_json::from_value(golden["weights"].clone()).unwrap();
        assert_eq!(config, CalibratedConfig::default());
        for (name, case) in golden["cases"].as_object().unwrap() {
            let rates: Vec<Option<f64>> = serde_json::from_value(case["error_rates"].clone()).unwrap();
            let others: Vec<u32> = serde_json::from_value(case["other_first_tokens"].clone()).unwrap();
            let batches = [batch_with(fixture, &others)];
            let totals = Totals::of_batches(&batches);
            let (mut adapters, (mut optimizer, learning_rate)) = (adapters(fixture), optimizer(fixture));
            let size = StepSize { learning_rate, max_grad_norm: 0.0 };
            let (mut losses, mut norms) = (Vec::new(), Vec::new());
            for step in 0..5 {
                let gradients =
                    adapter_gradients(&fixture.lalm, &adapters, &batches, &[], &|nll, batch, totals| {
                        calibrated_loss(&config, nll, batch, &rates, totals)
                    })
                    .unwrap();
                if step == 0 {
                    assert_metrics(name, &calibrated_metrics(&gradients.sums, totals), case, &rates);
                }
                let outcome =
                    update(&mut adapters, gradients, Vec::new(), &batches, &mut optimizer, size).unwrap();
                losses.push(outcome.loss);
                norms.push(outcome.grad_norm);
            }
            assert_same_but_for_rounding(&format!("{name}: losses"), &losses, &numbers(&case["losses"]));
            assert_same_but_for_rounding(&format!("{name}: norms"), &norms, &numbers(&case["grad_norms"]));
        }
    });
    assert!(compared > 0, "no folder has a calibrated.json");
}

fn assert_metrics(name: &str, metrics: &[(&str, f64)], case: &Value, rates: &[Option<f64>]) {
    let found: Vec<f64> = metrics.iter().map(|(_, value)| *value).collect();
    let with_rate = |values: Vec<f64>| -> Vec<f64> {
        values.into_iter().zip(rates).filter(|(_, rate)| rate.is_some()).map(|(value, _)| value).collect()
    };
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len() as f64;
    let mut expected = numbers(&case["terms"]);
    expected.push(mean(with_rate(numbers(&case["probs"]))));
    expected.push(mean(rates.iter().flatten().copied().collect()));
    expected.push(mean(numbers(&case["own_log_probs"])));
    assert_same_but_for_rounding(&format!("{name}: terms, probability, own answer"), &found, &expected);
}
