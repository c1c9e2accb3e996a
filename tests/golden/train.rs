//! SFT: loss, gradients and AdamW steps of the trainer against PyTorch.
use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use idk_common::json::read_json;
use idk_model::{Adapters, Device, ForwardContext, TensorMut, TokenBatch, WeightDtype};
use idk_trainer::testing::{
    AdamW, AudioInput, Gradients, Rollout, RowTokens, StepSize, Totals, TrainingBatch, WholeRows,
    adapter_gradients, answer_nll, evaluate, sft_loss, update,
};
use idk_trainer::{Clip, TrainConfig, TrainingRow};
use serde_json::Value;

use crate::TOLERANCE;
use crate::fixture::{Fixture, assert_close, each_fixture, read_tensors, test_device, to_f64};

/// The golden batch `prefix`, with features computed before the step. Its answers are what has labels.
pub(crate) fn golden_batch(fixture: &Fixture, prefix: &str) -> TrainingBatch {
    let names = fixture.batch_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tokens = fixture.token_batch(prefix);
    let labels = fixture.get(&format!("{prefix}.labels")).ids();
    let (mut prompts, mut answers) = (Vec::new(), Vec::new());
    for ((ids, mask), labels) in tokens.ids.iter().zip(&tokens.mask).zip(labels) {
        let real = ids.iter().zip(mask).filter(|(_, real)| **real).map(|(&id, _)| id);
        let mut prompt: Vec<u32> = real.collect();
        let count = labels.iter().filter(|&&label| label >= 0).count();
        answers.push(prompt.split_off(prompt.len() - count));
        prompts.push(prompt);
    }
    TrainingBatch {
        ids: names.iter().map(|&name| name.to_owned()).collect(),
        rows: (0..names.len()).collect(),
        prompts: TokenBatch::left_padded(&prompts, fixture.lalm.tokenizer.pad_id()),
        audio: AudioInput::Features(fixture.features(&fixture.lalm, &names, &ForwardContext::default())),
        answers,
        prompt_of: (0..names.len()).collect(),
        reference: Vec::new(),
        rollout: Rollout::default(),
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
fn rows_are_laid_out_and_labelled_as_the_reference_does() {
    each_fixture(|fixture| {
        let labels = fixture.get("batch.labels").ids();
        let rows: Vec<RowTokens> = fixture
            .batch_names()
            .iter()
            .zip(&labels)
            .map(|(name, labels)| {
                let answer: Vec<u32> = labels.iter().filter_map(|&id| u32::try_from(id).ok()).collect();
                let row = TrainingRow {
                    id: name.clone(),
                    audio: fixture
                        .prompt_mels(name)
                        .into_iter()
                        .map(|mel| Clip::of_mel(mel, &fixture.lalm.mel))
                        .collect(),
                    messages: fixture.messages(name),
                    answers: vec![fixture.lalm.tokenizer.decode(&answer, true).unwrap()],
                    error_rate: None,
                };
                RowTokens::of(&fixture.lalm, &row).unwrap()
            })
            .collect();
        let pad_id = fixture.lalm.tokenizer.pad_id();
        let (ids, places) = (fixture.batch_names(), (0..rows.len()).collect());
        let batch = TrainingBatch::collate(ids, places, &rows, AudioInput::Features(Vec::new()), pad_id);
        let found = WholeRows::of(&batch, pad_id);
        let expected = fixture.token_batch("batch");
        assert_eq!((&found.tokens.ids, &found.tokens.mask), (&expected.ids, &expected.mask));
        // The hidden state before a label predicts it.
        let (mut positions, mut targets) = (Vec::new(), Vec::new());
        for (row, labels) in labels.iter().enumerate() {
            for (column, &label) in labels.iter().enumerate().filter(|(_, label)| **label >= 0) {
                let from_end = expected.seq() - column;
                positions.push(u32::try_from((row + 1) * found.at_end - from_end - 1).unwrap());
                targets.push(u32::try_from(label).unwrap());
            }
        }
        assert_eq!((found.positions, found.targets), (positions, targets));
    });
}

fn sft_evaluation(fixture: &Fixture, context: &ForwardContext<'_>, batch: TrainingBatch) -> f64 {
    let batches = [batch];
    evaluate(&fixture.lalm, context, &batches, Totals::of_batches(&batches), &sft_loss).unwrap().0
}

#[test]
fn token_log_probs_and_the_loss_agree() {
    each_fixture(|fixture| {
        let batch = golden_batch(fixture, "batch");
        let context = ForwardContext::default();
        let nll = answer_nll(&fixture.lalm, &context, &batch).unwrap().tokens;
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
        let loss = sft_evaluation(fixture, &context, batch);
        assert_close("loss", &[loss], &fixture.get("batch.loss").values, TOLERANCE);
    });
}

/// The golden steps of SFT, with `check_first` on the gradients of the first: the losses before each of them and after the
/// last, the norms of the gradients, and the adapters in the end.
fn sft_steps(fixture: &Fixture, check_first: impl Fn(&Gradients)) -> (Vec<f64>, Vec<f64>, Adapters) {
    let batches = [golden_batch(fixture, "batch")];
    let mut adapters = Adapters::load(&fixture.dir.join("train_step0"), &fixture.lalm).unwrap();
    assert_eq!(adapters.num_params() as u64, fixture.json["train"]["trainable"].as_u64().unwrap());
    let (mut optimizer, lr) = optimizer(fixture);
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for step in 0..fixture.get("train.grad_norms").values.len() {
        let gradients = adapter_gradients(&fixture.lalm, &adapters, &batches, &[], &sft_loss).unwrap();
        if step == 0 {
            check_first(&gradients.gradients);
        }
        let size = StepSize { learning_rate: lr, max_grad_norm: 0.0 };
        let outcome = update(&mut adapters, gradients, Vec::new(), &batches, &mut optimizer, size).unwrap();
        assert!(outcome.not_finite.is_none());
        losses.push(outcome.loss);
        norms.push(outcome.grad_norm);
    }
    let context = ForwardContext { adapters: Some(&adapters), dropout_seed: None };
    let [batch] = batches;
    losses.push(sft_evaluation(fixture, &context, batch));
    (losses, norms, adapters)
}

/// The number that a quantised one stands for, by the definition: the nearest of the values of the type (with a tie's even
/// neighbour in 8 bits) times the largest magnitude of its block.
fn stands_for(number: f32, absmax: f32, nf4_table: &[f64], dtype: WeightDtype) -> f32 {
    if dtype == WeightDtype::Int8 {
        return (number / absmax * 127.0).round_ties_even() / 127.0 * absmax;
    }
    let relative = f64::from(number) / f64::from(absmax);
    let off = |entry: &&f64| (**entry - relative).abs();
    let nearest = nf4_table.iter().min_by(|a, b| off(a).total_cmp(&off(b))).unwrap();
    (nearest * f64::from(absmax)) as f32
}

/// The fixture on the CPU, with the numbers that its quantised layers stand for in blocks of 64.
fn rounded(fixture: &Fixture, dtype: WeightDtype) -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quantised/cases.json");
    let cases: Value = read_json(&path).unwrap();
    let table = cases["nf4_table"].as_array().unwrap();
    let table: Vec<f64> = table.iter().map(|value| value.as_f64().unwrap()).collect();
    let mut whole = fixture.held_as(WeightDtype::F32, &Device::flex());
    let mut count = 0;
    whole.lalm.for_each_tensor(&mut |name, slot| {
        let is_quantised = name.contains("language_model.model.layers.") && name.ends_with("_proj.weight");
        let TensorMut::R2(tensor) = slot else { return };
        if !is_quantised {
            return;
        }
        let mut values: Vec<f32> = tensor.to_data().iter::<f32>().collect();
        for block in values.chunks_mut(tensor.dims()[1]).flat_map(|row| row.chunks_mut(64)) {
            let absmax = block.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
            block.iter_mut().for_each(|value| *value = stands_for(*value, absmax, &table, dtype));
        }
        *tensor = Tensor::from_data(TensorData::new(values, tensor.dims()), &Device::flex());
        count += 1;
    });
    assert_eq!(count, 7 * whole.lalm.config.text.num_hidden_layers);
    whole
}

#[test]
fn five_sft_steps_on_a_quantised_base_give_the_losses_of_the_numbers_that_its_codes_stand_for() {
    each_fixture(|fixture| {
        let golden = fixture.get("train.losses").values.last().unwrap();
        for dtype in [WeightDtype::Int8, WeightDtype::Nf4] {
            let losses = |fixture: &Fixture| sft_steps(fixture, |_| ()).0;
            let found = losses(&fixture.held_as(dtype, &test_device()));
            assert_close(
                &format!("SFT losses on {dtype:?}"),
                &found,
                &losses(&rounded(fixture, dtype)),
                TOLERANCE,
            );
            let off = found.last().unwrap() / golden - 1.0;
            println!("SFT loss after the last step on {dtype:?}: {:+.2} %", 100.0 * off);
            // 4 bits move the loss of such narrow models of random weights by up to a tenth.
            assert!(off != 0.0 && (dtype == WeightDtype::Nf4 || off.abs() < 0.02), "{dtype:?}: {off}");
        }
    });
}

#[test]
fn five_sft_steps_give_the_losses_gradients_and_adapter_of_pytorch() {
    each_fixture(|fixture| {
        let (losses, norms, adapters) = sft_steps(fixture, |first| assert_first_gradients(fixture, first));
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
fn assert_first_gradients(fixture: &Fixture, found: &Gradients) {
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
