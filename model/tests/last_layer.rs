//! The last layer computes only the states that are asked for; they are those of a whole pass.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::path::Path;

use burn::tensor::{Device, Tensor};
use idk_model::{Adapters, ForwardContext, KvCache, Lalm, LoraConfig, RunSettings, TokenBatch};

const IDS: [&[u32]; 2] = [&[5, 6, 7, 8, 9, 10, 11], &[12, 13, 14, 15]];

fn lalm() -> Lalm {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny");
    Lalm::load(&dir, &Device::flex()).unwrap()
}

fn batch(lalm: &Lalm) -> (Tensor<3>, TokenBatch) {
    let batch = TokenBatch::left_padded(&IDS.map(<[u32]>::to_vec), lalm.tokenizer.pad_id());
    let (rows, seq) = (batch.rows(), batch.seq());
    let embeds = lalm.decoder.embed_ids(&batch.ids.concat());
    (embeds.reshape([rows, seq, lalm.config.text.hidden_size]), batch)
}

/// Adapters that change something.
fn adapters(lalm: &Lalm) -> Adapters {
    let mut adapters = Adapters::init(lalm, &LoraConfig::default(), 3).unwrap();
    for pair in adapters.modules.values_mut() {
        pair.b = pair.b.ones_like() * 0.02;
    }
    adapters
}

fn assert_close(found: &Tensor<3>, expected: &Tensor<3>) {
    assert_eq!(found.dims(), expected.dims());
    let worst: f32 = (found.clone() - expected.clone()).abs().max().try_into_scalar().unwrap();
    assert!(worst < 1e-5, "off by {worst:e}");
}

#[test]
fn states_at_the_end_are_those_of_a_whole_pass_padded_or_not_cached_or_not() {
    let mut lalm = lalm();
    let adapters = adapters(&lalm);
    for pad_to in [1, 4, 16] {
        lalm.set_run(RunSettings { pad_to, ..RunSettings::PLAIN });
        for adapters in [None, Some(&adapters)] {
            let (embeds, batch) = batch(&lalm);
            let context = ForwardContext { adapters, dropout_seed: None };
            let whole = lalm.decoder.hidden(embeds.clone(), &batch.mask, &context, None);
            for count in [1, 3, 4] {
                let expected = whole.clone().narrow(1, batch.seq() - count, count);
                let found = lalm.decoder.hidden_at_end(embeds.clone(), &batch.mask, &context, count, None);
                assert_close(&found, &expected);
                let capacity = batch.seq() + 1;
                let (device, dtype) = (&lalm.device, lalm.decoder.dtype());
                let mut cache = KvCache::new(&lalm.config.text, 2, capacity, device, dtype);
                let found = lalm.decoder.hidden_at_end(
                    embeds.clone(),
                    &batch.mask,
                    &context,
                    count,
                    Some(&mut cache),
                );
                assert_close(&found, &expected);
                // The keys and values of all tokens are there for the next one.
                let next = lalm.decoder.embed_ids(&[20, 21]).reshape([2, 1, lalm.config.text.hidden_size]);
                let mask = [vec![true], vec![true]];
                let found = lalm.decoder.hidden(next.clone(), &mask, &context, Some(&mut cache));
                let longer = Tensor::cat(vec![embeds.clone(), next], 1);
                let mask: Vec<Vec<bool>> =
                    batch.mask.iter().map(|row| [row.clone(), vec![true]].concat()).collect();
                let expected = lalm.decoder.hidden(longer, &mask, &context, None);
                assert_close(&found, &expected.narrow(1, batch.seq(), 1));
            }
        }
    }
}

#[test]
fn states_at_the_end_give_the_gradients_of_a_whole_pass() {
    let mut lalm = lalm();
    for gradient_checkpointing in [false, true] {
        lalm.set_run(RunSettings { gradient_checkpointing, ..RunSettings::PLAIN });
        let (embeds, batch) = batch(&lalm);
        let gradients = |at_end: bool| -> Vec<f32> {
            let mut leaves = adapters(&lalm);
            for pair in leaves.modules.values_mut() {
                pair.a = pair.a.clone().autodiff().require_grad();
                pair.b = pair.b.clone().autodiff().require_grad();
            }
            let context = ForwardContext { adapters: Some(&leaves), dropout_seed: None };
            let states = if at_end {
                lalm.decoder.hidden_at_end(embeds.clone(), &batch.mask, &context, 2, None)
            } else {
                let whole = lalm.decoder.hidden(embeds.clone(), &batch.mask, &context, None);
                whole.narrow(1, batch.seq() - 2, 2)
            };
            let mut tape = states.sin().sum().backward();
            let mut values = Vec::new();
            for pair in leaves.modules.values() {
                for leaf in [&pair.a, &pair.b] {
                    values.extend(leaf.grad_remove(&mut tape).unwrap().try_into_vec_as::<f32>().unwrap());
                }
            }
            values
        };
        let (found, expected) = (gradients(true), gradients(false));
        assert!(expected.iter().any(|value| value.abs() > 0.1));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
        }
    }
}
