//! What answering and scoring share: grouping prompts into batches and running them through the model once.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::ModelError;
use crate::generate::guide::Guide;
use crate::lalm::Lalm;
use crate::lora::{Adapters, LoraPair};
use crate::nn::batch::TokenBatch;
use crate::nn::cache::KvCache;
use crate::nn::linear::ForwardContext;

/// Most sequences that are decoded as one batch.
const MAX_ROWS: usize = 96;

/// Most prompt tokens, padding included, that are prefilled as one batch.
const MAX_PREFILL_TOKENS: usize = 4096;

/// A prompt to answer.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Token ids, audio placeholders expanded, with the generation prompt at the end.
    pub ids: Vec<u32>,
    /// The clips of the prompt in order, each `[audio_tokens, hidden]`, from [`Lalm::encode_audio`].
    pub audio: Vec<Tensor<2>>,
    /// The only answers that may be made; any if `None`. Scoring given answers does not look at it.
    pub guide: Option<Arc<Guide>>,
}

/// `new_tokens`: of each prompt, how many may follow.
pub(crate) fn check_lengths(
    lalm: &Lalm,
    prompts: &[Prompt],
    new_tokens: impl Fn(&Prompt) -> usize,
) -> Result<(), ModelError> {
    let most = lalm.config.text.max_position_embeddings;
    for (index, prompt) in prompts.iter().enumerate() {
        let (len, new_tokens) = (prompt.ids.len(), new_tokens(prompt));
        if len == 0 {
            return Err(ModelError::Input { what: format!("prompt {index} is empty") });
        }
        if len + new_tokens > most {
            let what = format!(
                "prompt {index} has {len} tokens; with {new_tokens} more it exceeds the model's {most} positions"
            );
            return Err(ModelError::Input { what });
        }
    }
    Ok(())
}

/// Adapters outside autodiff: producing answers records no graph.
pub(crate) fn plain(adapters: &Adapters) -> Adapters {
    let modules = adapters.modules.iter().map(|(name, pair)| {
        let pair = LoraPair { a: pair.a.clone().inner(), b: pair.b.clone().inner(), scale: pair.scale };
        (name.clone(), pair)
    });
    Adapters { config: adapters.config.clone(), names: adapters.names, modules: modules.collect() }
}

/// Groups prompts, shortest first, into jobs that are prefilled and decoded as one batch. `rows`: continuations of each.
pub(crate) fn plan(prompts: &[Prompt], rows: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..prompts.len()).filter(|&prompt| rows[prompt] > 0).collect();
    order.sort_by_key(|&prompt| prompts[prompt].ids.len());
    let mut jobs: Vec<Vec<usize>> = Vec::new();
    let mut job_rows = 0;
    for prompt in order {
        let fits = jobs.last().is_some_and(|job| {
            (job.len() + 1) * prompts[prompt].ids.len() <= MAX_PREFILL_TOKENS
                && job_rows + rows[prompt] <= MAX_ROWS
        });
        match jobs.last_mut() {
            Some(job) if fits => job.push(prompt),
            _ => {
                jobs.push(vec![prompt]);
                job_rows = 0;
            }
        }
        job_rows += rows[prompt];
    }
    jobs
}

/// Runs the prompts of a job through the model.
///
/// # Shapes
/// - output: logits of each prompt's next token `[prompts, vocab]`, and the cache with room for `new_tokens` more
pub(crate) fn prefill(
    lalm: &Lalm,
    context: &ForwardContext,
    prompts: &[&Prompt],
    new_tokens: usize,
) -> Result<(Tensor<2>, KvCache), ModelError> {
    let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
    let audio: Vec<Vec<Tensor<2>>> = prompts.iter().map(|prompt| prompt.audio.clone()).collect();
    let batch = TokenBatch::left_padded(&ids, lalm.tokenizer.pad_id());
    let embeds = lalm.embed(&batch, &audio)?;
    let (rows, seq, width) = (batch.rows(), batch.seq(), lalm.config.text.hidden_size);
    let dtype = lalm.decoder.dtype();
    let pad_to = lalm.decoder.pad_to;
    let capacity = (seq.next_multiple_of(pad_to) + new_tokens).next_multiple_of(pad_to);
    let cache = KvCache::new(&lalm.config.text, rows, capacity, &lalm.device, dtype);
    let mut cache = cache.padded_to(pad_to);
    let last = lalm.decoder.hidden_at_end(embeds, &batch.mask, context, 1, Some(&mut cache));
    Ok((lalm.decoder.logits(last.reshape([rows, width])), cache))
}

/// The given rows of a matrix, differentiable: use it to compute logits only where they are needed.
///
/// # Shapes
/// - `x`: `[rows, width]`
/// - output: `[places, width]`
pub fn select_rows(x: Tensor<2>, places: &[usize]) -> Tensor<2> {
    let index: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    let index = TensorData::new(index, [places.len()]);
    let device = x.device().inner();
    x.select(0, Tensor::<1, Int>::from_data(index, &device))
}
