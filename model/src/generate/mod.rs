//! Answers: several samples per prompt from one prefill, in batches that shrink as answers end.
pub(crate) mod guide;
mod next_token;
pub(crate) mod prefill;
pub(crate) mod sampling;
pub(crate) mod score;
pub(crate) mod states;

use burn::tensor::Tensor;
use idk_common::seed::Rng;

use crate::device::parallel::map_in_order;
use crate::error::ModelError;
use crate::generate::guide::{Guide, ROOT};
use crate::generate::next_token::{Draw, Drawn, NextLogits};
use crate::generate::prefill::{Prompt, check_lengths, plain, plan, prefill};
use crate::generate::sampling::SamplingConfig;
use crate::lalm::Lalm;
use crate::lora::Adapters;
use crate::nn::cache::KvCache;
use crate::nn::linear::ForwardContext;

/// One produced answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Produced tokens, the end token included if it came.
    pub ids: Vec<u32>,
    /// The produced text, without special tokens; of a guided prompt the text of the list, as it stands there.
    pub text: String,
    /// Sum of `token_log_probs`, in nats.
    pub log_prob: f64,
    /// Log-probability of each produced token under the model itself (temperature 1, no penalty, no cut, no guide: over the
    /// whole vocabulary), in nats.
    pub token_log_probs: Vec<f32>,
    /// Whether the end token came before `max_new_tokens`; always for a guided prompt, which that does not cut.
    pub finished: bool,
}

/// A step with fewer rows takes about as long, as it is the weights that must be read: a round is filled up to this.
const MIN_ROWS: usize = 32;

/// How many more answers to draw for a prompt, from its place in the call and its answers so far; 0 ends it.
pub type MoreAnswers<'a> = &'a (dyn Fn(usize, &[Generated]) -> usize + Sync);

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
    generate_in_rounds(lalm, adapters, prompts, config, seeds, &|prompt, _| seeds[prompt].len())
}

/// Like [`generate`], in rounds: before each, `more` says how many further answers of a prompt are worth drawing. Where
/// that would leave a batch almost empty, further ones are drawn with them.
///
/// A prompt is prefilled once for all of its rounds. Its answers come in the order of its seeds, so those that are
/// drawn are the first ones of [`generate`], with log-probabilities that differ by rounding only.
///
/// # Shapes
/// - `seeds`: per prompt, one per sample that may be drawn
/// - output: per prompt at least as many as `more` asked for and at most as many as it has seeds
///
/// # Errors
/// As [`generate`].
pub fn generate_in_rounds(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    prompts: &[Prompt],
    config: &SamplingConfig,
    seeds: &[Vec<u64>],
    more: MoreAnswers<'_>,
) -> Result<Vec<Vec<Generated>>, ModelError> {
    config.validate()?;
    if prompts.len() != seeds.len() {
        return Err(ModelError::Input {
            what: format!("{} prompts but {} lists of seeds", prompts.len(), seeds.len()),
        });
    }
    check_lengths(lalm, prompts, |prompt| most_tokens(prompt, config))?;
    check_guides(lalm, prompts)?;
    let adapters = adapters.map(plain);
    let context = ForwardContext { adapters: adapters.as_ref(), dropout_seed: None };
    let call = Call { lalm, context: &context, prompts, config, seeds, more };
    let first_round: Vec<usize> = (0..prompts.len()).map(|prompt| call.wanted(prompt, &[])).collect();
    let jobs = plan(prompts, &first_round);
    let done = map_in_order(&jobs, &lalm.device, |job| call.answer_job(job));
    let mut answers: Vec<Vec<Generated>> = vec![Vec::new(); prompts.len()];
    for (job, of_job) in jobs.iter().zip(done) {
        for (&prompt, of_prompt) in job.iter().zip(of_job?) {
            answers[prompt] = of_prompt;
        }
    }
    Ok(answers)
}

/// Most tokens of an answer to a prompt.
fn most_tokens(prompt: &Prompt, config: &SamplingConfig) -> usize {
    prompt.guide.as_ref().map_or(config.max_new_tokens, |guide| guide.longest())
}

fn check_guides(lalm: &Lalm, prompts: &[Prompt]) -> Result<(), ModelError> {
    let vocab = lalm.config.text.vocab_size;
    let mut ids = prompts.iter().filter_map(|prompt| prompt.guide.as_deref()).flat_map(Guide::ids);
    match ids.find(|&id| id as usize >= vocab) {
        None => Ok(()),
        Some(id) => Err(ModelError::Input {
            what: format!("token {id} of a guide is beyond the vocabulary of {vocab}"),
        }),
    }
}

