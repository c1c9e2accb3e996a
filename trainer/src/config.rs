//! The `[train]` section: everything that decides how a run trains.

use std::path::PathBuf;

use idk_common::identity::OnResume;
use idk_common::{Identity, Problem, Problems, plain_types};
use idk_model::{FeatureLimits, FeatureStore};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::best_metric::BestMetric;
use crate::error::TrainError;

/// Shape of the learning rate after warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Half a cosine from the peak down to `min_lr_ratio` of it.
    Cosine,
    /// A straight line from the peak down to `min_lr_ratio` of it.
    Linear,
    /// The peak until the end; `min_lr_ratio` is not used.
    Constant,
}

/// The name of a way to train adapters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodKind {
    /// Supervised fine-tuning on the dataset's answers.
    #[default]
    Sft,
    /// Direct preference optimisation on the dataset's pairs, as `[dpo]` says.
    Dpo,
    /// Calibrated refusal on the model's own answers and their error rates, as `[calibrated]` says.
    Calibrated,
    /// Reinforcement learning on the model's own samples, as `[rl]` says.
    Rl,
}

/// How to train. Every key has a default; an unknown key is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// What an adapter is trained on: "sft" (the answers in `sft.jsonl`), "dpo" (the pairs in `dpo.jsonl`, see `[dpo]`) or
    /// "calibrated" (own answers and error rates in `calibrated.jsonl`, see `[calibrated]`). A row is an answer, a pair or
    /// an own answer. Not used by full-parameter training. Default "sft".
    pub method: MethodKind,
    /// Passes over the training rows. Not used when `max_steps` is set, nor by full-parameter training,
    /// whose rows are rendered without end. Default 1.
    pub epochs: u64,
    /// Optimiser steps after which to stop, whatever `epochs` says. Default: not set.
    pub max_steps: Option<u64>,
    /// Rows run through the model at once (the micro-batch); on the CPU in parts of four, each on threads of its own. Default 8.
    pub batch_size: usize,
    /// Micro-batches whose gradients are summed before one optimiser step; the effective batch is
    /// `batch_size * gradient_accumulation_steps`. Any split of the same effective batch gives the same step, up to rounding.
    /// Default 1.
    pub gradient_accumulation_steps: usize,
    /// Peak learning rate. Default 1e-3, right for LoRA on the embedded base model; use about 1e-4 on a 7B model.
    pub learning_rate: f64,
    /// Learning rate after warm-up: "cosine", "linear" or "constant". Default "cosine".
    pub schedule: Schedule,
    /// Where "cosine" and "linear" end, as a share of the peak, 0 to 1. Default 0.
    pub min_lr_ratio: f64,
    /// Share of all steps spent rising linearly to the peak, 0 to 1. Default 0.1.
    pub warmup_ratio: f64,
    /// Steps spent rising to the peak; replaces `warmup_ratio`. Default: not set.
    pub warmup_steps: Option<u64>,
    /// Decoupled weight decay of AdamW, per unit of learning rate. Default 0.
    pub weight_decay: f64,
    /// Decay rates of AdamW's first and second moment. Default [0.9, 0.999].
    pub betas: [f64; 2],
    /// Term added to AdamW's denominator. Default 1e-8.
    pub eps: f64,
    /// Largest allowed L2 norm of all gradients together; a longer gradient is scaled down to it. 0 turns
    /// clipping off. Default 1.
    pub max_grad_norm: f64,
    /// Steps between checkpoints; 0 saves only the last step. Default 0.
    pub save_every: u64,
    /// Checkpoints kept; older ones are removed once a newer one has been read back and verified. 0 keeps all.
    /// Default 2.
    pub save_total_limit: usize,
    /// Steps between evaluations on the validation rows and questions; 0 evaluates only after the last step. Default 0.
    pub eval_every: u64,
    /// The adapter of the evaluation at which this metric is best becomes the run's adapter, instead of the last one:
    /// "eval_loss", "eval_acc", "eval_rel", "eval_rgi", and with "dpo" "eval_rewards/accuracies" or
    /// "eval_rewards/margins". The lowest loss, else the highest value is the best; an evaluation at which RGI is not
    /// defined never is, and if none is the best, the last adapter is kept. Not for full-parameter training. Default: not set.
    pub metric_for_best: Option<BestMetric>,
    /// End the run after this many evaluations in a row at which `metric_for_best` was not better than before, counted
    /// from the first at which it has a value. Default: not set.
    pub early_stopping_patience: Option<u64>,
    /// End the run at the first evaluation at which at least this share (0 to 1) of the validation questions is refused.
    /// Default: not set.
    pub target_refusal_rate: Option<f64>,
    /// Visit the rows in a fresh order every epoch, a pure function of the seed and the epoch; `false` keeps the
    /// order of the file. Default true.
    pub shuffle: bool,
    /// Steps between rows of the metrics log; the last step is always logged. Default 1.
    pub log_every: u64,
    /// Steps whose rows are sorted by length before they are cut into micro-batches, which saves padding. 0 sorts
    /// nothing. 1 sorts within each step, which is the same step up to rounding. More put rows of similar length into
    /// the same step; the steps of such a window then follow in an order that depends on seed and epoch alone.
    /// transformers' `group_by_length = true` sorts 50 batches together. Not used by full-parameter training. Default 0.
    #[serde(deserialize_with = "steps_to_group")]
    pub group_by_length: u64,
    /// Most memory in MiB for the audio features of the frozen encoder that sampling, training and evaluation keep. What
    /// they leave holds the spectrograms of recordings that are not encoded yet. What needs more goes to `feature_cache_dir`
    /// if there is one, and is else computed again at each use; the results are the same. Default 2048.
    pub feature_cache_mib: u64,
    /// Folder for the audio features of the frozen encoder, which any number of runs on the same model may share, by
    /// answers or by preferences: a recording is encoded once for all of them. Default "": nothing is stored.
    pub feature_cache_dir: PathBuf,
    /// Most MiB of `feature_cache_dir`; the oldest features of other runs are removed to stay below. Default 20480.
    pub feature_cache_disk_mib: u64,
    /// Keep only the input of each decoder layer for the backward pass and run the layer again there: much less memory for
    /// a third more work. For LoRA; not used by full-parameter training. Default false.
    pub gradient_checkpointing: bool,
}

