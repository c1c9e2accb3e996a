//! The audio encoder: two convolutions, a Whisper-shaped transformer, pooling and a final norm.
//!
//! A clip is encoded window by window ([`AudioRule`]). Of a window only the audio's own positions are computed, not the
//! padding; the values are the same (the convolution rows past the audio are masked out as keys and never read).

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use idk_audio::{LogMel, MelConfig};

use crate::arch::audio::{AudioRule, Pooling, Windows, windows};
use crate::arch::config::AudioConfig;
use crate::arch::names::{ENCODER, ENCODER_NORM, ENCODER_POSITIONS, encoder_layer, layer};
use crate::device::parallel::map_in_order;
use crate::error::ModelError;
use crate::fused::{AttentionMask, attention, gelu};
use crate::nn::convolution::{Convolutions, EncoderWindow};
use crate::nn::linear::{ForwardContext, Linear};
use crate::nn::norm::LayerNorm;
use crate::nn::rotary_time::rotate_by_time;
use crate::nn::sinusoids::sinusoids;
use crate::nn::source::TensorSource;
use crate::nn::tensor_mut::TensorMut;

/// Most windows that are encoded as one batch.
const MAX_WINDOWS: usize = 16;

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
    /// Frames that a window spans.
    window_frames: usize,
    config: AudioConfig,
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

/// The intermediate values of one clip, for comparison with a reference implementation: the rows of its windows, one
/// window after the other.
#[derive(Clone, Debug, Default)]
pub struct EncoderStages {
    /// After both convolutions and their gelu, before the positions are added: `[positions, d_model]`.
    pub conv: Vec<Tensor<2>>,
    /// What the first layer reads: `[positions, d_model]`.
    pub embed: Vec<Tensor<2>>,
    /// After each layer: `[positions, d_model]`.
    pub layers: Vec<Vec<Tensor<2>>>,
    /// After the final norm: `[audio_tokens, d_model]`, or `[positions, d_model]` where that comes before the pooling.
    pub out: Vec<Tensor<2>>,
    /// What the projector reads: `[audio_tokens, width]`.
    pub pooled: Vec<Tensor<2>>,
}

/// Encoded clips, rows of all windows one after the other with unused rows between.
pub(crate) struct EncodedRows {
    /// `[rows, width]`.
    pub(crate) rows: Tensor<2>,
    /// First row and number of rows of every window of every clip.
    pub(crate) places: Vec<Vec<(usize, usize)>>,
}

/// Sizes and mask of one batch.
struct EncoderPass<'a> {
    windows: usize,
    positions: usize,
    heads: usize,
    attention_mask: AttentionMask,
    context: &'a ForwardContext<'a>,
}

impl AudioEncoder {
    pub(crate) fn build(
        config: &AudioConfig,
        mel: &MelConfig,
        source: &mut TensorSource,
    ) -> Result<Self, ModelError> {
        let convolutions = Convolutions::build(source)?;
        let embed_positions = if config.stored_positions {
            source.tensor(ENCODER_POSITIONS)?
        } else {
            let (rows, width) = (config.max_source_positions, config.d_model);
            let table = TensorData::new(sinusoids(rows, width), [rows, width]);
            Tensor::from_data(table, (source.device, convolutions.dtype()))
        };
        let layers = (0..config.encoder_layers)
            .map(|index| EncoderLayer::build(&layer(ENCODER, index), source))
            .collect::<Result<_, _>>()?;
        let layer_norm = source.layer_norm(ENCODER_NORM.to_owned())?;
        let (frames, positions) = (mel.window_frames(), config.max_source_positions);
        if config.rule.windows == Windows::Filled && frames != 2 * positions {
            let what = format!("windows of {frames} frames are not the {positions} positions of the encoder");
            return Err(ModelError::Input { what });
        }
        Ok(Self {
            convolutions,
            embed_positions,
            layers,
            layer_norm,
            pad_to: 1,
            window_frames: config.rule.window_frames(mel),
            config: config.clone(),
        })
    }

