//! Drawing a token from blocks of one row's logits that were brought to the host.

use idk_common::seed::Rng;

use crate::error::ModelError;
use crate::generate::sampling::{SamplingConfig, next_token, penalized};

/// Blocks of one row that were fetched.
pub(super) struct FetchedBlocks<'a> {
    /// In rising order.
    pub(super) blocks: &'a [usize],
    /// `[blocks * width]`
    pub(super) logits: Vec<f32>,
    pub(super) width: usize,
}

impl FetchedBlocks<'_> {
    /// The ids that lie in the blocks, as places in `logits`.
    pub(super) fn places_of(&self, ids: &[u32]) -> Vec<u32> {
        let place = |&id: &u32| {
            let (block, offset) = (id as usize / self.width, id as usize % self.width);
            self.blocks.binary_search(&block).ok().map(|at| (at * self.width + offset) as u32)
        };
        ids.iter().filter_map(place).collect()
    }

    /// Whether the `kept` likeliest tokens, and all that tie with the last of them, are among the blocks; `outside` is the
    /// greatest logit outside of them.
    pub(super) fn holds_the_likeliest(
        &self,
        kept: usize,
        outside: f32,
        seen: &[u32],
        config: &SamplingConfig,
    ) -> bool {
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

    pub(super) fn draw(
        &self,
        seen: &[u32],
        rng: &mut Rng,
        config: &SamplingConfig,
    ) -> Result<(u32, f32), ModelError> {
        let place = next_token(&self.logits, &self.places_of(seen), config, rng)? as usize;
        let id = self.blocks[place / self.width] * self.width + place % self.width;
        Ok((id as u32, self.logits[place]))
    }
}
