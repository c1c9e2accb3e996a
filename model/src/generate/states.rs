//! The hidden states at the end of prompts: what the model knows before it says anything.

use burn::tensor::Tensor;

use crate::device::parallel::{map_in_order, workers};
use crate::error::ModelError;
use crate::generate::next_token::to_host;
use crate::generate::prefill::{Prompt, check_lengths, plain, plan};
use crate::lalm::Lalm;
use crate::lora::Adapters;
use crate::nn::batch::TokenBatch;
use crate::nn::linear::ForwardContext;

/// The hidden states of `layers` at the last token of each prompt, one layer after the other. Layers count as in
/// `hidden_states` of transformers: 0 is the embeddings, the number of decoder layers the output of the final norm.
///
/// # Shapes
/// - output: per prompt `layers * hidden` values
///
/// # Errors
/// As [`generate`](crate::generate()); [`ModelError::Input`] also for a layer that the model does not have.
pub fn last_states(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    prompts: &[Prompt],
    layers: &[usize],
) -> Result<Vec<Vec<f32>>, ModelError> {
    let last = lalm.config.text.num_hidden_layers;
    if let Some(layer) = layers.iter().find(|&&layer| layer > last) {
        return Err(ModelError::Input {
            what: format!("there is no layer {layer}: the model has 0 to {last}"),
        });
    }
    check_lengths(lalm, prompts, |_| 0)?;
    let adapters = adapters.map(plain);
    let context = ForwardContext { adapters: adapters.as_ref(), dropout_seed: None };
    let jobs = plan(prompts, &vec![1; prompts.len()]);
    let of_job = |job: &Vec<usize>| -> Result<Vec<f32>, ModelError> {
        let ids: Vec<Vec<u32>> = job.iter().map(|&prompt| prompts[prompt].ids.clone()).collect();
        let audio: Vec<Vec<Tensor<2>>> = job.iter().map(|&prompt| prompts[prompt].audio.clone()).collect();
        let batch = TokenBatch::left_padded(&ids, lalm.tokenizer.pad_id());
        let (rows, seq, hidden) = (batch.rows(), batch.seq(), lalm.config.text.hidden_size);
        let states = lalm.decoder.hidden_states(lalm.embed(&batch, &audio)?, &batch.mask, &context);
        let at_end = |&layer: &usize| states[layer].clone().narrow(1, seq - 1, 1).reshape([rows, hidden]);
        to_host(Tensor::cat(layers.iter().map(at_end).collect(), 1))
    };
    let mut found = vec![Vec::new(); prompts.len()];
    if layers.is_empty() {
        return Ok(found);
    }
    let width = layers.len() * lalm.config.text.hidden_size;
    for (job, states) in jobs.iter().zip(map_in_order(&jobs, workers(&lalm.device), of_job)) {
        let states = states?;
        for (&prompt, state) in job.iter().zip(states.chunks(width)) {
            found[prompt] = state.to_vec();
        }
    }
    Ok(found)
}
