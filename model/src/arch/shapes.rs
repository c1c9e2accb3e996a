//! Names and shapes of a model's tensors, from its configuration alone.

use std::collections::BTreeMap;

use crate::arch::config::LalmConfig;

/// Every tensor of the model by its canonical name.
///
/// # Shapes
/// - linear layers `[out, in]`, convolutions `[out, in, width]`, the rest as on disk
pub fn tensor_shapes(config: &LalmConfig) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    encoder(config, &mut shapes);
    linear(&mut shapes, "multi_modal_projector.linear", config.text.hidden_size, config.audio.d_model, true);
    decoder(config, &mut shapes);
    shapes
}

/// Numbers in all tensors of the model.
pub fn num_parameters(config: &LalmConfig) -> usize {
    tensor_shapes(config).values().map(|shape| shape.iter().product::<usize>()).sum()
}

fn encoder(config: &LalmConfig, shapes: &mut BTreeMap<String, Vec<usize>>) {
    let audio = &config.audio;
    let (width, inner) = (audio.d_model, audio.encoder_ffn_dim);
    for (name, input) in [("conv1", audio.num_mel_bins), ("conv2", width)] {
        shapes.insert(format!("audio_tower.{name}.weight"), vec![width, input, 3]);
        shapes.insert(format!("audio_tower.{name}.bias"), vec![width]);
    }
    shapes.insert("audio_tower.embed_positions.weight".to_owned(), vec![audio.max_source_positions, width]);
    layer_norm(shapes, "audio_tower.layer_norm", width);
    for layer in 0..audio.encoder_layers {
        let name = format!("audio_tower.layers.{layer}");
        for (projection, bias) in [("q_proj", true), ("k_proj", false), ("v_proj", true), ("out_proj", true)]
        {
            linear(shapes, &format!("{name}.self_attn.{projection}"), width, width, bias);
        }
        linear(shapes, &format!("{name}.fc1"), inner, width, true);
        linear(shapes, &format!("{name}.fc2"), width, inner, true);
        layer_norm(shapes, &format!("{name}.self_attn_layer_norm"), width);
        layer_norm(shapes, &format!("{name}.final_layer_norm"), width);
    }
}

fn decoder(config: &LalmConfig, shapes: &mut BTreeMap<String, Vec<usize>>) {
    let text = &config.text;
    let (hidden, inner) = (text.hidden_size, text.intermediate_size);
    let (queries, keys) =
        (text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim);
    shapes.insert("language_model.model.embed_tokens.weight".to_owned(), vec![text.vocab_size, hidden]);
    shapes.insert("language_model.model.norm.weight".to_owned(), vec![hidden]);
    if !text.tie_word_embeddings {
        linear(shapes, "language_model.lm_head", text.vocab_size, hidden, false);
    }
    for layer in 0..text.num_hidden_layers {
        let name = format!("language_model.model.layers.{layer}");
        for (projection, width) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
            linear(shapes, &format!("{name}.self_attn.{projection}"), width, hidden, true);
        }
        linear(shapes, &format!("{name}.self_attn.o_proj"), hidden, queries, false);
        linear(shapes, &format!("{name}.mlp.gate_proj"), inner, hidden, false);
        linear(shapes, &format!("{name}.mlp.up_proj"), inner, hidden, false);
        linear(shapes, &format!("{name}.mlp.down_proj"), hidden, inner, false);
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            shapes.insert(format!("{name}.{norm}.weight"), vec![hidden]);
        }
    }
}

fn linear(shapes: &mut BTreeMap<String, Vec<usize>>, name: &str, out: usize, input: usize, bias: bool) {
    shapes.insert(format!("{name}.weight"), vec![out, input]);
    if bias {
        shapes.insert(format!("{name}.bias"), vec![out]);
    }
}

fn layer_norm(shapes: &mut BTreeMap<String, Vec<usize>>, name: &str, width: usize) {
    shapes.insert(format!("{name}.weight"), vec![width]);
    shapes.insert(format!("{name}.bias"), vec![width]);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::weights::Weights;

    #[test]
    fn names_and_shapes_are_those_on_disk() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for folder in ["tests/fixtures/qwen2-audio-tiny", "checkpoints/mini-lalm"] {
            let config = LalmConfig::from_dir(&root.join(folder)).unwrap();
            let weights = Weights::open_dir(&root.join(folder)).unwrap();
            let on_disk: BTreeMap<String, Vec<usize>> =
                weights.shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
            assert_eq!(tensor_shapes(&config), on_disk, "{folder}");
        }
    }

    #[test]
    fn the_7b_model_has_as_many_tensors_and_numbers_as_its_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        // As on the Hub; what it leaves out is Qwen2's default.
        let json = r#"{"model_type":"qwen2_audio","audio_token_index":151646,"vocab_size":156032,
            "audio_config":{"model_type":"qwen2_audio_encoder","num_mel_bins":128,"encoder_layers":32,
              "encoder_attention_heads":20,"encoder_ffn_dim":5120,"d_model":1280,"max_source_positions":1500},
            "text_config":{"model_type":"qwen2","intermediate_size":11008,"max_position_embeddings":8192,
              "rope_theta":10000,"rms_norm_eps":1e-5,"vocab_size":156032}}"#;
        idk_common::atomic::write_atomic(&dir.path().join("config.json"), json.as_bytes()).unwrap();
        let config = LalmConfig::from_dir(dir.path()).unwrap();
        // The index of the checkpoint lists 876 weights; transformers counts 8,397,094,912 numbers in them.
        assert_eq!(tensor_shapes(&config).len(), 876);
        assert_eq!(num_parameters(&config), 8_397_094_912);
    }
}
