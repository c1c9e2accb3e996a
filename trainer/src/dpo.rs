//! Direct preference optimisation of LoRA adapters on a frozen base model.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use idk_common::Identity;
use idk_common::seed::derive_seed;
use idk_model::{Adapters, Lalm, LoraConfig};

use crate::adapter_run::{AdapterTask, StepPlan, train_adapters};
use crate::audio::RowAudio;
use crate::config::TrainConfig;
use crate::dpo_config::DpoConfig;
use crate::dpo_reference::{Reference, log_probs};
use crate::dpo_step::{Totals, dpo_step, evaluate_pairs};
use crate::error::TrainError;
use crate::feed::Feed;
use crate::forward::AudioInput;
use crate::optimizer::AdamW;
use crate::pair::{Pair, PairBatch, PairTokens, fingerprint_pairs};
use crate::session::Session;
use crate::start_adapter::check_start_adapter;
use crate::step::StepOutcome;
use crate::train_run::{TrainReport, TrainRun};
use crate::validation::Validation;

/// Trains LoRA adapters to prefer the chosen answer of every pair to the rejected one (Rafailov et al. 2023,
/// <https://arxiv.org/abs/2305.18290>).
///
/// The reference is what the adapters start from: the base model, or the adapter in `dpo.init`. Its log-probabilities
/// are computed once, before the first step, and kept in `checkpoints/reference.json`. Everything else is as with
/// [`train_lora`](crate::train_lora), with pairs for rows; the loss of a step is the mean over its pairs. Validation
/// pairs give `eval_loss`, `eval_rewards/...` and `eval_logps/...`.
///
/// # Errors
/// As [`train_lora`](crate::train_lora); [`TrainError::InitAdapter`] if the adapter to start
/// from is not of the shape that `lora` says.
pub fn train_dpo(
    lalm: &Lalm,
    lora: &LoraConfig,
    pairs: &[Pair],
    validation: Validation<'_, Pair>,
    config: &TrainConfig,
    dpo: &DpoConfig,
    run: TrainRun<'_>,
) -> Result<(Adapters, TrainReport), TrainError> {
    config.validate()?;
    dpo.validate()?;
    validation.check(config)?;
    if pairs.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let start = start(lalm, lora, dpo, run.seed)?;
    let [train_lengths, val_lengths] = [lengths(lalm, pairs)?, lengths(lalm, validation.rows)?];
    let own;
    let store = match run.features {
        Some(store) => store,
        None => {
            own = config.feature_store(run.identity.text("model").unwrap_or_default());
            &own
        }
    };
    let audio = RowAudio::new(lalm, &start.adapters, store);
    audio.keep(pairs.iter().chain(validation.rows).map(|pair| pair.audio.as_slice()), &run)?;
    let reference = OnceLock::new();
    let train = feed(lalm, &audio, pairs, train_lengths, (&reference, 0));
    let val = feed(lalm, &audio, validation.rows, val_lengths, (&reference, 1));

    // The reference depends on these and on the model, and on nothing else.
    let made_from = Identity::default()
        .with("dpo.init", start.sha256.clone())
        .with("pairs", fingerprint_pairs(pairs))
        .with("val_pairs", fingerprint_pairs(validation.rows));
    let lora = Identity::default().with_section("lora", lora);
    let inputs = lora.and(dpo.identity()).as_texts().and(made_from.clone());
    let total_steps = config.total_steps(pairs.len());
    let (session, found) = Session::open(config, run, Some(pairs.len()), total_steps, true, inputs)?;

    let inputs = made_from.and(run.identity.clone());
    let adapters = start.is_reference.then_some(&start.adapters);
    let computed = Reference::load_or_compute(&run, inputs, [pairs.len(), validation.rows.len()], &|part| {
        let (pairs, feed) = [(pairs, &train), (validation.rows, &val)][part];
        log_probs(lalm, adapters, pairs, feed, &run)
    })?;
    reference.get_or_init(|| computed.log_probs);
    let task = DpoTask { lalm, config, dpo, train, val, val_pairs: validation.rows };
    train_adapters(lalm, start.adapters.clone(), session, found, &task, validation.measure)
}

