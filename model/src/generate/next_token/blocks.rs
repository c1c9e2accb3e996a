//! Logits that stay on their device, in blocks of the vocabulary, and drawing from the few blocks that matter.

use burn::tensor::{Int, Tensor, TensorData};

use crate::error::ModelError;
use crate::generate::guide::next_branch;
use crate::generate::next_token::fetched::FetchedBlocks;
use crate::generate::next_token::{Draw, Drawn, float32, values};
use crate::generate::sampling::SamplingConfig;

/// Widest block of the vocabulary.
const MAX_WIDTH: usize = 128;
/// With blocks narrower than this, a vocabulary goes to the host whole.
const MIN_WIDTH: usize = 8;
/// Blocks fetched beyond the `top_k` that are needed without a repetition penalty.
const SPARE_BLOCKS: usize = 16;

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
    pub(super) sums: Vec<f32>,
    /// The same of `logit / temperature`; `sums` again if that is 1 or not needed.
    warm_sums: Vec<f32>,
}

impl Blocks {
    pub(super) fn new(logits: Tensor<2>, width: usize, config: &SamplingConfig) -> Result<Self, ModelError> {
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

    pub(super) fn draw(
        &self,
        draws: Vec<Draw<'_>>,
        config: &SamplingConfig,
    ) -> Result<Vec<Drawn>, ModelError> {
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

/// Whether the token can be drawn from some of the blocks: greedily, among the `top_k`, or from the whole distribution as
/// it is. A penalty below 1 lifts tokens above what the greatest of their block tells.
pub(super) fn fits_blocks(config: &SamplingConfig) -> bool {
    let penalty = config.repetition_penalty;
    if config.is_greedy() || config.top_k > 0 {
        penalty >= 1.0
    } else {
        penalty == 1.0 && config.top_p >= 1.0
    }
}

/// The widest block that divides the vocabulary.
pub(super) fn block_width(vocab: usize) -> Option<usize> {
    (MIN_WIDTH..=MAX_WIDTH).rev().find(|width| vocab.is_multiple_of(*width))
}
