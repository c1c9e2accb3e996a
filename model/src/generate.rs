//! Answers: several samples per prompt from one prefill, and the log-probability of given answers.

use burn::tensor::{DType, Tensor};
use idk_common::seed::Rng;
use rayon::prelude::*;

use crate::batch::TokenBatch;
use crate::cache::KvCache;
use crate::error::ModelError;
use crate::lalm::Lalm;
use crate::linear::ForwardContext;
use crate::lora::{Adapters, LoraPair};
use crate::parallel::{map_in_order, workers};
use crate::sampling::{SamplingConfig, log_sum_exp, next_token};

/// Most sequences that are decoded as one batch.
const MAX_ROWS: usize = 96;

/// Most prompt tokens, padding included, that are prefilled as one batch.
const MAX_PREFILL_TOKENS: usize = 4096;

/// Most logits that are brought to the host at once (64 MB).
const MAX_HOST_LOGITS: usize = 1 << 24;

/// A prompt to answer.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Token ids, audio placeholders expanded, with the generation prompt at the end.
    pub ids: Vec<u32>,
    /// The clips of the prompt in order, each `[audio_tokens, hidden]`, from [`Lalm::encode_audio`].
    pub audio: Vec<Tensor<2>>,
}

/// One produced answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Produced tokens, the end token included if it came.
    pub ids: Vec<u32>,
    /// The produced text, without special tokens.
    pub text: String,
    /// Sum of `token_log_probs`, in nats.
    pub log_prob: f64,
    /// Log-probability of each produced token under the model itself (temperature 1, no penalty, no cut), in nats.
    pub token_log_probs: Vec<f32>,
    /// Whether the end token came before `max_new_tokens`.
    pub finished: bool,
}

/// Answers every prompt once per seed in `seeds`.
///
/// Prompts of similar length share a batch; each is prefilled once for all of its samples, and rows that have ended
/// leave the batch. The same inputs give the same bytes for any number of threads; other prompts in the call change an
/// answer's log-probabilities by rounding only.
///
/// # Shapes
/// - `seeds`: per prompt, one per sample (of no effect in greedy decoding)
/// - output: as `seeds`
///
/// # Errors
/// [`ModelError::Input`] if a prompt is empty or, with its answer, longer than the model's positions;
/// [`ModelError::AudioTokenCount`]; [`ModelError::Compute`].
pub fn generate(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    prompts: &[Prompt],
    config: &SamplingConfig,
    seeds: &[Vec<u64>],
) -> Result<Vec<Vec<Generated>>, ModelError> {
    config.validate()?;
    if prompts.len() != seeds.len() {
        return Err(ModelError::Input {
            what: format!("{} prompts but {} lists of seeds", prompts.len(), seeds.len()),
        });
    }
    check_lengths(lalm, prompts, config.max_new_tokens)?;
    let adapters = adapters.map(plain);
    let context = ForwardContext { adapters: adapters.as_ref(), dropout_seed: None };
    let rows: Vec<usize> = seeds.iter().map(Vec::len).collect();
    let jobs = plan(prompts, &rows);
    let done = map_in_order(&jobs, workers(&lalm.device), |job| {
        answer_job(lalm, &context, prompts, config, seeds, job)
    });
    let mut answers: Vec<Vec<Option<Generated>>> = seeds.iter().map(|list| vec![None; list.len()]).collect();
    for row in done.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        let (prompt, sample) = (row.prompt, row.sample);
        answers[prompt][sample] = Some(row.into_generated(lalm)?);
    }
    Ok(answers.into_iter().map(|list| list.into_iter().flatten().collect()).collect())
}

/// Log-probability of every token of given answers, in nats, each answer following its prompt.
///
/// # Shapes
/// - `answers`: per prompt, per candidate, its token ids (with the end token if that is to count)
/// - output: as `answers`
///
/// # Errors
/// As [`generate`]; [`ModelError::Input`] also for an answer token beyond the vocabulary.
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
    check_lengths(lalm, prompts, answers.iter().flatten().map(Vec::len).max().unwrap_or(0))?;
    let adapters = adapters.map(plain);
    let context = ForwardContext { adapters: adapters.as_ref(), dropout_seed: None };
    let rows: Vec<usize> = answers.iter().map(Vec::len).collect();
    let jobs = plan(prompts, &rows);
    let done =
        map_in_order(&jobs, workers(&lalm.device), |job| score_job(lalm, &context, prompts, answers, job));
    let mut scores: Vec<Vec<Vec<f32>>> = vec![Vec::new(); prompts.len()];
    for (job, result) in jobs.iter().zip(done) {
        for (&prompt, found) in job.iter().zip(result?) {
            scores[prompt] = found;
        }
    }
    Ok(scores)
}

