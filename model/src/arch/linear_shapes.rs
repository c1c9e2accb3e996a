//! The linear layers that a configuration says the model has, without its weights.

use std::collections::BTreeMap;

use crate::arch::config::LalmConfig;

impl LalmConfig {
    /// Module path and `[out, in]` of every linear layer that can take a LoRA pair: what
    /// [`Lalm::linear_shapes`](crate::Lalm::linear_shapes) gives for a model of this configuration.
    #[must_use]
    pub fn linear_shapes(&self) -> BTreeMap<String, [usize; 2]> {
        let (audio, text) = (&self.audio, &self.text);
        let mut shapes = BTreeMap::new();
        let (width, inner) = (audio.d_model, audio.encoder_ffn_dim);
        for layer in 0..audio.encoder_layers {
            let name = format!("audio_tower.layers.{layer}");
            for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                shapes.insert(format!("{name}.self_attn.{projection}"), [width, width]);
            }
            shapes.insert(format!("{name}.fc1"), [inner, width]);
            shapes.insert(format!("{name}.fc2"), [width, inner]);
        }
        shapes.insert("multi_modal_projector.linear".to_owned(), [text.hidden_size, width]);
        let (hidden, inner) = (text.hidden_size, text.intermediate_size);
        let queries = text.num_attention_heads * text.head_dim;
        let keys = text.num_key_value_heads * text.head_dim;
        for layer in 0..text.num_hidden_layers {
            let name = format!("language_model.model.layers.{layer}");
            for (projection, shape) in [
                ("self_attn.q_proj", [queries, hidden]),
                ("self_attn.k_proj", [keys, hidden]),
                ("self_attn.v_proj", [keys, hidden]),
                ("self_attn.o_proj", [hidden, queries]),
                ("mlp.gate_proj", [inner, hidden]),
                ("mlp.up_proj", [inner, hidden]),
                ("mlp.down_proj", [hidden, inner]),
            ] {
                shapes.insert(format!("{name}.{projection}"), shape);
            }
        }
        shapes
    }
}
