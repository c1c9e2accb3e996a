//! `[eval]`: how a test set is answered and how methods are compared.

use idk_model::SamplingConfig;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::method::Method;

/// `[eval]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Methods that are compared with the base model: `adapter`, `idk-prompt`. The base itself is always answered,
    /// and `adapter` only where there is one. Default `["adapter"]`.
    pub methods: Vec<Method>,
    /// Most tokens of an answer. Default 16.
    pub max_new_tokens: usize,
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
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            methods: vec![Method::Adapter],
            max_new_tokens: 16,
            repetition_penalty: 1.0,
            batch_size: 128,
            shuffle_options: true,
            bootstrap_draws: 2000,
            limit: None,
            max_rejected_share: 0.05,
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
        Ok(())
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
    }
}
