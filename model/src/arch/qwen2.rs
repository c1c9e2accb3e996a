//! `text_config` of models whose language model is Qwen2.

use idk_common::limits::MAX_POSITIONS;

use crate::arch::config::TextConfig;
use crate::arch::section::Section;
use crate::error::ModelError;

/// Reads the sizes of the language model; what is left out has the defaults of `Qwen2Config`.
pub(super) fn read_text(root: &Section, section: &Section) -> Result<TextConfig, ModelError> {
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
        num_hidden_layers: section.layers("num_hidden_layers", 32)?,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        qkv_bias: true,
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
