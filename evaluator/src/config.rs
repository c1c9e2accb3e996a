//! `[eval]`: how a test set is answered and how methods are compared.

use std::path::{Path, PathBuf};

use idk_model::SamplingConfig;
use idk_questions::metrics::Criterion;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::method::{ADAPTER_NAME_RULE, Method, is_adapter_name};
use crate::prompts::{PromptFiles, Prompts};

/// `[eval]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Methods that are compared with the base model: `adapter`, `idk-prompt`, `mcot`, `mcot-few-shot`, `task-agent`,
    /// `threshold`, `agreement`, `group`, `random`. The base itself is always answered, and `adapter` only where there is one.
    /// Default `["adapter"]`.
    pub methods: Vec<Method>,
    /// Most tokens of an answer. Default 16.
    pub max_new_tokens: usize,
    /// Most tokens of each text that `mcot` and `task-agent` make before their answer. Default 64.
    pub max_step_tokens: usize,
    /// Divides (or multiplies) the logits of tokens that were already seen, prompt included; 1 = off. Decoding is
    /// greedy. Default 1.
    pub repetition_penalty: f64,
    /// Questions that are given to the model together; it makes its own batches of them. Default 128.
    pub batch_size: usize,
    /// Show the options in an order that depends on (seed, question id); else as in the file. Default true.
    pub shuffle_options: bool,
    /// Draws of the paired bootstrap for the intervals. Default 2000.
    pub bootstrap_draws: usize,
    /// Answer at most this many questions of each task, the first ones of the file. Default: all.
    pub limit: Option<usize>,
    /// Stop if more than this share of the questions cannot be used. Default 0.05.
    pub max_rejected_share: f64,
    /// Adapters beside the run's own, each as `NAME=FOLDER`.
    pub adapters: Vec<String>,
    /// What the thresholds of `threshold` and `agreement` make as large as possible on the questions of `val` in [data]:
    /// `youden` or `rgi`. Default `youden`.
    pub threshold_by: Criterion,
    /// `group` refuses the sub-categories of which the base model knows less than this share. Default 0.5.
    pub group_known_share: f64,
    /// Share of the questions that `random` refuses. Default: as many as the first method that runs a model.
    pub random_rate: Option<f64>,
    /// Files in place of the prompts of the training-free methods.
    pub prompts: PromptFiles,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            methods: vec![Method::Adapter],
            max_new_tokens: 16,
            max_step_tokens: 64,
            repetition_penalty: 1.0,
            batch_size: 128,
            shuffle_options: true,
            bootstrap_draws: 2000,
            limit: None,
            max_rejected_share: 0.05,
            adapters: Vec::new(),
            threshold_by: Criterion::default(),
            group_known_share: 0.5,
            random_rate: None,
            prompts: PromptFiles::default(),
        }
    }
}

impl EvalConfig {
    /// Checks that the values can be used.
    ///
    /// # Errors
    /// [`EvalError::Config`] naming the first key whose value cannot be used.
    pub fn check(&self) -> Result<(), EvalError> {
        let wrong = |key, what: &str| Err(EvalError::Config { key, what: what.to_owned() });
        if self.max_new_tokens == 0 {
            return wrong("max_new_tokens", "must be 1 or more");
        }
        if self.max_step_tokens == 0 {
            return wrong("max_step_tokens", "must be 1 or more");
        }
        if self.batch_size == 0 {
            return wrong("batch_size", "must be 1 or more");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return wrong("repetition_penalty", "must be a number above 0");
        }
        if self.limit == Some(0) {
            return wrong("limit", "must be 1 or more");
        }
        if !(0.0..=1.0).contains(&self.max_rejected_share) {
            return wrong("max_rejected_share", "must be between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.group_known_share) {
            return wrong("group_known_share", "must be between 0 and 1");
        }
        if self.random_rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            return wrong("random_rate", "must be between 0 and 1");
        }
        self.named_adapters().map(|_| ())
    }

    /// Whether one of the methods is fitted on val.
    pub fn fits_on_val(&self) -> bool {
        self.methods.iter().any(|method| matches!(method, Method::Threshold | Method::Agreement))
    }

