//! The next token of several sequences at once, from logits that stay where they were computed.
//!
//! A GPU sends a few numbers for each block of the vocabulary to the host, and then the few blocks that matter; the host
//! draws among those as it would among all. Whole rows travel only on the CPU, where they need not, and for settings that
//! look at the whole vocabulary.

use burn::tensor::{DType, Int, Tensor, TensorData};
use idk_common::seed::Rng;
use rayon::prelude::*;

use crate::device::run_settings::is_gpu;
use crate::error::ModelError;
use crate::generate::guide::{Branch, next_branch};
use crate::generate::sampling::{SamplingConfig, log_sum_exp, next_token, penalized};

/// Widest block of the vocabulary.
const MAX_WIDTH: usize = 128;
/// With blocks narrower than this, a vocabulary goes to the host whole.
const MIN_WIDTH: usize = 8;
/// Blocks fetched beyond the `top_k` that are needed without a repetition penalty.
const SPARE_BLOCKS: usize = 16;

/// The logits of the next token of some sequences.
pub(crate) enum NextLogits {
    /// On the host, `[rows, vocab]`.
    Host { logits: Vec<f32>, vocab: usize },
    /// On their device, with what the host knows of every block.
    Blocks(Box<Blocks>),
}

/// Logits on their device and, for every block of them, its greatest and its sum.
pub(crate) struct Blocks {
    /// `[rows * blocks, width]`, float32.
    logits: Tensor<2>,
    /// Blocks of a row.
    blocks: usize,
    width: usize,
    /// Greatest logit of each block, `[rows * blocks]`.
    maxima: Vec<f32>,
    /// Sum of `exp(logit - row's greatest)` over each block, `[rows * blocks]`.
    sums: Vec<f32>,
    /// The same of `logit / temperature`; `sums` again if that is 1 or not needed.
    warm_sums: Vec<f32>,
}

/// What a sequence brings to the drawing of its next token.
pub(crate) struct Draw<'a> {
    /// Row of the logits.
    pub(crate) row: usize,
    /// Distinct ids so far.
    pub(crate) seen: &'a [u32],
    /// The tokens that may be next; all if `None`.
    pub(crate) allowed: Option<&'a [Branch]>,
    pub(crate) rng: &'a mut Rng,
}

/// A drawn token and its log-probability under the model itself, in nats.
pub(crate) type Drawn = (u32, f32);

impl NextLogits {
    /// Leaves `[rows, vocab]` logits on a GPU if `config` allows it, else brings them to the host.
    ///
    /// # Errors
    /// [`ModelError::Compute`] if they cannot be read.
    pub(crate) fn new(logits: Tensor<2>, config: &SamplingConfig) -> Result<Self, ModelError> {
        let vocab = logits.dims()[1];
        match block_width(vocab).filter(|_| is_gpu(&logits.device()) && fits_blocks(config)) {
            Some(width) => Ok(Self::Blocks(Box::new(Blocks::new(logits, width, config)?))),
            None => Ok(Self::Host { logits: to_host(logits)?, vocab }),
        }
    }

    /// Draws the next token of each sequence.
    ///
    /// # Errors
    /// [`ModelError::Compute`] if a logit is NaN or infinite (in blocks, one of -inf is only a token that cannot come), or
    /// they cannot be read.
    pub(crate) fn draw(
        &self,
        draws: Vec<Draw<'_>>,
        config: &SamplingConfig,
    ) -> Result<Vec<Drawn>, ModelError> {
        match self {
            Self::Host { logits, vocab } => draws
                .into_par_iter()
                .map(|mut draw| {
                    let logits = &logits[draw.row * vocab..(draw.row + 1) * vocab];
                    let norm = log_sum_exp(logits);
                    let id = match draw.allowed {
                        None => next_token(logits, draw.seen, config, draw.rng)?,
                        Some(branches) => guided(branches, logits, norm, &mut draw, config)?,
                    };
                    Ok((id, (f64::from(logits[id as usize]) - norm) as f32))
                })
                .collect(),
            Self::Blocks(blocks) => blocks.draw(draws, config),
        }
    }
}

/// The next token of a guided sequence from a whole row of logits.
fn guided(
    branches: &[Branch],
    logits: &[f32],
    norm: f64,
    draw: &mut Draw<'_>,
    config: &SamplingConfig,
) -> Result<u32, ModelError> {
    if !norm.is_finite() {
        return Err(ModelError::Compute { what: format!("a logit of row {} is not finite", draw.row) });
    }
    let chosen: Vec<f32> = branches.iter().map(|branch| logits[branch.id as usize]).collect();
    let place = next_branch(branches, &chosen, draw.seen, config, draw.rng)?;
    Ok(branches[place].id)
}

