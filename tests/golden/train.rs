//! SFT: loss, gradients and AdamW steps of the trainer against PyTorch.
use idk_model::{Adapters, ForwardContext};
use idk_trainer::collate::{Labels, collate, tokenize};
use idk_trainer::optimizer::AdamW;
use idk_trainer::step::{AudioInput, MicroBatch, apply, evaluate_loss, forward_nll, lora_gradients};
use idk_trainer::{Clip, Example, TrainConfig};

use crate::TOLERANCE;
use crate::fixture::{Fixture, assert_close, each_fixture, read_tensors, to_f64};

/// The golden batch `prefix`, with features computed before the step.
pub(crate) fn micro_batch(fixture: &Fixture, prefix: &str) -> MicroBatch {
    let names = fixture.batch_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    MicroBatch {
        ids: names.iter().map(|&name| name.to_owned()).collect(),
        tokens: fixture.token_batch(prefix),
        labels: Labels::from_rows(&fixture.get(&format!("{prefix}.labels")).ids()).unwrap(),
        audio: AudioInput::Features(fixture.features(&fixture.lalm, &names, &ForwardContext::default())),
    }
}

/// AdamW with the settings of golden.json.
pub(crate) fn optimizer(fixture: &Fixture) -> (AdamW, f64) {
    let train = &fixture.json["train"];
    let number = |key: &str| train[key].as_f64().unwrap();
    let config = TrainConfig {
        betas: [train["betas"][0].as_f64().unwrap(), train["betas"][1].as_f64().unwrap()],
        eps: number("eps"),
        weight_decay: number("weight_decay"),
        ..TrainConfig::default()
    };
    (AdamW::new(&config, true), number("lr"))
}

#[test]
fn the_collator_makes_the_batch_and_the_labels_of_the_reference() {
    each_fixture(|fixture| {
        let batch = micro_batch(fixture, "batch");
        let labels = fixture.get("batch.labels").ids();
        let rows: Vec<_> = fixture
            .batch_names()
            .iter()
            .zip(labels)
            .map(|(name, labels)| {
                let answer: Vec<u32> = labels.into_iter().filter_map(|id| u32::try_from(id).ok()).collect();
                let example = Example {
                    id: name.clone(),
                    audio: fixture
                        .prompt_mels(name)
                        .into_iter()
                        .map(|mel| Clip::of_mel(mel, &fixture.lalm.mel))
                        .collect(),
                    messages: fixture.messages(name),
                    target: fixture.lalm.tokenizer.decode(&answer, true).unwrap(),
                };
                tokenize(&fixture.lalm, &example).unwrap()
            })
            .collect();
        let (tokens, labels) = collate(&rows, fixture.lalm.tokenizer.pad_id()).unwrap();
        assert_eq!(tokens.ids, batch.tokens.ids);
        assert_eq!(tokens.mask, batch.tokens.mask);
        assert_eq!(labels, batch.labels);
    });
}

#[test]
fn token_log_probs_and_the_loss_agree() {
    each_fixture(|fixture| {
        let batch = micro_batch(fixture, "batch");
        let context = ForwardContext::default();
        let (nll, _) = forward_nll(&fixture.lalm, &context, &batch).unwrap();
        let log_probs: Vec<f64> = to_f64(&nll).iter().map(|nll| -nll).collect();
        let labels = fixture.get("batch.labels");
        let golden = &fixture.get("batch.token_logps").values;
        let expected: Vec<f64> = golden
            .iter()
            .zip(&labels.values)
            .filter(|&(_, &label)| label >= 0.0)
            .map(|(log_prob, _)| *log_prob)
            .collect();
        assert_close("token log-probs", &log_probs, &expected, TOLERANCE);
        let loss = evaluate_loss(&fixture.lalm, &context, std::iter::once(Ok(batch))).unwrap().loss;
        assert_close("loss", &[loss], &fixture.get("batch.loss").values, TOLERANCE);
    });
}

#[test]
fn five_sft_steps_give_the_losses_gradients_and_adapter_of_pytorch() {
    each_fixture(|fixture| {
        let batches = [micro_batch(fixture, "batch")];
        let mut adapters = Adapters::load(&fixture.dir.join("train_step0"), &fixture.lalm).unwrap();
        assert_eq!(adapters.num_params() as u64, fixture.json["train"]["trainable"].as_u64().unwrap());
        let (mut optimizer, lr) = optimizer(fixture);
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for step in 0..fixture.get("train.grad_norms").values.len() {
            let gradients = lora_gradients(&fixture.lalm, &adapters, &batches, &[]).unwrap();
            if step == 0 {
                assert_first_gradients(fixture, &gradients.gradients);
            }
            let outcome = apply(&mut adapters, gradients, &batches, &mut optimizer, lr, 0.0).unwrap();
            assert!(outcome.not_finite.is_none());
            losses.push(outcome.loss);
            norms.push(outcome.grad_norm);
        }
        let context = ForwardContext { adapters: Some(&adapters), dropout_seed: None };
        let [batch] = batches;
        losses.push(evaluate_loss(&fixture.lalm, &context, std::iter::once(Ok(batch))).unwrap().loss);
        assert_close("SFT losses", &losses, &fixture.get("train.losses").values, TOLERANCE);
        assert_close("SFT gradient norms", &norms, &fixture.get("train.grad_norms").values, TOLERANCE);

        let expected = Adapters::load(&fixture.dir.join("train_step5"), &fixture.lalm).unwrap();
        assert_eq!(adapters.modules.len(), expected.modules.len());
        let values = |adapters: &Adapters| -> Vec<f64> {
            adapters.modules.values().flat_map(|pair| [to_f64(&pair.a), to_f64(&pair.b)].concat()).collect()
        };
        assert_close("adapter after the last step", &values(&adapters), &values(&expected), TOLERANCE);
    });
}

/// `train.grad0.<module>.lora_B.weight`, named as in transformers 5 without the leading `model.`.
fn assert_first_gradients(fixture: &Fixture, found: &idk_trainer::parameters::Gradients) {
    let mut compared = 0;
    for (name, golden) in fixture.starting_with("train.grad0.") {
        let name = fixture.lalm.config.architecture.names.canonical(&format!("model.{name}"));
        let gradient = found.by_name.get(&name).unwrap_or_else(|| panic!("no gradient of `{name}`"));
        assert_close(&format!("gradient of {name}"), &to_f64(gradient), &golden.values, TOLERANCE);
        compared += 1;
    }
    assert!(compared > 0);
}

#[test]
fn a_saved_step_0_adapter_keeps_the_names_of_peft() {
    each_fixture(|fixture| {
        let adapters = Adapters::load(&fixture.dir.join("train_step0"), &fixture.lalm).unwrap();
        let dir = tempfile::tempdir().unwrap();
        adapters.save(dir.path(), "base").unwrap();
        let [saved, golden] = [dir.path(), &fixture.dir.join("train_step0")]
            .map(|dir| read_tensors(&dir.join("adapter_model.safetensors")));
        for (name, tensor) in golden {
            // The fixture has transformers-5 names. Qwen2-Audio's are those that both versions load.
            let in_4 = name.replacen(
                "base_model.model.model.language_model.",
                "base_model.model.language_model.model.",
                1,
            );
            let name = if fixture.lalm.config.architecture.name == "Qwen2-Audio" { in_4 } else { name };
            let found = saved.get(&name).unwrap_or_else(|| panic!("`{name}` was not saved"));
            assert_eq!((&found.shape, &found.values), (&tensor.shape, &tensor.values), "{name}");
        }
    });
}