    /// Encodes one or more clips of any lengths. Windows of similar length run as one batch, padded and masked.
    ///
    /// # Errors
    /// [`ModelError::MelBands`] or [`ModelError::Input`] for a spectrogram that does not fit the encoder.
    pub(crate) fn encode(
        &self,
        mels: &[&LogMel],
        context: &ForwardContext,
    ) -> Result<EncodedRows, ModelError> {
        let mut windows: Vec<(usize, EncoderWindow)> = Vec::with_capacity(mels.len());
        for (clip, mel) in mels.iter().enumerate() {
            windows.extend(self.windows(mel)?.into_iter().map(|window| (clip, window)));
        }
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|&index| positions(&windows[index].1));
        let batches = self.batches(&order, &windows);
        // An autodiff graph is recorded on one thread; without one, batches are independent.
        let tracked = self.layer_norm.weight.is_autodiff()
            || context
                .adapters
                .is_some_and(|adapters| adapters.modules.values().any(|pair| pair.a.is_autodiff()));
        let encode = |batch: &Vec<usize>| {
            let windows: Vec<EncoderWindow> = batch.iter().map(|&index| windows[index].1).collect();
            self.encode_batch(&windows, context, None)
        };
        let encoded: Vec<Tensor<2>> = if tracked {
            batches.iter().map(encode).collect()
        } else {
            map_in_order(&batches, &self.layer_norm.weight.device(), encode)
        };
        let mut place_of = vec![(0, 0); windows.len()];
        let mut start = 0;
        for (batch, rows) in batches.iter().zip(&encoded) {
            let stride = rows.dims()[0] / batch.len();
            for (index, &window) in batch.iter().enumerate() {
                place_of[window] = (start + index * stride, self.tokens(&windows[window].1));
            }
            start += rows.dims()[0];
        }
        let mut places = vec![Vec::new(); mels.len()];
        for ((clip, _), place) in windows.iter().zip(place_of) {
            places[*clip].push(place);
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
        let mut stages =
            EncoderStages { layers: vec![Vec::new(); self.layers.len()], ..EncoderStages::default() };
        for window in self.windows(mel)? {
            let pooled = self.encode_batch(&[window], context, Some(&mut stages));
            stages.pooled.push(pooled);
        }
        Ok(stages)
    }