/// Whether the token can be drawn from some of the blocks: greedily, among the `top_k`, or from the whole distribution as
/// it is. A penalty below 1 lifts tokens above what the greatest of their block tells.
fn fits_blocks(config: &SamplingConfig) -> bool {
    let penalty = config.repetition_penalty;
    if config.is_greedy() || config.top_k > 0 {
        penalty >= 1.0
    } else {
        penalty == 1.0 && config.top_p >= 1.0
    }
}

/// The widest block that divides the vocabulary.
fn block_width(vocab: usize) -> Option<usize> {
    (MIN_WIDTH..=MAX_WIDTH).rev().find(|width| vocab.is_multiple_of(*width))
}

/// Logits on the host, row by row.
pub(crate) fn to_host(logits: Tensor<2>) -> Result<Vec<f32>, ModelError> {
    values(float32(logits))
}

fn float32<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.dtype() == DType::F32 { tensor } else { tensor.cast(DType::F32) }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, ModelError> {
    let data = tensor.try_into_data().map_err(|error| ModelError::Compute { what: error.to_string() })?;
    data.try_into_vec::<f32>().map_err(|error| ModelError::Compute { what: format!("{error:?}") })
}

impl Blocks {
    fn new(logits: Tensor<2>, width: usize, config: &SamplingConfig) -> Result<Self, ModelError> {
        let [rows, vocab] = logits.dims();
        let blocks = vocab / width;
        let logits = float32(logits).reshape([rows, blocks, width]);
        let maxima = logits.clone().max_dim(2); // [rows, blocks, 1]
        let shifted = logits.clone() - maxima.clone().max_dim(1);
        let mut told = vec![maxima, shifted.clone().exp().sum_dim(2)];
        let is_warm = !config.is_greedy() && config.top_k == 0 && config.temperature != 1.0;
        if is_warm {
            told.push(shifted.div_scalar(config.temperature).exp().sum_dim(2));
        }
        let each = told.len();
        // One transfer for all.
        let told = values(Tensor::cat(told, 2))?; // [rows, blocks, each]
        let column = |at: usize| told.iter().skip(at).step_by(each).copied().collect::<Vec<f32>>();
        let sums = column(1);
        let warm_sums = if is_warm { column(2) } else { sums.clone() };
        let logits = logits.reshape([rows * blocks, width]);
        Ok(Self { logits, blocks, width, maxima: column(0), sums, warm_sums })
    }

