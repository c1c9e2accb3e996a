//! What of a run may change between two of its steps, when that is asked for by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a changed key means for a run that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// The steps that are left take the new value.
    Later,
    /// What was done so far could not be gone on from; why.
    Never(&'static str),
}

/// A change that a run went on with; kept in its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedChange {
    /// Steps that were done with the old value.
    pub step: u64,
    /// The key, such as `train.learning_rate`.
    pub key: String,
    /// The old value.
    pub then: String,
    /// The new value.
    pub now: String,
}

const LATER: [&str; 20] = [
    "program",
    "train.epochs",
    "train.max_steps",
    "train.batch_size",
    "train.accumulation",
    "train.learning_rate",
    "train.schedule",
    "train.min_lr_ratio",
    "train.warmup_ratio",
    "train.warmup_steps",
    "train.weight_decay",
    "train.betas",
    "train.eps",
    "train.max_grad_norm",
    "train.eval_every",
    "train.early_stopping_patience",
    "train.target_refusal_rate",
    "lora.dropout",
    "dpo.beta",
    "dpo.sft_weight",
];

const NEVER: [(&str, &str); 14] = [
    ("seed", "the dataset and the order of its rows follow from it"),
    ("model", "the adapter was trained on this base model"),
    ("model.path", "the adapter was trained on this base model"),
    ("rows", "the steps so far were made on these rows"),
    ("pairs", "the steps so far were made on these pairs"),
    ("lora.rank", "the trained tensors have this shape"),
    ("lora.alpha", "the trained tensors were learnt under this scale"),
    ("lora.rslora", "the trained tensors were learnt under this scale"),
    ("lora.target_modules", "the trained tensors belong to these layers"),
    ("train.method", "its rows are of another kind"),
    ("train.shuffle", "the rows that the current epoch has left would be others"),
    ("train.length_window_steps", "the rows that the current epoch has left would be others"),
    ("train.metric_for_best", "the best evaluation so far was found by it"),
    ("dpo.init", "the run started from it"),
];

/// What a change of `key` means; `None` for keys that are no part of what a run is.
pub fn key_change(key: &str) -> Option<KeyChange> {
    if LATER.contains(&key) {
        return Some(KeyChange::Later);
    }
    let named = NEVER.iter().find(|(name, _)| *name == key).map(|(_, reason)| *reason);
    let section = key.split_once('.').map_or(key, |(section, _)| section);
    let of_section = match section {
        "data" | "build" => {
            "the dataset is made by it; `idk-build relabel` makes another of the same samples"
        }
        "lora" => "the adapter was started with it",
        "dpo" => "the steps so far followed another loss",
        "base" | "init" => "the model so far was made by it",
        _ => return named.map(KeyChange::Never),
    };
    Some(KeyChange::Never(named.unwrap_or(of_section)))
}

/// The keys that may change while a run goes on, and those that are named with a reason why they may not.
pub fn named_keys() -> impl Iterator<Item = &'static str> + Clone {
    LATER.into_iter().chain(NEVER.into_iter().map(|(key, _)| key))
}

/// Whether the rows of a step stay the same number. Where the next step begins is counted in steps.
pub(crate) fn rows_per_step_stay(then: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> bool {
    let rows = |of: &BTreeMap<String, String>| {
        let number = |key: &str| of.get(key).and_then(|value| value.parse::<u64>().ok()).unwrap_or(1);
        number("train.batch_size") * number("train.accumulation")
    };
    rows(then) == rows(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;
    use crate::dpo_config::DpoConfig;
    use crate::session::config_entries;

    #[test]
    fn every_key_that_a_resumed_run_compares_is_decided_on() {
        let lora = idk_model::LoraConfig::default();
        let mut keys: Vec<String> = config_entries("train", &TrainConfig::default()).into_keys().collect();
        keys.extend(config_entries("dpo", &DpoConfig::default()).into_keys());
        keys.extend(config_entries("lora", &lora).into_keys());
        // These change nothing that is trained.
        let free =
            ["save_every", "keep_last", "log_every", "feature_cache_mib", "feature_cache_dir", "recompute"];
        let free = free.into_iter().chain(["feature_cache_disk_mib"]).map(|key| format!("train.{key}"));
        let free: Vec<String> = free.collect();
        for key in keys.iter().filter(|key| !free.contains(key)) {
            assert!(key_change(key).is_some(), "{key}");
        }
        assert!(free.iter().all(|key| key_change(key).is_none()));
    }

    #[test]
    fn what_made_the_dataset_or_the_shape_of_the_adapter_never_changes() {
        for key in ["build.k", "data.train", "lora.rank", "lora.something_new", "seed", "model", "dpo.loss"] {
            assert!(matches!(key_change(key), Some(KeyChange::Never(_))), "{key}");
        }
        assert_eq!(key_change("eval.methods"), None);
    }
}
