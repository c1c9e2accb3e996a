//! From a batch to the log-probabilities of its answers.

use burn::tensor::{Int, Tensor, TensorData};
use idk_audio::LogMel;
use idk_common::seed::derive_seed;
use idk_model::fused::label_nll;
use idk_model::{Adapters, ForwardContext, KvCache, Lalm, TokenBatch, select_rows};

use crate::data::{AudioInput, TrainingBatch};
use crate::error::TrainError;

/// Log-probabilities of the answers of a batch.
#[derive(Debug, Clone)]
pub struct AnswerNll {
    /// `-log p` of every token of every answer, answer by answer, in nats, `[answer tokens]`.
    pub tokens: Tensor<1>,
    /// How many tokens were the most probable one: the numerator of `mean_token_accuracy`.
    pub correct: usize,
}

/// `-log p` of every token of every answer, in the order of the answers.
///
/// Where prompts have several answers, each prompt goes through the model once and leaves its keys and values; the
/// answers follow as rows of their own. Gradients flow through the shared prompt from all of its answers, so this is the
/// loss of whole rows at little more than the work of one. With LoRA dropout all answers see the same dropped elements
/// in the prompt. Where layers are run again in the backward pass, each answer goes through with a prompt of its own:
/// what is shared would have to be kept.
///
/// Only the hidden states that predict a token of an answer reach the output layer.
///
/// # Errors
/// [`TrainError::Labels`] for an empty prompt; those of the model, e.g. an audio clip that does not fit its placeholders.
pub fn answer_nll(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batch: &TrainingBatch,
) -> Result<AnswerNll, TrainError> {
    if let Some(row) = batch.prompts.mask.iter().position(|mask| !mask.contains(&true)) {
        let reason = format!("the prompt of `{}` is empty", batch.ids[row]);
        return Err(TrainError::Labels { reason });
    }
    let trained = |adapters: &Adapters| adapters.modules.values().any(|pair| pair.a.is_autodiff());
    let runs_again = lalm.recomputes() && context.adapters.is_some_and(trained);
    if batch.answers.len() > batch.len() && !runs_again {
        return shared_prompts_nll(lalm, context, batch);
    }
    let rows = WholeRows::of(batch, lalm.tokenizer.pad_id());
    if batch.prompt_of.iter().copied().eq(0..batch.len()) {
        return whole_rows_nll(lalm, context, &rows, &batch.audio);
    }
    let audio = match &batch.audio {
        AudioInput::Features(features) => AudioInput::Features(per_answer(features, batch)),
        AudioInput::Mels(mels) => AudioInput::Mels(per_answer(mels, batch)),
    };
    whole_rows_nll(lalm, context, &rows, &audio)
}

fn per_answer<T: Clone>(of_prompts: &[T], batch: &TrainingBatch) -> Vec<T> {
    batch.prompt_of.iter().map(|&prompt| of_prompts[prompt].clone()).collect()
}

/// Every answer behind a prompt of its own, as transformers lays out a batch.
#[derive(Debug, Clone)]
pub struct WholeRows {
    /// Prompts and answers, left padded, `[answers, seq]`.
    pub tokens: TokenBatch,
    /// Tokens at the end of every row that reach from the one before the longest answer to the end.
    pub at_end: usize,
    /// Of each token of an answer the hidden state that predicts it, the one before: its flat position among those at the end,
    /// `row * at_end + column`.
    pub positions: Vec<u32>,
    /// The tokens of the answers.
    pub targets: Vec<u32>,
}

impl WholeRows {
    /// Lays out a batch.
    pub fn of(batch: &TrainingBatch, pad_id: u32) -> Self {
        let answers = batch.answers.iter().zip(&batch.prompt_of);
        let ids: Vec<Vec<u32>> =
            answers.map(|(answer, &prompt)| [batch.prompt(prompt), answer.clone()].concat()).collect();
        let tokens = TokenBatch::left_padded(&ids, pad_id);
        let at_end = batch.answers.iter().map(|answer| answer.len() + 1).max().unwrap_or(0);
        let mut positions = Vec::with_capacity(batch.answer_tokens());
        for (row, answer) in batch.answers.iter().enumerate() {
            let end = (row + 1) * at_end;
            positions.extend((end - answer.len()..end).map(|label| label as u32 - 1));
        }
        Self { tokens, at_end, positions, targets: batch.answers.concat() }
    }
}

