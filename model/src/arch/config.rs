//! `config.json` of a Qwen2-Audio folder: every field with its default, and a named refusal of what is not supported.

use std::path::Path;

use idk_common::limits::MAX_POSITIONS;
use serde_json::{Value, json};

use crate::arch::section::Section;
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
    /// Added to the mean square in RMSNorm; 1e-6 when the file does not say.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies; 10000.
    pub rope_theta: f64,
    /// Longest sequence, in tokens; 32768 when the file does not say.
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding matrix; false.
    pub tie_word_embeddings: bool,
}

/// A whole Qwen2-Audio configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct LalmConfig {
    /// The audio encoder.
    pub audio: AudioConfig,
    /// The language model.
    pub text: TextConfig,
    /// Id of the placeholder that audio rows replace; 151646.
    pub audio_token_id: u32,
    /// End-of-turn id, if the file has one.
    pub eos_token_id: Option<u32>,
    /// Padding id, if the file has one.
    pub pad_token_id: Option<u32>,
}

impl LalmConfig {
    /// Reads `config.json` of a model folder, in the spelling of transformers 4 or 5.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key that is malformed, inconsistent or asks for something unsupported;
    /// [`ModelError::Common`] if the file is missing or not JSON.
    pub fn from_dir(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        let value: Value = idk_common::json::read_json(&path)?;
        Self::from_value(&path, &value)
    }

    /// Reads a configuration from JSON; `path` is for messages only.
    ///
    /// # Errors
    /// As [`LalmConfig::from_dir`].
    pub fn from_value(path: &Path, value: &Value) -> Result<Self, ModelError> {
        let root = Section::root(path, value)?;
        root.expect_word("model_type", &["qwen2_audio"])?;
        root.refuse_if_set("quantization_config")?;
        let text_section = root.section("text_config")?;
        let text = read_text(&root, &text_section)?;
        let audio = read_audio(&root.section("audio_config")?)?;
        let audio_token_id = match root.optional_count("audio_token_index")? {
            Some(id) => id,
            None => root.count("audio_token_id", 151_646)?,
        };
        if audio_token_id >= text.vocab_size {
            return Err(root.error(
                "audio_token_index",
                format!("{audio_token_id} is beyond vocab_size {}", text.vocab_size),
            ));
        }
        let id = |key: &str| -> Result<Option<u32>, ModelError> {
            let found = match text_section.optional_count(key)? {
                Some(id) => Some(id),
                None => root.optional_count(key)?,
            };
            Ok(found.and_then(|id| u32::try_from(id).ok()))
        };
        Ok(Self {
            audio,
            text,
            audio_token_id: u32::try_from(audio_token_id)
                .map_err(|_| root.error("audio_token_index", "too large".to_owned()))?,
            eos_token_id: id("eos_token_id")?,
            pad_token_id: id("pad_token_id")?,
        })
    }

    /// The content of `config.json`, in the spelling that transformers 4 and 5 both read. `dtype` is the type on disk (`float32`, `bfloat16`).
    pub fn to_json(&self, dtype: &str) -> Value {
        let (audio, text) = (&self.audio, &self.text);
        json!({
            "architectures": ["Qwen2AudioForConditionalGeneration"],
            "audio_config": {
                "activation_dropout": 0.0,
                "activation_function": "gelu",
                "attention_dropout": 0.0,
                "d_model": audio.d_model,
                "dropout": 0.0,
                "encoder_attention_heads": audio.encoder_attention_heads,
                "encoder_ffn_dim": audio.encoder_ffn_dim,
                "encoder_layerdrop": 0.0,
                "encoder_layers": audio.encoder_layers,
                "max_source_positions": audio.max_source_positions,
                "model_type": "qwen2_audio_encoder",
                "num_mel_bins": audio.num_mel_bins,
                "scale_embedding": false,
            },
            "audio_token_index": self.audio_token_id,
            "ignore_index": -100,
            "model_type": "qwen2_audio",
            "text_config": {
                "bos_token_id": self.pad_token_id,
                "eos_token_id": self.eos_token_id,
                "head_dim": text.head_dim,
                "hidden_act": "silu",
                "hidden_size": text.hidden_size,
                "intermediate_size": text.intermediate_size,
                "max_position_embeddings": text.max_position_embeddings,
                "model_type": "qwen2",
                "num_attention_heads": text.num_attention_heads,
                "num_hidden_layers": text.num_hidden_layers,
                "num_key_value_heads": text.num_key_value_heads,
                "pad_token_id": self.pad_token_id,
                "rms_norm_eps": text.rms_norm_eps,
                "rope_theta": text.rope_theta,
                "tie_word_embeddings": text.tie_word_embeddings,
                "torch_dtype": dtype,
                "use_mrope": false,
                "use_sliding_window": false,
                "vocab_size": text.vocab_size,
            },
            "tie_word_embeddings": text.tie_word_embeddings,
            "torch_dtype": dtype,
            "vocab_size": text.vocab_size,
        })
    }
}

