//! Promises about how a model is run: what saves memory or time changes no result.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod support;

use burn::tensor::DType;
use idk_model::{
    Adapters, ForwardContext, Lalm, LinearWeight, Message, Prompt, Quantisation, RunSettings, SamplingConfig,
    WeightDtype, generate,
};
use idk_trainer::testing::{AdamW, Gradients, StepGradients, StepSize, TrainingBatch, update};
use idk_trainer::{Clip, DpoConfig, TrainConfig, TrainingRow};
use support::{
    assert_same_gradients, batch, clip, cpu, dpo_gradients, fixture, flat_gradient, lalm, lora,
    sft_gradients, trained_adapters,
};

const RECOMPUTED: RunSettings = RunSettings { gradient_checkpointing: true, ..RunSettings::PLAIN };

fn load(settings: RunSettings) -> Lalm {
    Lalm::load_with(&fixture(), &cpu(), settings).unwrap()
}

fn four_rows(lalm: &Lalm) -> TrainingBatch {
    let row = |index: usize| TrainingRow {
        id: format!("row-{index}"),
        audio: vec![Clip::of_mel(clip(lalm, ["a.wav", "b.wav", "c.wav"][index % 3]), &lalm.mel)],
        messages: vec![Message::from_tagged("user", "<audio>what is heard")],
        answers: vec![["dog", "two cats", "I don't know"][index % 3].to_owned()],
        error_rate: None,
    };
    let rows: Vec<TrainingRow> = (0..4).map(row).collect();
    batch(lalm, &rows)
}

fn gradients(lalm: &Lalm, adapters: &Adapters, dropout_seeds: &[u64]) -> StepGradients {
    sft_gradients(lalm, adapters, &[four_rows(lalm)], dropout_seeds)
}

/// Adapters on the decoder, on both towers, and on one projection of the decoder.
fn kinds_of_adapters(lalm: &Lalm) -> Vec<Adapters> {
    let all = trained_adapters(lalm);
    let both = Adapters::load(&fixture().join("lora_adapter_v4names"), lalm).unwrap();
    let mut one = all.clone();
    one.modules.retain(|name, _| name.contains("layers.1") && name.ends_with("up_proj"));
    assert_eq!(one.modules.len(), 1);
    vec![all, both, one]
}

#[test]
fn layers_that_run_again_in_the_backward_pass_give_the_gradients_of_layers_that_keep_everything() {
    let (kept, again) = (lalm(), load(RECOMPUTED));
    for mut adapters in kinds_of_adapters(&kept) {
        for (dropout, seeds) in [(0.0, vec![]), (0.3, vec![11])] {
            adapters.config.dropout = dropout;
            let (left, right) = (gradients(&kept, &adapters, &seeds), gradients(&again, &adapters, &seeds));
            assert_eq!((left.loss, &left.sums), (right.loss, &right.sums));
            assert_same_gradients(&left.gradients, &right.gradients, 1e-6);
        }
    }
}

#[test]
fn layers_that_run_again_give_the_same_preference_gradients() {
    let (kept, again) = (lalm(), load(RECOMPUTED));
    let adapters = trained_adapters(&kept);
    let audio = vec![Clip::of_mel(clip(&kept, "a.wav"), &kept.mel)];
    let pair = |id: &str, question: &str, [chosen, rejected]: [&str; 2]| TrainingRow {
        id: id.to_owned(),
        audio: audio.clone(),
        messages: vec![Message::from_tagged("user", &format!("<audio>{question}"))],
        answers: vec![chosen.to_owned(), rejected.to_owned()],
        error_rate: None,
    };
    let pairs = [
        pair("one", "how many", ["dog", "I don't know"]),
        pair("two", "is it loud and what is it then", ["I don't know", "two cats"]),
    ];
    let mut batch = batch(&kept, &pairs);
    batch.reference = vec![-9.0, -20.0, -12.0, -8.0];
    let config = DpoConfig::default();
    let step = |lalm: &Lalm| dpo_gradients(lalm, &adapters, std::slice::from_ref(&batch), &config);
    let (left, right) = (step(&kept), step(&again));
    assert!((left.loss - right.loss).abs() < 1e-5, "{} {}", left.loss, right.loss);
    assert_same_gradients(&left.gradients, &right.gradients, 1e-5);
}

