//! The one table of a model's tensors: what each is called, its shape, the part it belongs to and what it is. Building,
//! initialising, LoRA, merging and memory planning read it.

use std::collections::BTreeMap;
use std::ops::Deref;

use crate::arch::config::LalmConfig;
use crate::arch::names::{
    CONVOLUTIONS, DECODER, DECODER_NORM, EMBEDDING, ENCODER, ENCODER_NORM, ENCODER_POSITIONS, HEAD, Names,
    Role, decoder_layer, encoder_layer, layer, projector_layer,
};

/// One tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Canonical name.
    pub name: String,
    /// Linear layers `[out, in]`, convolutions `[out, in, width]`, the rest as on disk.
    pub shape: Vec<usize>,
    /// The part of the model that it belongs to.
    pub role: Role,
    /// What it is.
    pub kind: TensorKind,
}

impl TensorSpec {
    /// Numbers in it.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// How it is held in a model that is quantised in this way: `None`, in the model's type, for all but the linear
    /// layers inside the language model. The output head is left out, as in transformers with bitsandbytes.
    #[must_use]
    pub fn quantised<Q>(&self, how: Option<Q>) -> Option<Q> {
        how.filter(|_| self.role == Role::Decoder && matches!(self.kind, TensorKind::Linear { .. }))
    }
}

/// What a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorKind {
    /// A convolution kernel.
    Convolution,
    /// The encoder's positions.
    Positions,
    /// The token embedding.
    Embedding,
    /// The weight of a linear layer.
    Linear {
        /// Whether what the layer computes is added to the residual stream.
        to_residual: bool,
    },
    /// The weight of a norm.
    Norm,
    /// A bias.
    Bias,
}

/// The linear layers of a model that can take a LoRA pair, all but the output head: canonical module path to `[out, in]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linears {
    /// How the family spells them.
    pub names: Names,
    shapes: BTreeMap<String, [usize; 2]>,
}

impl Linears {
    /// Linear layers by their shapes.
    pub(crate) fn new(names: Names, shapes: BTreeMap<String, [usize; 2]>) -> Self {
        Self { names, shapes }
    }
}

impl Deref for Linears {
    type Target = BTreeMap<String, [usize; 2]>;

    fn deref(&self) -> &Self::Target {
        &self.shapes
    }
}

impl LalmConfig {
    /// Every tensor of a model of this configuration, each once.
    #[must_use]
    pub fn specs(&self) -> Vec<TensorSpec> {
        let mut table = Table(Vec::new());
        table.encoder(self);
        table.projector(self);
        table.decoder(self);
        table.0
    }

    /// Numbers in all tensors of the model.
    #[must_use]
    pub fn num_parameters(&self) -> usize {
        self.specs().iter().map(TensorSpec::elements).sum()
    }

    /// The linear layers that can take a LoRA pair.
    #[must_use]
    pub fn linears(&self) -> Linears {
        let linear = |spec: TensorSpec| match (spec.kind, spec.role, spec.shape.as_slice()) {
            (_, Role::Head, _) => None,
            (TensorKind::Linear { .. }, _, &[out, input]) => {
                Some((spec.name.strip_suffix(".weight")?.to_owned(), [out, input]))
            }
            _ => None,
        };
        Linears::new(self.architecture.names, self.specs().into_iter().filter_map(linear).collect())
    }
}

/// A table in the making.
struct Table(Vec<TensorSpec>);

