//! One optimiser step, the parts that every training mode shares: forward, loss, gradients, update.

use burn::tensor::{Int, Tensor, TensorData};
use idk_audio::LogMel;
use idk_model::{Adapters, ForwardContext, Lalm, TokenBatch};

use crate::collate::Labels;
use crate::error::TrainError;
use crate::features::encode_rows;
use crate::loss::{correct_labels, label_nll};
use crate::optimizer::AdamW;
use crate::parameters::{Gradients, Parameters, make_plain, make_trainable};

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

/// Loss and gradients of one optimiser step, before clipping.
#[derive(Debug, Clone)]
pub struct StepGradients {
    /// Sum of `-log p` over all labels of all micro-batches, divided by their number.
    pub loss: f64,
    /// Number of labels.
    pub labels: usize,
    /// Labels that were the most probable token.
    pub correct: usize,
    /// Tokens without padding.
    pub num_tokens: usize,
    /// Gradient of `loss`. Incomplete if `loss` is not finite.
    pub gradients: Gradients,
    /// Rows of the first micro-batch whose loss is not finite.
    pub bad_rows: Vec<String>,
}

/// What one optimiser step did.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// Mean `-log p` over the step's labels before the update, in nats.
    pub loss: f64,
    /// L2 norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Number of labels.
    pub labels: usize,
    /// Labels that were the most probable token.
    pub correct: usize,
    /// Tokens without padding.
    pub num_tokens: usize,
    /// Set if the weights were NOT updated.
    pub not_finite: Option<NotFinite>,
}

/// Why the weights were not updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFinite {
    /// "loss" or "gradient".
    pub quantity: &'static str,
    /// Ids of the rows concerned.
    pub ids: Vec<String>,
}

impl StepOutcome {
    /// Share of labels that were the most probable token.
    pub fn mean_token_accuracy(&self) -> f64 {
        self.correct as f64 / self.labels.max(1) as f64
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
    let encoded;
    let audio = match &batch.audio {
        AudioInput::Features(features) => features,
        AudioInput::Mels(mels) => {
            encoded = encode_rows(lalm, mels, context)?;
            &encoded
        }
    };
    let embeds = lalm.embed(&batch.tokens, audio)?;
    let hidden = lalm.decoder.hidden(embeds, &batch.tokens.mask, context, None)?;
    let [rows, seq, hidden_size] = hidden.dims();
    let positions: Vec<i32> = batch.labels.positions.iter().map(|&position| position.cast_signed()).collect();
    let positions = TensorData::new(positions, [batch.labels.len()]);
    let positions = Tensor::<1, Int>::from_data(positions, &lalm.device);
    let hidden = hidden.reshape([rows * seq, hidden_size]).select(0, positions); // [labels, hidden]
    let logits = lalm.decoder.logits(hidden); // [labels, vocab]
    let correct = correct_labels(logits.clone(), &batch.labels.targets)?;
    Ok((label_nll(logits, &batch.labels.targets), correct))
}

/// Loss and gradients of the adapters over the micro-batches of one step; the base model is a constant.
///
/// `dropout_seeds` has one seed a micro-batch; without it LoRA dropout is off.
///
/// # Errors
/// Those of [`forward_nll`].
pub fn lora_gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[MicroBatch],
    dropout_seeds: &[u64],
) -> Result<StepGradients, TrainError> {
    let mut leaves = adapters.clone();
    make_trainable(&mut leaves);
    let mut step = StepGradients::empty(batches);
    for (index, batch) in batches.iter().enumerate() {
        let context =
            ForwardContext { adapters: Some(&leaves), dropout_seed: dropout_seeds.get(index).copied() };
        let (nll, correct) = forward_nll(lalm, &context, batch)?;
        if !step.add(nll, correct, batch, &mut leaves)? {
            break;
        }
    }
    Ok(step)
}

