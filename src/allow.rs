//! `--allow-change KEY`: which changes of a recipe a run may go on with.

use idk_trainer::{KeyChange, key_change, named_keys};
use serde_json::Value;

use crate::base::{BaseConfig, InitConfig};
use crate::error::RunError;
use crate::recipe::{Recipe, SECTIONS};
use crate::transfer::TransferConfig;

/// Refuses keys that do not exist, and those that no run can go on with another value of.
///
/// # Errors
/// [`RunError::Usage`] with the nearest known key, or with the reason.
pub fn check_keys(keys: &[String]) -> Result<(), RunError> {
    let usage = |what: String| Err(RunError::Usage { what });
    for key in keys {
        match key_change(key) {
            Some(KeyChange::Later) => {}
            _ if !is_known(key) => {
                let near = idk_common::text::did_you_mean(key, named_keys());
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return usage(format!("--allow-change: there is no key `{key}`{hint}"));
            }
            Some(KeyChange::Never(reason)) => {
                return usage(format!("--allow-change: `{key}` cannot change while a run goes on: {reason}"));
            }
            // It changes nothing that is trained, and may change without being named.
            None => {}
        }
    }
    Ok(())
}

/// Whether `line`, a difference that begins with its key, is of one of `allowed`.
pub(crate) fn allows(allowed: &[String], line: &str) -> bool {
    let key = line.split_once(": ").map_or(line, |(key, _)| key);
    key_change(key) == Some(KeyChange::Later) && allowed.iter().any(|it| it == key)
}

/// Whether a run could go on with all these differences, if that were asked for.
pub(crate) fn could_be_allowed(lines: &[String]) -> bool {
    lines.iter().all(|line| {
        let key = line.split_once(": ").map_or(line.as_str(), |(key, _)| key);
        key_change(key) == Some(KeyChange::Later)
    })
}

/// Whether a recipe can have the key, or a run compares it under this name.
fn is_known(key: &str) -> bool {
    let whole = Recipe {
        base: Some(BaseConfig::default()),
        init: Some(InitConfig::default()),
        transfer: Some(TransferConfig::default()),
        ..Recipe::default()
    };
    let whole = serde_json::to_value(whole).unwrap_or_default();
    match key.split_once('.') {
        Some((section, key)) => {
            whole.get(section).and_then(Value::as_object).is_some_and(|keys| keys.contains_key(key))
        }
        None => named_keys().any(|known| known == key) || SECTIONS.contains(&key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(key: &str) -> String {
        check_keys(&[key.to_owned()]).map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_key_is_allowed_refused_with_its_reason_or_unknown_with_the_nearest_one() {
        for key in ["train.learning_rate", "program", "train.save_every", "eval.methods"] {
            assert_eq!(said(key), "", "{key}");
        }
        for (key, part) in [
            ("lora.rank", "the trained tensors have this shape"),
            ("rows", "made on these rows"),
            ("model.path", "this base model"),
            ("build.k", "idk-build relabel"),
            ("train.learning_rte", "did you mean `train.learning_rate`?"),
            ("lora.rnak", "did you mean `lora.rank`?"),
            ("zebra", "there is no key `zebra`"),
        ] {
            assert!(said(key).contains(part), "{key}: {}", said(key));
        }
    }

    #[test]
    fn a_difference_is_allowed_by_its_whole_key_only() {
        let allowed = ["train.eps".to_owned(), "lora.rank".to_owned()];
        assert!(allows(&allowed, "train.eps: 1 there, 2 here"));
        assert!(!allows(&allowed, "train.epochs: 1 there, 2 here"));
        assert!(!allows(&allowed, "lora.rank: 8 there, 4 here"), "it cannot change, whoever asks");
    }
}