fn read_audio(section: &Section) -> Result<AudioConfig, ModelError> {
    section.expect_word("model_type", &["qwen2_audio_encoder"])?;
    section.expect_word("activation_function", &["gelu"])?;
    section.expect_false("scale_embedding")?;
    let audio = AudioConfig {
        num_mel_bins: section.positive("num_mel_bins", 128)?,
        encoder_layers: section.positive("encoder_layers", 32)?,
        encoder_attention_heads: section.positive("encoder_attention_heads", 20)?,
        encoder_ffn_dim: section.positive("encoder_ffn_dim", 5120)?,
        d_model: section.positive("d_model", 1280)?,
        max_source_positions: section.positive("max_source_positions", 1500)?,
    };
    if !audio.d_model.is_multiple_of(audio.encoder_attention_heads) {
        let what = format!("{} heads do not divide d_model {}", audio.encoder_attention_heads, audio.d_model);
        return Err(section.error("encoder_attention_heads", what));
    }
    Ok(audio)
}

fn read_text(root: &Section, section: &Section) -> Result<TextConfig, ModelError> {
    section.expect_word("model_type", &["qwen2"])?;
    section.expect_word("hidden_act", &["silu"])?;
    section.expect_false("use_sliding_window")?;
    section.expect_false("use_mrope")?;
    section.refuse_if_set("rope_scaling")?;
    section.expect_full_attention()?;
    let vocab_size = match section.optional_count("vocab_size")? {
        Some(size) => size,
        None => root.positive("vocab_size", 151_936)?,
    };
    let hidden_size = section.positive("hidden_size", 4096)?;
    let heads = section.positive("num_attention_heads", 32)?;
    let kv_heads = if section.is_null("num_key_value_heads") {
        heads
    } else {
        section.positive("num_key_value_heads", 32)?
    };
    if !heads.is_multiple_of(kv_heads) {
        let what = format!("{kv_heads} key/value heads do not divide {heads} query heads");
        return Err(section.error("num_key_value_heads", what));
    }
    let head_dim = match section.optional_count("head_dim")? {
        Some(width) => width,
        None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            let what =
                format!("{heads} heads do not divide hidden_size {hidden_size}, and there is no head_dim");
            return Err(section.error("num_attention_heads", what));
        }
    };
    if head_dim == 0 || !head_dim.is_multiple_of(2) {
        return Err(section.error("head_dim", format!("{head_dim} is not a positive even number")));
    }
    let tie_word_embeddings = match section.flag("tie_word_embeddings")? {
        Some(tied) => tied,
        None => root.flag("tie_word_embeddings")?.unwrap_or(false),
    };
    Ok(TextConfig {
        vocab_size,
        hidden_size,
        intermediate_size: section.positive("intermediate_size", 22_016)?,
        num_hidden_layers: section.positive("num_hidden_layers", 32)?,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        rms_norm_eps: section.number("rms_norm_eps", 1e-6)?,
        rope_theta: read_rope_theta(section)?,
        max_position_embeddings: bounded_positions(section)?,
        tie_word_embeddings,
    })
}

/// The rotary tables are made for every position, so a hostile number must not decide how large they are.
fn bounded_positions(section: &Section) -> Result<usize, ModelError> {
    let positions = section.positive("max_position_embeddings", 32_768)?;
    if positions <= MAX_POSITIONS {
        return Ok(positions);
    }
    let what = format!("{positions} is more than the {MAX_POSITIONS} positions that a model may have");
    Err(section.error("max_position_embeddings", what))
}