/// A number of steps. transformers takes `true` here, so the error says what to write.
fn steps_to_group<'de, D: Deserializer<'de>>(value: D) -> Result<u64, D::Error> {
    u64::deserialize(value).map_err(|error| {
        let what = plain_types(&error.to_string());
        D::Error::custom(format!("{what}: write the steps to sort together, such as 50; 0 is off"))
    })
}

const OTHER_ROWS: &str = "the rows that the current epoch has left would be others";

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            method: MethodKind::Sft,
            epochs: 1,
            max_steps: None,
            batch_size: 8,
            gradient_accumulation_steps: 1,
            learning_rate: 1e-3,
            schedule: Schedule::Cosine,
            min_lr_ratio: 0.0,
            warmup_ratio: 0.1,
            warmup_steps: None,
            weight_decay: 0.0,
            betas: [0.9, 0.999],
            eps: 1e-8,
            max_grad_norm: 1.0,
            save_every: 0,
            save_total_limit: 2,
            eval_every: 0,
            metric_for_best: None,
            early_stopping_patience: None,
            target_refusal_rate: None,
            shuffle: true,
            log_every: 1,
            group_by_length: 0,
            feature_cache_mib: 2048,
            feature_cache_dir: PathBuf::new(),
            feature_cache_disk_mib: 20480,
            gradient_checkpointing: false,
        }
    }
}