#[test]
fn sequences_padded_to_a_multiple_give_the_same_loss_and_gradients() {
    let (plain, padded) = (lalm(), load(RunSettings { pad_to: 64, ..RECOMPUTED }));
    for adapters in kinds_of_adapters(&plain) {
        let (left, right) = (gradients(&plain, &adapters, &[]), gradients(&padded, &adapters, &[]));
        assert!((left.loss - right.loss).abs() < 1e-5, "{} {}", left.loss, right.loss);
        assert_same_gradients(&left.gradients, &right.gradients, 1e-5);
    }
}

#[test]
fn sequences_padded_to_a_multiple_give_the_same_answers() {
    let answers = |lalm: &Lalm| {
        let mels = ["a.wav", "b.wav", "c.wav"].map(|name| clip(lalm, name));
        let audio = lalm.encode_audio(&mels.each_ref(), &ForwardContext::default()).unwrap();
        let prompts: Vec<Prompt> = ["what is heard", "how many then", "is it loud and what is it"]
            .into_iter()
            .zip(mels.iter().zip(audio))
            .map(|(question, (mel, audio))| {
                let chat = [Message::from_tagged("user", &format!("<audio>{question}"))];
                let ids = lalm.tokenizer.prompt_ids(&chat, &[lalm.mel.tokens(mel)]).unwrap();
                Prompt { ids, audio: vec![audio], guide: None }
            })
            .collect();
        let config = SamplingConfig { max_new_tokens: 12, ..SamplingConfig::default() };
        generate(lalm, None, &prompts, &config, &vec![vec![0]; 3]).unwrap()
    };
    let (plain, padded) =
        (answers(&lalm()), answers(&load(RunSettings { pad_to: 64, ..RunSettings::PLAIN })));
    for (plain, padded) in plain.iter().flatten().zip(padded.iter().flatten()) {
        assert_eq!(plain.ids, padded.ids);
        assert!((plain.log_prob - padded.log_prob).abs() < 1e-4, "{} {}", plain.log_prob, padded.log_prob);
    }
}

fn cosine(left: &Gradients, right: &Gradients) -> f64 {
    let mut sums = [0.0; 3];
    for name in left.by_name.keys() {
        for (a, b) in flat_gradient(left, name).iter().zip(flat_gradient(right, name)) {
            sums[0] += a * b;
            sums[1] += a * a;
            sums[2] += b * b;
        }
    }
    sums[0] / (sums[1] * sums[2]).sqrt()
}

#[test]
fn a_base_in_bfloat16_gives_nearly_the_loss_and_gradients_of_float32_and_adapters_stay_float32() {
    let full = lalm();
    let adapters = trained_adapters(&full);
    let expected = gradients(&full, &adapters, &[]);
    for gradient_checkpointing in [false, true] {
        let half = load(RunSettings { dtype: WeightDtype::Bf16, pad_to: 16, gradient_checkpointing });
        assert_eq!(half.decoder.dtype(), DType::BF16);
        assert!(adapters.modules.values().all(|pair| pair.a.dtype() == DType::F32));
        let found = gradients(&half, &adapters, &[]);
        assert!(found.gradients.by_name.values().all(|gradient| gradient.dtype() == DType::F32));
        // bfloat16 has 8 bits: each value is off by up to 0.4 %.
        assert!(
            (found.loss - expected.loss).abs() < 0.02 * expected.loss,
            "{} {}",
            found.loss,
            expected.loss
        );
        let cosine = cosine(&found.gradients, &expected.gradients);
        assert!(cosine > 0.99, "{cosine}");
    }
}

const QUANTISED: [(WeightDtype, Quantisation); 2] =
    [(WeightDtype::Int8, Quantisation::Int8), (WeightDtype::Nf4, Quantisation::Nf4)];