/// transformers 4 writes `rope_theta`, transformers 5 `rope_parameters: {rope_theta, rope_type}`.
fn read_rope_theta(section: &Section) -> Result<f64, ModelError> {
    let default = section.number("rope_theta", 10_000.0)?;
    if section.is_absent("rope_parameters") {
        return Ok(default);
    }
    let parameters = section.section("rope_parameters")?;
    parameters.expect_word("rope_type", &["default"])?;
    parameters.number("rope_theta", default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Result<LalmConfig, ModelError> {
        LalmConfig::from_value(Path::new("config.json"), value)
    }

    #[test]
    fn the_hub_config_of_the_7b_reads_with_its_documented_sizes() {
        let config = read(&json!({
            "model_type": "qwen2_audio", "audio_token_index": 151_646, "vocab_size": 156_032,
            "audio_config": {"model_type": "qwen2_audio_encoder"},
            "text_config": {"model_type": "qwen2", "intermediate_size": 11008, "max_position_embeddings": 8192,
                "rms_norm_eps": 1e-5, "sliding_window": 32768, "use_mrope": false, "vocab_size": 156_032},
        }))
        .unwrap();
        assert_eq!(
            (config.text.hidden_size, config.text.head_dim, config.text.num_key_value_heads),
            (4096, 128, 32)
        );
        assert_eq!(
            (config.audio.d_model, config.audio.encoder_layers, config.audio.max_source_positions),
            (1280, 32, 1500)
        );
        assert_eq!((config.text.rope_theta, config.text.tie_word_embeddings), (10_000.0, false));
    }

    #[test]
    fn the_transformers_5_spelling_reads_the_same() {
        let old =
            read(&json!({"audio_token_index": 7, "text_config": {"rope_theta": 5e5, "vocab_size": 400}}))
                .unwrap();
        let new = read(&json!({"audio_token_id": 7, "text_config": {"dtype": "bfloat16", "vocab_size": 400,
            "layer_types": ["full_attention"], "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}}))
        .unwrap();
        assert_eq!(old, new);
        assert_eq!(new.text.rope_theta, 5e5);
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let config = read(&json!({"audio_token_index": 9, "text_config": {"vocab_size": 400, "hidden_size": 48,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "eos_token_id": 3, "pad_token_id": 2,
            "tie_word_embeddings": true}}))
        .unwrap();
        assert_eq!(read(&config.to_json("float32")).unwrap(), config);
    }

    #[test]
    fn unsupported_or_malformed_keys_are_refused_by_name() {
        let cases = [
            (json!({"text_config": {"use_sliding_window": true}}), "text_config.use_sliding_window"),
            (json!({"text_config": {"rope_scaling": {"type": "yarn"}}}), "text_config.rope_scaling"),
            (
                json!({"text_config": {"rope_parameters": {"rope_type": "yarn"}}}),
                "text_config.rope_parameters.rope_type",
            ),
            (json!({"text_config": {"hidden_act": "gelu"}}), "text_config.hidden_act"),
            (json!({"text_config": {"num_attention_heads": 5}}), "num_key_value_heads"),
            (json!({"text_config": {"hidden_size": -1}}), "text_config.hidden_size"),
            (json!({"text_config": {"layer_types": ["sliding_attention"]}}), "text_config.layer_types"),
            (json!({"audio_config": {"activation_function": "relu"}}), "audio_config.activation_function"),
            (json!({"audio_config": {"scale_embedding": true}}), "audio_config.scale_embedding"),
            (json!({"model_type": "llama"}), "model_type"),
            (json!({"quantization_config": {}}), "quantization_config"),
            (json!({"audio_token_index": 999_999_999}), "audio_token_index"),
            (
                json!({"text_config": {"max_position_embeddings": 2_000_000_000}}),
                "text_config.max_position_embeddings",
            ),
        ];
        for (value, key) in cases {
            let error = read(&value).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("{key}`")), "{value}: {error}");
        }
    }
}
