//! The log-probability of given answers, all candidates of a prompt from one prefill.

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::device::parallel::map_in_order;
use crate::device::run_settings::is_gpu;
use crate::error::ModelError;
use crate::fused::label_nll;
use crate::generate::next_token::to_host;
use crate::generate::prefill::{Prompt, check_lengths, plain, plan, prefill, select_rows};
use crate::generate::sampling::log_sum_exp;
use crate::lalm::Lalm;
use crate::lora::Adapters;
use crate::nn::cache::KvCache;
use crate::nn::linear::ForwardContext;

/// Most logits that are brought to the host at once (64 MB).
const MAX_HOST_LOGITS: usize = 1 << 24;

/// Log-probability of every token of given answers, in nats, each answer following its prompt.
///
/// # Shapes
/// - `answers`: per prompt, per candidate, its token ids (with the end token if that is to count)
/// - output: as `answers`
///
/// # Errors
/// As [`generate`](crate::generate()); [`ModelError::Input`] also for an answer token beyond the vocabulary.
pub fn answer_log_probs(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    prompts: &[Prompt],
    answers: &[Vec<Vec<u32>>],
) -> Result<Vec<Vec<Vec<f32>>>, ModelError> {
    if prompts.len() != answers.len() {
        return Err(ModelError::Input {
            what: format!("{} prompts but {} lists of answers", prompts.len(), answers.len()),
        });
    }
    let vocab = lalm.config.text.vocab_size;
    if let Some(id) = answers.iter().flatten().flatten().find(|&&id| id as usize >= vocab) {
        return Err(ModelError::Input {
            what: format!("answer token {id} is beyond the vocabulary of {vocab}"),
        });
    }
    let longest = answers.iter().flatten().map(Vec::len).max().unwrap_or(0);
    check_lengths(lalm, prompts, |_| longest)?;
    let adapters = adapters.map(plain);
    let context = ForwardContext { adapters: adapters.as_ref(), dropout_seed: None };
    let rows: Vec<usize> = answers.iter().map(Vec::len).collect();
    let jobs = plan(prompts, &rows);
    let done = map_in_order(&jobs, &lalm.device, |job| score_job(lalm, &context, prompts, answers, job));
    let mut scores: Vec<Vec<Vec<f32>>> = vec![Vec::new(); prompts.len()];
    for (job, result) in jobs.iter().zip(done) {
        for (&prompt, found) in job.iter().zip(result?) {
            scores[prompt] = found;
        }
    }
    Ok(scores)
}

/// Log-probabilities of every candidate answer of the job's prompts.
fn score_job(
    lalm: &Lalm,
    context: &ForwardContext,
    prompts: &[Prompt],
    answers: &[Vec<Vec<u32>>],
    job: &[usize],
) -> Result<Vec<Vec<Vec<f32>>>, ModelError> {
    let chosen: Vec<&Prompt> = job.iter().map(|&prompt| &prompts[prompt]).collect();
    let mut candidates: Vec<(usize, &[u32])> = Vec::new(); // (row of the prefill, its tokens)
    for (source, &prompt) in job.iter().enumerate() {
        candidates.extend(answers[prompt].iter().map(|answer| (source, answer.as_slice())));
    }
    let longest = candidates.iter().map(|(_, answer)| answer.len()).max().unwrap_or(0);
    let (first_logits, mut cache) = prefill(lalm, context, &chosen, longest.max(1))?;
    let firsts = candidates
        .iter()
        .enumerate()
        .filter_map(|(candidate, &(source, answer))| answer.first().map(|&id| (candidate, source, id)));
    let firsts: Vec<(usize, usize, u32)> = firsts.collect();
    let mut scores: Vec<Vec<f32>> = vec![Vec::new(); candidates.len()];
    let labels: Vec<(usize, u32)> = firsts.iter().map(|&(_, source, id)| (source, id)).collect();
    for (&(candidate, ..), log_prob) in firsts.iter().zip(log_probs(first_logits, &labels)?) {
        scores[candidate].push(log_prob);
    }
    if longest > 1 {
        let sources: Vec<usize> = candidates.iter().map(|&(source, _)| source).collect();
        cache.gather_rows(&sources);
        score_rest(lalm, context, &candidates, longest - 1, &mut cache, &mut scores)?;
    }
    let mut scores = scores.into_iter();
    Ok(job.iter().map(|&prompt| scores.by_ref().take(answers[prompt].len()).collect()).collect())
}

/// Scores the tokens after the first: all answers run at once, padded on the right.
fn score_rest(
    lalm: &Lalm,
    context: &ForwardContext,
    candidates: &[(usize, &[u32])],
    seq: usize,
    cache: &mut KvCache,
    scores: &mut [Vec<f32>],
) -> Result<(), ModelError> {
    let rows = candidates.len();
    let pad = lalm.tokenizer.pad_id();
    let inputs = |answer: &[u32]| answer.len().saturating_sub(1);
    let mut ids = Vec::with_capacity(rows * seq);
    let mut mask = Vec::with_capacity(rows);
    let mut targets: Vec<(usize, usize, u32)> = Vec::new(); // (row of the flat hidden states, candidate, target id)
    for (row, (_, answer)) in candidates.iter().enumerate() {
        let count = inputs(answer);
        ids.extend((0..seq).map(|place| if place < count { answer[place] } else { pad }));
        mask.push((0..seq).map(|place| place < count).collect::<Vec<bool>>());
        targets.extend((0..count).map(|place| (row * seq + place, row, answer[place + 1])));
    }
    let hidden_size = lalm.config.text.hidden_size;
    let embeds = lalm.decoder.embed_ids(&ids).reshape([rows, seq, hidden_size]);
    let hidden = lalm.decoder.hidden(embeds, &mask, context, Some(cache)).reshape([rows * seq, hidden_size]);
    let vocab = lalm.config.text.vocab_size;
    for chunk in targets.chunks((MAX_HOST_LOGITS / vocab).max(1)) {
        let places: Vec<usize> = chunk.iter().map(|&(place, _, _)| place).collect();
        let labels: Vec<(usize, u32)> =
            chunk.iter().enumerate().map(|(row, target)| (row, target.2)).collect();
        let found = log_probs(lalm.decoder.logits(select_rows(hidden.clone(), &places)), &labels)?;
        for (&(_, candidate, _), log_prob) in chunk.iter().zip(found) {
            scores[candidate].push(log_prob);
        }
    }
    Ok(())
}

/// Log-probabilities of labels, each a row of the `[rows, vocab]` logits and an id: on the CPU summed in float64, on a GPU
/// in float32 where the logits are.
fn log_probs(logits: Tensor<2>, labels: &[(usize, u32)]) -> Result<Vec<f32>, ModelError> {
    let vocab = logits.dims()[1];
    if is_gpu(&logits.device()) && !labels.is_empty() {
        let (rows, ids): (Vec<usize>, Vec<u32>) = labels.iter().copied().unzip();
        let nll = label_nll(select_rows(logits, &rows), &ids);
        let nll: Vec<f32> =
            nll.try_into_vec_as().map_err(|error| ModelError::Compute { what: error.to_string() })?;
        return Ok(nll.into_iter().map(|nll| -nll).collect());
    }
    let logits = to_host(logits)?;
    let log_prob = |&(row, id): &(usize, u32)| {
        let logits = &logits[row * vocab..(row + 1) * vocab];
        (f64::from(logits[id as usize]) - log_sum_exp(logits)) as f32
    };
    Ok(labels.par_iter().map(log_prob).collect())
}
