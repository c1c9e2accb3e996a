//! Tokens drawn from blocks are those drawn from whole rows.

use burn::tensor::{Device, TensorData};

use super::*;
use crate::generate::guide::{Guide, GuideText, ROOT};

const ROWS: usize = 6;

/// Logits of a language model's spread: most far below a few.
fn logits(vocab: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..ROWS * vocab).map(|_| (rng.normal() * 3.0) as f32).collect()
}

fn config(temperature: f64, top_k: usize, top_p: f64, repetition_penalty: f64) -> SamplingConfig {
    SamplingConfig { temperature, top_k, top_p, repetition_penalty, max_new_tokens: 1 }
}

fn draw(next: &NextLogits, seen: &[u32], config: &SamplingConfig, seed: u64) -> Vec<Drawn> {
    let mut rngs: Vec<Rng> = (0..2 * ROWS as u64).map(|row| Rng::new(1000 * seed + row)).collect();
    // Every row twice, as the samples of one prompt.
    let draws =
        rngs.iter_mut().enumerate().map(|(at, rng)| Draw { row: at / 2, seen, allowed: None, rng }).collect();
    next.draw(draws, config).unwrap()
}

/// The same logits on the host and in blocks.
fn both(values: &[f32], vocab: usize, config: &SamplingConfig) -> [NextLogits; 2] {
    let data = TensorData::new(values.to_vec(), [values.len() / vocab, vocab]);
    let tensor = Tensor::<2>::from_data(data, &Device::flex());
    let width = block_width(vocab).unwrap();
    assert!(fits_blocks(config));
    [
        NextLogits::Host { logits: values.to_vec(), vocab },
        NextLogits::Blocks(Box::new(Blocks::new(tensor, width, config).unwrap())),
    ]
}

fn assert_same(values: &[f32], vocab: usize, seen: &[u32], config: &SamplingConfig) {
    let [host, blocks] = both(values, vocab, config);
    for seed in 0..40 {
        let (whole, some) = (draw(&host, seen, config, seed), draw(&blocks, seen, config, seed));
        for ((id, log_prob), (found, found_log_prob)) in whole.into_iter().zip(some) {
            assert_eq!(id, found, "{config:?}, seed {seed}");
            assert!((log_prob - found_log_prob).abs() < 1e-5, "{log_prob} {found_log_prob}");
        }
    }
}

#[test]
fn sums_that_no_kernel_wrote_are_an_error_and_not_an_answer() {
    let config = config(0.0, 0, 1.0, 1.0);
    let [_, mut blocks] = both(&logits(400, 3), 400, &config);
    if let NextLogits::Blocks(blocks) = &mut blocks {
        blocks.sums.fill(0.0);
    }
    let mut rng = Rng::new(1);
    let error =
        blocks.draw(vec![Draw { row: 0, seen: &[], allowed: None, rng: &mut rng }], &config).unwrap_err();
    assert!(error.to_string().contains("a kernel did not run"), "{error}");
}

#[test]
fn tokens_drawn_from_blocks_are_those_drawn_from_the_whole_vocabulary() {
    let seen: Vec<u32> = (0..3000).step_by(7).collect();
    for vocab in [9984, 1000, 400] {
        let values = logits(vocab, vocab as u64);
        for config in [
            config(0.0, 0, 1.0, 1.0),
            config(0.0, 0, 1.0, 1.3),
            config(0.7, 20, 0.5, 1.1),
            config(1.3, 40, 1.0, 1.0),
            config(1.0, 0, 1.0, 1.0),
            config(0.6, 0, 1.0, 1.0),
        ] {
            assert_same(&values, vocab, &seen, &config);
        }
    }
}

#[test]
fn a_penalty_on_every_great_logit_brings_the_rest_in() {
    // One great logit in each of 100 blocks, all of them seen: the penalty puts the others before them.
    let vocab = 12_800;
    let mut values = logits(vocab, 3);
    let seen: Vec<u32> = (0..100).map(|block| block * 128 + 5).collect();
    for row in 0..ROWS {
        seen.iter().for_each(|&id| values[row * vocab + id as usize] = 20.0 + id as f32 * 1e-3);
    }
    for config in [config(0.0, 0, 1.0, 10.0), config(1.0, 5, 1.0, 10.0)] {
        assert_same(&values, vocab, &seen, &config);
        let [_, blocks] = both(&values, vocab, &config);
        assert!(draw(&blocks, &seen, &config, 0).iter().all(|(id, _)| !seen.contains(id)));
    }
}

