//! DPO (Rafailov et al. 2023): log-probs of both answers under policy and reference, and the losses they give.
use burn::tensor::Tensor;
use burn::tensor::activation::log_sigmoid;
use idk_model::{Adapters, ForwardContext, Prompt, answer_log_probs};
use idk_trainer::parameters::{Gradients, make_trainable};
use idk_trainer::step::{MicroBatch, forward_nll};

use crate::TOLERANCE;
use crate::fixture::{Fixture, assert_close, to_f64};
use crate::train::{micro_batch, optimizer};

fn answers(fixture: &Fixture, prefix: &str) -> Vec<Vec<u32>> {
    let labels = fixture.get(&format!("{prefix}.labels")).ids();
    labels.into_iter().map(|row| row.into_iter().filter_map(|id| u32::try_from(id).ok()).collect()).collect()
}

/// Per pair the log-probs of the chosen and of the rejected answer.
fn pair_log_probs(fixture: &Fixture, adapters: Option<&Adapters>) -> [Vec<f64>; 2] {
    let prompts: Vec<Prompt> =
        fixture.batch_names().iter().map(|name| fixture.prompt(name, adapters)).collect();
    let pairs: Vec<Vec<Vec<u32>>> = answers(fixture, "dpo.chosen")
        .into_iter()
        .zip(answers(fixture, "dpo.rejected"))
        .map(|(chosen, rejected)| vec![chosen, rejected])
        .collect();
    let found = answer_log_probs(&fixture.lalm, adapters, &prompts, &pairs).unwrap();
    [0, 1].map(|side| {
        found.iter().map(|pair| pair[side].iter().map(|&log_prob| f64::from(log_prob)).sum()).collect()
    })
}

#[test]
fn answer_log_probs_and_the_losses_of_pairs_agree() {
    let fixture = Fixture::load();
    let beta = fixture.json["dpo"]["beta"].as_f64().unwrap();
    let adapters = Adapters::load(&fixture.dir.join("lora_adapter"), &fixture.lalm).unwrap();
    let [policy_chosen, policy_rejected] = pair_log_probs(&fixture, Some(&adapters));
    let [ref_chosen, ref_rejected] = pair_log_probs(&fixture, None);
    for (name, found) in [
        ("policy_chosen_logps", &policy_chosen),
        ("policy_rejected_logps", &policy_rejected),
        ("ref_chosen_logps", &ref_chosen),
        ("ref_rejected_logps", &ref_rejected),
    ] {
        assert_close(name, found, &fixture.get(&format!("dpo.{name}")).values, TOLERANCE);
    }
    let rewards = |policy: &[f64], reference: &[f64]| -> Vec<f64> {
        policy.iter().zip(reference).map(|(policy, reference)| beta * (policy - reference)).collect()
    };
    let (chosen, rejected) = (rewards(&policy_chosen, &ref_chosen), rewards(&policy_rejected, &ref_rejected));
    let losses: Vec<f64> = chosen.iter().zip(&rejected).map(|(c, r)| (-(c - r)).exp().ln_1p()).collect();
    assert_close("chosen rewards", &chosen, &fixture.get("dpo.chosen_rewards").values, TOLERANCE);
    assert_close("rejected rewards", &rejected, &fixture.get("dpo.rejected_rewards").values, TOLERANCE);
    assert_close("DPO losses", &losses, &fixture.get("dpo.losses").values, TOLERANCE);
}

/// Sum of each row's label log-probs, `[rows]`.
fn row_log_probs(fixture: &Fixture, context: &ForwardContext, batch: &MicroBatch) -> Tensor<1> {
    let (nll, _) = forward_nll(&fixture.lalm, context, batch).unwrap();
    let mut start = 0;
    let rows = batch.labels.per_row.iter().map(|&labels| {
        let row = nll.clone().narrow(0, start, labels).sum().neg();
        start += labels;
        row
    });
    Tensor::cat(rows.collect(), 0)
}

#[test]
fn five_dpo_steps_through_the_trainers_graph_and_optimiser_agree() {
    let fixture = Fixture::load();
    let beta = fixture.json["dpo"]["beta"].as_f64().unwrap();
    let mut adapters = Adapters::load(&fixture.dir.join("lora_adapter"), &fixture.lalm).unwrap();
    let [chosen, rejected] = ["dpo.chosen", "dpo.rejected"].map(|prefix| micro_batch(&fixture, prefix));
    let base = ForwardContext::default();
    let reference = row_log_probs(&fixture, &base, &chosen) - row_log_probs(&fixture, &base, &rejected);
    let (mut optimizer, lr) = optimizer(&fixture);
    let golden = &fixture.get("dpo.train_losses").values;
    let (mut losses, mut first_norm) = (Vec::new(), None);
    for _ in 0..golden.len() {
        make_trainable(&mut adapters);
        let tape = {
            let context = ForwardContext { adapters: Some(&adapters), dropout_seed: None };
            let policy =
                row_log_probs(&fixture, &context, &chosen) - row_log_probs(&fixture, &context, &rejected);
            let loss = log_sigmoid((policy - reference.clone()).mul_scalar(beta)).mean().neg();
            losses.extend(to_f64(&loss));
            loss.backward()
        };
        let mut gradients = Gradients::default();
        gradients.accumulate(&mut adapters, tape);
        first_norm = first_norm.or(Some(gradients.norm().unwrap()));
        optimizer.step(&mut adapters, gradients, lr);
    }
    assert_close("DPO training losses", &losses, golden, TOLERANCE);
    let norm = fixture.json["dpo"]["grad_norm"].as_f64().unwrap();
    assert_close("DPO gradient norm", &[first_norm.unwrap()], &[norm], TOLERANCE);
}
