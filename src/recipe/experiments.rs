//! `[sweep]` and `[transfer]`: what experiments of several runs, and sweeps of one, go through.

use idk_common::{Problem, Problems};
use idk_evaluator::ALL;
use serde::{Deserialize, Serialize};

/// `[sweep]`: the values that `idk-eval sweep` goes through, and the K of `idk-train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepConfig {
    /// Factors before the run's adapter at inference: 1 as trained, 0 the base model. Default
    /// `[0, 0.25, 0.5, 0.75, 1, 2, 4]`.
    pub adapter_scale: Vec<f64>,
    /// A scale is picked only if it keeps at least this share of the base model's accuracy on val. Default 0.8.
    pub min_accuracy: f64,
    /// With values, `idk-train` trains an adapter for each K of K@N, all from the same samples. Default none.
    pub k: Vec<usize>,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self { adapter_scale: vec![0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 4.0], min_accuracy: 0.8, k: Vec::new() }
    }
}

/// Greatest factor. Far beyond it a model writes no sentence.
const MAX_ADAPTER_SCALE: f64 = 100.0;

impl SweepConfig {
    /// What is wrong with the values of `[sweep]`, all of it. `n_samples` is that of `[build]`.
    pub fn problems(&self, n_samples: usize) -> Vec<Problem> {
        let k: Vec<f64> = self.k.iter().map(|&k| k as f64).collect();
        let mut problems = Problems::of_section("sweep");
        let once = !self.adapter_scale.is_empty() && !repeats(&self.adapter_scale);
        problems.require(once, "adapter_scale", "must hold one or more numbers, each once");
        let in_range = self.adapter_scale.iter().all(|scale| (0.0..=MAX_ADAPTER_SCALE).contains(scale));
        problems.require(in_range, "adapter_scale", "may hold numbers between 0 and 100");
        problems.shares([("min_accuracy", self.min_accuracy)]);
        let in_range = !repeats(&k) && self.k.iter().all(|k| (1..=n_samples).contains(k));
        problems.require(in_range, "k", "may hold numbers between 1 and n_samples of [build], each once");
        problems.into_vec()
    }
}

/// `[transfer]`: which adapters are trained. Each takes the recipe as it is, but for its tasks and its seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransferConfig {
    /// What each adapter is trained on: a task (`sound`, `music`, `speech`), or `all` of them. Default all four.
    pub train: Vec<String>,
    /// Seeds of sampling and training; one adapter for each. Three or more give a spread: the interval over questions
    /// does not know how much another seed would change. Default `[0, 1, 2]`.
    pub seeds: Vec<u64>,
}

impl Default for TransferConfig {
    fn default() -> Self {
        let train = ["sound", "music", "speech", ALL].map(str::to_owned).to_vec();
        Self { train, seeds: vec![0, 1, 2] }
    }
}

impl TransferConfig {
    /// What is wrong with the values of `[transfer]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("transfer");
        let once = !self.train.is_empty() && !repeats(&self.train);
        problems.require(once, "train", "must name one or more tasks, each once");
        let plain = "may hold names of letters, digits, `-` and `_` only: they name folders";
        problems.require(self.train.iter().all(|name| is_plain(name)), "train", plain);
        let once = !self.seeds.is_empty() && !repeats(&self.seeds);
        problems.require(once, "seeds", "must hold one or more seeds, each once");
        problems.into_vec()
    }
}

fn repeats<T: PartialEq>(values: &[T]) -> bool {
    values.iter().enumerate().any(|(at, value)| values[..at].contains(value))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_swept_are_named() {
        let keys = |config: SweepConfig| -> Vec<String> {
            config.problems(5).into_iter().map(|problem| problem.key.replace("sweep.", "")).collect()
        };
        let base = SweepConfig::default;
        assert_eq!(keys(SweepConfig { k: vec![1, 5], ..base() }), Vec::<String>::new());
        assert_eq!(keys(SweepConfig { adapter_scale: vec![], k: vec![6], ..base() }), ["adapter_scale", "k"]);
        assert_eq!(
            keys(SweepConfig { adapter_scale: vec![1.0, 1.0], k: vec![2, 2], ..base() }),
            ["adapter_scale", "k"]
        );
        assert_eq!(
            keys(SweepConfig { adapter_scale: vec![-1.0], min_accuracy: 1.5, ..base() }),
            ["adapter_scale", "min_accuracy"]
        );
        assert_eq!(
            keys(SweepConfig { adapter_scale: vec![f64::NAN], k: vec![0], ..base() }),
            ["adapter_scale", "k"]
        );
    }

    #[test]
    fn names_that_cannot_be_folders_and_repeats_are_refused() {
        let keys = |train: &[&str], seeds: &[u64]| {
            let train = train.iter().map(|name| (*name).to_owned()).collect();
            let problems = TransferConfig { train, seeds: seeds.to_vec() }.problems();
            problems.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(&["sound", "all"], &[0]), Vec::<String>::new());
        assert_eq!(keys(&["../x"], &[0, 0]), ["transfer.train", "transfer.seeds"]);
        assert_eq!(keys(&[], &[]), ["transfer.train", "transfer.seeds"]);
    }
}
