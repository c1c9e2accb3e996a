//! `--allow-change KEY`: the recipe changes with which a run may resume. The rules are next to the keys
//! ([`idk_trainer::on_resume()`]); here are the sections that training does not read.

use idk_common::identity::OnResume;
use idk_trainer::{known_keys, on_resume};
use serde_json::Value;

use super::RunError;
use crate::recipe::key_sections;
use crate::recipe::renamed::key_now;
use crate::recipe::{Recipe, SECTIONS, SweepConfig, TransferConfig};

const OF_DATASET: &str = "the dataset is made by it; `idk-build relabel` makes another of the same samples";

/// Sections no key of which can change.
const NEVER: [(&str, &str); 2] = [("data", OF_DATASET), ("build", OF_DATASET)];

/// Refuses keys that do not exist, and those that no run can resume with another value of.
///
/// # Errors
/// [`RunError::Usage`] with the nearest known key, or with the reason.
pub(crate) fn check_keys(keys: &[String]) -> Result<(), RunError> {
    let usage = |what: String| Err(RunError::Usage { what });
    for key in keys {
        let meaning = on_resume(key);
        if meaning.is_none() && !is_known(key) {
            let near = || {
                let name = key.rsplit_once('.').map_or(key.as_str(), |(_, name)| name);
                let elsewhere = || key_sections::did_you_mean(name);
                let near = idk_common::text::did_you_mean(key, known_keys());
                near.map(|near| format!("did you mean `{near}`?")).or_else(elsewhere)
            };
            let hint = match key_now(key) {
                Some(now) => format!("; its name is now `{now}`"),
                None => near().map_or(String::new(), |near| format!("; {near}")),
            };
            return usage(format!("--allow-change: there is no key `{key}`{hint}"));
        }
        let section = key.split_once('.').map_or(key.as_str(), |(section, _)| section);
        let never = NEVER.iter().find(|(name, _)| *name == section).map(|(_, reason)| *reason);
        let reason = match meaning {
            Some(OnResume::Never(reason)) => Some(reason),
            _ => never,
        };
        if let Some(reason) = reason {
            return usage(format!("--allow-change: `{key}` cannot change while a run resumes: {reason}"));
        }
    }
    Ok(())
}

/// Whether another value of `key` was asked for and is possible.
pub(crate) fn allows(allowed: &[String], key: &str) -> bool {
    can_be_allowed(key) && allowed.iter().any(|it| it == key)
}

/// Whether a run could resume with another value of `key`, if that were asked for.
pub(crate) fn can_be_allowed(key: &str) -> bool {
    on_resume(key) == Some(OnResume::Later)
}

/// Whether a recipe can have the key, or a run compares it under this name.
fn is_known(key: &str) -> bool {
    let whole = Recipe {
        transfer: Some(TransferConfig::default()),
        sweep: Some(SweepConfig::default()),
        ..Recipe::default()
    };
    let whole = serde_json::to_value(whole).unwrap_or_default();
    match key.split_once('.') {
        Some((section, key)) => {
            whole.get(section).and_then(Value::as_object).is_some_and(|keys| keys.contains_key(key))
        }
        None => SECTIONS.contains(&key),
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
            ("train.accumulation", "its name is now `train.gradient_accumulation_steps`"),
            ("epochs", "did you mean `train.epochs`?"),
            ("lora.epochs", "did you mean `train.epochs`?"),
            ("zebra", "there is no key `zebra`"),
        ] {
            assert!(said(key).contains(part), "{key}: {}", said(key));
        }
    }

    #[test]
    fn a_difference_is_allowed_by_its_whole_key_only() {
        let allowed = ["train.eps".to_owned(), "lora.rank".to_owned()];
        assert!(allows(&allowed, "train.eps"));
        assert!(!allows(&allowed, "train.epochs"));
        assert!(!allows(&allowed, "lora.rank"), "it cannot change, whoever asks");
    }
}
