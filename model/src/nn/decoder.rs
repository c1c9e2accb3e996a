//! The language model: Qwen2 (pre-norm transformer, grouped-query attention, rotary positions, SwiGLU).

use std::borrow::Cow;
use std::sync::Arc;

use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::arch::config::TextConfig;
use crate::arch::names::{DECODER, DECODER_NORM, EMBEDDING, HEAD, decoder_layer, layer};
use crate::error::ModelError;
use crate::fused::{AttentionMask, attention, linear, recompute, swiglu};
use crate::lora::{Adapters, LoraPair};
use crate::nn::batch::positions;
use crate::nn::cache::KvCache;
use crate::nn::linear::{ForwardContext, Linear, LinearWeight};
use crate::nn::norm::RmsNorm;
use crate::nn::rope::{Angles, Rope};
use crate::nn::source::TensorSource;
use crate::nn::tensor_mut::TensorMut;
use crate::weights::Quantisation;

/// The language model with its embedding and output head.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// `[vocab, hidden]`.
    pub embed_tokens: Tensor<2>,
    /// Transformer layers, first to last.
    pub layers: Vec<DecoderLayer>,
    /// The norm after the last layer.
    pub norm: RmsNorm,
    /// Output head; `None` if it is tied to the embedding.
    pub lm_head: Option<Linear>,
    /// Sequences are padded to a multiple of this many tokens.
    pub(crate) pad_to: usize,
    /// Whether layers are run again in the backward pass.
    pub(crate) gradient_checkpointing: bool,
    config: TextConfig,
    rope: Rope,
}

/// One transformer layer.
#[derive(Clone, Debug)]
pub struct DecoderLayer {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    post_attention_layernorm: RmsNorm,
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

/// What the layers of one pass share. Only `wanted` differs, in the last one.
#[derive(Clone)]
struct DecoderPass<'a> {
    batch: usize,
    seq: usize,
    /// Tokens at the end of each row whose states the layer computes: all of them, and in the last layer those asked for.
    wanted: usize,
    angles: Angles,
    attention_mask: AttentionMask,
    context: &'a ForwardContext<'a>,
}

