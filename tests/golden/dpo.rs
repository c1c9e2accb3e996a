//! DPO (Rafailov et al. 2023) through the trainer: log-probs of both answers under policy and reference, losses,
//! rewards and five steps.
use idk_model::{Adapters, ForwardContext, Prompt, TokenBatch, answer_log_probs};
use idk_trainer::testing::{
    PairLogProbs, StepGradients, StepSize, TrainingBatch, adapter_gradients, answer_nll, dpo_loss,
    pair_losses, pair_metrics, pair_sums, update,
};
use idk_trainer::{DpoConfig, DpoLoss, testing};

use crate::TOLERANCE;
use crate::fixture::{Fixture, Golden, assert_close, each_fixture, test_device, to_f64};
use crate::train::{golden_batch, optimizer};

/// The golden pairs, with the reference's log-probs as the base model gives them.
pub(crate) fn pair_batch(fixture: &Fixture) -> TrainingBatch {
    let [chosen, rejected] = ["dpo.chosen", "dpo.rejected"].map(|prefix| golden_batch(fixture, prefix));
    let prompts: Vec<Prompt> = fixture.batch_names().iter().map(|name| fixture.prompt(name, None)).collect();
    let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
    let pairs = chosen.answers.iter().zip(&rejected.answers);
    let candidates: Vec<Vec<Vec<u32>>> = pairs.map(|(one, other)| vec![one.clone(), other.clone()]).collect();
    let found = answer_log_probs(&fixture.lalm, None, &prompts, &candidates).unwrap();
    let sum = |log_probs: &Vec<f32>| log_probs.iter().map(|&value| f64::from(value)).sum::<f64>();
    let side = |side: usize| found.iter().map(move |pair| sum(&pair[side]));
    TrainingBatch {
        prompts: TokenBatch::left_padded(&ids, fixture.lalm.tokenizer.pad_id()),
        answers: [chosen.answers.as_slice(), &rejected.answers].concat(),
        prompt_of: [chosen.prompt_of.as_slice(), &rejected.prompt_of].concat(),
        reference: side(0).chain(side(1)).collect(),
        ..chosen
    }
}

fn dpo_gradients(
    fixture: &Fixture,
    adapters: &Adapters,
    batch: &TrainingBatch,
    config: &DpoConfig,
) -> StepGradients {
    let loss = |nll: &_, batch: &_, totals| dpo_loss(config, nll, batch, totals);
    adapter_gradients(&fixture.lalm, adapters, std::slice::from_ref(batch), &[], &loss).unwrap()
}

fn config(fixture: &Fixture) -> DpoConfig {
    DpoConfig { beta: fixture.json["dpo"]["beta"].as_f64().unwrap_or(0.1), ..DpoConfig::default() }
}

pub(crate) fn adapters(fixture: &Fixture) -> Adapters {
    Adapters::load(&fixture.dir.join("lora_adapter"), &fixture.lalm).unwrap()
}

