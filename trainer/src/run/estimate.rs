//! Estimates the memory of a training run of adapters from shapes alone.
//!
//! All sizes are bytes. Written for each part where it is computed; `tests/memory.rs` compares the sum with what a step
//! really allocates on the CPU. What the driver and the allocator of a GPU keep for themselves comes on top.

use std::fmt;

use idk_model::{LalmConfig, LoraConfig, Quantisation, TensorSpec, adapt_audio, dequantised_bytes};
use serde::Serialize;

use crate::error::TrainError;

/// Tokens of the answer, which carry the loss.
const ANSWER_TOKENS: usize = 10;

/// Clips that are encoded as one batch before the training.
const CLIPS_AT_ONCE: usize = 16;

/// Queries whose attention scores are held at once on a GPU.
const QUERY_BLOCK: usize = 256;

/// Rows that go through the model at once on the CPU.
///
/// A micro-batch is split into parts of this many rows, each on a thread of its own: the backend runs much of its work
/// on one thread. A constant, so that the bytes of an adapter do not depend on the number of threads.
const ROWS_ON_CPU: usize = 4;

/// Rows of a micro-batch of `batch_size` rows that go through the model at once.
#[must_use]
pub fn rows_at_once(batch_size: usize, on_gpu: bool) -> usize {
    if on_gpu { batch_size } else { batch_size.min(ROWS_ON_CPU) }
}

/// What decides how much memory a run takes.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryInput<'a> {
    /// Sizes of the model.
    pub model: &'a LalmConfig,
    /// The adapters.
    pub lora: &'a LoraConfig,
    /// Bytes of a weight of the base model: 2 (bfloat16) or 4 (float32).
    pub weight_bytes: usize,
    /// How the linear layers of the language model are held, if in fewer bits.
    pub quantisation: Option<Quantisation>,
    /// Whether the CPU's fused operations are used: float32 on the CPU.
    pub fused: bool,
    /// Audio tokens of the longest row.
    pub audio_tokens: usize,
    /// Tokens of the longest row besides its audio: system prompt, question, options and its longest answer.
    pub text_tokens: usize,
    /// Rows run through the model at once.
    pub batch_size: usize,
    /// Answers of each row. They share its prompt, unless layers are run again in the backward pass.
    pub answers_per_row: usize,
    /// Micro-batches that are computed at the same time: 1 on a GPU.
    pub at_once: usize,
    /// Audio tokens of all distinct clips of the rows.
    pub clip_tokens: u64,
    /// Most bytes of features that are kept over the training; what needs more is computed at each step.
    pub feature_limit_bytes: u64,
    /// Tokens to whose multiple sequences are padded.
    pub pad_to: usize,
    /// Whether layers are run again in the backward pass.
    pub gradient_checkpointing: bool,
}

/// Bytes of each part of a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// The frozen base model, with its rotary tables.
    pub weights: u64,
    /// The adapters, float32.
    pub lora: u64,
    /// Gradients and the two moments of AdamW, float32.
    pub optimiser: u64,
    /// The most that a forward and backward pass holds, or the encoding of clips if that is more.
    pub activations: u64,
    /// Audio features kept over the training.
    pub features: u64,
    /// Everything together.
    pub total: u64,
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gb = |bytes: u64| bytes as f64 / 1e9;
        write!(
            f,
            "{:.2} GB: weights {:.2}, adapters {:.2}, optimiser {:.2}, activations {:.2}, audio features {:.2}",
            gb(self.total),
            gb(self.weights),
            gb(self.lora),
            gb(self.optimiser),
            gb(self.activations),
            gb(self.features)
        )
    }
}

/// Memory of a run that trains adapters.
///
/// # Errors
/// As [`LoraConfig::adapted`], if the adapters do not fit the model.
pub fn estimate_memory(input: &MemoryInput<'_>) -> Result<MemoryEstimate, TrainError> {
    let text = &input.model.text;
    let rotary = text.max_position_embeddings * text.head_dim * 4; // cosines and sines of half a head each
    let weights = input.model.specs().iter().map(|spec| bytes_of(spec, input)).sum::<usize>() + rotary;
    let linears = input.model.linears();
    let adapted = input.lora.adapted(&linears)?;
    let sides = adapted.iter().filter_map(|name| linears.get(name)).map(|[output, inputs]| output + inputs);
    let lora = 4 * input.lora.rank * sides.sum::<usize>();
    let step = input.at_once * step_activations(input);
    let activations = step.max(encoding(input));
    let optimiser = 3 * lora;
    let features = input.clip_tokens * (text.hidden_size * input.weight_bytes) as u64;
    // While the encoder is trained, features change at each step.
    let limit = if adapt_audio(adapted.iter()) { 0 } else { input.feature_limit_bytes };
    let features = features.min(limit);
    let [weights, lora, optimiser, activations] =
        [weights, lora, optimiser, activations].map(|bytes| bytes as u64);
    let total = weights + lora + optimiser + activations + features;
    Ok(MemoryEstimate { weights, lora, optimiser, activations, features, total })
}