/// The adapters before the first step.
struct Start {
    adapters: Adapters,
    /// Whether they change the base model.
    is_reference: bool,
    /// Hash of their tensors; "base" if they change nothing.
    sha256: String,
}

fn start(lalm: &Lalm, lora: &LoraConfig, dpo: &DpoConfig, seed: u64) -> Result<Start, TrainError> {
    if dpo.init.as_os_str().is_empty() {
        let fresh = Adapters::init(lalm, lora, derive_seed(seed, "lora", &[]))?;
        return Ok(Start { adapters: fresh, is_reference: false, sha256: "base".to_owned() });
    }
    let mut adapters = Adapters::load(&dpo.init, lalm)?;
    check_start_adapter(&dpo.init, &adapters, lora, &lalm.config.linears())?;
    adapters.config = lora.clone();
    let sha256 = adapters.sha256()?;
    Ok(Start { adapters, is_reference: true, sha256 })
}

/// Tokens of the longer row of each pair; a pair that cannot be learnt from is found here.
fn lengths(lalm: &Lalm, pairs: &[Pair]) -> Result<Vec<usize>, TrainError> {
    let length = |pair| {
        let PairTokens { prompt, answers: [chosen, rejected] } = PairTokens::of(lalm, pair)?;
        Ok(prompt.len() + chosen.len().max(rejected.len()))
    };
    pairs.iter().map(length).collect()
}

/// The reference's log-probabilities of the training and the validation pairs.
type References = [Vec<[f64; 2]>; 2];

/// `part` says which of the references, once they are known, belong to the pairs.
fn feed<'a>(
    lalm: &'a Lalm,
    audio: &'a RowAudio<'a>,
    pairs: &'a [Pair],
    lengths: Vec<usize>,
    (references, part): (&'a OnceLock<References>, usize),
) -> Feed<'a, PairBatch> {
    let join = move |indices: &[usize]| {
        let rows = indices.iter().map(|&index| &pairs[index]);
        let tokens = rows.clone().map(|pair| PairTokens::of(lalm, pair)).collect::<Result<Vec<_>, _>>()?;
        let ids = rows.map(|pair| pair.id.clone()).collect();
        let of_part = references.get().map_or(&[][..], |references| &references[part]);
        let reference =
            indices.iter().map(|&index| of_part.get(index).copied().unwrap_or([f64::NAN; 2])).collect();
        let no_audio = AudioInput::Features(Vec::new());
        Ok(PairBatch::collate(ids, &tokens, no_audio, reference, lalm.tokenizer.pad_id()))
    };
    let clips = pairs.iter().map(|pair| pair.audio.as_slice()).collect();
    Feed { audio, clips, lengths, collate: Box::new(join), slot: |batch| &mut batch.audio }
}

struct DpoTask<'a> {
    lalm: &'a Lalm,
    config: &'a TrainConfig,
    dpo: &'a DpoConfig,
    train: Feed<'a, PairBatch>,
    val: Feed<'a, PairBatch>,
    val_pairs: &'a [Pair],
}

impl AdapterTask<PairBatch> for DpoTask<'_> {
    fn rows(&self) -> &Feed<'_, PairBatch> {
        &self.train
    }

    fn step(
        &self,
        adapters: &mut Adapters,
        optimizer: &mut AdamW,
        batches: &[PairBatch],
        plan: &StepPlan,
    ) -> Result<StepOutcome, TrainError> {
        dpo_step(self.lalm, adapters, batches, &plan.dropout_seeds, self.dpo, optimizer, plan.size)
    }

    fn validate(&self, adapters: &Adapters, run: &TrainRun<'_>) -> Result<BTreeMap<String, f64>, TrainError> {
        if self.val_pairs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let chosen_tokens = |pair| Ok(PairTokens::of(self.lalm, pair)?.answers[0].len());
        let chosen_tokens: Result<Vec<usize>, TrainError> =
            self.val_pairs.iter().map(chosen_tokens).collect();
        let totals = Totals { pairs: self.val_pairs.len(), chosen_tokens: chosen_tokens?.iter().sum() };
        let evaluate = |batches: &mut dyn Iterator<Item = _>| {
            evaluate_pairs(self.lalm, adapters, batches, totals, self.dpo)
        };
        let found = self.val.in_order(self.config.batch_size, run, evaluate)?;
        Ok(found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