#[test]
fn tokens_that_tie_across_blocks_tie_as_in_the_whole_vocabulary() {
    let vocab = 12_800;
    let values = vec![1.5_f32; ROWS * vocab];
    for config in [config(0.0, 0, 1.0, 1.0), config(1.0, 3, 1.0, 1.0), config(1.0, 3, 0.4, 1.2)] {
        assert_same(&values, vocab, &[0, 1, 700], &config);
    }
}

#[test]
fn settings_that_look_at_the_whole_vocabulary_do_not_take_blocks() {
    assert!(!fits_blocks(&config(1.0, 0, 0.9, 1.0)), "the nucleus may be anywhere");
    assert!(!fits_blocks(&config(1.0, 0, 1.0, 1.1)), "a penalty changes the sums of the blocks");
    assert!(!fits_blocks(&config(0.0, 0, 1.0, 0.9)), "a penalty below 1 lifts tokens");
    assert_eq!([156_032, 956, 400, 997].map(block_width), [Some(128), None, Some(100), None]);
}

fn guide(texts: &[&[u32]]) -> Guide {
    let text = |ids: &&[u32]| GuideText { text: format!("{ids:?}"), ids: ids.to_vec(), offset: 0.0 };
    Guide::new(texts.iter().map(text)).unwrap()
}

#[test]
fn a_guided_token_has_its_log_probability_over_the_whole_vocabulary() {
    let logits: Vec<f32> = [0.1_f32, 0.2, 0.3, 0.4].iter().map(|prob| prob.ln()).collect();
    let next = NextLogits::Host { logits, vocab: 4 };
    let (guide, mut rng) = (guide(&[&[0], &[1]]), Rng::new(0));
    let draw = Draw { row: 0, seen: &[], allowed: Some(guide.branches(ROOT)), rng: &mut rng };
    let (id, log_prob) = next.draw(vec![draw], &config(0.0, 0, 1.0, 1.0)).unwrap()[0];
    assert_eq!(id, 1);
    assert!((log_prob - 0.2_f32.ln()).abs() < 1e-6, "{log_prob} is not ln 0.2, but perhaps ln 2/3");
}

#[test]
fn guided_and_free_rows_of_one_batch_get_the_same_tokens_from_blocks() {
    let vocab = 1000;
    let (values, guide) = (logits(vocab, 5), guide(&[&[3], &[7], &[500], &[999]]));
    for config in [config(0.0, 0, 1.0, 1.3), config(0.7, 20, 0.5, 1.1), config(0.6, 0, 1.0, 1.0)] {
        for seed in 0..40 {
            let [host, blocks] = both(&values, vocab, &config).map(|next| {
                let mut rngs: Vec<Rng> = (0..ROWS as u64).map(|row| Rng::new(seed + 99 * row)).collect();
                let allowed = |row: usize| (row % 2 == 1).then(|| guide.branches(ROOT));
                let draws = rngs.iter_mut().enumerate();
                let draws = draws.map(|(row, rng)| Draw { row, seen: &[7], allowed: allowed(row), rng });
                next.draw(draws.collect(), &config).unwrap()
            });
            for (row, ((id, log_prob), (found, found_log_prob))) in host.into_iter().zip(blocks).enumerate() {
                assert_eq!(id, found, "{config:?}, seed {seed}");
                assert!((log_prob - found_log_prob).abs() < 1e-5, "{log_prob} {found_log_prob}");
                assert!(row % 2 == 0 || [3, 7, 500, 999].contains(&id));
            }
        }
    }
}

#[test]
fn a_logit_that_is_not_finite_is_an_error_for_a_guided_row_too() {
    let (guide, mut rng) = (guide(&[&[0], &[1]]), Rng::new(0));
    let next = NextLogits::Host { logits: vec![0.0, 1.0, f32::NAN], vocab: 3 };
    let draw = Draw { row: 0, seen: &[], allowed: Some(guide.branches(ROOT)), rng: &mut rng };
    assert!(next.draw(vec![draw], &config(0.0, 0, 1.0, 1.0)).is_err());
}

#[test]
fn a_logit_that_is_not_finite_is_an_error_in_blocks_too() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut values = logits(400, 1);
        values[450] = bad;
        let config = config(1.0, 0, 1.0, 1.0);
        let [_, blocks] = both(&values, 400, &config);
        let mut rng = Rng::new(0);
        let error =
            blocks.draw(vec![Draw { row: 1, seen: &[], allowed: None, rng: &mut rng }], &config).unwrap_err();
        assert!(error.to_string().contains("row 1"), "{error}");
        assert!(blocks.draw(vec![Draw { row: 0, seen: &[], allowed: None, rng: &mut rng }], &config).is_ok());
    }
}
