//! Supervised fine-tuning of LoRA adapters on a frozen base model.

use std::collections::BTreeMap;

use idk_common::Identity;
use idk_common::seed::derive_seed;
use idk_model::{Adapters, ForwardContext, Lalm, LoraConfig};

use crate::adapter_run::{AdapterTask, StepPlan, train_adapters};
use crate::audio::RowAudio;
use crate::collate::{collate, tokenize};
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::example::{Example, fingerprint};
use crate::feed::Feed;
use crate::forward::{AudioInput, MicroBatch, evaluate_loss};
use crate::optimizer::AdamW;
use crate::session::Session;
use crate::step::{StepOutcome, sft_step};
use crate::train_run::{TrainReport, TrainRun};
use crate::validation::Validation;

/// Trains LoRA adapters on `examples`: the answer and the end token carry the loss.
///
/// Leaves checkpoints, logs and, when the run is done, `adapter/` in the run folder. A run that is resumed at any
/// checkpoint gives the same bytes as one that was never stopped. Validation rows give `eval_loss` and
/// `eval_mean_token_accuracy`.
///
/// # Errors
/// Bad configuration or rows before anything is written; [`TrainError::NonFinite`] as soon as a loss or gradient is
/// not finite, with the last checkpoint as it was; [`TrainError::Changed`] if the run to resume had other inputs.
pub fn train_lora(
    lalm: &Lalm,
    lora: &LoraConfig,
    examples: &[Example],
    validation: Validation<'_, Example>,
    config: &TrainConfig,
    run: TrainRun<'_>,
) -> Result<(Adapters, TrainReport), TrainError> {
    config.validate()?;
    validation.check(config)?;
    if examples.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let adapters = Adapters::init(lalm, lora, derive_seed(run.seed, "lora", &[]))?;
    let [train_lengths, val_lengths] = [lengths(lalm, examples)?, lengths(lalm, validation.rows)?];
    let own;
    let store = match run.features {
        Some(store) => store,
        None => {
            own = config.feature_store(run.identity.text("model").unwrap_or_default());
            &own
        }
    };
    let audio = RowAudio::new(lalm, &adapters, store);
    audio.keep(examples.iter().chain(validation.rows).map(|example| example.audio.as_slice()), &run)?;
    let train = feed(lalm, &audio, examples, train_lengths);
    let val = feed(lalm, &audio, validation.rows, val_lengths);

    let lora = Identity::default().with_section("lora", lora).as_texts();
    let mut inputs = lora.with("rows", fingerprint(examples));
    if config.selects() {
        inputs.insert("val_rows", fingerprint(validation.rows));
    }
    let total_steps = config.total_steps(examples.len());
    let (session, found) = Session::open(config, run, Some(examples.len()), total_steps, true, inputs)?;
    let task = SftTask { lalm, config, train, val };
    train_adapters(lalm, adapters, session, found, &task, validation.measure)
}

/// Tokens of each row; a row that cannot be learnt is found here.
fn lengths(lalm: &Lalm, examples: &[Example]) -> Result<Vec<usize>, TrainError> {
    let length = |example| tokenize(lalm, example).map(|tokens| tokens.prompt.len() + tokens.answer.len());
    examples.iter().map(length).collect()
}

fn feed<'a>(
    lalm: &'a Lalm,
    audio: &'a RowAudio<'a>,
    examples: &'a [Example],
    lengths: Vec<usize>,
) -> Feed<'a, MicroBatch> {
    let join = |indices: &[usize]| {
        let rows = indices.iter().map(|&index| &examples[index]);
        let tokens = rows.clone().map(|row| tokenize(lalm, row)).collect::<Result<Vec<_>, _>>()?;
        let (tokens, labels) = collate(&tokens, lalm.tokenizer.pad_id())?;
        let audio = AudioInput::Features(Vec::new());
        Ok(MicroBatch { ids: rows.map(|row| row.id.clone()).collect(), tokens, labels, audio })
    };
    let clips = examples.iter().map(|example| example.audio.as_slice()).collect();
    Feed { audio, clips, lengths, collate: Box::new(join), slot: |batch| &mut batch.audio }
}

struct SftTask<'a> {
    lalm: &'a Lalm,
    config: &'a TrainConfig,
    train: Feed<'a, MicroBatch>,
    val: Feed<'a, MicroBatch>,
}

impl AdapterTask<MicroBatch> for SftTask<'_> {
    fn rows(&self) -> &Feed<'_, MicroBatch> {
        &self.train
    }

    fn step(
        &self,
        adapters: &mut Adapters,
        optimizer: &mut AdamW,
        batches: &[MicroBatch],
        plan: &StepPlan,
    ) -> Result<StepOutcome, TrainError> {
        let (seeds, size) = (&plan.dropout_seeds, plan.size);
        sft_step(self.lalm, adapters, batches, seeds, optimizer, size.learning_rate, size.max_grad_norm)
    }

    fn validate(&self, adapters: &Adapters, run: &TrainRun<'_>) -> Result<BTreeMap<String, f64>, TrainError> {
        if self.val.len() == 0 {
            return Ok(BTreeMap::new());
        }
        let context = ForwardContext { adapters: Some(adapters), dropout_seed: None };
        let evaluate = |batches: &mut dyn Iterator<Item = _>| evaluate_loss(self.lalm, &context, batches);
        let found = self.val.in_order(self.config.batch_size, run, evaluate)?;
        Ok(BTreeMap::from([
            ("loss".to_owned(), found.loss),
            ("mean_token_accuracy".to_owned(), found.mean_token_accuracy),
        ]))
    }
}