/// Loss and gradients of all trained tensors of the model over the micro-batches of one step. The model is plain
/// again afterwards.
///
/// # Errors
/// Those of [`forward_nll`].
pub fn full_gradients(lalm: &mut Lalm, batches: &[MicroBatch]) -> Result<StepGradients, TrainError> {
    make_trainable(lalm);
    let mut step = StepGradients::empty(batches);
    let mut run = || {
        for batch in batches {
            let (nll, correct) = forward_nll(lalm, &ForwardContext::default(), batch)?;
            if !step.add(nll, correct, batch, lalm)? {
                break;
            }
        }
        Ok(())
    };
    let result = run();
    make_plain(lalm);
    result.map(|()| step)
}

impl StepGradients {
    fn empty(batches: &[MicroBatch]) -> Self {
        Self {
            loss: 0.0,
            labels: batches.iter().map(|batch| batch.labels.len()).sum(),
            correct: 0,
            num_tokens: batches.iter().map(MicroBatch::num_tokens).sum(),
            gradients: Gradients::default(),
            bad_rows: Vec::new(),
        }
    }

    /// Adds one micro-batch's share of the step's mean; `false` if its loss is not finite.
    fn add(
        &mut self,
        nll: Tensor<1>,
        correct: usize,
        batch: &MicroBatch,
        parameters: &mut impl Parameters,
    ) -> Result<bool, TrainError> {
        let share = nll.sum().div_scalar(self.labels.max(1) as f64);
        let loss: f32 = share.clone().inner().try_into_scalar().map_err(TrainError::device("the loss"))?;
        self.loss += f64::from(loss);
        self.correct += correct;
        if !loss.is_finite() {
            self.bad_rows.clone_from(&batch.ids);
            return Ok(false);
        }
        self.gradients.accumulate(parameters, share.backward());
        Ok(true)
    }
}

/// Clips the gradients and updates the parameters, unless loss or gradient is not finite.
///
/// # Errors
/// [`TrainError::Device`] if a gradient cannot be read back.
pub fn apply(
    parameters: &mut impl Parameters,
    step: StepGradients,
    batches: &[MicroBatch],
    optimizer: &mut AdamW,
    learning_rate: f64,
    max_grad_norm: f64,
) -> Result<StepOutcome, TrainError> {
    let StepGradients { loss, labels, correct, num_tokens, mut gradients, bad_rows } = step;
    let mut outcome =
        StepOutcome { loss, grad_norm: f64::NAN, labels, correct, num_tokens, not_finite: None };
    if !loss.is_finite() {
        outcome.not_finite = Some(NotFinite { quantity: "loss", ids: bad_rows });
        return Ok(outcome);
    }
    outcome.grad_norm = gradients.norm()?;
    if !outcome.grad_norm.is_finite() {
        let ids = batches.iter().flat_map(|batch| batch.ids.clone()).collect();
        outcome.not_finite = Some(NotFinite { quantity: "gradient", ids });
        return Ok(outcome);
    }
    gradients.clip(outcome.grad_norm, max_grad_norm);
    optimizer.step(parameters, gradients, learning_rate);
    Ok(outcome)
}

/// One SFT step on the adapters: gradients over all micro-batches, clipping (0 = off), AdamW.
///
/// # Errors
/// Those of [`lora_gradients`] and [`apply`]. A loss or gradient that is not finite is no error here: see
/// [`StepOutcome::not_finite`].
pub fn sft_step(
    lalm: &Lalm,
    adapters: &mut Adapters,
    batches: &[MicroBatch],
    dropout_seeds: &[u64],
    optimizer: &mut AdamW,
    learning_rate: f64,
    max_grad_norm: f64,
) -> Result<StepOutcome, TrainError> {
    let step = lora_gradients(lalm, adapters, batches, dropout_seeds)?;
    apply(adapters, step, batches, optimizer, learning_rate, max_grad_norm)
}

/// One step on the whole model: gradients over all micro-batches, clipping (0 = off), AdamW.
///
/// # Errors
/// As [`sft_step`].
pub fn full_step(
    lalm: &mut Lalm,
    batches: &[MicroBatch],
    optimizer: &mut AdamW,
    learning_rate: f64,
    max_grad_norm: f64,
) -> Result<StepOutcome, TrainError> {
    let step = full_gradients(lalm, batches)?;
    apply(lalm, step, batches, optimizer, learning_rate, max_grad_norm)
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