impl Table {
    fn encoder(&mut self, config: &LalmConfig) {
        let audio = &config.audio;
        let (width, inner, role) = (audio.d_model, audio.encoder_ffn_dim, Role::Encoder);
        for (name, input) in CONVOLUTIONS.into_iter().zip([audio.num_mel_bins, width]) {
            self.add(format!("{name}.weight"), vec![width, input, 3], role, TensorKind::Convolution);
            self.add(format!("{name}.bias"), vec![width], role, TensorKind::Bias);
        }
        if audio.stored_positions {
            let positions = vec![audio.max_source_positions, width];
            self.add(ENCODER_POSITIONS.to_owned(), positions, role, TensorKind::Positions);
        }
        for index in 0..audio.encoder_layers {
            let at = |module: &str| format!("{}.{module}", layer(ENCODER, index));
            let square = [width, width];
            self.layer_norm(&at(encoder_layer::ATTENTION_NORM), width, role);
            self.linear(&at(encoder_layer::QUERY), square, true, false, role);
            // Whisper's keys have no bias: it would cancel in the softmax.
            self.linear(&at(encoder_layer::KEY), square, false, false, role);
            self.linear(&at(encoder_layer::VALUE), square, true, false, role);
            self.linear(&at(encoder_layer::OUT), square, true, true, role);
            self.layer_norm(&at(encoder_layer::FEED_FORWARD_NORM), width, role);
            self.linear(&at(encoder_layer::UP), [inner, width], true, false, role);
            self.linear(&at(encoder_layer::DOWN), [width, inner], true, true, role);
        }
        self.layer_norm(ENCODER_NORM, width, role);
    }

    fn projector(&mut self, config: &LalmConfig) {
        let projector = &config.projector;
        for (index, &shape) in projector.layers.iter().enumerate() {
            let name = projector_layer(index, projector.layers.len());
            self.linear(&name, shape, projector.bias, false, Role::Projector);
        }
    }

    fn decoder(&mut self, config: &LalmConfig) {
        let text = &config.text;
        let (hidden, inner, role) = (text.hidden_size, text.intermediate_size, Role::Decoder);
        let queries = text.num_attention_heads * text.head_dim;
        let keys = text.num_key_value_heads * text.head_dim;
        self.add(EMBEDDING.to_owned(), vec![text.vocab_size, hidden], role, TensorKind::Embedding);
        for index in 0..text.num_hidden_layers {
            let at = |module: &str| format!("{}.{module}", layer(DECODER, index));
            self.rms_norm(&at(decoder_layer::ATTENTION_NORM), hidden, role);
            self.linear(&at(decoder_layer::QUERY), [queries, hidden], text.qkv_bias, false, role);
            self.linear(&at(decoder_layer::KEY), [keys, hidden], text.qkv_bias, false, role);
            self.linear(&at(decoder_layer::VALUE), [keys, hidden], text.qkv_bias, false, role);
            self.linear(&at(decoder_layer::OUT), [hidden, queries], false, true, role);
            self.rms_norm(&at(decoder_layer::FEED_FORWARD_NORM), hidden, role);
            self.linear(&at(decoder_layer::GATE), [inner, hidden], false, false, role);
            self.linear(&at(decoder_layer::UP), [inner, hidden], false, false, role);
            self.linear(&at(decoder_layer::DOWN), [hidden, inner], false, true, role);
        }
        self.rms_norm(DECODER_NORM, hidden, role);
        if !text.tie_word_embeddings {
            self.linear(HEAD, [text.vocab_size, hidden], false, false, Role::Head);
        }
    }

    fn linear(&mut self, name: &str, [out, input]: [usize; 2], bias: bool, to_residual: bool, role: Role) {
        self.add(format!("{name}.weight"), vec![out, input], role, TensorKind::Linear { to_residual });
        if bias {
            self.add(format!("{name}.bias"), vec![out], role, TensorKind::Bias);
        }
    }

    fn layer_norm(&mut self, name: &str, width: usize, role: Role) {
        self.rms_norm(name, width, role);
        self.add(format!("{name}.bias"), vec![width], role, TensorKind::Bias);
    }

    fn rms_norm(&mut self, name: &str, width: usize, role: Role) {
        self.add(format!("{name}.weight"), vec![width], role, TensorKind::Norm);
    }

