//! A model's configuration in one form for all families, read from `config.json` by the family that the file names.

use std::path::Path;

use serde_json::Value;

use crate::arch::audio::{AudioRule, Windows};
use crate::arch::section::Section;
use crate::arch::{Architecture, architecture};
use crate::error::ModelError;

/// Sizes of the audio encoder (`audio_config`).
#[derive(Clone, Debug, PartialEq)]
pub struct AudioConfig {
    /// Mel bands of the spectrogram; 128.
    pub num_mel_bins: usize,
    /// Transformer layers; 32.
    pub encoder_layers: usize,
    /// Attention heads; 20.
    pub encoder_attention_heads: usize,
    /// Width of the feed-forward layers; 5120.
    pub encoder_ffn_dim: usize,
    /// Width of the encoder; 1280.
    pub d_model: usize,
    /// Positions after the convolutions, half the window's frames; 1500.
    pub max_source_positions: usize,
    /// Whether the positions are a tensor of the model; otherwise they are computed.
    pub stored_positions: bool,
    /// The rotation of the encoder's output by time, if the family has one.
    pub rotary_time: Option<RotaryTime>,
    /// How a clip becomes tokens.
    pub rule: AudioRule,
}

impl AudioConfig {
    /// Positions that attend to each other at most.
    #[must_use]
    pub fn window_positions(&self) -> usize {
        match self.rule.windows {
            Windows::Bare { frames } => AudioRule::window_positions(frames),
            _ => self.max_source_positions,
        }
    }
}

/// The rotary time embedding of the encoder's output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryTime {
    /// Base of the frequencies, and the number of steps that an axis has; 1200.
    pub theta: f64,
    /// Numbers of a row that each of the two axes turns; 256.
    pub dim: usize,
    /// Seconds from one row to the next; 0.04.
    pub step_s: f64,
}

/// What brings the encoder's output to the language model's width: linear layers with a gelu between neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectorConfig {
    /// `[out, in]` of each layer, first to last.
    pub layers: Vec<[usize; 2]>,
    /// Whether they have biases.
    pub bias: bool,
}

/// Sizes of the language model (`text_config`).
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding and of the output head; 156032.
    pub vocab_size: usize,
    /// Width of the model; 4096.
    pub hidden_size: usize,
    /// Width of the gated feed-forward layer; 22016 when the file does not say (Qwen2Config's default).
    pub intermediate_size: usize,
    /// Transformer layers; 32.
    pub num_hidden_layers: usize,
    /// Query heads; 32.
    pub num_attention_heads: usize,
    /// Key and value heads (grouped-query attention); 32, or the query heads when null.
    pub num_key_value_heads: usize,
    /// Width of one head; hidden_size / num_attention_heads.
    pub head_dim: usize,
    /// Whether queries, keys and values have biases; Qwen2's have.
    pub qkv_bias: bool,
    /// Added to the mean square in RMSNorm; 1e-6 when the file does not say.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies; 10000.
    pub rope_theta: f64,
    /// Longest sequence, in tokens; 32768 when the file does not say.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding matrix; false.
    pub tie_word_embeddings: bool,
}

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct LalmConfig {
    /// The family.
    pub architecture: &'static Architecture,
    /// The audio encoder.
    pub audio: AudioConfig,
    /// What stands between the encoder and the language model.
    pub projector: ProjectorConfig,
    /// The language model.
    pub text: TextConfig,
    /// Id of the placeholder that audio rows replace.
    pub audio_token_id: u32,
    /// End-of-turn id, if the file has one.
    pub eos_token_id: Option<u32>,
    /// Padding id, if the file has one.
    pub pad_token_id: Option<u32>,
}

/// What every model folder has.
const CONFIG_FILE: &str = "config.json";

/// What a folder without a `config.json` is.
fn instead_of_a_model(dir: &Path) -> &'static str {
    if !dir.exists() {
        return "it does not exist";
    }
    if !dir.is_dir() {
        return "it is a file";
    }
    let others = [
        ("adapter_config.json", "it holds an adapter"),
        ("recipe.toml", "it holds a run of this program, whose adapter is in adapter/"),
    ];
    let found = others.into_iter().find(|(file, _)| dir.join(file).exists());
    found.map_or("it has no config.json", |(_, what)| what)
}

impl LalmConfig {
    /// Reads `config.json` of a model folder, in the spelling of transformers 4 or 5.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key that is malformed, inconsistent or asks for something unsupported, such as
    /// a family that is not known; [`ModelError::NoModel`] without such a file; [`ModelError::Common`] if it is not JSON.
    pub fn from_dir(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join(CONFIG_FILE);
        if !path.exists() {
            return Err(ModelError::NoModel { path: dir.to_owned(), what: instead_of_a_model(dir) });
        }
        let value: Value = idk_common::json::read_json(&path)?;
        Self::from_value(&path, &value)
    }

    /// Reads a configuration from JSON; `path` is for messages only.
    ///
    /// # Errors
    /// As [`LalmConfig::from_dir`].
    pub fn from_value(path: &Path, value: &Value) -> Result<Self, ModelError> {
        let root = Section::root(path, value)?;
        (architecture(&root)?.config)(&root)
    }

    /// The content of `config.json`, in the spelling that transformers 4 and 5 both read; `None` if models of the family
    /// are never written whole. `dtype` is the type on disk (`float32`, `bfloat16`).
    #[must_use]
    pub fn to_json(&self, dtype: &str) -> Option<Value> {
        self.architecture.to_json.map(|to_json| to_json(self, dtype))
    }
}