impl TrainConfig {
    /// What another value of a key means for a run that resumes.
    pub const ON_RESUME: [(&'static str, OnResume); 27] = [
        ("train.method", OnResume::Never("its rows are of another kind")),
        ("train.epochs", OnResume::Later),
        ("train.max_steps", OnResume::Later),
        ("train.batch_size", OnResume::Later),
        ("train.gradient_accumulation_steps", OnResume::Later),
        ("train.learning_rate", OnResume::Later),
        ("train.schedule", OnResume::Later),
        ("train.min_lr_ratio", OnResume::Later),
        ("train.warmup_ratio", OnResume::Later),
        ("train.warmup_steps", OnResume::Later),
        ("train.weight_decay", OnResume::Later),
        ("train.betas", OnResume::Later),
        ("train.eps", OnResume::Later),
        ("train.max_grad_norm", OnResume::Later),
        ("train.save_every", OnResume::Free),
        ("train.save_total_limit", OnResume::Free),
        ("train.eval_every", OnResume::Later),
        ("train.metric_for_best", OnResume::Never("the best evaluation so far was found by it")),
        ("train.early_stopping_patience", OnResume::Later),
        ("train.target_refusal_rate", OnResume::Later),
        ("train.shuffle", OnResume::Never(OTHER_ROWS)),
        ("train.log_every", OnResume::Free),
        ("train.group_by_length", OnResume::Never(OTHER_ROWS)),
        ("train.feature_cache_mib", OnResume::Free),
        ("train.feature_cache_dir", OnResume::Free),
        ("train.feature_cache_disk_mib", OnResume::Free),
        ("train.gradient_checkpointing", OnResume::Free),
    ];

    /// What is wrong with the values of `[train]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("train");
        let epochs = if self.max_steps.is_some() { 1 } else { self.epochs };
        problems.at_least_one([
            ("epochs", epochs),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("batch_size", self.batch_size as u64),
            ("gradient_accumulation_steps", self.gradient_accumulation_steps as u64),
        ]);
        problems.positive([("learning_rate", self.learning_rate)]);
        problems.shares([("min_lr_ratio", self.min_lr_ratio), ("warmup_ratio", self.warmup_ratio)]);
        problems.not_negative([("weight_decay", self.weight_decay)]);
        let betas = self.betas.iter().all(|beta| (0.0..1.0).contains(beta));
        problems.require(betas, "betas", "must be two numbers, each at least 0 and below 1");
        problems.positive([("eps", self.eps)]);
        problems.not_negative([("max_grad_norm", self.max_grad_norm)]);
        for (set, key) in [
            (self.metric_for_best.is_some(), "metric_for_best"),
            (self.target_refusal_rate.is_some(), "target_refusal_rate"),
        ] {
            problems.require(!set || self.eval_every >= 1, key, "needs `eval_every` of at least 1");
        }
        problems.at_least_one([("early_stopping_patience", self.early_stopping_patience.unwrap_or(1))]);
        let chosen = self.early_stopping_patience.is_none() || self.metric_for_best.is_some();
        problems.require(chosen, "early_stopping_patience", "needs `metric_for_best`");
        problems.shares([("target_refusal_rate", self.target_refusal_rate.unwrap_or_default())]);
        problems.at_least_one([("log_every", self.log_every)]);
        problems.into_vec()
    }

