//! `generation_config.json`: how the model's authors sample from it.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::ModelError;
use crate::text::tokenizer::LalmTokenizer;

/// Sampling defaults and end tokens of a model folder.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationDefaults {
    /// Whether the authors sample; if not they decode greedily.
    pub do_sample: bool,
    /// Divides the logits; 1.
    pub temperature: f64,
    /// Keeps the k likeliest tokens; 0 = all. transformers' own default is 50.
    pub top_k: usize,
    /// Keeps the likeliest tokens of this total probability; 1.
    pub top_p: f64,
    /// Penalty of repeated tokens; 1 = none.
    pub repetition_penalty: f64,
    /// Tokens that end an answer; at least one.
    pub eos_token_ids: Vec<u32>,
    /// Token that pads batches.
    pub pad_token_id: u32,
}

impl GenerationDefaults {
    /// Plain greedy decoding that ends at the tokenizer's end token.
    pub fn greedy(tokenizer: &LalmTokenizer) -> Self {
        Self {
            do_sample: false,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            eos_token_ids: vec![tokenizer.eos_id()],
            pad_token_id: tokenizer.pad_id(),
        }
    }

    /// Reads `generation_config.json`; a folder without one decodes greedily.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming a malformed key, [`ModelError::Common`] if the file is not JSON.
    pub fn from_dir(dir: &Path, tokenizer: &LalmTokenizer) -> Result<Self, ModelError> {
        let path = dir.join("generation_config.json");
        let mut defaults = Self::greedy(tokenizer);
        if !path.is_file() {
            return Ok(defaults);
        }
        let file: Value = idk_common::json::read_json(&path)?;
        let get = |key: &str| file.get(key).filter(|value| !value.is_null());
        let fail = |key: &str, value: &Value| ModelError::Config {
            path: path.clone(),
            key: key.to_owned(),
            what: format!("{value} is not a valid value"),
        };
        let number = |key: &str, default: f64| match get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().filter(|number| *number >= 0.0).ok_or_else(|| fail(key, value)),
        };
        let id = |key: &str, value: &Value| {
            value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| fail(key, value))
        };
        if let Some(value) = get("do_sample") {
            defaults.do_sample = value.as_bool().ok_or_else(|| fail("do_sample", value))?;
        }
        defaults.temperature = number("temperature", 1.0)?;
        defaults.top_p = number("top_p", 1.0)?;
        defaults.repetition_penalty = number("repetition_penalty", 1.0)?;
        if let Some(value) = get("top_k") {
            defaults.top_k = id("top_k", value)? as usize;
        }
        if let Some(value) = get("pad_token_id") {
            defaults.pad_token_id = id("pad_token_id", value)?;
        }
        if let Some(value) = get("eos_token_id") {
            let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            defaults.eos_token_ids =
                values.iter().map(|value| id("eos_token_id", value)).collect::<Result<_, _>>()?;
        }
        // Answers are learnt with what the chat template ends a turn with.
        let end_of_turn = tokenizer.end_of_turn_id();
        if !defaults.eos_token_ids.contains(&end_of_turn) {
            defaults.eos_token_ids.push(end_of_turn);
        }
        Ok(defaults)
    }

    /// The content of `generation_config.json`.
    pub fn to_json(&self) -> Value {
        let eos = match self.eos_token_ids.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        json!({
            "chat_format": "chatml",
            "do_sample": self.do_sample,
            "eos_token_id": eos,
            "pad_token_id": self.pad_token_id,
            "repetition_penalty": self.repetition_penalty,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
        })
    }
}
