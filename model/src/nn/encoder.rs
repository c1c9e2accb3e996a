//! The audio encoder: two convolutions, a Whisper-shaped transformer, pooling and a final norm.
//!
//! Only the audio's own positions are computed, not the padded window; the values are the same (the convolution
//! rows past the audio are masked out as keys and never read).

use burn::tensor::Tensor;
use idk_audio::LogMel;

use crate::arch::audio::AudioRule;
use crate::arch::config::AudioConfig;
use crate::arch::names::{ENCODER, ENCODER_NORM, ENCODER_POSITIONS, encoder_layer, layer};
use crate::device::parallel::{map_in_order, workers};
use crate::error::ModelError;
use crate::fused::{AttentionMask, attention, gelu};
use crate::nn::convolution::Convolutions;
use crate::nn::linear::{ForwardContext, Linear};
use crate::nn::norm::LayerNorm;
use crate::nn::source::TensorSource;
use crate::nn::tensor_mut::TensorMut;

/// Most clips that are encoded as one batch.
const MAX_CLIPS: usize = 16;

/// Most attention scores that one batch may hold at a time, in elements (256 MB in float32).
const MAX_SCORES: usize = 1 << 26;

/// The audio encoder.
#[derive(Clone, Debug)]
pub struct AudioEncoder {
    convolutions: Convolutions,
    embed_positions: Tensor<2>, // [max positions, d_model]
    layers: Vec<EncoderLayer>,
    layer_norm: LayerNorm,
    /// Positions are padded to a multiple of this.
    pub(crate) pad_to: usize,
    config: AudioConfig,
    rule: AudioRule,
}

#[derive(Clone, Debug)]
struct EncoderLayer {
    self_attn_layer_norm: LayerNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    final_layer_norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

/// The intermediate values of one clip, for comparison with a reference implementation.
#[derive(Clone, Debug)]
pub struct EncoderStages {
    /// After both convolutions and their gelu, before the positions are added: `[positions, d_model]`.
    pub conv: Tensor<2>,
    /// After each layer: `[positions, d_model]`.
    pub layers: Vec<Tensor<2>>,
    /// After pooling and the final norm: `[audio_tokens, d_model]`.
    pub out: Tensor<2>,
}

/// Encoded clips, rows of all clips one after the other with unused rows between.
pub(crate) struct EncodedRows {
    /// `[rows, d_model]`.
    pub(crate) rows: Tensor<2>,
    /// First row and number of rows of every clip.
    pub(crate) places: Vec<(usize, usize)>,
}

/// Sizes and mask of one batch.
struct EncoderPass<'a> {
    clips: usize,
    positions: usize,
    heads: usize,
    attention_mask: AttentionMask,
    context: &'a ForwardContext<'a>,
}

impl AudioEncoder {
    pub(crate) fn build(
        config: &AudioConfig,
        rule: AudioRule,
        source: &mut TensorSource,
    ) -> Result<Self, ModelError> {
        let convolutions = Convolutions::build(source)?;
        let embed_positions = source.tensor(ENCODER_POSITIONS)?;
        let layers = (0..config.encoder_layers)
            .map(|index| EncoderLayer::build(&layer(ENCODER, index), source))
            .collect::<Result<_, _>>()?;
        let layer_norm = source.layer_norm(ENCODER_NORM.to_owned())?;
        Ok(Self {
            convolutions,
            embed_positions,
            layers,
            layer_norm,
            pad_to: 1,
            config: config.clone(),
            rule,
        })
    }