/// One answer being produced.
struct Sequence<'a> {
    /// Row of the prefill.
    source: usize,
    sample: usize,
    /// Distinct ids so far, those of the prompt included.
    seen: Vec<u32>,
    rng: Rng,
    ids: Vec<u32>,
    log_probs: Vec<f32>,
    finished: bool,
    /// Most tokens.
    most: usize,
    /// The texts that it may be, and where it is among them.
    guide: Option<&'a Guide>,
    node: usize,
}

impl Sequence<'_> {
    /// The drawing of its next token from row `row` of the logits.
    fn draw(&mut self, row: usize) -> Draw<'_> {
        let allowed = self.guide.map(|guide| guide.branches(self.node));
        Draw { row, seen: &self.seen, allowed, rng: &mut self.rng }
    }

    fn push(&mut self, (id, log_prob): Drawn, eos: &[u32]) {
        self.log_probs.push(log_prob);
        self.ids.push(id);
        if !self.seen.contains(&id) {
            self.seen.push(id);
        }
        self.finished = match self.guide {
            None => eos.contains(&id),
            Some(guide) => {
                self.node = guide.after(self.node, id);
                guide.branches(self.node).is_empty()
            }
        };
    }

    fn has_ended(&self) -> bool {
        self.finished || self.ids.len() >= self.most
    }

    fn into_generated(self, lalm: &Lalm) -> Result<Generated, ModelError> {
        let text = match self.guide.and_then(|guide| guide.text(self.node)) {
            Some(text) => text.to_owned(),
            None => lalm.tokenizer.decode(&self.ids, true)?,
        };
        Ok(Generated {
            text,
            log_prob: self.log_probs.iter().map(|&log_prob| f64::from(log_prob)).sum(),
            ids: self.ids,
            token_log_probs: self.log_probs,
            finished: self.finished,
        })
    }
}

/// What all jobs of one call share.
struct Call<'a> {
    lalm: &'a Lalm,
    context: &'a ForwardContext<'a>,
    prompts: &'a [Prompt],
    config: &'a SamplingConfig,
    seeds: &'a [Vec<u64>],
    more: MoreAnswers<'a>,
}

impl<'a> Call<'a> {
    /// Answers to draw next, no more than there are seeds left.
    fn wanted(&self, prompt: usize, so_far: &[Generated]) -> usize {
        let left = self.seeds[prompt].len() - so_far.len();
        if left == 0 { 0 } else { (self.more)(prompt, so_far).min(left) }
    }

    /// The answers of each prompt of a job, in the order of their seeds.
    fn answer_job(&self, job: &[usize]) -> Result<Vec<Vec<Generated>>, ModelError> {
        let chosen: Vec<&Prompt> = job.iter().map(|&prompt| &self.prompts[prompt]).collect();
        let most = chosen.iter().map(|prompt| most_tokens(prompt, self.config)).max().unwrap_or(1);
        let (logits, cache) = prefill(self.lalm, self.context, &chosen, most)?;
        let logits = NextLogits::new(logits, self.config)?;
        let mut prefilled = Some(cache);
        let mut answers: Vec<Vec<Generated>> = vec![Vec::new(); job.len()];
        let most: usize = job.iter().map(|&prompt| self.seeds[prompt].len()).sum();
        loop {
            let rows = self.next_rows(job, &answers);
            let drawn: usize = answers.iter().map(Vec::len).sum();
            // The prefill is only copied for rounds after which there may be another.
            let is_last = drawn + rows.len() == most;
            let cache = if is_last { prefilled.take() } else { prefilled.clone() };
            let Some(cache) = cache.filter(|_| !rows.is_empty()) else { break };
            let mut done = self.decode(rows, &logits, cache)?;
            done.sort_by_key(|row| (row.source, row.sample));
            for row in done {
                answers[row.source].push(row.into_generated(self.lalm)?);
            }
        }
        Ok(answers)
    }