    /// Rejects values that cannot be trained with.
    ///
    /// # Errors
    /// [`TrainError::Config`] with every problem in it.
    pub fn validate(&self) -> Result<(), TrainError> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(TrainError::Config { problems }) }
    }

    /// Rows that go into one optimiser step.
    pub fn rows_per_step(&self) -> usize {
        self.batch_size * self.gradient_accumulation_steps
    }

    /// Optimiser steps in one pass over `rows` rows; the last step of a pass may be smaller.
    pub fn steps_per_epoch(&self, rows: usize) -> u64 {
        rows.div_ceil(self.rows_per_step().max(1)) as u64
    }

    /// Optimiser steps of the whole run over `rows` rows.
    pub fn total_steps(&self, rows: usize) -> u64 {
        self.max_steps.unwrap_or_else(|| self.epochs * self.steps_per_epoch(rows))
    }

    /// A store for clips and their features with the limits of these keys, for the model with this hash.
    pub fn feature_store(&self, model_sha256: &str) -> FeatureStore {
        let bytes = |mib: u64| mib.saturating_mul(1 << 20);
        let limits = FeatureLimits {
            memory_bytes: bytes(self.feature_cache_mib),
            disk_dir: self.feature_cache_dir.clone(),
            disk_bytes: bytes(self.feature_cache_disk_mib),
        };
        FeatureStore::new(model_sha256, limits)
    }

    /// Whether evaluations decide which adapter is kept, or when the run ends.
    pub fn selects(&self) -> bool {
        self.metric_for_best.is_some() || self.target_refusal_rate.is_some()
    }

    /// What a resumed run must agree on: every key, but those that cannot change the trained weights at their defaults
    /// (how often to save, to log, to evaluate if nothing is decided by it).
    pub fn identity(&self) -> Identity {
        let is_free = |key: &str| match key {
            "train.eval_every" => !self.selects(),
            key => Self::ON_RESUME.contains(&(key, OnResume::Free)),
        };
        let mut free = Identity::default().with_section("train", &Self::default());
        free.retain(is_free);
        Identity::default().with_section("train", self).and(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &TrainConfig) -> Vec<String> {
        config.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<TrainConfig>(r#"{"learning_rte": 0.1}"#).unwrap_err();
        assert!(error.to_string().contains("learning_rte"), "{error}");
    }

    #[test]
    fn a_missing_key_takes_its_default() {
        let config: TrainConfig = serde_json::from_str(r#"{"schedule": "linear"}"#).unwrap();
        assert_eq!(config.schedule, Schedule::Linear);
        assert_eq!(config.batch_size, 8);
        assert_eq!(config.problems(), Vec::new());
    }

    #[test]
    fn all_bad_values_are_reported_at_once() {
        let config = TrainConfig {
            batch_size: 0,
            learning_rate: f64::NAN,
            betas: [0.9, 1.0],
            warmup_ratio: 1.5,
            ..TrainConfig::default()
        };
        let all = ["batch_size", "learning_rate", "warmup_ratio", "betas"];
        assert_eq!(keys(&config), all.map(|key| format!("train.{key}")));
        assert!(config.validate().is_err());
    }

    #[test]
    fn choosing_by_an_evaluation_needs_evaluations() {
        let config = TrainConfig {
            metric_for_best: Some(BestMetric::Rgi),
            target_refusal_rate: Some(1.5),
            ..TrainConfig::default()
        };
        let all = ["metric_for_best", "target_refusal_rate", "target_refusal_rate"];
        assert_eq!(keys(&config), all.map(|key| format!("train.{key}")));
        let config = TrainConfig { early_stopping_patience: Some(2), ..TrainConfig::default() };
        assert_eq!(keys(&config), ["train.early_stopping_patience"]);
        let config: TrainConfig = serde_json::from_str(
            r#"{"metric_for_best": "eval_rewards/margins", "eval_every": 5, "early_stopping_patience": 1, "method": "dpo"}"#,
        )
        .unwrap();
        assert_eq!(config.problems(), Vec::new());
        assert_eq!(config.identity().get("train.eval_every"), Some(&5.into()));
        let often = TrainConfig { eval_every: 5, save_every: 7, ..TrainConfig::default() };
        assert_eq!(often.identity(), TrainConfig::default().identity(), "nothing is decided by it");
    }

    #[test]
    fn the_last_partial_batch_of_an_epoch_is_a_step() {
        let config = TrainConfig {
            batch_size: 4,
            gradient_accumulation_steps: 2,
            epochs: 3,
            ..TrainConfig::default()
        };
        assert_eq!(config.steps_per_epoch(16), 2);
        assert_eq!(config.steps_per_epoch(17), 3);
        assert_eq!(config.total_steps(17), 9);
    }
}
