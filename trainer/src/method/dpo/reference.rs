//! The reference's log-probabilities: computed once per run, stored with its checkpoints.

use std::path::{Path, PathBuf};

use idk_common::hash::sha256_hex;
use idk_common::identity::differences;
use idk_common::{Identity, RunDir, fs, json};
use idk_model::{Adapters, Lalm, Prompt, answer_log_probs};
use serde::{Deserialize, Serialize};

use crate::data::{Loader, RowTokens};
use crate::error::TrainError;
use crate::method::features::features;
use crate::train_run::TrainRun;

/// Pairs whose prompts and features are gathered at once; the model makes its own batches of them.
const PAIRS_AT_ONCE: usize = 128;

/// The content of `checkpoints/reference.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    /// What it was computed from.
    inputs: Identity,
    /// Hash of `log_probs`.
    sha256: String,
    /// Of the training pairs, then of the validation pairs: log-probabilities of the `[chosen, rejected]` answers,
    /// summed over their tokens, in nats.
    pub(crate) log_probs: [Vec<[f64; 2]>; 2],
}

impl Reference {
    /// The stored reference if it is whole and of these inputs, else a new one, which is stored.
    ///
    /// `counts` are the training and the validation pairs; `compute` gives the log-probabilities of part 0 or 1.
    pub(crate) fn load_or_compute(
        run: &TrainRun<'_>,
        inputs: Identity,
        counts: [usize; 2],
        compute: &dyn Fn(usize) -> Result<Vec<[f64; 2]>, TrainError>,
    ) -> Result<Self, TrainError> {
        let path = path(run.dir);
        if path.exists() {
            match Self::load(&path, &inputs, counts) {
                Ok(reference) => return Ok(reference),
                Err(reason) => {
                    let shown = path.display();
                    (run.warn)(&format!("the stored reference {shown} is computed again: {reason}"));
                }
            }
        }
        let log_probs = [compute(0)?, compute(1)?];
        let reference = Self { sha256: hash(&log_probs), inputs, log_probs };
        let mut text = serde_json::to_string(&reference).unwrap_or_default();
        text.push('\n');
        fs::create_dir_all(&run.dir.checkpoints())?;
        fs::write_atomic(&path, text.as_bytes())?;
        Ok(reference)
    }

    fn load(path: &Path, inputs: &Identity, counts: [usize; 2]) -> Result<Self, String> {
        let found: Self = json::read_json(path).map_err(|error| error.to_string())?;
        if let Some(difference) = differences(&found.inputs, inputs).first() {
            return Err(format!("it was made from other inputs ({})", difference.key));
        }
        if found.sha256 != hash(&found.log_probs) || found.log_probs.each_ref().map(Vec::len) != counts {
            return Err("it is damaged".to_owned());
        }
        Ok(found)
    }
}

fn path(run: &RunDir) -> PathBuf {
    run.checkpoints().join("reference.json")
}

fn hash(log_probs: &[Vec<[f64; 2]>; 2]) -> String {
    let bytes: Vec<u8> = log_probs.iter().flatten().flatten().flat_map(|value| value.to_le_bytes()).collect();
    sha256_hex(&bytes)
}

/// Log-probabilities of the `[chosen, rejected]` answers of every pair, summed over their tokens, in nats: one prefill a
/// pair serves both.
pub(crate) fn log_probs(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    loader: &Loader<'_>,
    run: &TrainRun<'_>,
) -> Result<Vec<[f64; 2]>, TrainError> {
    let pairs = loader.rows;
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let progress = run.progress("reference", pairs.len() as u64);
    let found = loader.audio_in_order(PAIRS_AT_ONCE, |audio| {
        let mut found = Vec::with_capacity(pairs.len());
        for (pairs, audio) in pairs.chunks(PAIRS_AT_ONCE).zip(audio) {
            let tokens = pairs.iter().map(|pair| RowTokens::of(lalm, pair)).collect::<Result<Vec<_>, _>>()?;
            let features = features(lalm, adapters, audio?)?;
            let answers: Vec<Vec<Vec<u32>>> = tokens.iter().map(|tokens| tokens.answers.clone()).collect();
            let prompts = tokens.into_iter().zip(features);
            let prompts: Vec<Prompt> =
                prompts.map(|(tokens, audio)| Prompt { ids: tokens.prompt, audio, guide: None }).collect();
            let sum = |tokens: &Vec<f32>| tokens.iter().map(|&value| f64::from(value)).sum::<f64>();
            let scores = answer_log_probs(lalm, adapters, &prompts, &answers)?;
            found.extend(scores.iter().map(|pair| [0, 1].map(|side| pair.get(side).map_or(f64::NAN, sum))));
            progress.inc(pairs.len() as u64);
        }
        Ok::<_, TrainError>(found)
    })?;
    progress.finish();
    Ok(found)
}