impl Decoder {
    pub(crate) fn build(config: &TextConfig, source: &mut TensorSource) -> Result<Self, ModelError> {
        let embed_tokens = source.tensor(EMBEDDING)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| DecoderLayer::build(&layer(DECODER, index), config.rms_norm_eps, source))
            .collect::<Result<_, _>>()?;
        let norm = source.rms_norm(DECODER_NORM.to_owned(), config.rms_norm_eps)?;
        let tied = config.tie_word_embeddings;
        let lm_head = if tied { None } else { Some(source.linear(HEAD.to_owned())?) };
        let rope =
            Rope::new(config.head_dim, config.rope_theta, config.max_position_embeddings, source.device);
        let (pad_to, gradient_checkpointing, config) = (1, false, config.clone());
        Ok(Self { embed_tokens, layers, norm, lm_head, pad_to, gradient_checkpointing, config, rope })
    }

    /// Type that the model computes in: that of its weights, unless they are quantised.
    pub fn dtype(&self) -> DType {
        self.embed_tokens.dtype()
    }

    /// How the weights of its layers are held, if in fewer bits than they are computed in.
    pub fn quantisation(&self) -> Option<Quantisation> {
        match &self.layers.first()?.q_proj.weight {
            LinearWeight::Plain(_) => None,
            LinearWeight::Quantised(weight) => Some(weight.quantisation()),
        }
    }

    /// Embedding rows of tokens, without audio.
    ///
    /// # Shapes
    /// - output: `[ids, hidden]`
    ///
    /// # Panics
    /// If an id is not below the vocabulary's size.
    pub fn embed_ids(&self, ids: &[u32]) -> Tensor<2> {
        let index: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let device = self.embed_tokens.device();
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [ids.len()]), &device);
        self.embed_tokens.clone().select(0, index)
    }

    /// Hidden states after the final norm. With a cache, `embeds` and `mask` are the new tokens only.
    ///
    /// # Shapes
    /// - `embeds`: `[batch, seq, hidden]`
    /// - `mask`: `batch` rows of `seq` flags, true = a real token
    /// - output: `[batch, seq, hidden]`
    ///
    /// # Panics
    /// If the mask has another shape, or a row goes beyond `max_position_embeddings` or the cache's capacity.
    pub fn hidden(
        &self,
        embeds: Tensor<3>,
        mask: &[Vec<bool>],
        context: &ForwardContext,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let seq = embeds.dims()[1];
        self.run(embeds, mask, context, seq, cache, None)
    }

    /// [`Decoder::hidden`] of the last `count` tokens of each row. The last layer computes no more than these, apart from
    /// its keys and values: no later layer looks at the others.
    ///
    /// # Shapes
    /// - output: `[batch, count, hidden]`
    ///
    /// # Panics
    /// As [`Decoder::hidden`], and if a row has fewer tokens.
    pub fn hidden_at_end(
        &self,
        embeds: Tensor<3>,
        mask: &[Vec<bool>],
        context: &ForwardContext,
        count: usize,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        self.run(embeds, mask, context, count, cache, None)
    }

    /// The states that transformers calls `hidden_states`: the embeddings, the output of every layer but the last, and
    /// the output of the final norm.
    ///
    /// # Shapes
    /// - `embeds` and each output: `[batch, seq, hidden]`
    ///
    /// # Panics
    /// As [`Decoder::hidden`].
    pub fn hidden_states(
        &self,
        embeds: Tensor<3>,
        mask: &[Vec<bool>],
        context: &ForwardContext,
    ) -> Vec<Tensor<3>> {
        let mut states = Vec::with_capacity(self.layers.len() + 1);
        let seq = embeds.dims()[1];
        let last = self.run(embeds, mask, context, seq, None, Some(&mut states));
        states.push(last);
        states
    }

    fn run(
        &self,
        embeds: Tensor<3>,
        mask: &[Vec<bool>],
        context: &ForwardContext,
        count: usize,
        cache: Option<&mut KvCache>,
        trace: Option<&mut Vec<Tensor<3>>>,
    ) -> Tensor<3> {
        let [batch, seq, hidden] = embeds.dims();
        assert!(count <= seq, "more tokens are wanted than there are");
        assert!(
            mask.len() == batch && mask.iter().all(|row| row.len() == seq),
            "mask and embeddings differ in shape"
        );
        let padding = seq.next_multiple_of(self.pad_to) - seq;
        // Only in front of a whole sequence, and where the cache has been given room for it.
        let fits = cache.as_ref().is_none_or(|cache| cache.is_empty() && cache.has_room_for_padding());
        if padding == 0 || !fits || trace.is_some() {
            return self.run_layers(embeds, mask, context, count, cache, trace);
        }
        // Masked tokens in front change no value but make lengths repeat, and with them the shapes of a GPU's kernels.
        let device = embeds.device().inner();
        let front = Tensor::zeros([batch, padding, hidden], (&device, embeds.dtype()));
        let mask: Vec<Vec<bool>> =
            mask.iter().map(|row| [vec![false; padding], row.clone()].concat()).collect();
        self.run_layers(Tensor::cat(vec![front, embeds], 1), &mask, context, count, cache, trace)
    }

    fn run_layers(
        &self,
        embeds: Tensor<3>,
        mask: &[Vec<bool>],
        context: &ForwardContext,
        count: usize,
        mut cache: Option<&mut KvCache>,
        mut trace: Option<&mut Vec<Tensor<3>>>,
    ) -> Tensor<3> {
        let [batch, seq, hidden] = embeds.dims();
        let starts = cache.as_ref().map_or_else(|| vec![0; batch], |cache| cache.next_positions());
        let places: Vec<Vec<i32>> =
            mask.iter().zip(starts).map(|(row, start)| positions(row, start)).collect();
        let key_mask = match cache.as_deref_mut() {
            Some(cache) => cache.extend_mask(mask),
            None => Cow::Borrowed(mask),
        };
        let attention_mask = AttentionMask::causal(&key_mask);
        let angles = self.rope.angles(&places, embeds.dtype());
        let mut pass = DecoderPass { batch, seq, wanted: seq, angles, attention_mask, context };
        let mut x = embeds.reshape([batch * seq, hidden]);
        for (index, layer) in self.layers.iter().enumerate() {
            if let Some(states) = trace.as_deref_mut() {
                states.push(x.clone().reshape([batch, seq, hidden]));
            }
            if index + 1 == self.layers.len() {
                // Rounded up, as the length is.
                pass.wanted = count.next_multiple_of(self.pad_to).min(seq);
                if pass.wanted < seq {
                    pass.attention_mask = pass.attention_mask.for_fewer_queries();
                }
            }
            x = match cache.as_deref_mut() {
                None if self.gradient_checkpointing && !layer.is_trained() => {
                    layer.forward_again(x, &self.config, &pass)
                }
                cache => layer.forward(x, &self.config, &pass, cache.map(|cache| (cache, index))),
            };
        }
        if let Some(cache) = cache {
            cache.advance(seq);
        }
        let x = last_rows(x, batch, pass.wanted, count);
        self.norm.forward(x).reshape([batch, count, hidden])
    }

    /// Next-token scores.
    ///
    /// # Shapes
    /// - `hidden`: `[rows, hidden]`, after the final norm
    /// - output: `[rows, vocab]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        match &self.lm_head {
            Some(head) => head.forward(hidden, &ForwardContext::default()),
            None => linear(hidden, &self.embed_tokens, None),
        }
    }

    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        f(EMBEDDING, TensorMut::R2(&mut self.embed_tokens));
        for layer in &mut self.layers {
            layer.for_each_tensor(f);
        }
        self.norm.for_each_tensor(f);
        if let Some(head) = &mut self.lm_head {
            head.for_each_tensor(f);
        }
    }
}