    fn add(&mut self, name: String, shape: Vec<usize>, role: Role, kind: TensorKind) {
        self.0.push(TensorSpec { name, shape, role, kind });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::arch::audio::FeatureExtractor;
    use crate::lalm::Lalm;
    use crate::text::generation::GenerationDefaults;
    use crate::text::tokenizer::LalmTokenizer;
    use crate::weights::Weights;

    /// Folders of every family, Qwen2-Audio first.
    fn folders() -> Vec<PathBuf> {
        let families = ["qwen2-audio", "qwen2_5-omni", "audioflamingo3", "musicflamingo", "voxtral"];
        let fixtures = families.map(|family| format!("tests/fixtures/{family}-tiny"));
        let folders = fixtures.into_iter().chain(["checkpoints/mini-lalm".to_owned()]);
        folders.map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)).collect()
    }

    #[test]
    fn names_and_shapes_are_those_on_disk() {
        for folder in folders() {
            let config = LalmConfig::from_dir(&folder).unwrap();
            let weights = Weights::open_dir(&folder, Some(&config.architecture.names)).unwrap();
            let on_disk: BTreeMap<String, Vec<usize>> =
                weights.shapes().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect();
            let specs = config.specs();
            assert_eq!(specs.len(), on_disk.len(), "{}: each tensor once", folder.display());
            let table: BTreeMap<String, Vec<usize>> =
                specs.into_iter().map(|spec| (spec.name, spec.shape)).collect();
            assert_eq!(table, on_disk, "{}", folder.display());
        }
    }

    #[test]
    fn a_model_is_built_of_exactly_these_tensors() {
        for folder in folders() {
            let config = LalmConfig::from_dir(&folder).unwrap();
            let expected: BTreeSet<String> = config.specs().into_iter().map(|spec| spec.name).collect();
            let tokenizer = LalmTokenizer::from_dir(&folder, &config).unwrap();
            let mel = FeatureExtractor::from_dir(&folder, config.audio.rule).unwrap();
            let generation = GenerationDefaults::from_dir(&folder, &tokenizer).unwrap();
            let mut asked = Vec::new();
            let mut lalm =
                Lalm::assemble(config, tokenizer, mel, generation, &Device::flex(), None, &mut |spec| {
                    asked.push(spec.name.clone());
                    Ok(TensorData::zeros::<f32, _>(spec.shape.clone()))
                })
                .unwrap();
            assert_eq!(asked.len(), expected.len(), "each is asked for once");
            assert_eq!(asked.into_iter().collect::<BTreeSet<_>>(), expected);
            let mut visited = Vec::new();
            lalm.for_each_tensor(&mut |name, _| visited.push(name.to_owned()));
            assert_eq!(visited.len(), expected.len(), "each is visited once");
            assert_eq!(visited.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }

    #[test]
    fn a_tensors_role_is_the_one_of_its_name() {
        for spec in folders().iter().flat_map(|folder| LalmConfig::from_dir(folder).unwrap().specs()) {
            assert_eq!(Role::of(&spec.name), Some(spec.role), "{}", spec.name);
        }
    }

    #[test]
    fn lora_can_adapt_every_linear_layer_but_the_output_head() {
        let config = LalmConfig::from_dir(&folders()[0]).unwrap();
        let linears = config.linears();
        let (encoder, decoder) = (config.audio.encoder_layers, config.text.num_hidden_layers);
        assert_eq!(linears.len(), 6 * encoder + 1 + 7 * decoder);
        assert!(linears.keys().all(|name| Role::of(name) != Some(Role::Head)));
        let (hidden, inner) = (config.text.hidden_size, config.text.intermediate_size);
        assert_eq!(linears["language_model.model.layers.1.mlp.down_proj"], [hidden, inner]);
        assert_eq!(linears["multi_modal_projector.linear"], [hidden, config.audio.d_model]);
    }

    #[test]
    fn the_7b_model_has_as_many_tensors_and_numbers_as_its_checkpoint() {
        // As on the Hub; what it leaves out is Qwen2's default.
        let json = serde_json::json!({
            "model_type": "qwen2_audio", "audio_token_index": 151_646, "vocab_size": 156_032,
            "audio_config": {"model_type": "qwen2_audio_encoder", "num_mel_bins": 128, "encoder_layers": 32,
              "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "d_model": 1280, "max_source_positions": 1500},
            "text_config": {"model_type": "qwen2", "intermediate_size": 11_008, "max_position_embeddings": 8192,
              "rope_theta": 10_000, "rms_norm_eps": 1e-5, "vocab_size": 156_032},
        });
        let config = LalmConfig::from_value(Path::new("config.json"), &json).unwrap();
        // The index of the checkpoint lists 876 weights; transformers counts 8,397,094,912 numbers in them.
        assert_eq!(config.specs().len(), 876);
        assert_eq!(config.num_parameters(), 8_397_094_912);
    }
}