/// Bytes of a tensor of the base model.
fn bytes_of(spec: &TensorSpec, input: &MemoryInput<'_>) -> usize {
    match (spec.quantised(input.quantisation), spec.shape.as_slice()) {
        (Some(quantisation), &[out, inputs]) => quantisation.bytes([out, inputs]),
        _ => spec.elements() * input.weight_bytes,
    }
}

/// Bytes of the largest quantised weight, or of a part of it, while it is computed with.
fn dequantised(input: &MemoryInput<'_>) -> usize {
    let specs = input.model.specs();
    let quantised = specs.iter().filter(|spec| spec.quantised(input.quantisation).is_some());
    dequantised_bytes(quantised.map(TensorSpec::elements).max().unwrap_or(0), input.fused)
}

/// Tokens of a row with its longest answer, padding included.
fn seq(input: &MemoryInput<'_>) -> usize {
    (input.audio_tokens + input.text_tokens).next_multiple_of(input.pad_to.max(1))
}

/// Prompts that go through the model at once: where layers are run again, one for each answer.
fn prompts(input: &MemoryInput<'_>) -> usize {
    input.batch_size * if input.gradient_checkpointing { input.answers_per_row } else { 1 }
}

/// Tokens that go through the model at once.
fn tokens(input: &MemoryInput<'_>) -> usize {
    let further_answers = input.batch_size * input.answers_per_row - prompts(input);
    prompts(input) * seq(input) + further_answers * ANSWER_TOKENS
}

/// Embeddings, what the layers keep for the backward pass, and the largest of what is needed for a moment: a layer's
/// backward pass, or the logits of the labels.
fn step_activations(input: &MemoryInput<'_>) -> usize {
    let text = &input.model.text;
    let tokens = tokens(input);
    let state = tokens * text.hidden_size * input.weight_bytes;
    let layer = if input.fused { fused_layer(input, tokens) } else { graph_layer(input, tokens) };
    // Gradients on their way through a layer: the gated activation's three, or about that.
    let backward = 3 * tokens * text.intermediate_size * 4;
    let kept = if input.gradient_checkpointing {
        text.num_hidden_layers * state + layer
    } else {
        text.num_hidden_layers * layer
    };
    let labels = input.batch_size * input.answers_per_row * ANSWER_TOKENS;
    // As they come, in float32, and their gradient; without fused operations also shifted and exponentiated.
    let logits = labels * text.vocab_size * if input.fused { 4 } else { input.weight_bytes + 4 * 4 };
    state + kept + (backward + dequantised(input)).max(logits)
}

/// Bytes that a decoder layer of fused operations keeps: the inputs of both norms, of the seven projections (those of one
/// norm share theirs) and of attention and gating.
fn fused_layer(input: &MemoryInput<'_>, tokens: usize) -> usize {
    let text = &input.model.text;
    let queries = text.num_attention_heads * text.head_dim;
    let keys = text.num_key_value_heads * text.head_dim;
    let per_token = 4 * text.hidden_size + 2 * queries + 2 * keys + 3 * text.intermediate_size;
    4 * tokens * per_token
}

/// Bytes that a decoder layer of single operations keeps for the backward pass. In float32: the inputs of both norms and
/// those of the seven adapters, a copy each; the SiLU's input and its sigmoid. In the weights' type: queries, keys and
/// values with a copy for each block of queries, and both factors of the gate. And one block of attention scores.
fn graph_layer(input: &MemoryInput<'_>, tokens: usize) -> usize {
    let text = &input.model.text;
    let seq = seq(input);
    let queries = text.num_attention_heads * text.head_dim;
    let keys = text.num_key_value_heads * text.head_dim;
    let blocks = seq.div_ceil(QUERY_BLOCK);
    // Blocks see more and more of the keys: half of them on average.
    let copies = if blocks == 1 { 1 } else { 1 + blocks.div_ceil(2) };
    let single = 7 * text.hidden_size + queries + 3 * text.intermediate_size;
    let half = queries + copies * (queries + 2 * keys) + 2 * text.intermediate_size;
    let block = prompts(input) * text.num_attention_heads * seq.min(QUERY_BLOCK) * seq;
    // Scores, their exponentials, the weights and their gradients.
    tokens * (4 * single + input.weight_bytes * half) + 4 * 4 * block
}