impl DecoderLayer {
    fn build(layer: &str, epsilon: f64, source: &mut TensorSource) -> Result<Self, ModelError> {
        let at = |module: &str| format!("{layer}.{module}");
        Ok(Self {
            input_layernorm: source.rms_norm(at(decoder_layer::ATTENTION_NORM), epsilon)?,
            q_proj: source.linear(at(decoder_layer::QUERY))?,
            k_proj: source.linear(at(decoder_layer::KEY))?,
            v_proj: source.linear(at(decoder_layer::VALUE))?,
            o_proj: source.linear(at(decoder_layer::OUT))?,
            post_attention_layernorm: source.rms_norm(at(decoder_layer::FEED_FORWARD_NORM), epsilon)?,
            gate_proj: source.linear(at(decoder_layer::GATE))?,
            up_proj: source.linear(at(decoder_layer::UP))?,
            down_proj: source.linear(at(decoder_layer::DOWN))?,
        })
    }

    fn forward(
        &self,
        x: Tensor<2>,
        config: &TextConfig,
        pass: &DecoderPass,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<2> {
        let attended = self.attend(self.input_layernorm.forward(x.clone()), config, pass, cache);
        let x = last_rows(x, pass.batch, pass.seq, pass.wanted) + attended;
        let normed = self.post_attention_layernorm.forward(x.clone());
        let gate = self.gate_proj.forward(normed.clone(), pass.context); // [batch * wanted, intermediate]
        let up = self.up_proj.forward(normed, pass.context);
        x + self.down_proj.forward(swiglu(gate, up), pass.context)
    }

    /// [`DecoderLayer::forward`] that keeps its input alone for the backward pass, and runs the layer again there.
    fn forward_again(&self, x: Tensor<2>, config: &TextConfig, pass: &DecoderPass) -> Tensor<2> {
        let (mut names, mut pairs) = (Vec::new(), Vec::new());
        for linear in self.linears() {
            let pair = pass.context.adapters.and_then(|adapters| adapters.modules.get(&linear.name));
            if let Some(pair) = pair {
                names.push((linear.name.clone(), pair.scale));
                pairs.extend([pair.a.clone(), pair.b.clone()]);
            }
        }
        let lora = pass.context.adapters.map(|adapters| (adapters.config.clone(), adapters.names));
        let (layer, config) = (self.clone(), config.clone());
        let (batch, seq, wanted, dropout_seed) =
            (pass.batch, pass.seq, pass.wanted, pass.context.dropout_seed);
        let (angles, attention_mask) = (pass.angles.clone(), pass.attention_mask.clone());
        let part = Arc::new(move |inputs: &[Tensor<2>]| {
            let modules = names.iter().zip(inputs[1..].chunks_exact(2)).map(|((name, scale), pair)| {
                (name.clone(), LoraPair { a: pair[0].clone(), b: pair[1].clone(), scale: *scale })
            });
            let modules = modules.collect();
            let adapters = lora.clone().map(|(config, names)| Adapters { config, names, modules });
            let context = ForwardContext { adapters: adapters.as_ref(), dropout_seed };
            let (angles, attention_mask) = (angles.clone(), attention_mask.clone());
            let pass = DecoderPass { batch, seq, wanted, angles, attention_mask, context: &context };
            layer.forward(inputs[0].clone(), &config, &pass, None)
        });
        if pairs.is_empty() {
            return recompute([x], pairs, part);
        }
        // In the first layer nothing but the adapters is tracked, so one of them is a parent as well as `x`.
        let first = pairs.remove(0);
        recompute([x, first], pairs, part)
    }

    fn linears(&self) -> [&Linear; 7] {
        [
            &self.q_proj,
            &self.k_proj,
            &self.v_proj,
            &self.o_proj,
            &self.gate_proj,
            &self.up_proj,
            &self.down_proj,
        ]
    }

    /// Whether the layer's own weights are trained, rather than adapters.
    fn is_trained(&self) -> bool {
        matches!(&self.q_proj.weight, LinearWeight::Plain(weight) if weight.is_autodiff())
    }

    fn attend(
        &self,
        x: Tensor<2>,
        config: &TextConfig,
        pass: &DecoderPass,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<2> {
        let (batch, seq, wanted, width) = (pass.batch, pass.seq, pass.wanted, config.head_dim);
        let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
        let split = |x: Tensor<2>, heads: usize| {
            let tokens = x.dims()[0] / batch;
            x.reshape([batch, tokens, heads, width]).swap_dims(1, 2)
        };
        let scale = (width as f64).powf(-0.5);
        let q = self.q_proj.forward(last_rows(x.clone(), batch, seq, wanted), pass.context);
        let q = pass.angles.at_end(wanted).rotate(split(q, heads));
        let k = split(self.k_proj.forward(x.clone(), pass.context), kv_heads);
        let v = split(self.v_proj.forward(x, pass.context), kv_heads);
        let k = pass.angles.rotate(k);
        let (k, v) = match cache {
            Some((cache, layer)) => cache.append(layer, k, v),
            None => (k, v),
        };
        let out = attention(q, k, v, scale, &pass.attention_mask);
        self.o_proj.forward(out.swap_dims(1, 2).reshape([batch * wanted, heads * width]), pass.context)
    }

    fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        self.input_layernorm.for_each_tensor(f);
        for linear in [&mut self.q_proj, &mut self.k_proj, &mut self.v_proj, &mut self.o_proj] {
            linear.for_each_tensor(f);
        }
        self.post_attention_layernorm.for_each_tensor(f);
        for linear in [&mut self.gate_proj, &mut self.up_proj, &mut self.down_proj] {
            linear.for_each_tensor(f);
        }
    }
}

/// The last `count` of the `seq` rows of each sequence.
///
/// # Shapes
/// - `x`: `[batch * seq, width]`
/// - output: `[batch * count, width]`
fn last_rows(x: Tensor<2>, batch: usize, seq: usize, count: usize) -> Tensor<2> {
    if count == seq {
        return x;
    }
    let width = x.dims()[1];
    x.reshape([batch, seq, width]).narrow(1, seq - count, count).reshape([batch * count, width])
}