    /// Encodes one or more clips of any lengths. Clips of similar length run as one batch, padded and masked.
    ///
    /// # Errors
    /// [`ModelError::MelBands`] or [`ModelError::Input`] for a spectrogram that does not fit the encoder.
    pub(crate) fn encode(
        &self,
        mels: &[&LogMel],
        context: &ForwardContext,
    ) -> Result<EncodedRows, ModelError> {
        mels.iter().try_for_each(|mel| self.check(mel))?;
        let mut order: Vec<usize> = (0..mels.len()).collect();
        order.sort_by_key(|&clip| self.positions(mels[clip]));
        let batches = self.batches(&order, mels);
        // An autodiff graph is recorded on one thread; without one, batches are independent.
        let tracked = self.layer_norm.weight.is_autodiff()
            || context
                .adapters
                .is_some_and(|adapters| adapters.modules.values().any(|pair| pair.a.is_autodiff()));
        let threads = if tracked { 1 } else { workers(&self.layer_norm.weight.device()) };
        let encoded = map_in_order(&batches, threads, |batch| {
            let clips: Vec<&LogMel> = batch.iter().map(|&clip| mels[clip]).collect();
            self.encode_batch(&clips, context, None)
        });
        let mut places = vec![(0, 0); mels.len()];
        let mut start = 0;
        for (batch, rows) in batches.iter().zip(&encoded) {
            let stride = rows.dims()[0] / batch.len();
            for (index, &clip) in batch.iter().enumerate() {
                places[clip] = (start + index * stride, self.rule.tokens(mels[clip].valid_frames));
            }
            start += rows.dims()[0];
        }
        let rows = match <[Tensor<2>; 1]>::try_from(encoded) {
            Ok([rows]) => rows,
            Err(many) => Tensor::cat(many, 0),
        };
        Ok(EncodedRows { rows, places })
    }

    /// The intermediate values of one clip.
    ///
    /// # Errors
    /// [`ModelError::MelBands`] or [`ModelError::Input`] for a spectrogram that does not fit the encoder.
    pub fn stages(&self, mel: &LogMel, context: &ForwardContext) -> Result<EncoderStages, ModelError> {
        self.check(mel)?;
        let mut trace = Vec::with_capacity(self.layers.len() + 1);
        let out = self.encode_batch(&[mel], context, Some(&mut trace));
        let conv = trace.remove(0);
        Ok(EncoderStages { conv, layers: trace, out })
    }

    /// Positions that belong to the clip.
    fn positions(&self, mel: &LogMel) -> usize {
        self.rule.positions(mel.valid_frames)
    }

    fn check(&self, mel: &LogMel) -> Result<(), ModelError> {
        if mel.bands != self.config.num_mel_bins {
            return Err(ModelError::MelBands { expected: self.config.num_mel_bins, found: mel.bands });
        }
        let (positions, most) = (self.positions(mel), self.config.max_source_positions);
        if positions > most {
            let what = format!("the clip needs {positions} encoder positions, the model has {most}");
            return Err(ModelError::Input { what });
        }
        let tokens = self.rule.tokens(mel.valid_frames);
        if tokens == 0 || mel.data.len() != mel.bands * mel.frames || mel.frames < 2 * positions {
            let what = format!(
                "a spectrogram of {} frames, {} of them audio, is too short for one audio token",
                mel.frames, mel.valid_frames
            );
            return Err(ModelError::Input { what });
        }
        Ok(())
    }

