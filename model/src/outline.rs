//! What a model folder says of the model without its weights being read: enough to plan a run, in milliseconds.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use crate::arch::audio::FeatureExtractor;
use crate::arch::config::LalmConfig;
use crate::arch::qwen2_audio;
use crate::error::ModelError;
use crate::lora::{Adapters, LoraConfig};
use crate::text::generation::GenerationDefaults;
use crate::text::tokenizer::LalmTokenizer;
use crate::weights::Weights;

/// A model folder, read up to its weights.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// Sizes and special ids.
    pub config: LalmConfig,
    /// Text to ids and back.
    pub tokenizer: LalmTokenizer,
    /// Samples to spectrogram.
    pub mel: FeatureExtractor,
    /// Numbers in all weights.
    pub parameters: u64,
}

impl ModelInfo {
    /// Reads configuration, tokenizer and feature settings, and the headers of the weights.
    ///
    /// # Errors
    /// Everything that is wrong, one error for each part of the folder.
    pub fn read(dir: &Path) -> Result<Self, Vec<ModelError>> {
        let mut problems = Vec::new();
        let config = match LalmConfig::from_dir(dir) {
            // That the other files are missing too is no news.
            Err(error @ ModelError::NoModel { .. }) => return Err(vec![error]),
            config => keep(config, &mut problems),
        };
        let tokenizer =
            config.as_ref().and_then(|config| keep(LalmTokenizer::from_dir(dir, config), &mut problems));
        if let Some(tokenizer) = &tokenizer {
            keep(GenerationDefaults::from_dir(dir, tokenizer), &mut problems);
        }
        let mel = keep(mel_of(dir, config.as_ref()), &mut problems);
        let names = config.as_ref().map(|config| &config.architecture.names);
        let weights = keep(Weights::open_dir(dir, names), &mut problems);
        if let (Some(config), Some(weights)) = (&config, &weights) {
            keep(weights.check(&config.specs()), &mut problems);
        }
        match (config, tokenizer, mel, weights) {
            (Some(config), Some(tokenizer), Some(mel), Some(weights)) if problems.is_empty() => Ok(Self {
                mel,
                config,
                tokenizer,
                parameters: weights.shapes().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum(),
            }),
            _ => Err(problems),
        }
    }

    /// The linear layers that LoRA would adapt, with how many numbers it trains in each.
    ///
    /// # Errors
    /// As [`LoraConfig::adapted`].
    pub fn adapted(&self, lora: &LoraConfig) -> Result<BTreeMap<String, u64>, ModelError> {
        let linears = self.config.linears();
        let trained = |name: String| {
            let [out_features, in_features] = linears.get(&name).copied().unwrap_or_default();
            (name, (lora.rank * (out_features + in_features)) as u64)
        };
        Ok(lora.adapted(&linears)?.into_iter().map(trained).collect())
    }

    /// Reads an adapter folder for this model, onto the CPU.
    ///
    /// # Errors
    /// As [`Adapters::load`].
    pub fn adapters(&self, dir: &Path) -> Result<Adapters, ModelError> {
        Adapters::load_for(dir, &self.config.linears(), &Device::flex())
    }
}

/// The feature settings, which are checked even where no family says how they are used.
fn mel_of(dir: &Path, config: Option<&LalmConfig>) -> Result<FeatureExtractor, ModelError> {
    let rule = config.map_or(qwen2_audio::RULE, |config| config.audio.rule);
    FeatureExtractor::from_dir(dir, rule)
}

fn keep<T>(found: Result<T, ModelError>, problems: &mut Vec<ModelError>) -> Option<T> {
    found.map_err(|problem| problems.push(problem)).ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::device::device;
    use crate::lalm::Lalm;

    fn fixture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny")
    }

    #[test]
    fn the_outline_tells_what_the_loaded_model_tells() {
        let lalm = Lalm::load(&fixture(), &device("cpu").unwrap()).unwrap();
        let outline = ModelInfo::read(&fixture()).unwrap();
        assert_eq!(outline.parameters, lalm.config.num_parameters() as u64);
        let lora = LoraConfig { rank: 4, ..LoraConfig::default() };
        let trained = Adapters::init(&lalm, &lora, 0).unwrap().num_params() as u64;
        assert_eq!(outline.adapted(&lora).unwrap().values().sum::<u64>(), trained);
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let config = idk_common::fs::read(&fixture().join("config.json")).unwrap();
        idk_common::fs::write_atomic(&dir.path().join("config.json"), &config).unwrap();
        let problems = ModelInfo::read(dir.path()).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        for (text, part) in said.iter().zip(["tokenizer.json", "preprocessor_config.json", "no weights"]) {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }

    #[test]
    fn a_folder_that_is_no_model_is_one_problem_that_says_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let said = |path: &Path| {
            let problems = ModelInfo::read(path).unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            let loading = Lalm::load(path, &device("cpu").unwrap()).unwrap_err();
            assert_eq!(loading.to_string(), problems[0].to_string());
            problems[0].to_string()
        };
        assert!(said(dir.path()).ends_with("is no model folder: it has no config.json"));
        assert!(said(&dir.path().join("none")).ends_with("it does not exist"));
        assert!(said(&fixture().join("lora_adapter")).ends_with("it holds an adapter"));
        assert!(said(&fixture().join("config.json")).ends_with("it is a file"));
    }
}
