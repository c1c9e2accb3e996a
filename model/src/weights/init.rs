//! Random initialisation of a model that is trained from scratch.

use burn::tensor::{Device, TensorData};
use idk_audio::{MelConfig, MelExtractor};
use idk_common::seed::{Rng, derive_seed};

use crate::arch::config::LalmConfig;
use crate::error::ModelError;
use crate::generate::defaults::GenerationDefaults;
use crate::lalm::Lalm;
use crate::text::tokenizer::LalmTokenizer;

/// Standard deviation of the token embedding.
const EMBEDDING_STD: f64 = 0.5;

/// Standard deviation of the output head: small, so that training starts from a uniform prediction.
const HEAD_STD: f64 = 0.02;

impl Lalm {
    /// A model with random weights, the same for the same seed: linear layers and convolutions normal with standard
    /// deviation `1 / sqrt(fan_in)`, those that write to the residual stream also divided by `sqrt(2 * layers)`, the
    /// token embedding .5, the output head .02, biases 0, norms 1, encoder positions Whisper's sinusoids.
    ///
    /// # Errors
    /// [`ModelError::MelBands`] if the spectrogram does not fit the encoder; [`ModelError::Input`] if the tokenizer has
    /// more ids than the vocabulary.
    pub fn init(
        config: LalmConfig,
        tokenizer: LalmTokenizer,
        mel: MelConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        if tokenizer.vocab_size() > config.text.vocab_size {
            let (ids, vocab) = (tokenizer.vocab_size(), config.text.vocab_size);
            return Err(ModelError::Input {
                what: format!("the tokenizer has {ids} ids, vocab_size is {vocab}"),
            });
        }
        let layers = (config.audio.encoder_layers, config.text.num_hidden_layers);
        let generation = GenerationDefaults::greedy(&tokenizer);
        let mut values = |name: &str, shape: &[usize]| {
            Ok(TensorData::new(initial_values(name, shape, layers, seed), shape.to_vec()))
        };
        Self::assemble(config, tokenizer, MelExtractor::new(mel), generation, device, &mut values)
    }
}

/// Initial values of one tensor, a function of its name and the seed alone.
fn initial_values(
    name: &str,
    shape: &[usize],
    (audio_layers, text_layers): (usize, usize),
    seed: u64,
) -> Vec<f32> {
    let count = shape.iter().product();
    if name == "audio_tower.embed_positions.weight" {
        return sinusoids(shape[0], shape[1]);
    }
    if name.ends_with(".bias") {
        return vec![0.0; count];
    }
    if shape.len() == 1 {
        return vec![1.0; count];
    }
    let fan_in: usize = shape[1..].iter().product();
    let residual = |layers: usize| ((2 * layers) as f64).sqrt().recip();
    let std = if name.ends_with("embed_tokens.weight") {
        EMBEDDING_STD
    } else if name.ends_with("lm_head.weight") {
        HEAD_STD
    } else {
        let depth = match name {
            _ if name.ends_with(".out_proj.weight") || name.ends_with(".fc2.weight") => {
                residual(audio_layers)
            }
            _ if name.ends_with(".o_proj.weight") || name.ends_with(".down_proj.weight") => {
                residual(text_layers)
            }
            _ => 1.0,
        };
        convolution_gain(name) * depth / (fan_in as f64).sqrt()
    };
    let mut rng = Rng::new(derive_seed(seed, "init", &[name]));
    (0..count).map(|_| (rng.normal() * std) as f32).collect()
}

/// How much a convolution amplifies. Within a clip Whisper's log-mel moves by about 0.25 around its mean; unamplified it
/// reaches the encoder at a fifth of the amplitude of the positions, and training from scratch hears nothing for long.
fn convolution_gain(name: &str) -> f64 {
    match name {
        "audio_tower.conv1.weight" => 4.0,
        "audio_tower.conv2.weight" => 2.0,
        _ => 1.0,
    }
}

/// Whisper's positions: `[sin(t w_j), cos(t w_j)]` concatenated, `w_j = 10000^(-j / (width / 2 - 1))`.
///
/// Radford et al. 2022, reference code `sinusoids` in whisper/model.py.
fn sinusoids(positions: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let step = 10_000_f64.ln() / (half.max(2) - 1) as f64;
    let mut out = Vec::with_capacity(positions * width);
    for position in 0..positions {
        let angle = |j: usize| position as f64 * (-step * j as f64).exp();
        out.extend((0..half).map(|j| angle(j).sin() as f32));
        out.extend((0..half).map(|j| angle(j).cos() as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn std(name: &str, shape: &[usize]) -> f64 {
        let values = initial_values(name, shape, (3, 4), 5);
        let square: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        (square / values.len() as f64).sqrt()
    }

    #[test]
    fn each_kind_of_tensor_has_its_spread() {
        let close =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.03, "{found} {expected}");
        close(std("language_model.model.layers.0.mlp.up_proj.weight", &[300, 64]), 1.0 / 8.0);
        close(
            std("language_model.model.layers.0.mlp.down_proj.weight", &[300, 64]),
            1.0 / 8.0 / 8.0_f64.sqrt(),
        );
        close(std("audio_tower.layers.0.fc2.weight", &[300, 64]), 1.0 / 8.0 / 6.0_f64.sqrt());
        close(std("audio_tower.conv1.weight", &[300, 12, 3]), 4.0 / 6.0);
        close(std("audio_tower.conv2.weight", &[300, 12, 3]), 2.0 / 6.0);
        close(std("language_model.model.embed_tokens.weight", &[300, 64]), 0.5);
        close(std("language_model.lm_head.weight", &[300, 64]), 0.02);
        assert!(initial_values("x.bias", &[4], (1, 1), 0).iter().all(|&value| value == 0.0));
        assert!(initial_values("x.norm.weight", &[4], (1, 1), 0).iter().all(|&value| value == 1.0));
    }

    #[test]
    fn positions_are_sines_then_cosines_from_one_radian_per_step_down() {
        let table = sinusoids(3, 6);
        let (slow, mid) = (1e-4_f64, 1e-2_f64);
        let expected =
            [2.0_f64.sin(), (2.0 * mid).sin(), (2.0 * slow).sin(), 2.0_f64.cos(), (2.0 * mid).cos()];
        for (found, expected) in table[12..].iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn tensors_differ_by_name_and_seed_and_repeat_exactly() {
        let draw = |name: &str, seed| initial_values(name, &[2, 3], (1, 1), seed);
        assert_eq!(draw("a.weight", 1), draw("a.weight", 1));
        assert_ne!(draw("a.weight", 1), draw("b.weight", 1));
        assert_ne!(draw("a.weight", 1), draw("a.weight", 2));
    }
}