    /// Splits the clips, sorted by length, into batches that fit in memory.
    fn batches(&self, order: &[usize], mels: &[&LogMel]) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for &clip in order {
            let positions = self.positions(mels[clip]);
            let scores = positions * positions * self.config.encoder_attention_heads;
            match batches.last_mut() {
                Some(batch) if batch.len() < MAX_CLIPS && (batch.len() + 1) * scores <= MAX_SCORES => {
                    batch.push(clip);
                }
                _ => batches.push(vec![clip]),
            }
        }
        batches
    }

    /// Pooled and normed rows of a batch.
    ///
    /// # Shapes
    /// - output: `[clips * (positions of the longest / pool), d_model]`
    fn encode_batch(
        &self,
        mels: &[&LogMel],
        context: &ForwardContext,
        mut trace: Option<&mut Vec<Tensor<2>>>,
    ) -> Tensor<2> {
        let lengths: Vec<usize> = mels.iter().map(|mel| self.positions(mel)).collect();
        let (clips, longest) = (mels.len(), lengths.iter().copied().max().unwrap_or(0));
        // Padded positions are masked as keys; their rows lie between the clips' and are never read.
        let positions = longest.next_multiple_of(self.pad_to).min(self.config.max_source_positions);
        let width = self.config.d_model;
        let pass = EncoderPass {
            clips,
            positions,
            heads: self.config.encoder_attention_heads,
            attention_mask: AttentionMask::lengths(&lengths, positions),
            context,
        };
        let x = self.convolutions.forward(mels, positions); // [clips * positions, d_model]
        if let Some(stages) = trace.as_deref_mut() {
            stages.push(x.clone());
        }
        let places = self.embed_positions.clone().narrow(0, 0, positions).unsqueeze::<3>();
        let x = x.reshape([clips, positions, width]) + places;
        let mut x = x.reshape([clips * positions, width]);
        for layer in &self.layers {
            x = layer.forward(x, &pass);
            if let Some(stages) = trace.as_deref_mut() {
                stages.push(x.clone());
            }
        }
        let pool = self.rule.pool;
        let tokens = positions / pool;
        let whole = x.reshape([clips, positions, width]).narrow(1, 0, pool * tokens);
        let pooled =
            whole.reshape([clips * tokens, pool, width]).mean_dim(1).reshape([clips * tokens, width]);
        self.layer_norm.forward(pooled)
    }

    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        self.convolutions.for_each_tensor(f);
        f(ENCODER_POSITIONS, TensorMut::R2(&mut self.embed_positions));
        for layer in &mut self.layers {
            layer.for_each_tensor(f);
        }
        self.layer_norm.for_each_tensor(f);
    }
}

impl EncoderLayer {
    fn build(layer: &str, source: &mut TensorSource) -> Result<Self, ModelError> {
        let at = |module: &str| format!("{layer}.{module}");
        Ok(Self {
            self_attn_layer_norm: source.layer_norm(at(encoder_layer::ATTENTION_NORM))?,
            q_proj: source.linear(at(encoder_layer::QUERY))?,
            k_proj: source.linear(at(encoder_layer::KEY))?,
            v_proj: source.linear(at(encoder_layer::VALUE))?,
            out_proj: source.linear(at(encoder_layer::OUT))?,
            final_layer_norm: source.layer_norm(at(encoder_layer::FEED_FORWARD_NORM))?,
            fc1: source.linear(at(encoder_layer::UP))?,
            fc2: source.linear(at(encoder_layer::DOWN))?,
        })
    }

    fn forward(&self, x: Tensor<2>, pass: &EncoderPass) -> Tensor<2> {
        let x = x.clone() + self.attend(self.self_attn_layer_norm.forward(x), pass);
        let inner = self.fc1.forward(self.final_layer_norm.forward(x.clone()), pass.context);
        x + self.fc2.forward(gelu(inner), pass.context)
    }

    fn attend(&self, x: Tensor<2>, pass: &EncoderPass) -> Tensor<2> {
        let [rows, width] = x.dims();
        let head_dim = width / pass.heads;
        let split =
            |x: Tensor<2>| x.reshape([pass.clips, pass.positions, pass.heads, head_dim]).swap_dims(1, 2);
        let q = split(self.q_proj.forward(x.clone(), pass.context));
        let k = split(self.k_proj.forward(x.clone(), pass.context));
        let v = split(self.v_proj.forward(x, pass.context));
        let out = attention(q, k, v, (head_dim as f64).powf(-0.5), &pass.attention_mask); // [clips, heads, positions, head_dim]
        self.out_proj.forward(out.swap_dims(1, 2).reshape([rows, width]), pass.context)
    }

    fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        self.self_attn_layer_norm.for_each_tensor(f);
        for linear in [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.out_proj] {
            linear.for_each_tensor(f);
        }
        self.final_layer_norm.for_each_tensor(f);
        self.fc1.for_each_tensor(f);
        self.fc2.for_each_tensor(f);
    }
}
