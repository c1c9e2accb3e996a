//! Where a run stands, and what it may resume with.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::Identity;
use idk_common::identity::{Difference, OnResume, differences};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::run::on_resume::{AllowedChange, on_resume};
use crate::run::selection::{EarlyEnd, Selection};

/// Version of the checkpoint format that this program writes and reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Where a run stands. Holds no wall times, so that it is the same for the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// Steps done, skipped ones included.
    pub step: u64,
    /// Epoch of the next step, from 0.
    pub epoch: u64,
    /// Rows of that epoch's order that are done.
    pub position: u64,
    /// Rows seen over all epochs.
    pub samples_seen: u64,
    /// Tokens run through the model, padding left out.
    pub num_tokens: u64,
    /// Steps that were skipped because a loss or gradient was not finite.
    pub skipped_steps: u64,
    /// Loss of the first step.
    pub first_loss: Option<f64>,
    /// Loss of the last step.
    pub last_loss: Option<f64>,
    /// Metrics of the last evaluation.
    #[serde(default)]
    pub last_eval: BTreeMap<String, f64>,
    /// What the evaluations have decided so far.
    #[serde(default)]
    pub selection: Selection,
    /// What the run was started with, as texts. A resumed run must have the same.
    #[serde(rename = "fingerprint")]
    pub identity: Identity,
    /// What the run resumed with although it was started with something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_changes: Vec<AllowedChange>,
}

impl TrainState {
    /// The state before the first step.
    pub fn new(identity: Identity) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            step: 0,
            epoch: 0,
            position: 0,
            samples_seen: 0,
            num_tokens: 0,
            skipped_steps: 0,
            first_loss: None,
            last_loss: None,
            last_eval: BTreeMap::new(),
            selection: Selection::default(),
            identity,
            allowed_changes: Vec::new(),
        }
    }

    /// Takes over the inputs that the run resumes with, and returns what of them changed. Only keys in `allowed` may
    /// differ, and of them only those that later steps can take ([`on_resume()`]).
    ///
    /// # Errors
    /// [`TrainError::Changed`] lists every other difference; the state is then as it was.
    pub fn resume_with(
        &mut self,
        now: &Identity,
        allowed: &[String],
        path: &Path,
    ) -> Result<Vec<AllowedChange>, TrainError> {
        let same_rows = rows_per_step(&self.identity) == rows_per_step(now);
        let can_change = |change: &Difference| {
            let of_rows = [BATCH_SIZE, ACCUMULATION].contains(&change.key.as_str());
            on_resume(&change.key) == Some(OnResume::Later) && (same_rows || !of_rows)
        };
        let is_taken = |change: &Difference| can_change(change) && allowed.contains(&change.key);
        let (taken, others): (Vec<Difference>, Vec<Difference>) =
            differences(&self.identity, now).into_iter().partition(is_taken);
        if !others.is_empty() {
            let can_be_allowed = others.iter().all(can_change);
            let path = path.to_path_buf();
            return Err(TrainError::Changed { path, differences: others, can_be_allowed, same_rows });
        }
        self.identity = now.clone();
        for change in &taken {
            let rule = match change.key.as_str() {
                "train.early_stopping_patience" => Some(EarlyEnd::Patience),
                "train.target_refusal_rate" => Some(EarlyEnd::TargetRefusalRate),
                _ => None,
            };
            // A run that the old value ended has steps left.
            if rule.is_some() && self.selection.ended == rule {
                self.selection.ended = None;
            }
        }
        let taken: Vec<AllowedChange> =
            taken.iter().map(|change| AllowedChange::new(self.step, change)).collect();
        self.allowed_changes.extend(taken.iter().cloned());
        Ok(taken)
    }
}

const BATCH_SIZE: &str = "train.batch_size";
const ACCUMULATION: &str = "train.gradient_accumulation_steps";

/// Rows of one step. They must stay the same number: where the next step begins is counted in steps.
fn rows_per_step(identity: &Identity) -> u64 {
    let number = |key| identity.text(key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(1);
    number(BATCH_SIZE) * number(ACCUMULATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(step: u64) -> TrainState {
        TrainState { step, ..TrainState::new(Identity::default().with("model", "abc")) }
    }

    fn entries_of(pairs: &[(&str, &str)]) -> Identity {
        pairs.iter().fold(Identity::default(), |identity, (key, value)| identity.with(key, *value))
    }

    #[test]
    fn changed_inputs_are_listed_one_by_one_and_change_nothing() {
        let now = entries_of(&[("model", "abd"), ("rows", "1")]);
        let mut before = state(3);
        // Asking for it does not help: the rows are what the steps were made on.
        let allowed = ["rows".to_owned()];
        let error = before.resume_with(&now, &allowed, Path::new("run")).unwrap_err().to_string();
        assert!(error.contains("`model` was abc and is abd now"), "{error}");
        assert!(error.contains("`rows` was not set and is 1 now"), "{error}");
        assert_eq!(before, state(3));
        assert_eq!(before.resume_with(&state(9).identity, &[], Path::new("run")).unwrap(), []);
    }

    #[test]
    fn an_allowed_change_is_taken_over_and_noted_and_any_other_still_stops_the_run() {
        let rate = |rate| entries_of(&[("train.learning_rate", rate), ("train.eps", "1")]);
        let mut state = TrainState { step: 7, ..TrainState::new(rate("0.1")) };
        let allowed = ["train.learning_rate".to_owned()];
        let mut both = rate("0.2");
        both.insert("train.eps", "2");
        let error = state.resume_with(&both, &allowed, Path::new("run")).unwrap_err();
        let TrainError::Changed { differences, can_be_allowed, .. } = error else { panic!("changed") };
        assert_eq!(
            (differences[0].to_string().as_str(), can_be_allowed),
            ("`train.eps` was 1 and is 2 now", true)
        );
        assert_eq!(differences.len(), 1);

        state.resume_with(&rate("0.2"), &allowed, Path::new("run")).unwrap();
        let noted = AllowedChange {
            step: 7,
            key: "train.learning_rate".to_owned(),
            then: "0.1".to_owned(),
            now: "0.2".to_owned(),
        };
        assert_eq!((state.identity.clone(), state.allowed_changes.clone()), (rate("0.2"), vec![noted]));
        assert_eq!(state.resume_with(&rate("0.2"), &allowed, Path::new("run")).unwrap(), [], "no change now");
    }

    #[test]
    fn a_batch_may_be_split_in_another_way_but_not_grow() {
        let split = |batch, parts| {
            entries_of(&[("train.batch_size", batch), ("train.gradient_accumulation_steps", parts)])
        };
        let allowed = ["train.batch_size".to_owned(), "train.gradient_accumulation_steps".to_owned()];
        let mut state = TrainState::new(split("8", "1"));
        assert!(state.resume_with(&split("8", "2"), &allowed, Path::new("run")).is_err());
        assert_eq!(state.resume_with(&split("2", "4"), &allowed, Path::new("run")).unwrap().len(), 2);
    }

    #[test]
    fn more_patience_lets_a_run_go_on_that_had_lost_it() {
        let patience = |value| entries_of(&[("train.early_stopping_patience", value)]);
        let mut state = TrainState::new(patience("1"));
        state.selection.ended = Some(EarlyEnd::Patience);
        let allowed = ["train.early_stopping_patience".to_owned()];
        state.resume_with(&patience("3"), &allowed, Path::new("run")).unwrap();
        assert_eq!(state.selection.ended, None);
    }
}