    /// The part of `values` that belongs to a row.
    fn of_row<'a>(&self, values: &'a [f32], row: usize) -> &'a [f32] {
        &values[row * self.blocks..(row + 1) * self.blocks]
    }

    /// `ln sum exp` of a row's logits.
    ///
    /// # Errors
    /// [`ModelError::Compute`] if one of them is NaN or +inf, or the sums do not belong to the greatest: what a kernel that
    /// did not run should have written.
    fn log_sum_exp(&self, row: usize) -> Result<f64, ModelError> {
        let greatest = self.of_row(&self.maxima, row).iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = self.of_row(&self.sums, row).iter().map(|&sum| f64::from(sum)).sum();
        if !greatest.is_finite() || !total.is_finite() {
            return Err(ModelError::Compute { what: format!("a logit of row {row} is not finite") });
        }
        // The greatest logit alone gives exp(0) = 1.
        if total < 0.5 {
            let what = format!(
                "exp(logit - greatest) of row {row} adds up to {total}, less than 1: a kernel did not run"
            );
            return Err(ModelError::Compute { what });
        }
        Ok(f64::from(greatest) + total.ln())
    }

    fn draw(&self, draws: Vec<Draw<'_>>, config: &SamplingConfig) -> Result<Vec<Drawn>, ModelError> {
        let norms: Vec<f64> =
            draws.iter().map(|draw| self.log_sum_exp(draw.row)).collect::<Result<_, _>>()?;
        let is_guided: Vec<bool> = draws.iter().map(|draw| draw.allowed.is_some()).collect();
        let (guided, free): (Vec<Draw<'_>>, Vec<Draw<'_>>) =
            draws.into_iter().partition(|draw| draw.allowed.is_some());
        let mut guided = self.draw_guided(guided, config)?.into_iter();
        let free = match config.is_greedy() || config.top_k > 0 {
            _ if free.is_empty() => Vec::new(),
            true => self.draw_likeliest(free, config)?,
            false => self.draw_any(free, config.temperature)?,
        };
        let mut free = free.into_iter();
        let in_order =
            is_guided.into_iter().map(|is_guided| if is_guided { guided.next() } else { free.next() });
        let drawn: Vec<(u32, f32)> = in_order.flatten().collect();
        let log_prob = |((id, logit), norm): ((u32, f32), f64)| (id, (f64::from(logit) - norm) as f32);
        Ok(drawn.into_iter().zip(norms).map(log_prob).collect())
    }

    /// Draws among the tokens that each sequence may take.
    fn draw_guided(
        &self,
        draws: Vec<Draw<'_>>,
        config: &SamplingConfig,
    ) -> Result<Vec<(u32, f32)>, ModelError> {
        if draws.is_empty() {
            return Ok(Vec::new());
        }
        let ids = |draw: &Draw<'_>| -> Vec<u32> {
            draw.allowed.unwrap_or_default().iter().map(|branch| branch.id).collect()
        };
        let blocks = |draw: &Draw<'_>| -> Vec<usize> {
            let mut blocks: Vec<usize> = ids(draw).iter().map(|&id| id as usize / self.width).collect();
            blocks.dedup(); // the ids rise
            blocks
        };
        let chosen: Vec<Vec<usize>> = draws.iter().map(blocks).collect();
        let fetched =
            self.fetch(draws.iter().zip(&chosen).map(|(draw, blocks)| (draw.row, blocks.as_slice())))?;
        let mut drawn = Vec::with_capacity(draws.len());
        for ((draw, blocks), logits) in draws.into_iter().zip(&chosen).zip(fetched) {
            let found = FetchedBlocks { blocks, logits, width: self.width };
            let ids = ids(&draw);
            let logits: Vec<f32> =
                found.places_of(&ids).into_iter().map(|place| found.logits[place as usize]).collect();
            let place = next_branch(draw.allowed.unwrap_or_default(), &logits, draw.seen, config, draw.rng)?;
            drawn.push((ids[place], logits[place]));
        }
        Ok(drawn)
    }

    /// Draws among the blocks with the greatest logits. The ids and logits that it gives are those of the whole rows, bit
    /// for bit: a token outside has at most the greatest logit of its block, and a penalty only lowers it.
    fn draw_likeliest(
        &self,
        draws: Vec<Draw<'_>>,
        config: &SamplingConfig,
    ) -> Result<Vec<(u32, f32)>, ModelError> {
        let kept = if config.is_greedy() { 1 } else { config.top_k };
        let chosen: Vec<(Vec<usize>, f32)> =
            draws.iter().map(|draw| self.greatest_blocks(draw.row, kept + SPARE_BLOCKS)).collect();
        let wanted = draws.iter().zip(&chosen).map(|(draw, (blocks, _))| (draw.row, blocks.as_slice()));
        let fetched = self.fetch(wanted)?;
        let all: Vec<usize> = (0..self.blocks).collect();
        let mut drawn = Vec::with_capacity(draws.len());
        for ((draw, (blocks, outside)), logits) in draws.into_iter().zip(&chosen).zip(fetched) {
            let found = FetchedBlocks { blocks, logits, width: self.width };
            let found = if found.holds_the_likeliest(kept, *outside, draw.seen, config) {
                found
            } else {
                let logits = self.fetch(std::iter::once((draw.row, all.as_slice())))?.concat();
                FetchedBlocks { blocks: &all, logits, width: self.width }
            };
            drawn.push(found.draw(draw.seen, draw.rng, config)?);
        }
        Ok(drawn)
    }

    /// The `count` blocks with the greatest maxima, in order of their ids, and the greatest logit outside of them.
    fn greatest_blocks(&self, row: usize, count: usize) -> (Vec<usize>, f32) {
        let maxima = self.of_row(&self.maxima, row);
        let mut order: Vec<usize> = (0..self.blocks).collect();
        if count >= self.blocks {
            return (order, f32::NEG_INFINITY);
        }
        order.select_nth_unstable_by(count, |&a, &b| maxima[b].total_cmp(&maxima[a]));
        let outside = maxima[order[count]];
        order.truncate(count);
        order.sort_unstable();
        (order, outside)
    }

    /// Draws from the whole distribution: first the block, by its sum, then the token in it.
    fn draw_any(&self, draws: Vec<Draw<'_>>, temperature: f64) -> Result<Vec<(u32, f32)>, ModelError> {
        let (mut places, mut shares) = (Vec::with_capacity(draws.len()), Vec::with_capacity(draws.len()));
        for draw in draws {
            let sums = self.of_row(&self.warm_sums, draw.row).iter().map(|&sum| f64::from(sum));
            let total: f64 = sums.clone().sum();
            let (block, share) = walk(sums, draw.rng.uniform() * total);
            places.push((draw.row, [block]));
            shares.push(share);
        }
        let fetched = self.fetch(places.iter().map(|(row, block)| (*row, block.as_slice())))?;
        let mut drawn = Vec::with_capacity(fetched.len());
        for ((&(_, [block]), share), logits) in places.iter().zip(shares).zip(fetched) {
            let greatest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let masses = logits.iter().map(|&logit| ((f64::from(logit) - greatest) / temperature).exp());
            let total: f64 = masses.clone().sum();
            let (place, _) = walk(masses, share * total);
            drawn.push(((block * self.width + place) as u32, logits[place]));
        }
        Ok(drawn)
    }

    /// The logits of some blocks of some rows, one after the other.
    fn fetch<'a>(
        &self,
        wanted: impl Iterator<Item = (usize, &'a [usize])>,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let (mut places, mut lengths) = (Vec::new(), Vec::new());
        for (row, blocks) in wanted {
            places.extend(blocks.iter().map(|block| (row * self.blocks + block) as i32));
            lengths.push(blocks.len() * self.width);
        }
        let index = TensorData::new(places.clone(), [places.len()]);
        let index = Tensor::<1, Int>::from_data(index, &self.logits.device());
        let fetched = values(self.logits.clone().select(0, index))?;
        let mut rest = fetched.as_slice();
        let take = |length: usize| {
            let (taken, left) = rest.split_at(length);
            rest = left;
            taken.to_vec()
        };
        Ok(lengths.into_iter().map(take).collect())
    }
}