    /// The rows of the next round.
    fn next_rows(&self, job: &[usize], answers: &[Vec<Generated>]) -> Vec<Sequence<'a>> {
        let wanted = self.fill(job, answers);
        let mut rows: Vec<Sequence<'a>> = Vec::with_capacity(wanted.iter().sum());
        for (source, &prompt) in job.iter().enumerate().filter(|&(source, _)| wanted[source] > 0) {
            let prompt_of_rows = &self.prompts[prompt];
            let mut seen = prompt_of_rows.ids.clone();
            seen.sort_unstable();
            seen.dedup();
            let drawn = answers[source].len();
            rows.extend((drawn..drawn + wanted[source]).map(|sample| Sequence {
                source,
                sample,
                seen: seen.clone(),
                rng: Rng::new(self.seeds[prompt][sample]),
                ids: Vec::new(),
                log_probs: Vec::new(),
                finished: false,
                most: most_tokens(prompt_of_rows, self.config),
                guide: prompt_of_rows.guide.as_deref(),
                node: ROOT,
            }));
        }
        rows
    }

    /// How many answers of each prompt to draw next: those that are wanted, and more of the same prompts if that leaves
    /// the batch small.
    fn fill(&self, job: &[usize], answers: &[Vec<Generated>]) -> Vec<usize> {
        let wants = |(source, &prompt): (usize, &usize)| self.wanted(prompt, &answers[source]);
        let mut wanted: Vec<usize> = job.iter().enumerate().map(wants).collect();
        let mut rows: usize = wanted.iter().sum();
        let mut before = 0;
        while rows < MIN_ROWS && rows != before {
            before = rows;
            for (source, &prompt) in job.iter().enumerate() {
                let has_more = answers[source].len() + wanted[source] < self.seeds[prompt].len();
                if rows < MIN_ROWS && wanted[source] > 0 && has_more {
                    wanted[source] += 1;
                    rows += 1;
                }
            }
        }
        wanted
    }

    /// Decodes one round to its end. `logits` (a row for each prompt) and `cache` are those of the prefill.
    fn decode(
        &self,
        mut rows: Vec<Sequence<'a>>,
        logits: &NextLogits,
        mut cache: KvCache,
    ) -> Result<Vec<Sequence<'a>>, ModelError> {
        let eos = &self.lalm.generation.eos_token_ids;
        let draws = rows.iter_mut().map(|row| row.draw(row.source)).collect();
        for (drawn, row) in logits.draw(draws, self.config)?.into_iter().zip(&mut rows) {
            row.push(drawn, eos);
        }
        // From here on, row i of the cache belongs to rows[i]; `done` holds the rows that have left.
        let mut done = Vec::with_capacity(rows.len());
        let sources: Vec<usize> = rows.iter().filter(|row| !row.has_ended()).map(|row| row.source).collect();
        done.extend(rows.extract_if(.., |row| row.has_ended()));
        cache.gather_rows(&sources);
        loop {
            // Leaving costs a copy of the cache, so rows leave a quarter at a time.
            let ended = rows.iter().filter(|row| row.has_ended()).count();
            if ended * 4 >= rows.len() && ended > 0 {
                let staying: Vec<usize> = (0..rows.len()).filter(|&row| !rows[row].has_ended()).collect();
                cache.gather_rows(&staying);
                done.extend(rows.extract_if(.., |row| row.has_ended()));
            }
            if rows.is_empty() {
                break;
            }
            let logits = decode_step(self.lalm, self.context, &rows, &mut cache);
            let logits = NextLogits::new(logits, self.config)?;
            let going_on = rows.iter_mut().enumerate().filter(|(_, row)| !row.has_ended());
            let draws = going_on.map(|(at, row)| row.draw(at)).collect();
            let drawn = logits.draw(draws, self.config)?;
            for (drawn, row) in drawn.into_iter().zip(rows.iter_mut().filter(|row| !row.has_ended())) {
                row.push(drawn, eos);
            }
        }
        Ok(done)
    }
}

/// Feeds every row's last token and returns the logits of the next ones, `[rows, vocab]`.
fn decode_step(
    lalm: &Lalm,
    context: &ForwardContext,
    rows: &[Sequence<'_>],
    cache: &mut KvCache,
) -> Tensor<2> {
    let last: Vec<u32> = rows.iter().filter_map(|row| row.ids.last().copied()).collect();
    let hidden_size = lalm.config.text.hidden_size;
    let embeds = lalm.decoder.embed_ids(&last).reshape([rows.len(), 1, hidden_size]);
    let mask = vec![vec![true]; rows.len()];
    let hidden = lalm.decoder.hidden(embeds, &mask, context, Some(cache));
    lalm.decoder.logits(hidden.reshape([rows.len(), hidden_size]))
}
