//! `text_config`: the language model, Qwen2 or Llama.

use idk_common::limits::MAX_POSITIONS;

use crate::arch::config::TextConfig;
use crate::arch::section::Section;
use crate::error::ModelError;

/// A kind of language model, and what its `text_config` leaves out.
pub(super) struct DecoderKind {
    /// `model_type` of the section.
    pub(super) model_type: &'static str,
    /// Whether queries, keys and values have biases.
    pub(super) qkv_bias: bool,
    /// Values of `rope_type` that mean ordinary rotary positions.
    pub(super) rope_types: &'static [&'static str],
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) intermediate_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) num_key_value_heads: usize,
    /// Width of a head, if it is not that of the model divided by the heads.
    pub(super) head_dim: Option<usize>,
    pub(super) max_position_embeddings: usize,
    pub(super) rms_norm_eps: f64,
    pub(super) rope_theta: f64,
}

/// The defaults of `Qwen2Config`.
pub(super) const QWEN2: DecoderKind = DecoderKind {
    model_type: "qwen2",
    qkv_bias: true,
    rope_types: &["default"],
    vocab_size: 151_936,
    hidden_size: 4096,
    intermediate_size: 22_016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: None,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000.0,
};

/// Reads the sizes of the language model.
pub(super) fn read_text(
    root: &Section,
    section: &Section,
    kind: &DecoderKind,
) -> Result<TextConfig, ModelError> {
    section.expect_word("model_type", &[kind.model_type])?;
    section.expect_word("hidden_act", &["silu"])?;
    section.expect_false("use_sliding_window")?;
    section.expect_false("use_mrope")?;
    section.expect_false("attention_bias")?;
    section.expect_false("mlp_bias")?;
    if kind.rope_types == QWEN2.rope_types {
        section.refuse_if_set("rope_scaling")?;
    } else {
        expect_rope(&section.section("rope_scaling")?, kind)?;
    }
    section.expect_full_attention()?;
    let vocab_size = match section.optional_count("vocab_size")? {
        Some(size) => size,
        None => root.positive("vocab_size", kind.vocab_size)?,
    };
    let hidden_size = section.positive("hidden_size", kind.hidden_size)?;
    let heads = section.positive("num_attention_heads", kind.num_attention_heads)?;
    let kv_heads = if section.is_null("num_key_value_heads") {
        heads
    } else {
        section.positive("num_key_value_heads", kind.num_key_value_heads)?
    };
    if !heads.is_multiple_of(kv_heads) {
        let what = format!("{kv_heads} key/value heads do not divide {heads} query heads");
        return Err(section.error("num_key_value_heads", what));
    }
    let head_dim = match section.optional_count("head_dim")?.or(kind.head_dim) {
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
        intermediate_size: section.positive("intermediate_size", kind.intermediate_size)?,
        num_hidden_layers: section.layers("num_hidden_layers", kind.num_hidden_layers)?,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        qkv_bias: kind.qkv_bias,
        rms_norm_eps: section.number("rms_norm_eps", kind.rms_norm_eps)?,
        rope_theta: read_rope_theta(section, kind)?,
        max_position_embeddings: bounded_positions(section, kind)?,
        tie_word_embeddings,
    })
}

/// The rotary tables are made for every position, so a hostile number must not decide how large they are.
fn bounded_positions(section: &Section, kind: &DecoderKind) -> Result<usize, ModelError> {
    let positions = section.positive("max_position_embeddings", kind.max_position_embeddings)?;
    if positions <= MAX_POSITIONS {
        return Ok(positions);
    }
    let what = format!("{positions} is more than the {MAX_POSITIONS} positions that a model may have");
    Err(section.error("max_position_embeddings", what))
}

/// transformers 4 writes `rope_theta`, transformers 5 `rope_parameters: {rope_theta, rope_type}`.
fn read_rope_theta(section: &Section, kind: &DecoderKind) -> Result<f64, ModelError> {
    let default = section.number("rope_theta", kind.rope_theta)?;
    if section.is_absent("rope_parameters") {
        return Ok(default);
    }
    let parameters = section.section("rope_parameters")?;
    expect_rope(&parameters, kind)?;
    parameters.number("rope_theta", default)
}

/// Whether the rotary positions are the ordinary ones for text and audio. `type` is the older word for `rope_type`.
fn expect_rope(parameters: &Section, kind: &DecoderKind) -> Result<(), ModelError> {
    parameters.expect_word("rope_type", kind.rope_types)?;
    parameters.expect_word("type", kind.rope_types)
}

/// Ids of special tokens.
pub(super) struct SpecialIds {
    pub(super) audio: u32,
    pub(super) eos: Option<u32>,
    pub(super) pad: Option<u32>,
}

impl SpecialIds {
    /// Reads them from the section of the language model, or from the one around it. `default_audio` is the placeholder's
    /// id where the file has none; without it that is an error.
    pub(super) fn read(
        root: &Section,
        text: &Section,
        default_audio: Option<usize>,
        vocab_size: usize,
    ) -> Result<Self, ModelError> {
        const AUDIO: [&str; 2] = ["audio_token_index", "audio_token_id"];
        let key = if root.is_absent(AUDIO[0]) { AUDIO[1] } else { AUDIO[0] };
        let Some(audio) = root.optional_count(key)?.or(default_audio) else {
            return Err(root.error(key, "is missing: checkpoints of this family differ in it".to_owned()));
        };
        let id = |key: &str| -> Result<Option<u32>, ModelError> {
            let found = match text.optional_count(key)? {
                Some(id) => Some(id),
                None => root.optional_count(key)?,
            };
            Ok(found.and_then(|id| u32::try_from(id).ok()))
        };
        if audio >= vocab_size {
            return Err(root.error(key, format!("{audio} is beyond vocab_size {vocab_size}")));
        }
        // Counts are below 2^31.
        Ok(Self { audio: audio as u32, eos: id("eos_token_id")?, pad: id("pad_token_id")? })
    }
}