/// The first place whose mass reaches beyond `left`, and the share of its mass that is then left; the last place with
/// any mass if none does.
fn walk(masses: impl Iterator<Item = f64>, mut left: f64) -> (usize, f64) {
    let mut last = (0, 0.0);
    for (place, mass) in masses.enumerate().filter(|&(_, mass)| mass > 0.0) {
        last = (place, (left / mass).min(1.0));
        if left < mass {
            break;
        }
        left -= mass;
    }
    last
}

/// Blocks of one row that were fetched.
struct FetchedBlocks<'a> {
    /// In rising order.
    blocks: &'a [usize],
    /// `[blocks * width]`
    logits: Vec<f32>,
    width: usize,
}

impl FetchedBlocks<'_> {
    /// The ids that lie in the blocks, as places in `logits`.
    fn places_of(&self, ids: &[u32]) -> Vec<u32> {
        let place = |&id: &u32| {
            let (block, offset) = (id as usize / self.width, id as usize % self.width);
            self.blocks.binary_search(&block).ok().map(|at| (at * self.width + offset) as u32)
        };
        ids.iter().filter_map(place).collect()
    }

    /// Whether the `kept` likeliest tokens, and all that tie with the last of them, are among the blocks; `outside` is the
    /// greatest logit outside of them.
    fn holds_the_likeliest(&self, kept: usize, outside: f32, seen: &[u32], config: &SamplingConfig) -> bool {
        if outside == f32::NEG_INFINITY {
            return true;
        }
        let mut scores = penalized(&self.logits, &self.places_of(seen), config.repetition_penalty);
        if kept > scores.len() {
            return false;
        }
        let (_, &mut last, _) = scores.select_nth_unstable_by(kept - 1, |a, b| b.total_cmp(a));
        // Divided, as two logits may become one by rounding.
        let temperature = if config.is_greedy() { 1.0 } else { config.temperature as f32 };
        last / temperature > outside / temperature
    }

    fn draw(&self, seen: &[u32], rng: &mut Rng, config: &SamplingConfig) -> Result<(u32, f32), ModelError> {
        let place = next_token(&self.logits, &self.places_of(seen), config, rng)? as usize;
        let id = self.blocks[place / self.width] * self.width + place % self.width;
        Ok((id as u32, self.logits[place]))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::generate::guide::{Guide, GuideText, ROOT};

    const ROWS: usize = 6;

    /// Logits of a language model's spread: most far below a few.
    fn logits(vocab: usize, seed: u64) -> Vec<f32> {
        let mut rng = Rng::new(seed);
        (0..ROWS * vocab).map(|_| (rng.normal() * 3.0) as f32).collect()
    }

    fn config(temperature: f64, top_k: usize, top_p: f64, repetition_penalty: f64) -> SamplingConfig {
        SamplingConfig { temperature, top_k, top_p, repetition_penalty, max_new_tokens: 1 }
    }

    fn draw(next: &NextLogits, seen: &[u32], config: &SamplingConfig, seed: u64) -> Vec<Drawn> {
        let mut rngs: Vec<Rng> = (0..2 * ROWS as u64).map(|row| Rng::new(1000 * seed + row)).collect();
        // Every row twice, as the samples of one prompt.
        let draws = rngs
            .iter_mut()
            .enumerate()
            .map(|(at, rng)| Draw { row: at / 2, seen, allowed: None, rng })
            .collect();
        next.draw(draws, config).unwrap()
    }

    /// The same logits on the host and in blocks.
    fn both(values: &[f32], vocab: usize, config: &SamplingConfig) -> [NextLogits; 2] {
        let data = TensorData::new(values.to_vec(), [values.len() / vocab, vocab]);
        let tensor = Tensor::<2>::from_data(data, &Device::flex());
        let width = block_width(vocab).unwrap();
        assert!(fits_blocks(config));
        [
            NextLogits::Host { logits: values.to_vec(), vocab },
            NextLogits::Blocks(Box::new(Blocks::new(tensor, width, config).unwrap())),
        ]
    }

    fn assert_same(values: &[f32], vocab: usize, seen: &[u32], config: &SamplingConfig) {
        let [host, blocks] = both(values, vocab, config);
        for seed in 0..40 {
            let (whole, some) = (draw(&host, seen, config, seed), draw(&blocks, seen, config, seed));
            for ((id, log_prob), (found, found_log_prob)) in whole.into_iter().zip(some) {
                assert_eq!(id, found, "{config:?}, seed {seed}");
                assert!((log_prob - found_log_prob).abs() < 1e-5, "{log_prob} {found_log_prob}");
            }
        }
    }

    #[test]
    fn sums_that_no_kernel_wrote_are_an_error_and_not_an_answer() {
        let config = config(0.0, 0, 1.0, 1.0);
        let [_, mut blocks] = both(&logits(400, 3), 400, &config);
        if let NextLogits::Blocks(blocks) = &mut blocks {
            blocks.sums.fill(0.0);
        }
        let mut rng = Rng::new(1);
        let error =
            blocks.draw(vec![Draw { row: 0, seen: &[], allowed: None, rng: &mut rng }], &config).unwrap_err();
        assert!(error.to_string().contains("a kernel did not run"), "{error}");
    }

    #[test]
    fn tokens_drawn_from_blocks_are_those_drawn_from_the_whole_vocabulary() {
        let seen: Vec<u32> = (0..3000).step_by(7).collect();
        for vocab in [9984, 1000, 400] {
            let values = logits(vocab, vocab as u64);
            for config in [
                config(0.0, 0, 1.0, 1.0),
                config(0.0, 0, 1.0, 1.3),
                config(0.7, 20, 0.5, 1.1),
                config(1.3, 40, 1.0, 1.0),
                config(1.0, 0, 1.0, 1.0),
                config(0.6, 0, 1.0, 1.0),
            ] {
                assert_same(&values, vocab, &seen, &config);
            }
        }
    }

    #[test]
    fn a_penalty_on_every_great_logit_brings_the_rest_in() {
        // One great logit in each of 100 blocks, all of them seen: the penalty puts the others before them.
        let vocab = 12_800;
        let mut values = logits(vocab, 3);
        let seen: Vec<u32> = (0..100).map(|block| block * 128 + 5).collect();
        for row in 0..ROWS {
            seen.iter().for_each(|&id| values[row * vocab + id as usize] = 20.0 + id as f32 * 1e-3);
        }
        for config in [config(0.0, 0, 1.0, 10.0), config(1.0, 5, 1.0, 10.0)] {
            assert_same(&values, vocab, &seen, &config);
            let [_, blocks] = both(&values, vocab, &config);
            assert!(draw(&blocks, &seen, &config, 0).iter().all(|(id, _)| !seen.contains(id)));
        }
    }

    #[test]
    fn tokens_that_tie_across_blocks_tie_as_in_the_whole_vocabulary() {
        let vocab = 12_800;
        let values = vec![1.5_f32; ROWS * vocab];
        for config in [config(0.0, 0, 1.0, 1.0), config(1.0, 3, 1.0, 1.0), config(1.0, 3, 0.4, 1.2)] {
            assert_same(&values, vocab, &[0, 1, 700], &config);
        }
    }

    #[test]
    fn settings_that_look_at_the_whole_vocabulary_do_not_take_blocks() {
        assert!(!fits_blocks(&config(1.0, 0, 0.9, 1.0)), "the nucleus may be anywhere");
        assert!(!fits_blocks(&config(1.0, 0, 1.0, 1.1)), "a penalty changes the sums of the blocks");
        assert!(!fits_blocks(&config(0.0, 0, 1.0, 0.9)), "a penalty below 1 lifts tokens");
        assert_eq!([156_032, 956, 400, 997].map(block_width), [Some(128), None, Some(100), None]);
    }

    fn guide(texts: &[&[u32]]) -> Guide {
        let text = |ids: &&[u32]| GuideText { text: format!("{ids:?}"), ids: ids.to_vec(), offset: 0.0 };
        Guide::new(texts.iter().map(text)).unwrap()
    }

    #[test]
    fn a_guided_token_has_its_log_probability_over_the_whole_vocabulary() {
        let logits: Vec<f32> = [0.1_f32, 0.2, 0.3, 0.4].iter().map(|prob| prob.ln()).collect();
        let next = NextLogits::Host { logits, vocab: 4 };
        let (guide, mut rng) = (guide(&[&[0], &[1]]), Rng::new(0));
        let draw = Draw { row: 0, seen: &[], allowed: Some(guide.branches(ROOT)), rng: &mut rng };
        let (id, log_prob) = next.draw(vec![draw], &config(0.0, 0, 1.0, 1.0)).unwrap()[0];
        assert_eq!(id, 1);
        assert!((log_prob - 0.2_f32.ln()).abs() < 1e-6, "{log_prob} is not ln 0.2, but perhaps ln 2/3");
    }

    #[test]
    fn guided_and_free_rows_of_one_batch_get_the_same_tokens_from_blocks() {
        let vocab = 1000;
        let (values, guide) = (logits(vocab, 5), guide(&[&[3], &[7], &[500], &[999]]));
        for config in [config(0.0, 0, 1.0, 1.3), config(0.7, 20, 0.5, 1.1), config(0.6, 0, 1.0, 1.0)] {
            for seed in 0..40 {
                let [host, blocks] = both(&values, vocab, &config).map(|next| {
                    let mut rngs: Vec<Rng> = (0..ROWS as u64).map(|row| Rng::new(seed + 99 * row)).collect();
                    let allowed = |row: usize| (row % 2 == 1).then(|| guide.branches(ROOT));
                    let draws = rngs.iter_mut().enumerate();
                    let draws = draws.map(|(row, rng)| Draw { row, seen: &[7], allowed: allowed(row), rng });
                    next.draw(draws.collect(), &config).unwrap()
                });
                for (row, ((id, log_prob), (found, found_log_prob))) in
                    host.into_iter().zip(blocks).enumerate()
                {
                    assert_eq!(id, found, "{config:?}, seed {seed}");
                    assert!((log_prob - found_log_prob).abs() < 1e-5, "{log_prob} {found_log_prob}");
                    assert!(row % 2 == 0 || [3, 7, 500, 999].contains(&id));
                }
            }
        }
    }

    #[test]
    fn a_logit_that_is_not_finite_is_an_error_for_a_guided_row_too() {
        let (guide, mut rng) = (guide(&[&[0], &[1]]), Rng::new(0));
        let next = NextLogits::Host { logits: vec![0.0, 1.0, f32::NAN], vocab: 3 };
        let draw = Draw { row: 0, seen: &[], allowed: Some(guide.branches(ROOT)), rng: &mut rng };
        assert!(next.draw(vec![draw], &config(0.0, 0, 1.0, 1.0)).is_err());
    }

    #[test]
    fn a_logit_that_is_not_finite_is_an_error_in_blocks_too() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut values = logits(400, 1);
            values[450] = bad;
            let config = config(1.0, 0, 1.0, 1.0);
            let [_, blocks] = both(&values, 400, &config);
            let mut rng = Rng::new(0);
            let error = blocks
                .draw(vec![Draw { row: 1, seen: &[], allowed: None, rng: &mut rng }], &config)
                .unwrap_err();
            assert!(error.to_string().contains("row 1"), "{error}");
            assert!(
                blocks.draw(vec![Draw { row: 0, seen: &[], allowed: None, rng: &mut rng }], &config).is_ok()
            );
        }
    }
}