/// [`answer_nll`] of rows that are laid out already. `audio` has the clips of each row.
///
/// # Errors
/// Those of the model.
pub fn whole_rows_nll(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    rows: &WholeRows,
    audio: &AudioInput,
) -> Result<AnswerNll, TrainError> {
    let embeds = embed(lalm, context, &rows.tokens, audio)?;
    let hidden = lalm.decoder.hidden_at_end(embeds, &rows.tokens.mask, context, rows.at_end, None);
    let [count, at_end, width] = hidden.dims();
    let positions: Vec<i32> = rows.positions.iter().map(|&position| position.cast_signed()).collect();
    let positions = TensorData::new(positions, [rows.positions.len()]);
    let positions = Tensor::<1, Int>::from_data(positions, &lalm.device);
    let hidden = hidden.reshape([count * at_end, width]).select(0, positions); // [answer tokens, hidden]
    scored(lalm, hidden, &rows.targets)
}

/// [`answer_nll`] with each prompt run once.
fn shared_prompts_nll(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batch: &TrainingBatch,
) -> Result<AnswerNll, TrainError> {
    let embeds = embed(lalm, context, &batch.prompts, &batch.audio)?;
    let (rows, seq, width) = (batch.len(), batch.prompts.seq(), lalm.config.text.hidden_size);
    // The last token of an answer predicts nothing.
    let inputs = batch.answers.iter().map(|answer| answer.len().saturating_sub(1)).max().unwrap_or(0);
    let dtype = lalm.decoder.dtype();
    let mut cache = KvCache::new(&lalm.config.text, rows, seq + inputs, &lalm.device, dtype);
    let first = lalm.decoder.hidden_at_end(embeds, &batch.prompts.mask, context, 1, Some(&mut cache));
    let first = first.reshape([rows, width]);
    let states = if inputs == 0 {
        first
    } else {
        cache.gather_rows(&batch.prompt_of);
        let rest = answer_states(lalm, context, &batch.answers, inputs, &mut cache);
        Tensor::cat(vec![first, rest], 0) // [rows + answers * inputs, hidden]
    };
    let mut places = Vec::with_capacity(batch.answer_tokens());
    for (index, (answer, &prompt)) in batch.answers.iter().zip(&batch.prompt_of).enumerate() {
        let predicting = (0..answer.len()).map(|token| match token {
            0 => prompt,
            _ => rows + index * inputs + token - 1,
        });
        places.extend(predicting);
    }
    scored(lalm, select_rows(states, &places), &batch.answers.concat())
}