#[test]
fn log_probs_losses_and_rewards_of_pairs_agree() {
    each_fixture(|fixture| {
        let (config, adapters, batch) = (config(fixture), adapters(fixture), pair_batch(fixture));
        let context = ForwardContext { adapters: Some(&adapters), dropout_seed: None };
        let nll = answer_nll(&fixture.lalm, &context, &batch).unwrap();
        let policy = testing::answer_log_probs(&nll.tokens, &batch, false);
        let side =
            |side: usize| -> Vec<f64> { batch.reference[side * batch.len()..][..batch.len()].to_vec() };
        let (chosen, rejected) = (to_f64(&policy.chosen), to_f64(&policy.rejected));
        let of = |name: &str| &fixture.get(&format!("dpo.{name}")).values;
        assert_close("reference, chosen", &side(0), of("ref_chosen_logps"), TOLERANCE);
        assert_close("reference, rejected", &side(1), of("ref_rejected_logps"), TOLERANCE);
        assert_close("policy, chosen", &chosen, of("policy_chosen_logps"), TOLERANCE);
        assert_close("policy, rejected", &rejected, of("policy_rejected_logps"), TOLERANCE);

        let tensor = |name: &str| floats(fixture.get(&format!("dpo.{name}")));
        let reference =
            PairLogProbs { chosen: tensor("ref_chosen_logps"), rejected: tensor("ref_rejected_logps") };
        let losses = to_f64(&pair_losses(&config, &policy, &reference));
        assert_close("DPO losses", &losses, of("losses"), TOLERANCE);

        if fixture.find("dpo.chosen_rewards").is_none() {
            return;
        }
        let mut sums = [0.0; 6];
        for pair in 0..batch.len() {
            let reference = [0, 1].map(|it| side(it)[pair]);
            let of_pair = pair_sums(config.beta, [chosen[pair], rejected[pair]], reference);
            for (sum, value) in sums.iter_mut().zip(of_pair) {
                *sum += value;
            }
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (chosen, rejected) = (mean(of("chosen_rewards")), mean(of("rejected_rewards")));
        let accuracies = fixture.json["dpo"]["accuracies"].as_array().unwrap();
        let accuracies: Vec<f64> = accuracies.iter().map(|value| value.as_f64().unwrap()).collect();
        let expected = [chosen, rejected, mean(&accuracies), chosen - rejected];
        let found: Vec<f64> = pair_metrics(&sums).iter().take(4).map(|(_, value)| *value).collect();
        assert_close("rewards", &found, &expected, TOLERANCE);
    });
}

fn floats(golden: &Golden) -> burn::tensor::Tensor<1> {
    let values: Vec<f32> = golden.values.iter().map(|&value| value as f32).collect();
    burn::tensor::Tensor::from_data(values.as_slice(), &test_device())
}

/// The other losses have no golden values: their formulas are applied to golden log-probs in f64.
#[test]
fn the_other_losses_of_the_golden_pairs_are_what_their_formulas_give() {
    each_fixture(|fixture| {
        let (adapters, batch) = (adapters(fixture), pair_batch(fixture));
        let of = |name: &str| &fixture.get(&format!("dpo.{name}")).values;
        let margins = |divide: bool| -> Vec<f64> {
            let length = |pair: usize, side: usize| {
                if divide { batch.answers[side * batch.len() + pair].len() as f64 } else { 1.0 }
            };
            let gain = |pair: usize, side: usize, policy: &str, reference: &str| {
                (of(policy)[pair] - of(reference)[pair]) / length(pair, side)
            };
            let margin = |pair| {
                gain(pair, 0, "policy_chosen_logps", "ref_chosen_logps")
                    - gain(pair, 1, "policy_rejected_logps", "ref_rejected_logps")
            };
            (0..batch.len()).map(margin).collect()
        };
        let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
        let beta = config(fixture).beta;
        let minus_log_sigmoid = |x: f64| (-x).exp().ln_1p();
        let smoothed =
            |margin: &f64| 0.8 * minus_log_sigmoid(beta * margin) + 0.2 * minus_log_sigmoid(-beta * margin);
        let cases = [
            (DpoLoss::Sigmoid, 0.2, mean(margins(false).iter().map(smoothed).collect())),
            (
                DpoLoss::Hinge,
                0.0,
                mean(margins(false).iter().map(|margin| (1.0 - beta * margin).max(0.0)).collect()),
            ),
            (
                DpoLoss::Ipo,
                0.0,
                mean(margins(true).iter().map(|margin| (margin - 0.5 / beta).powi(2)).collect()),
            ),
        ];
        for (loss, label_smoothing, expected) in cases {
            let config = DpoConfig { loss, label_smoothing, ..config(fixture) };
            let found = dpo_gradients(fixture, &adapters, &batch, &config).loss;
            assert_close(&format!("{loss:?}"), &[found], &[expected], TOLERANCE);
        }
        let config = DpoConfig { sft_weight: 0.5, ..config(fixture) };
        let found = dpo_gradients(fixture, &adapters, &batch, &config).loss;
        let nll = -of("policy_chosen_logps").iter().sum::<f64>() / batch.first_answer_tokens() as f64;
        let dpo = mean(of("losses").clone());
        assert_close("with an SFT loss", &[found], &[dpo + 0.5 * nll], TOLERANCE);
    });
}

#[test]
fn five_dpo_steps_of_the_trainer_agree() {
    each_fixture(|fixture| {
        let Some(golden) = fixture.find("dpo.train_losses") else { return };
        let golden = &golden.values;
        let (config, mut adapters) = (config(fixture), adapters(fixture));
        let batches = [pair_batch(fixture)];
        let (mut optimizer, learning_rate) = optimizer(fixture);
        let size = StepSize { learning_rate, max_grad_norm: 0.0 };
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for _ in 0..golden.len() {
            let gradients = dpo_gradients(fixture, &adapters, &batches[0], &config);
            let outcome =
                update(&mut adapters, gradients, Vec::new(), &batches, &mut optimizer, size).unwrap();
            losses.push(outcome.loss);
            norms.push(outcome.grad_norm);
        }
        assert_close("DPO training losses", &losses, golden, TOLERANCE);
        let norm = fixture.json["dpo"]["grad_norm"].as_f64().unwrap();
        assert_close("DPO gradient norm", &norms[..1], &[norm], TOLERANCE);
    });
}