/// The most that encoding a batch of clips takes, without gradients: the residual stream, the wide activation of the
/// feed-forward layer twice, and a block of attention scores with its exponentials.
fn encoding(input: &MemoryInput<'_>) -> usize {
    let audio = &input.model.audio;
    let positions = (audio.rule.pool * input.audio_tokens).min(audio.window_positions());
    let rows = CLIPS_AT_ONCE * positions;
    let wide = if input.fused { 4 } else { 4 + input.weight_bytes };
    let scores = CLIPS_AT_ONCE * audio.encoder_attention_heads * positions.min(QUERY_BLOCK) * positions;
    let scores = if input.fused { 0 } else { 2 * 4 * scores };
    rows * (2 * input.weight_bytes * audio.d_model + 2 * wide * audio.encoder_ffn_dim) + scores
}

#[cfg(test)]
mod tests {
    use idk_model::AdaptedModules;

    use super::*;

    /// The published sizes of Qwen2-Audio-7B.
    fn qwen2_audio_7b() -> LalmConfig {
        let json = serde_json::json!({
            "model_type": "qwen2_audio", "audio_token_index": 151_646, "vocab_size": 156_032,
            "audio_config": {
                "model_type": "qwen2_audio_encoder", "num_mel_bins": 128, "encoder_layers": 32,
                "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "d_model": 1280, "max_source_positions": 1500
            },
            "text_config": {
                "model_type": "qwen2", "intermediate_size": 11_008, "max_position_embeddings": 8192,
                "rope_theta": 10_000, "rms_norm_eps": 1e-5, "vocab_size": 156_032
            }
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        idk_common::fs::write_atomic(&path, json.to_string().as_bytes()).unwrap();
        LalmConfig::from_dir(dir.path()).unwrap()
    }

    /// LoRA of rank 8 on all linear layers of the language model, ten-second clips, on a GPU.
    fn input<'a>(
        model: &'a LalmConfig,
        lora: &'a LoraConfig,
        batch_size: usize,
        gradient_checkpointing: bool,
    ) -> MemoryInput<'a> {
        MemoryInput {
            model,
            lora,
            weight_bytes: 2,
            quantisation: None,
            fused: false,
            audio_tokens: 250,
            text_tokens: 90,
            batch_size,
            answers_per_row: 1,
            at_once: 1,
            clip_tokens: 1000 * 250,
            feature_limit_bytes: 4 << 30,
            pad_to: 64,
            gradient_checkpointing,
        }
    }

    #[test]
    fn the_7b_in_bfloat16_takes_what_a_hand_computation_gives() {
        let model = qwen2_audio_7b();
        let lora = LoraConfig { rank: 8, ..LoraConfig::default() };
        let estimate = estimate_memory(&input(&model, &lora, 1, true)).unwrap();
        // 8,397,094,912 weights of two bytes, and 8192 positions of 64 cosines and 64 sines of four.
        assert_eq!(estimate.weights, 16_794_189_824 + 4_194_304);
        // 32 layers of 8 * ((4096 + 4096) * 4 + (4096 + 11008) * 3) numbers of four bytes
        assert_eq!(estimate.lora, 79_953_920);
        assert_eq!(estimate.optimiser, 3 * 79_953_920);
        // 250 rows of 4096 numbers of two bytes a clip
        assert_eq!(estimate.features, 1000 * 250 * 4096 * 2);
        // 340 tokens are padded to 384, in two blocks of queries.
        let state = 384 * 4096 * 2;
        let single = 7 * 4096 + 4096 + 3 * 11_008;
        let half = 4096 + 2 * (4096 + 2 * 4096) + 2 * 11_008;
        let layer = 384 * (4 * single + 2 * half) + 16 * (32 * 256 * 384);
        let step = state + 32 * state + layer + 3 * 384 * 11_008 * 4;
        // Encoding 16 clips of 500 positions takes more than a step of one row.
        let encoding = 16 * 500 * (2 * 2 * 1280 + 2 * 6 * 5120) + 8 * 16 * 20 * 256 * 500;
        assert_eq!(estimate.activations, step.max(encoding) as u64);
        let parts =
            [estimate.weights, estimate.lora, estimate.optimiser, estimate.activations, estimate.features];
        assert_eq!(estimate.total, parts.iter().sum::<u64>());
    }