/// Hidden states of the answers' tokens but their last, padded on the right to `inputs` tokens each.
///
/// # Shapes
/// - output: `[answers * inputs, hidden]`
fn answer_states(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    answers: &[Vec<u32>],
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

fn embed(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    tokens: &TokenBatch,
    audio: &AudioInput,
) -> Result<Tensor<3>, TrainError> {
    Ok(match audio {
        AudioInput::Features(features) => lalm.embed(tokens, features)?,
        AudioInput::Mels(mels) => {
            let mels: Vec<Vec<&LogMel>> = mels.iter().map(|clips| clips.iter().collect()).collect();
            lalm.embed_mels(tokens, &mels, context)?
        }
    })
}

/// `hidden` is `[answer tokens, hidden]`.
fn scored(lalm: &Lalm, hidden: Tensor<2>, targets: &[u32]) -> Result<AnswerNll, TrainError> {
    let logits = lalm.decoder.logits(hidden); // [answer tokens, vocab]
    let correct = count_correct(logits.clone(), targets)?;
    Ok(AnswerNll { tokens: label_nll(logits, targets), correct })
}

/// How many targets are the most probable token of their row.
///
/// # Shapes
/// - `logits`: `[targets, vocab]`
fn count_correct(logits: Tensor<2>, targets: &[u32]) -> Result<usize, TrainError> {
    let best = logits.inner().argmax(1); // [targets, 1]
    let best: Vec<i64> = best.try_into_vec_as().map_err(TrainError::device("the predicted tokens"))?;
    Ok(best.iter().zip(targets).filter(|(best, target)| **best == i64::from(**target)).count())
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::data::RowTokens;

    const PAD: u32 = 9;

    fn logits() -> Tensor<2> {
        Tensor::from_data([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]], &Device::flex())
    }

    #[test]
    fn the_loss_is_the_hand_computed_one_also_for_huge_logits() {
        let nll: Vec<f32> = label_nll(logits(), &[1, 0]).try_into_vec_as().unwrap();
        // ln(e^1 + e^2 + e^3) - 2
        let expected = (1_f64.exp() + 2_f64.exp() + 3_f64.exp()).ln() - 2.0;
        assert!((f64::from(nll[0]) - expected).abs() < 1e-6, "{nll:?}");
        assert_eq!(nll[1], 0.0);
        let far: Vec<f32> = label_nll(logits(), &[0, 2]).try_into_vec_as().unwrap();
        assert_eq!(far[1], 2000.0);
    }

    #[test]
    fn the_gradient_is_softmax_minus_one_hot() {
        let leaf = logits().autodiff().require_grad();
        let mut gradients = label_nll(leaf.clone(), &[1, 0]).sum().backward();
        let gradient: Vec<f32> = leaf.grad_remove(&mut gradients).unwrap().try_into_vec_as().unwrap();
        let total = 1_f64.exp() + 2_f64.exp() + 3_f64.exp();
        let expected = [1_f64.exp() / total, 2_f64.exp() / total - 1.0, 3_f64.exp() / total, 0.0, 0.0, 0.0];
        for (found, expected) in gradient.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{gradient:?}");
        }
    }

    #[test]
    fn a_token_counts_as_correct_only_where_it_is_the_most_probable_one() {
        assert_eq!(count_correct(logits(), &[2, 0]).unwrap(), 2);
        assert_eq!(count_correct(logits(), &[1, 0]).unwrap(), 1);
    }

    #[test]
    fn labels_cover_exactly_the_answers_and_are_predicted_by_the_token_before_them() {
        let row = |prompt: &[u32], answers: &[&[u32]]| RowTokens {
            prompt: prompt.to_vec(),
            answers: answers.iter().map(|answer| answer.to_vec()).collect(),
        };
        let tokens = [row(&[1, 2, 3], &[&[4, 5], &[6]]), row(&[1], &[&[7], &[8]])];
        let audio = AudioInput::Features(vec![Vec::new(); 2]);
        let batch = TrainingBatch::collate(vec![String::new(); 2], vec![0, 1], &tokens, audio, PAD);
        let rows = WholeRows::of(&batch, PAD);
        let expected = [
            vec![1, 2, 3, 4, 5],
            vec![PAD, PAD, PAD, 1, 7],
            vec![PAD, 1, 2, 3, 6],
            vec![PAD, PAD, PAD, 1, 8],
        ];
        assert_eq!(rows.tokens.ids, expected);
        assert_eq!(rows.tokens.mask[1], [false, false, false, true, true]);
        assert_eq!(rows.targets, [4, 5, 7, 6, 8]);
        let flat: Vec<u32> =
            expected.iter().flat_map(|row| row[row.len() - rows.at_end..].to_vec()).collect();
        assert_eq!(rows.at_end, 3);
        let before: Vec<u32> = rows.positions.iter().map(|&position| flat[position as usize]).collect();
        assert_eq!(before, [3, 4, 1, 3, 1]);
    }
}