fn check_lengths(lalm: &Lalm, prompts: &[Prompt], new_tokens: usize) -> Result<(), ModelError> {
    let most = lalm.config.text.max_position_embeddings;
    for (index, prompt) in prompts.iter().enumerate() {
        let len = prompt.ids.len();
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
fn plain(adapters: &Adapters) -> Adapters {
    let modules = adapters.modules.iter().map(|(name, pair)| {
        let pair = LoraPair { a: pair.a.clone().inner(), b: pair.b.clone().inner(), scale: pair.scale };
        (name.clone(), pair)
    });
    Adapters { config: adapters.config.clone(), modules: modules.collect() }
}

/// Groups prompts, shortest first, into jobs that are prefilled and decoded as one batch. `rows`: continuations of each.
fn plan(prompts: &[Prompt], rows: &[usize]) -> Vec<Vec<usize>> {
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
fn prefill(
    lalm: &Lalm,
    context: &ForwardContext,
    prompts: &[&Prompt],
    new_tokens: usize,
) -> Result<(Tensor<2>, KvCache), ModelError> {
    let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.ids.clone()).collect();
    let audio: Vec<Vec<Tensor<2>>> = prompts.iter().map(|prompt| prompt.audio.clone()).collect();
    let batch = TokenBatch::left_padded(&ids, lalm.tokenizer.pad_id());
    let embeds = lalm.embed(&batch, &audio)?;
    let (rows, seq) = (batch.rows(), batch.seq());
    let dtype = lalm.decoder.dtype();
    let mut cache = KvCache::new(&lalm.config.text, rows, seq + new_tokens, &lalm.device, dtype);
    let hidden = lalm.decoder.hidden(embeds, &batch.mask, context, Some(&mut cache));
    let last = hidden.narrow(1, seq - 1, 1).reshape([rows, lalm.config.text.hidden_size]);
    Ok((lalm.decoder.logits(last), cache))
}

/// Logits on the host, row by row.
fn to_host(logits: Tensor<2>) -> Result<Vec<f32>, ModelError> {
    let logits = if logits.dtype() == DType::F32 { logits } else { logits.cast(DType::F32) };
    let data = logits.try_into_data().map_err(|error| ModelError::Compute { what: error.to_string() })?;
    data.try_into_vec::<f32>().map_err(|error| ModelError::Compute { what: format!("{error:?}") })
}

/// One answer being produced.
struct Row {
    prompt: usize,
    sample: usize,
    /// Row of the prefill.
    source: usize,
    /// Distinct ids so far, those of the prompt included.
    seen: Vec<u32>,
    rng: Rng,
    ids: Vec<u32>,
    log_probs: Vec<f32>,
    finished: bool,
}

impl Row {
    fn take_next(&mut self, logits: &[f32], config: &SamplingConfig, eos: &[u32]) -> Result<(), ModelError> {
        let id = next_token(logits, &self.seen, config, &mut self.rng)?;
        self.log_probs.push((f64::from(logits[id as usize]) - log_sum_exp(logits)) as f32);
        self.ids.push(id);
        if !self.seen.contains(&id) {
            self.seen.push(id);
        }
        self.finished = eos.contains(&id);
        Ok(())
    }

    fn into_generated(self, lalm: &Lalm) -> Result<Generated, ModelError> {
        Ok(Generated {
            text: lalm.tokenizer.decode(&self.ids, true)?,
            log_prob: self.log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum(),
            ids: self.ids,
            token_log_probs: self.log_probs,
            finished: self.finished,
        })
    }
}

fn answer_job(
    lalm: &Lalm,
    context: &ForwardContext,
    prompts: &[Prompt],
    config: &SamplingConfig,
    seeds: &[Vec<u64>],
    job: &[usize],
) -> Result<Vec<Row>, ModelError> {
    let chosen: Vec<&Prompt> = job.iter().map(|&prompt| &prompts[prompt]).collect();
    let (logits, mut cache) = prefill(lalm, context, &chosen, config.max_new_tokens)?;
    let mut rows: Vec<Row> = Vec::new();
    for (source, &prompt) in job.iter().enumerate() {
        let mut seen = prompts[prompt].ids.clone();
        seen.sort_unstable();
        seen.dedup();
        rows.extend(seeds[prompt].iter().enumerate().map(|(sample, &seed)| Row {
            prompt,
            sample,
            source,
            seen: seen.clone(),
            rng: Rng::new(seed),
            ids: Vec::new(),
            log_probs: Vec::new(),
            finished: false,
        }));
    }
    let vocab = lalm.config.text.vocab_size;
    let eos = &lalm.generation.eos_token_ids;
    let logits = to_host(logits)?;
    rows.par_iter_mut().try_for_each(|row| {
        row.take_next(&logits[row.source * vocab..(row.source + 1) * vocab], config, eos)
    })?;
    // From here on, row i of the cache belongs to rows[i]; `done` holds the rows that have left.
    let mut done = Vec::with_capacity(rows.len());
    let sources: Vec<usize> = rows.iter().filter(|row| !row.finished).map(|row| row.source).collect();
    done.extend(rows.extract_if(.., |row| row.finished));
    cache.gather_rows(&sources);
    for _ in 1..config.max_new_tokens {
        // Leaving costs a copy of the cache, so rows leave a quarter at a time.
        let finished = rows.iter().filter(|row| row.finished).count();
        if finished * 4 >= rows.len() && finished > 0 {
            let staying: Vec<usize> = (0..rows.len()).filter(|&row| !rows[row].finished).collect();
            cache.gather_rows(&staying);
            done.extend(rows.extract_if(.., |row| row.finished));
        }
        if rows.is_empty() {
            break;
        }
        let logits = decode_step(lalm, context, &rows, &mut cache)?;
        rows.par_iter_mut()
            .zip(logits.par_chunks_exact(vocab))
            .filter(|(row, _)| !row.finished)
            .try_for_each(|(row, logits)| row.take_next(logits, config, eos))?;
    }
    done.extend(rows);
    Ok(done)
}

/// Feeds every row's last token and returns the logits of the next ones, `[rows, vocab]`.
fn decode_step(
    lalm: &Lalm,
    context: &ForwardContext,
    rows: &[Row],
    cache: &mut KvCache,
) -> Result<Vec<f32>, ModelError> {
    let last: Vec<u32> = rows.iter().filter_map(|row| row.ids.last().copied()).collect();
    let hidden_size = lalm.config.text.hidden_size;
    let embeds = lalm.decoder.embed_ids(&last).reshape([rows.len(), 1, hidden_size]);
    let mask = vec![vec![true]; rows.len()];
    let hidden = lalm.decoder.hidden(embeds, &mask, context, Some(cache));
    to_host(lalm.decoder.logits(hidden.reshape([rows.len(), hidden_size])))
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
    let vocab = lalm.config.text.vocab_size;
    let first_logits = to_host(first_logits)?;
    let mut scores: Vec<Vec<f32>> = candidates
        .par_iter()
        .map(|&(source, answer)| {
            let logits = &first_logits[source * vocab..(source + 1) * vocab];
            answer.first().map(|&id| log_prob(logits, id)).into_iter().collect()
        })
        .collect();
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
        let logits = to_host(lalm.decoder.logits(select_rows(hidden.clone(), &places)))?;
        let found: Vec<f32> = chunk
            .par_iter()
            .zip(logits.par_chunks_exact(vocab))
            .map(|(&(_, _, target), logits)| log_prob(logits, target))
            .collect();
        for (&(_, candidate, _), log_prob) in chunk.iter().zip(found) {
            scores[candidate].push(log_prob);
        }
    }
    Ok(())
}

fn log_prob(logits: &[f32], id: u32) -> f32 {
    (f64::from(logits[id as usize]) - log_sum_exp(logits)) as f32
}

/// The given rows of a matrix, differentiable: use it to compute logits only where they are needed.
///
/// # Shapes
/// - `x`: `[rows, width]`
/// - output: `[places, width]`
pub fn select_rows(x: Tensor<2>, places: &[usize]) -> Tensor<2> {
    let index: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    let index = burn::tensor::TensorData::new(index, [places.len()]);
    let device = x.device().inner();
    x.select(0, Tensor::<1, burn::tensor::Int>::from_data(index, &device))
}
