//! The hidden states of prompts: what the model knows before it says anything.

use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::device::parallel::map_in_order;
use crate::error::ModelError;
use crate::generate::next_token::to_host;
use crate::generate::prefill::{Prompt, check_lengths, plain, plan};
use crate::lalm::Lalm;
use crate::lora::Adapters;
use crate::nn::batch::TokenBatch;
use crate::nn::linear::ForwardContext;

/// Which of a prompt's tokens a state is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatePosition {
    /// The last one, after which the answer begins.
    Last,
    /// The mean of all audio tokens, of every clip; 0 in a prompt without any.
    AudioMean,
}

/// The hidden states of prompts: for each of `positions` those of `layers`, one after the other. Layers count as in
/// `hidden_states` of transformers: 0 is the embeddings, the number of decoder layers the output of the final norm.
///
/// # Shapes
/// - output: per prompt `positions * layers * hidden` values
///
/// # Errors
/// As [`generate`](crate::generate()); [`ModelError::Input`] also for a layer that the model does not have.
pub fn prompt_states(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    prompts: &[Prompt],
    layers: &[usize],
    positions: &[StatePosition],
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
        let states = lalm.decoder.hidden_states(lalm.embed(&batch, &audio)?, &batch.mask, &context);
        let of_position = |&position: &StatePosition| -> Vec<Tensor<2>> {
            layers.iter().map(|&layer| at(lalm, &batch, &states[layer], position)).collect()
        };
        to_host(Tensor::cat(positions.iter().flat_map(of_position).collect(), 1))
    };
    let mut found = vec![Vec::new(); prompts.len()];
    if layers.is_empty() || positions.is_empty() {
        return Ok(found);
    }
    let width = positions.len() * layers.len() * lalm.config.text.hidden_size;
    for (job, states) in jobs.iter().zip(map_in_order(&jobs, &lalm.device, of_job)) {
        let states = states?;
        for (&prompt, state) in job.iter().zip(states.chunks(width)) {
            found[prompt] = state.to_vec();
        }
    }
    Ok(found)
}

/// The states `[rows, seq, hidden]` of a batch at a position: `[rows, hidden]`.
fn at(lalm: &Lalm, batch: &TokenBatch, states: &Tensor<3>, position: StatePosition) -> Tensor<2> {
    let [rows, seq, hidden] = states.dims();
    if position == StatePosition::Last {
        return states.clone().narrow(1, seq - 1, 1).reshape([rows, hidden]);
    }
    let flat = states.clone().reshape([rows * seq, hidden]);
    // Each prompt's own tokens are gathered first: padding must not change the order of the sum.
    let mean = |(row, ids): (usize, &Vec<u32>)| {
        let is_audio = |place: &usize| ids[*place] == lalm.config.audio_token_id;
        let places: Vec<i32> = (0..seq).filter(is_audio).map(|place| (row * seq + place) as i32).collect();
        if places.is_empty() {
            return Tensor::zeros([1, hidden], (&states.device(), states.dtype()));
        }
        let count = places.len();
        let index = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &states.device());
        flat.clone().select(0, index).mean_dim(0) // [1, hidden]
    };
    Tensor::cat(batch.ids.iter().enumerate().map(mean).collect(), 0)
}