    /// Reads the prompts that are named, and forgets them.
    ///
    /// # Errors
    /// [`EvalError::Common`] for a file that cannot be read, [`EvalError::Template`].
    pub fn check_prompts(&self) -> Result<(), EvalError> {
        Prompts::load(&self.prompts).map(|_| ())
    }

    /// Names and folders of `adapters`.
    ///
    /// # Errors
    /// [`EvalError::Config`] for an entry without a name, a name that cannot be one, and a name that comes twice.
    pub fn named_adapters(&self) -> Result<Vec<(String, PathBuf)>, EvalError> {
        let wrong = |what: String| EvalError::Config { key: "adapters", what };
        let mut named: Vec<(String, PathBuf)> = Vec::new();
        for entry in &self.adapters {
            let (name, folder) =
                entry.split_once('=').ok_or_else(|| wrong(format!("`{entry}` must be NAME=FOLDER")))?;
            if !is_adapter_name(name) {
                return Err(wrong(format!("`{name}` cannot name an adapter: {ADAPTER_NAME_RULE}")));
            }
            if name == Method::Adapter.name() {
                return Err(wrong(format!("`{name}` is the run's own adapter: give this one another name")));
            }
            if named.iter().any(|(other, _)| other == name) {
                return Err(wrong(format!("`{name}` names two adapters")));
            }
            named.push((name.to_owned(), PathBuf::from(folder)));
        }
        Ok(named)
    }

    /// The same without folders, for results that are the same wherever the files lie.
    pub(crate) fn without_folders(&self) -> Self {
        let last = |path: &str| {
            let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
            name.unwrap_or_else(|| path.to_owned())
        };
        let names = self.adapters.iter().map(|entry| match entry.split_once('=') {
            Some((name, folder)) => format!("{name}={}", last(folder)),
            None => entry.clone(),
        });
        Self { adapters: names.collect(), prompts: self.prompts.without_folders(), ..self.clone() }
    }

    /// Greedy decoding.
    pub fn decoding(&self) -> SamplingConfig {
        SamplingConfig {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: self.repetition_penalty,
            max_new_tokens: self.max_new_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_as_in_a_recipe() {
        let config: EvalConfig = serde_json::from_str(r#"{"methods": ["adapter", "idk-prompt"]}"#).unwrap();
        assert_eq!(config.methods, [Method::Adapter, Method::IdkPrompt]);
        assert!(serde_json::from_str::<EvalConfig>(r#"{"methods": ["prompt"]}"#).is_err());
        assert!(serde_json::from_str::<EvalConfig>(r#"{"draws": 3}"#).is_err());
    }

    #[test]
    fn a_value_that_cannot_be_used_names_its_key() {
        let config = EvalConfig { limit: Some(0), ..EvalConfig::default() };
        assert!(matches!(config.check(), Err(EvalError::Config { key: "limit", .. })));
        EvalConfig::default().check().unwrap();
        for entry in ["folder", "mcot=folder", "adapter=folder", "../x=folder", "=folder"] {
            let config = EvalConfig { adapters: vec![entry.to_owned()], ..EvalConfig::default() };
            assert!(matches!(config.check(), Err(EvalError::Config { key: "adapters", .. })), "{entry}");
        }
        let twice =
            EvalConfig { adapters: vec!["a=x".to_owned(), "a=y".to_owned()], ..EvalConfig::default() };
        assert!(twice.check().unwrap_err().to_string().contains("two adapters"));
    }

    #[test]
    fn results_say_what_was_used_but_not_where_it_lay() {
        let config = EvalConfig {
            adapters: vec!["k5=/home/me/runs/k5/adapter".to_owned()],
            prompts: PromptFiles { mcot: Some("/p/think.txt".into()), ..PromptFiles::default() },
            ..EvalConfig::default()
        };
        let shown = config.without_folders();
        assert_eq!(shown.adapters, ["k5=adapter"]);
        assert_eq!(shown.prompts.mcot, Some("think.txt".into()));
    }
}
