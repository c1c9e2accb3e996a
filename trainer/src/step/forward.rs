//! From a batch to the loss of its labels.

use burn::tensor::{Int, Tensor, TensorData};
use idk_audio::LogMel;
use idk_model::{ForwardContext, Lalm, TokenBatch};

use crate::collate::Labels;
use crate::error::TrainError;
use crate::loss::{correct_labels, label_nll};

/// Audio of a batch, row by row.
#[derive(Debug, Clone)]
pub enum AudioInput {
    /// Encoded and projected, each `[audio_tokens, hidden]`: the encoder is frozen.
    Features(Vec<Vec<Tensor<2>>>),
    /// To be encoded in the step, as when the encoder is trained.
    Mels(Vec<Vec<LogMel>>),
}

/// Rows that go through the model together.
#[derive(Debug, Clone)]
pub struct MicroBatch {
    /// Ids of the rows, named when a loss is not finite.
    pub ids: Vec<String>,
    /// Prompt and answer, left padded, `[batch, seq]`.
    pub tokens: TokenBatch,
    /// What is learnt.
    pub labels: Labels,
    /// The clips of each row.
    pub audio: AudioInput,
}

impl MicroBatch {
    /// Tokens without padding.
    pub fn num_tokens(&self) -> usize {
        self.tokens.mask.iter().flatten().filter(|real| **real).count()
    }
}

/// `-log p` of every label of the batch, and how many labels were the most probable token.
///
/// Only the hidden states at label positions reach the output layer.
///
/// # Shapes
/// - output: `[labels]`, in the order of `batch.labels`
///
/// # Errors
/// Those of the model, e.g. an audio clip that does not fit its placeholders.
pub fn forward_nll(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batch: &MicroBatch,
) -> Result<(Tensor<1>, usize), TrainError> {
    let embeds = match &batch.audio {
        AudioInput::Features(features) => lalm.embed(&batch.tokens, features)?,
        AudioInput::Mels(mels) => {
            let mels: Vec<Vec<&LogMel>> = mels.iter().map(|clips| clips.iter().collect()).collect();
            lalm.embed_mels(&batch.tokens, &mels, context)?
        }
    };
    let hidden = lalm.decoder.hidden(embeds, &batch.tokens.mask, context, None);
    let [rows, seq, hidden_size] = hidden.dims();
    let positions: Vec<i32> = batch.labels.positions.iter().map(|&position| position.cast_signed()).collect();
    let positions = TensorData::new(positions, [batch.labels.len()]);
    let positions = Tensor::<1, Int>::from_data(positions, &lalm.device);
    let hidden = hidden.reshape([rows * seq, hidden_size]).select(0, positions); // [labels, hidden]
    let logits = lalm.decoder.logits(hidden); // [labels, vocab]
    let correct = correct_labels(logits.clone(), &batch.labels.targets)?;
    Ok((label_nll(logits, &batch.labels.targets), correct))
}

/// Mean `-log p` over all labels of `batches`, and the share of labels that were the most probable token.
///
/// # Errors
/// Those of [`forward_nll`].
pub fn evaluate_loss(
    lalm: &Lalm,
    context: &ForwardContext<'_>,
    batches: impl Iterator<Item = Result<MicroBatch, TrainError>>,
) -> Result<EvalLoss, TrainError> {
    let (mut sum, mut correct, mut labels) = (0.0_f64, 0, 0);
    for batch in batches {
        let batch = batch?;
        let (nll, batch_correct) = forward_nll(lalm, context, &batch)?;
        let nll: f32 = nll.sum().inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
        sum += f64::from(nll);
        correct += batch_correct;
        labels += batch.labels.len();
    }
    let count = labels.max(1) as f64;
    Ok(EvalLoss { loss: sum / count, mean_token_accuracy: correct as f64 / count, labels })
}

/// Loss on held-out rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvalLoss {
    /// Mean `-log p` over the labels, in nats.
    pub loss: f64,
    /// Share of labels that were the most probable token.
    pub mean_token_accuracy: f64,
    /// Number of labels.
    pub labels: usize,
}
