//! The next token of several sequences at once, from logits that stay where they were computed.
//!
//! A GPU sends a few numbers for each block of the vocabulary to the host, and then the few blocks that matter; the host
//! draws among those as it would among all. Whole rows travel only on the CPU, where they need not, and for settings that
//! look at the whole vocabulary.

mod blocks;
mod fetched;
#[cfg(test)]
mod tests;

use burn::tensor::{DType, Tensor};
use idk_common::seed::Rng;
use rayon::prelude::*;

use crate::device::run_settings::is_gpu;
use crate::error::ModelError;
use crate::generate::guide::{Branch, next_branch};
use crate::generate::next_token::blocks::{Blocks, block_width, fits_blocks};
use crate::generate::sampling::{SamplingConfig, log_sum_exp, next_token};

/// The logits of the next token of some sequences.
pub(crate) enum NextLogits {
    /// On the host, `[rows, vocab]`.
    Host { logits: Vec<f32>, vocab: usize },
    /// On their device, with what the host knows of every block.
    Blocks(Box<Blocks>),
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