    /// The windows of a clip that become tokens.
    fn windows<'a>(&self, mel: &'a LogMel) -> Result<Vec<EncoderWindow<'a>>, ModelError> {
        self.check(mel)?;
        let window = |(index, frames): (usize, Range<usize>)| {
            let readable = (mel.frames - frames.start).min(self.window_frames);
            EncoderWindow { mel, index, first: frames.start, frames: readable, valid: frames.len() }
        };
        let all = windows(mel.valid_frames, self.window_frames).enumerate().map(window);
        Ok(all.filter(|window| self.tokens(window) > 0).collect())
    }

    fn tokens(&self, window: &EncoderWindow) -> usize {
        positions(window) / self.config.rule.pool
    }

    fn check(&self, mel: &LogMel) -> Result<(), ModelError> {
        if mel.bands != self.config.num_mel_bins {
            return Err(ModelError::MelBands { expected: self.config.num_mel_bins, found: mel.bands });
        }
        let longest = AudioRule::window_positions(mel.valid_frames.min(self.window_frames));
        let most = self.config.max_source_positions;
        if longest > most {
            let what = format!("the clip needs {longest} encoder positions, the model has {most}");
            return Err(ModelError::Input { what });
        }
        // A bare window ends with its last frame; elsewhere every position has two frames of its own.
        let needed = match self.config.rule.windows {
            Windows::Bare { .. } => mel.valid_frames,
            _ => 2 * AudioRule::window_positions(mel.valid_frames),
        };
        let is_short = longest < self.config.rule.pool || mel.frames < needed;
        if is_short || mel.data.len() != mel.bands * mel.frames {
            let what = format!(
                "a spectrogram of {} frames, {} of them audio, is too short for one audio token",
                mel.frames, mel.valid_frames
            );
            return Err(ModelError::Input { what });
        }
        Ok(())
    }

    /// Splits the windows, sorted by length, into batches that fit in memory.
    fn batches(&self, order: &[usize], windows: &[(usize, EncoderWindow)]) -> Vec<Vec<usize>> {
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for &index in order {
            let positions = positions(&windows[index].1);
            let scores = positions * positions * self.config.encoder_attention_heads;
            match batches.last_mut() {
                Some(batch) if batch.len() < MAX_WINDOWS && (batch.len() + 1) * scores <= MAX_SCORES => {
                    batch.push(index);
                }
                _ => batches.push(vec![index]),
            }
        }
        batches
    }

    /// Pooled and normed rows of a batch.
    ///
    /// # Shapes
    /// - output: `[windows * (positions of the longest / pool), width]`
    fn encode_batch(
        &self,
        windows: &[EncoderWindow],
        context: &ForwardContext,
        mut trace: Option<&mut EncoderStages>,
    ) -> Tensor<2> {
        let lengths: Vec<usize> = windows.iter().map(positions).collect();
        let (count, longest) = (windows.len(), lengths.iter().copied().max().unwrap_or(0));
        // Padded positions are masked as keys; their rows lie between the clips' and are never read.
        let positions = longest.next_multiple_of(self.pad_to).min(self.config.max_source_positions);
        let width = self.config.d_model;
        let pass = EncoderPass {
            windows: count,
            positions,
            heads: self.config.encoder_attention_heads,
            attention_mask: AttentionMask::lengths(&lengths, positions),
            context,
        };
        let bare = matches!(self.config.rule.windows, Windows::Bare { .. });
        let x = self.convolutions.forward(windows, positions, bare); // [windows * positions, d_model]
        let places = self.embed_positions.clone().narrow(0, 0, positions).unsqueeze::<3>();
        if let Some(stages) = trace.as_deref_mut() {
            stages.conv.push(x.clone());
        }
        let x = x.reshape([count, positions, width]) + places;
        let mut x = x.reshape([count * positions, width]);
        if let Some(stages) = trace.as_deref_mut() {
            stages.embed.push(x.clone());
        }
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x, &pass);
            if let Some(stages) = trace.as_deref_mut() {
                stages.layers[index].push(x.clone());
            }
        }
        self.pool(x, windows, positions, trace)
    }

    /// The final norm and the pooling, in the order of the family; then the rotation by time if it has one.
    fn pool(
        &self,
        x: Tensor<2>,
        windows: &[EncoderWindow],
        positions: usize,
        trace: Option<&mut EncoderStages>,
    ) -> Tensor<2> {
        let (count, width, pool) = (windows.len(), self.config.d_model, self.config.rule.pool);
        let tokens = positions / pool;
        let whole = |x: Tensor<2>| x.reshape([count, positions, width]).narrow(1, 0, pool * tokens);
        let (out, pooled) = match self.config.rule.pooling {
            Pooling::Mean => {
                let mean = whole(x).reshape([count * tokens, pool, width]).mean_dim(1);
                let out = self.layer_norm.forward(mean.reshape([count * tokens, width]));
                (out.clone(), out)
            }
            Pooling::Stack => {
                let out = self.layer_norm.forward(x);
                (out.clone(), whole(out).reshape([count * tokens, pool * width]))
            }
        };
        if let Some(stages) = trace {
            stages.out.push(out);
        }
        match &self.config.rotary_time {
            None => pooled,
            Some(rotary) => {
                let per_window = AudioRule::window_positions(self.window_frames) / pool;
                let indices: Vec<usize> = windows.iter().map(|window| window.index).collect();
                rotate_by_time(pooled, rotary, &indices, per_window)
            }
        }
    }

    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        self.convolutions.for_each_tensor(f);
        if self.config.stored_positions {
            f(ENCODER_POSITIONS, TensorMut::R2(&mut self.embed_positions));
        }
        for layer in &mut self.layers {
            layer.for_each_tensor(f);
        }
        self.layer_norm.for_each_tensor(f);
    }
}

/// Positions that belong to the clip in a window.
fn positions(window: &EncoderWindow) -> usize {
    AudioRule::window_positions(window.valid)
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
            |x: Tensor<2>| x.reshape([pass.windows, pass.positions, pass.heads, head_dim]).swap_dims(1, 2);
        let q = split(self.q_proj.forward(x.clone(), pass.context));
        let k = split(self.k_proj.forward(x.clone(), pass.context));
        let v = split(self.v_proj.forward(x, pass.context));
        let out = attention(q, k, v, (head_dim as f64).powf(-0.5), &pass.attention_mask); // [windows, heads, positions, head_dim]
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
