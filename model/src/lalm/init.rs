//! Random initialisation of a model that is trained from scratch.

use burn::tensor::{Device, TensorData};
use idk_audio::MelConfig;
use idk_common::seed::{Rng, derive_seed};

use crate::arch::audio::FeatureExtractor;
use crate::arch::config::LalmConfig;
use crate::arch::names::{CONVOLUTIONS, Role};
use crate::arch::specs::{TensorKind, TensorSpec};
use crate::error::ModelError;
use crate::lalm::Lalm;
use crate::nn::sinusoids::sinusoids;
use crate::text::generation::GenerationDefaults;
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
        let mut values =
            |spec: &TensorSpec| Ok(TensorData::new(initial_values(spec, layers, seed), spec.shape.clone()));
        let mel = FeatureExtractor::new(mel, config.audio.rule);
        Self::assemble(config, tokenizer, mel, generation, device, None, &mut values)
    }
}

/// Initial values of one tensor, a function of its entry in the table and the seed alone.
fn initial_values(spec: &TensorSpec, layers: (usize, usize), seed: u64) -> Vec<f32> {
    let count = spec.elements();
    let std = match spec.kind {
        TensorKind::Positions => return sinusoids(spec.shape[0], spec.shape[1]),
        TensorKind::Bias => return vec![0.0; count],
        TensorKind::Norm => return vec![1.0; count],
        TensorKind::Embedding => EMBEDDING_STD,
        TensorKind::Linear { .. } if spec.role == Role::Head => HEAD_STD,
        TensorKind::Linear { to_residual } => {
            depth_factor(to_residual, spec.role, layers) / root_fan_in(spec)
        }
        TensorKind::Convolution => convolution_gain(&spec.name) / root_fan_in(spec),
    };
    let mut rng = Rng::new(derive_seed(seed, "init", &[&spec.name]));
    (0..count).map(|_| (rng.normal() * std) as f32).collect()
}

/// The root of the number of inputs of an output.
fn root_fan_in(spec: &TensorSpec) -> f64 {
    (spec.shape[1..].iter().product::<usize>() as f64).sqrt()
}

/// Layers that write to the residual stream start smaller the deeper their part of the model is.
fn depth_factor(to_residual: bool, role: Role, (audio_layers, text_layers): (usize, usize)) -> f64 {
    let layers = if role == Role::Encoder { audio_layers } else { text_layers };
    if to_residual { ((2 * layers) as f64).sqrt().recip() } else { 1.0 }
}

/// How much a convolution amplifies. Within a clip Whisper's log-mel moves by about 0.25 around its mean; unamplified it
/// reaches the encoder at a fifth of the amplitude of the positions, and training from scratch hears nothing for long.
fn convolution_gain(name: &str) -> f64 {
    if name.starts_with(CONVOLUTIONS[0]) { 4.0 } else { 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINEAR: TensorKind = TensorKind::Linear { to_residual: false };
    const TO_RESIDUAL: TensorKind = TensorKind::Linear { to_residual: true };

    fn spec(name: &str, shape: &[usize], role: Role, kind: TensorKind) -> TensorSpec {
        TensorSpec { name: name.to_owned(), shape: shape.to_vec(), role, kind }
    }

    fn std(name: &str, shape: &[usize], role: Role, kind: TensorKind) -> f64 {
        let values = initial_values(&spec(name, shape, role, kind), (3, 4), 5);
        let square: f64 = values.iter().map(|&value| f64::from(value).powi(2)).sum();
        (square / values.len() as f64).sqrt()
    }

    #[test]
    fn each_kind_of_tensor_has_its_spread() {
        let close =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.03, "{found} {expected}");
        close(std("a", &[300, 64], Role::Decoder, LINEAR), 1.0 / 8.0);
        close(std("a", &[300, 64], Role::Projector, LINEAR), 1.0 / 8.0);
        close(std("a", &[300, 64], Role::Decoder, TO_RESIDUAL), 1.0 / 8.0 / 8.0_f64.sqrt());
        close(std("a", &[300, 64], Role::Encoder, TO_RESIDUAL), 1.0 / 8.0 / 6.0_f64.sqrt());
        for (conv, gain) in CONVOLUTIONS.into_iter().zip([4.0, 2.0]) {
            let name = format!("{conv}.weight");
            close(std(&name, &[300, 12, 3], Role::Encoder, TensorKind::Convolution), gain / 6.0);
        }
        close(std("a", &[300, 64], Role::Decoder, TensorKind::Embedding), 0.5);
        close(std("a", &[300, 64], Role::Head, LINEAR), 0.02);
        let all = |kind: TensorKind, value: f32| {
            initial_values(&spec("a", &[4], Role::Decoder, kind), (1, 1), 0).iter().all(|&it| it == value)
        };
        assert!(all(TensorKind::Bias, 0.0) && all(TensorKind::Norm, 1.0));
    }

    #[test]
    fn tensors_differ_by_name_and_seed_and_repeat_exactly() {
        let draw =
            |name: &str, seed| initial_values(&spec(name, &[2, 3], Role::Decoder, LINEAR), (1, 1), seed);
        assert_eq!(draw("a.weight", 1), draw("a.weight", 1));
        assert_ne!(draw("a.weight", 1), draw("b.weight", 1));
        assert_ne!(draw("a.weight", 1), draw("a.weight", 2));
    }
}
