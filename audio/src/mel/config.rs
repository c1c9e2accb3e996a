//! The settings of the log-mel extractor, as Hugging Face model folders hold them.

use std::path::Path;

use idk_common::json;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::AudioError;

/// The settings of `WhisperFeatureExtractor`; fields that a file leaves out have that class's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MelConfig {
    /// Mel bands (128 for Qwen2-Audio, 80 by default).
    pub feature_size: usize,
    /// Samples per second of the input.
    pub sampling_rate: usize,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Samples in one frame, the length of its Fourier transform.
    pub n_fft: usize,
    /// Length of the window that the encoder hears, in seconds.
    pub chunk_length: usize,
}

impl Default for MelConfig {
    fn default() -> Self {
        Self { feature_size: 80, sampling_rate: 16_000, hop_length: 160, n_fft: 400, chunk_length: 30 }
    }
}

impl MelConfig {
    /// Reads `preprocessor_config.json`, or the `feature_extractor` part of `processor_config.json`.
    ///
    /// # Errors
    /// [`AudioError::NoConfig`] if there is neither; [`AudioError::Config`] if it is for another kind of extractor
    /// or if a value makes no sense; [`AudioError::Common`] if a file cannot be read or is not JSON.
    pub fn from_dir(dir: &Path) -> Result<Self, AudioError> {
        let (older, newer) = (dir.join("preprocessor_config.json"), dir.join("processor_config.json"));
        let (path, value) = if older.exists() {
            let value: Value = json::read_json(&older)?;
            (older, value)
        } else if newer.exists() {
            let mut value: Value = json::read_json(&newer)?;
            let part = value.get_mut("feature_extractor").map(Value::take);
            let detail = "it has no feature_extractor".to_owned();
            let part = part.ok_or_else(|| AudioError::Config { path: newer.clone(), detail })?;
            (newer, part)
        } else {
            return Err(AudioError::NoConfig { dir: dir.to_owned() });
        };
        Self::from_value(value).map_err(|detail| AudioError::Config { path, detail })
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value.get("feature_extractor_type").and_then(Value::as_str) {
            None | Some("WhisperFeatureExtractor") => {}
            Some(other) => {
                return Err(format!("feature_extractor_type `{other}` is not WhisperFeatureExtractor"));
            }
        }
        let config: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        config.validate()?;
        Ok(config)
    }

    /// Checks that the extractor can work with these settings within a bounded memory.
    ///
    /// # Errors
    /// A sentence that names the field and its value.
    pub fn validate(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(format!("{name} is {value}; it must be from {least} to {most}"))
        };
        within("feature_size", self.feature_size, 1, 1_024)?;
        within("sampling_rate", self.sampling_rate, 1_000, 192_000)?;
        within("n_fft", self.n_fft, 16, 1 << 16)?;
        within("hop_length", self.hop_length, 1, self.n_fft)?;
        within("chunk_length", self.chunk_length, 1, 600)?;
        // The reflection at the start needs more samples than it mirrors.
        within("n_fft / 2", self.n_fft / 2, 0, self.window_samples() - 1)
    }

    /// Samples in the whole window.
    #[must_use]
    pub fn window_samples(&self) -> usize {
        self.chunk_length * self.sampling_rate
    }

    /// Log-mel frames of the whole window (3000 for 30 s).
    #[must_use]
    pub fn window_frames(&self) -> usize {
        self.frames_of_window(self.window_samples())
    }

    /// Log-mel frames of a window of so many samples.
    #[must_use]
    pub fn frames_of_window(&self, samples: usize) -> usize {
        // A centred transform gives one frame more than this; the last is dropped.
        (samples + 2 * (self.n_fft / 2)).saturating_sub(self.n_fft) / self.hop_length
    }

    /// The content of `preprocessor_config.json` with these settings.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "chunk_length": self.chunk_length,
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": self.feature_size,
            "hop_length": self.hop_length,
            "n_fft": self.n_fft,
            "n_samples": self.window_samples(),
            "nb_max_frames": self.window_samples() / self.hop_length,
            "padding_side": "right",
            "padding_value": 0.0,
            "processor_class": "Qwen2AudioProcessor",
            "return_attention_mask": true,
            "sampling_rate": self.sampling_rate,
        })
    }
}