/// The loss of four rows after five steps of SFT on them from fresh adapters.
fn loss_after_five_steps(lalm: &Lalm) -> f64 {
    let mut adapters = Adapters::init(lalm, &lora(), 3).unwrap();
    let batches = [four_rows(lalm)];
    let mut optimizer = AdamW::new(&TrainConfig::default(), true);
    for _ in 0..5 {
        let gradients = sft_gradients(lalm, &adapters, &batches, &[]);
        let size = StepSize { learning_rate: 5e-3, max_grad_norm: 1.0 };
        let outcome = update(&mut adapters, gradients, Vec::new(), &batches, &mut optimizer, size).unwrap();
        assert!(outcome.not_finite.is_none());
    }
    sft_gradients(lalm, &adapters, &batches, &[]).loss
}

#[test]
fn five_steps_on_the_embedded_model_end_near_the_loss_on_whole_weights_in_8_bits_within_two_percent() {
    let folder = fixture().join("../../../checkpoints/mini-lalm");
    let load = |dtype| Lalm::load_with(&folder, &cpu(), RunSettings { dtype, ..RunSettings::PLAIN }).unwrap();
    let whole = load(WeightDtype::F32);
    let (before, after) = (loss_of_fresh(&whole), loss_after_five_steps(&whole));
    assert!(after < 0.95 * before, "five steps must learn something: {before} {after}");
    let off = loss_after_five_steps(&load(WeightDtype::Int8)) / after - 1.0;
    assert!(off != 0.0 && off.abs() < 0.02, "{off}");
    // The rows are unlike what the model was trained on, and 4 bits are rough for layers of this width.
    let off = loss_after_five_steps(&load(WeightDtype::Nf4)) / after - 1.0;
    assert!(off != 0.0 && off.abs() < 0.1, "{off}");
}

fn loss_of_fresh(lalm: &Lalm) -> f64 {
    let adapters = Adapters::init(lalm, &lora(), 3).unwrap();
    sft_gradients(lalm, &adapters, &[four_rows(lalm)], &[]).loss
}

#[test]
fn a_quantised_base_gives_the_same_gradients_when_its_layers_run_again() {
    for (dtype, _) in QUANTISED {
        let kept = load(RunSettings { dtype, ..RunSettings::PLAIN });
        let again = load(RunSettings { dtype, ..RECOMPUTED });
        for adapters in kinds_of_adapters(&kept) {
            let (left, right) = (gradients(&kept, &adapters, &[]), gradients(&again, &adapters, &[]));
            assert_eq!(left.loss, right.loss);
            assert_same_gradients(&left.gradients, &right.gradients, 1e-6);
        }
    }
}

#[test]
fn the_layers_of_the_language_model_are_quantised_and_nothing_else() {
    for (dtype, quantisation) in QUANTISED {
        let (mut whole, mut quantised) = (lalm(), load(RunSettings { dtype, ..RunSettings::PLAIN }));
        assert_eq!((whole.quantisation(), quantised.quantisation()), (None, Some(quantisation)));
        let head = quantised.decoder.lm_head.as_ref().unwrap();
        assert!(matches!(head.weight, LinearWeight::Plain(_)));
        let mut plain = std::collections::BTreeMap::new();
        quantised.for_each_tensor(&mut |name, slot| drop(plain.insert(name.to_owned(), slot.to_data())));
        let mut missing = 0;
        whole.for_each_tensor(&mut |name, slot| match plain.remove(name) {
            Some(values) => assert_eq!(values, slot.to_data(), "{name}"),
            None => {
                missing += 1;
                assert!(name.contains("language_model.model.layers.") && name.ends_with("_proj.weight"));
            }
        });
        assert_eq!((missing, plain.len()), (7 * whole.config.text.num_hidden_layers, 0));
        let dir = tempfile::tempdir().unwrap();
        let error = quantised.save(dir.path(), idk_model::SaveDtype::F32).unwrap_err().to_string();
        assert!(error.contains(quantisation.name()) && error.contains("merge an adapter"), "{error}");
    }
}