    #[test]
    fn recomputing_layers_lets_the_7b_train_on_a_card_of_24_gb_and_eight_clips_on_one_of_40() {
        let model = qwen2_audio_7b();
        let lora = LoraConfig::default();
        let total = |batch, gradient_checkpointing| {
            estimate_memory(&input(&model, &lora, batch, gradient_checkpointing)).unwrap().total as f64 / 1e9
        };
        assert!(total(1, true) < 24.0, "{}", total(1, true));
        assert!(total(8, true) < 40.0, "{}", total(8, true));
        assert!(total(8, false) > 40.0, "{}", total(8, false));
    }

    #[test]
    fn a_quantised_7b_takes_what_a_hand_computation_gives_and_trains_on_a_card_of_12_gb() {
        let (model, lora) = (qwen2_audio_7b(), LoraConfig { rank: 8, ..LoraConfig::default() });
        let estimate = |quantisation| {
            estimate_memory(&MemoryInput { quantisation, ..input(&model, &lora, 1, true) }).unwrap()
        };
        // 32 layers of four square matrices and three of the feed-forward block, in blocks of 64 numbers.
        let linears = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11_008);
        let rest = (8_397_094_912 - linears) * 2 + 4_194_304;
        let [nf4, int8] = [Quantisation::Nf4, Quantisation::Int8].map(|how| estimate(Some(how)));
        assert_eq!(nf4.weights, rest + linears / 64 * (32 + 4));
        assert_eq!(int8.weights, rest + linears / 64 * (64 + 4));
        assert_eq!((nf4.lora, nf4.features), (estimate(None).lora, estimate(None).features));
        // Encoding takes more than a step, also with the numbers of a tile.
        assert_eq!(nf4.activations, estimate(None).activations);
        assert!(nf4.total < 12_000_000_000, "{nf4}");
        assert!(int8.total > 12_000_000_000 && int8.total < 16_000_000_000, "{int8}");
    }

    #[test]
    fn the_numbers_that_a_quantised_weight_is_turned_into_are_counted_where_they_are_the_most() {
        let (model, lora) = (qwen2_audio_7b(), LoraConfig::default());
        let activations = |quantisation, fused| {
            let input = MemoryInput { quantisation, fused, ..input(&model, &lora, 32, true) };
            estimate_memory(&input).unwrap().activations
        };
        let nf4 = Some(Quantisation::Nf4);
        // A whole matrix in float32 on the CPU; elsewhere a tile of 2^23 numbers, four times in 32 bits.
        assert_eq!(activations(nf4, true) - activations(None, true), 4096 * 11_008 * 4);
        assert_eq!(activations(nf4, false) - activations(None, false), (1 << 23) * 16);
    }

    #[test]
    fn features_stay_below_their_limit_and_are_not_kept_while_the_encoder_is_trained() {
        let (model, lora) = (qwen2_audio_7b(), LoraConfig::default());
        let features = |lora, feature_limit_bytes| {
            let input = MemoryInput { feature_limit_bytes, ..input(&model, lora, 1, true) };
            estimate_memory(&input).unwrap().features
        };
        assert_eq!(features(&lora, u64::MAX), 1000 * 250 * 4096 * 2);
        assert_eq!(features(&lora, 1 << 20), 1 << 20);
        let both = LoraConfig { modules: AdaptedModules::All, ..lora.clone() };
        assert_eq!(features(&both, u64::MAX), 0);
    }

    #[test]
    fn a_second_answer_takes_little_where_it_shares_the_prompt_and_as_much_as_a_row_where_it_does_not() {
        let (model, lora) = (qwen2_audio_7b(), LoraConfig::default());
        let activations = |batch, answers_per_row, gradient_checkpointing| {
            let input =
                MemoryInput { answers_per_row, ..input(&model, &lora, batch, gradient_checkpointing) };
            estimate_memory(&input).unwrap().activations
        };
        let [one, two] = [1, 2].map(|answers| activations(8, answers, false));
        assert!(one < two && two < one + one / 10, "{one} {two}");
        assert_eq!(activations(8, 2, true), activations(16, 1, true));
    }

    #[test]
    fn every_part_is_named_in_gigabytes() {
        let (model, lora) = (qwen2_audio_7b(), LoraConfig::default());
        let text = estimate_memory(&input(&model, &lora, 1, true)).unwrap().to_string();
        assert!(text.contains("weights 16.80") && text.contains("adapters 0.08"), "{text}");
        assert!(text.contains("audio features 2.05"), "{text}");
    }
}
