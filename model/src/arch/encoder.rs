//! `audio_config`: the audio encoder, whose layers are Whisper's in every family.

use crate::arch::audio::AudioRule;
use crate::arch::config::AudioConfig;
use crate::arch::section::Section;
use crate::error::ModelError;

/// Reads the sizes of the encoder; what is left out has the values of Whisper large-v3. Families spell some keys in two
/// ways, as Whisper or as transformers' other models.
pub(super) fn read_audio(
    section: &Section,
    model_types: &[&str],
    rule: AudioRule,
) -> Result<AudioConfig, ModelError> {
    section.expect_word("model_type", model_types)?;
    section.expect_word("activation_function", &["gelu"])?;
    section.expect_false("scale_embedding")?;
    let spelt = |older, newer| if section.is_absent(older) { newer } else { older };
    let size = |older, newer, default| section.positive(spelt(older, newer), default);
    let audio = AudioConfig {
        num_mel_bins: section.positive("num_mel_bins", 128)?,
        encoder_layers: section.layers(spelt("encoder_layers", "num_hidden_layers"), 32)?,
        encoder_attention_heads: size("encoder_attention_heads", "num_attention_heads", 20)?,
        encoder_ffn_dim: size("encoder_ffn_dim", "intermediate_size", 5120)?,
        d_model: size("d_model", "hidden_size", 1280)?,
        max_source_positions: section.positive("max_source_positions", 1500)?,
        stored_positions: true,
        rotary_time: None,
        rule,
    };
    if !audio.d_model.is_multiple_of(audio.encoder_attention_heads) {
        let what = format!("{} heads do not divide d_model {}", audio.encoder_attention_heads, audio.d_model);
        return Err(section.error("encoder_attention_heads", what));
    }
    Ok(audio)
}
