//! From a batch of pairs to the log-probabilities of their answers, each prompt run once for both.

use burn::tensor::{Tensor, TensorData};
use idk_audio::LogMel;
use idk_common::seed::derive_seed;
use idk_model::fused::label_nll;
use idk_model::{Adapters, ForwardContext, KvCache, Lalm, select_rows};

use crate::collate::{TokenRow, collate};
use crate::dpo_loss::PairLogProbs;
use crate::error::TrainError;
use crate::forward::{AudioInput, MicroBatch, forward_nll};
use crate::pair::PairBatch;

/// `-log p` of every token of every answer: all chosen answers in the order of the pairs, then all rejected ones.
///
/// The prompts go through the model once and leave their keys and values; the chosen and the rejected answers follow
/// them as rows of their own. Gradients flow through the shared prompt from both answers, so this is the loss of two
/// whole rows a pair at little more than half of the work. With LoRA dropout both answers see the same dropped elements
/// in the prompt. Where layers are run again in the backward pass, each answer goes through with a prompt of its own:
/// what is shared would have to be kept.
///
/// # Shapes
/// - output: `[answer tokens]`
///
/// # Errors
/// Those of the model, e.g. an audio clip that does not fit its placeholders.
pub fn pair_nll(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batch: &PairBatch,
) -> Result<Tensor<1>, TrainError> {
    let trained = |adapters: &Adapters| adapters.modules.values().any(|pair| pair.a.is_autodiff());
    if lalm.recomputes() && context.adapters.is_some_and(trained) {
        return whole_rows_nll(lalm, context, batch);
    }
    let embeds = match &batch.audio {
        AudioInput::Features(features) => lalm.embed(&batch.prompts, features)?,
        AudioInput::Mels(mels) => {
            let mels: Vec<Vec<&LogMel>> = mels.iter().map(|clips| clips.iter().collect()).collect();
            lalm.embed_mels(&batch.prompts, &mels, context)?
        }
    };
    let answers = answers(batch);
    let (pairs, seq, width) = (batch.len(), batch.prompts.seq(), lalm.config.text.hidden_size);
    // The last token of an answer predicts nothing.
    let inputs = answers.iter().map(|answer| answer.len().saturating_sub(1)).max().unwrap_or(0);
    let dtype = lalm.decoder.dtype();
    let mut cache = KvCache::new(&lalm.config.text, pairs, seq + inputs, &lalm.device, dtype);
    let prompts = lalm.decoder.hidden(embeds, &batch.prompts.mask, context, Some(&mut cache));
    let first = prompts.narrow(1, seq - 1, 1).reshape([pairs, width]);
    let states = if inputs == 0 {
        first
    } else {
        let both: Vec<usize> = (0..pairs).chain(0..pairs).collect();
        cache.gather_rows(&both);
        let rest = answer_states(lalm, context, &answers, inputs, &mut cache);
        Tensor::cat(vec![first, rest], 0) // [pairs + 2 pairs * inputs, hidden]
    };
    let (mut places, mut targets) = (Vec::new(), Vec::new());
    for (row, answer) in answers.iter().enumerate() {
        let predicting = (0..answer.len()).map(|token| match token {
            0 => row % pairs,
            _ => pairs + row * inputs + token - 1,
        });
        places.extend(predicting);
        targets.extend_from_slice(answer);
    }
    let logits = lalm.decoder.logits(select_rows(states, &places)); // [answer tokens, vocab]
    Ok(label_nll(logits, &targets))
}

/// [`pair_nll`] with every answer behind a prompt of its own.
fn whole_rows_nll(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batch: &PairBatch,
) -> Result<Tensor<1>, TrainError> {
    let prompts = batch.prompts.ids.iter().zip(&batch.prompts.mask).map(|(ids, mask)| {
        let real = ids.iter().zip(mask).filter(|(_, real)| **real);
        real.map(|(&id, _)| id).collect::<Vec<u32>>()
    });
    let prompts: Vec<Vec<u32>> = prompts.collect();
    let rows: Vec<TokenRow> = prompts
        .iter()
        .cycle()
        .zip(answers(batch))
        .map(|(prompt, answer)| TokenRow { prompt: prompt.clone(), answer: answer.to_vec() })
        .collect();
    let (tokens, labels) = collate(&rows, lalm.tokenizer.pad_id())?;
    let audio = match &batch.audio {
        AudioInput::Features(features) => AudioInput::Features([features.as_slice(), features].concat()),
        AudioInput::Mels(mels) => AudioInput::Mels([mels.as_slice(), mels].concat()),
    };
    let rows = MicroBatch { ids: batch.ids.clone(), tokens, labels, audio };
    Ok(forward_nll(lalm, context, &rows)?.0)
}

/// All chosen answers, then all rejected ones.
fn answers(batch: &PairBatch) -> Vec<&[u32]> {
    let side = |side: usize| batch.answers.iter().map(move |answers| answers[side].as_slice());
    side(0).chain(side(1)).collect()
}

/// Hidden states of the answers' tokens but their last, padded on the right to `inputs` tokens each.
///
/// # Shapes
/// - output: `[answers * inputs, hidden]`
fn answer_states(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    answers: &[&[u32]],
    inputs: usize,
    cache: &mut KvCache,
) -> Tensor<2> {
    let (rows, width, pad) = (answers.len(), lalm.config.text.hidden_size, lalm.tokenizer.pad_id());
    let is_real = |answer: &[u32], place: usize| place + 1 < answer.len();
    let ids: Vec<u32> = answers
        .iter()
        .flat_map(|answer| (0..inputs).map(|place| if is_real(answer, place) { answer[place] } else { pad }))
        .collect();
    let mask: Vec<Vec<bool>> =
        answers.iter().map(|answer| (0..inputs).map(|place| is_real(answer, place)).collect()).collect();
    // Other draws than for the prompts' tokens.
    let dropout_seed = context.dropout_seed.map(|seed| derive_seed(seed, "answers", &[]));
    let context = ForwardContext { adapters: context.adapters, dropout_seed };
    let embeds = lalm.decoder.embed_ids(&ids).reshape([rows, inputs, width]);
    let hidden = lalm.decoder.hidden(embeds, &mask, &context, Some(cache));
    hidden.reshape([rows * inputs, width])
}

/// The log-probabilities of whole answers from the `-log p` of their tokens (see [`pair_nll`]): sums, or means with
/// `per_token`.
pub fn answer_log_probs(nll: &Tensor<1>, batch: &PairBatch, per_token: bool) -> PairLogProbs {
    let (pairs, tokens) = (batch.len(), nll.dims()[0]);
    // One product with a constant matrix instead of a sum for each answer.
    let mut weights = vec![0.0_f32; 2 * pairs * tokens];
    let mut start = 0;
    for (row, answer) in answers(batch).into_iter().enumerate() {
        let weight = if per_token { -1.0 / answer.len() as f32 } else { -1.0 };
        weights[row * tokens + start..][..answer.len()].fill(weight);
        start += answer.len();
    }
    let weights = TensorData::new(weights, [2 * pairs, tokens]);
    let weights = Tensor::<2>::from_data(weights, &nll.device().inner());
    let log_probs = weights.matmul(nll.clone().reshape([tokens, 1])).reshape([2 * pairs]);
    PairLogProbs {
        chosen: log_probs.clone().narrow(0, 0, pairs),
        rejected: log_probs.narrow(0, pairs, pairs),
    }
}
