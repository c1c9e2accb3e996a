//! Typed reading of a JSON object, with errors that name the file and the full key.

use std::path::{Path, PathBuf};

use idk_common::limits::{MAX_LAYERS, MAX_MODEL_DIM};
use serde_json::{Map, Value};

use crate::error::ModelError;

/// One JSON object of the file, with the path and the key prefix that its errors name.
pub(crate) struct Section<'a> {
    path: PathBuf,
    prefix: String,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    pub(crate) fn root(path: &Path, value: &'a Value) -> Result<Self, ModelError> {
        let section = Self { path: path.to_owned(), prefix: String::new(), map: value.as_object() };
        if section.map.is_none() {
            return Err(section.error("", "the file is not a JSON object".to_owned()));
        }
        Ok(section)
    }

    pub(crate) fn error(&self, key: &str, what: String) -> ModelError {
        ModelError::Config { path: self.path.clone(), key: format!("{}{key}", self.prefix), what }
    }

    /// The value of a key; absent and null are the same, as in transformers.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.and_then(|map| map.get(key)).filter(|value| !value.is_null())
    }

    pub(crate) fn is_null(&self, key: &str) -> bool {
        self.map.and_then(|map| map.get(key)).is_some_and(Value::is_null)
    }

    pub(crate) fn is_absent(&self, key: &str) -> bool {
        self.get(key).is_none()
    }

    /// A nested object; an absent one is all defaults.
    pub(crate) fn section(&self, key: &str) -> Result<Self, ModelError> {
        let map = match self.get(key) {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(_) => return Err(self.error(key, "not a JSON object".to_owned())),
        };
        Ok(Self { path: self.path.clone(), prefix: format!("{}{key}.", self.prefix), map })
    }

    pub(crate) fn optional_count(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        let what = || format!("{value} is not a whole number up to {MAX_MODEL_DIM}");
        count.filter(|&count| count <= MAX_MODEL_DIM).map(Some).ok_or_else(|| self.error(key, what()))
    }

    pub(crate) fn count(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        Ok(self.optional_count(key)?.unwrap_or(default))
    }

    pub(crate) fn positive(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        match self.count(key, default)? {
            0 => Err(self.error(key, "must be at least 1".to_owned())),
            count => Ok(count),
        }
    }

    /// How many layers there are.
    pub(crate) fn layers(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        match self.positive(key, default)? {
            count if count <= MAX_LAYERS => Ok(count),
            count => Err(self.error(key, format!("{count} layers, at most {MAX_LAYERS} are supported"))),
        }
    }

    pub(crate) fn number(&self, key: &str, default: f64) -> Result<f64, ModelError> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let number = value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        number.ok_or_else(|| self.error(key, format!("{value} is not a positive number")))
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.error(key, format!("{value} is neither true nor false")))
    }

    pub(crate) fn expect_false(&self, key: &str) -> Result<(), ModelError> {
        match self.flag(key)? {
            Some(true) => Err(self.error(key, "true is not supported".to_owned())),
            _ => Ok(()),
        }
    }

    pub(crate) fn expect_word(&self, key: &str, supported: &[&str]) -> Result<(), ModelError> {
        match self.get(key) {
            None => Ok(()),
            Some(value) if value.as_str().is_some_and(|word| supported.contains(&word)) => Ok(()),
            Some(value) => Err(self.error(key, format!("{value} is not supported, only {supported:?}"))),
        }
    }

    pub(crate) fn refuse_if_set(&self, key: &str) -> Result<(), ModelError> {
        match self.get(key) {
            None => Ok(()),
            Some(_) => Err(self.error(key, "is not supported".to_owned())),
        }
    }

    pub(crate) fn expect_full_attention(&self) -> Result<(), ModelError> {
        let Some(value) = self.get("layer_types") else { return Ok(()) };
        let all_full =
            value.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "full_attention"));
        if all_full {
            return Ok(());
        }
        Err(self.error("layer_types", "only `full_attention` is supported".to_owned()))
    }
}
