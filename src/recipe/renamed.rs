//! Names of earlier versions: a recipe that has one is rejected with the name of today.

use idk_common::Problem;
use idk_evaluator::RENAMED_METHOD;
use serde_json::Value;

/// Keys of earlier versions, each with the key that replaced it.
pub(crate) const KEYS: [(&str, &str); 7] = [
    ("data.agreement", "data.min_annotators"),
    ("eval.val", "data.val"),
    ("sweep.alpha", "sweep.adapter_scale"),
    ("train.accumulation", "train.gradient_accumulation_steps"),
    ("train.keep_last", "train.save_total_limit"),
    ("train.length_window_steps", "train.group_by_length"),
    ("train.recompute", "train.gradient_checkpointing"),
];

/// Values of earlier versions: the key, what it held, and what replaced that.
pub(crate) const VALUES: [(&str, &str, &str); 1] = [("eval.methods", RENAMED_METHOD.0, RENAMED_METHOD.1)];

/// The dotted key that replaced `key`.
pub(crate) fn key_now(key: &str) -> Option<&'static str> {
    KEYS.iter().find(|(then, _)| *then == key).map(|(_, now)| *now)
}

/// Whether a recipe's problem is a name of an earlier version.
pub(crate) fn is_renamed(problem: &Problem) -> bool {
    let value = |hint: &str| VALUES.iter().any(|(of, ..)| *of == problem.key && hint.contains(" is now "));
    key_now(&problem.key).is_some() || problem.hint.as_deref().is_some_and(value)
}

/// What to write instead of `key`, if it was renamed.
pub(super) fn key_hint(key: &str) -> Option<String> {
    let (section, name) = key_now(key)?.split_once('.')?;
    let elsewhere = !key.starts_with(&format!("{section}."));
    let at = if elsewhere { format!(" in [{section}]") } else { String::new() };
    Some(format!("its name is now `{name}`{at}"))
}

/// What to write instead of a value of `key`, or of a value in its list, if that was renamed.
pub(super) fn value_hint(key: &str, value: &Value) -> Option<String> {
    let holds = |then: &str| match value {
        Value::Array(values) => values.iter().any(|value| value == then),
        value => value == then,
    };
    let (_, then, now) = VALUES.iter().find(|(of, then, _)| *of == key && holds(then))?;
    Some(format!("`{then}` is now `{now}`"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::recipe::Recipe;
    use crate::recipe::RecipeError;

    fn problems(text: &str, overrides: &[String]) -> Vec<Problem> {
        let error = Recipe::parse(text, Path::new("r.toml"), overrides).unwrap_err();
        let RecipeError::Invalid { problems, .. } = error else { panic!("{error}") };
        problems.into_iter().map(|it| it.problem).collect()
    }

    #[test]
    fn every_renamed_key_is_rejected_with_its_new_name_in_a_file_and_by_set() {
        for (then, now) in KEYS {
            let (section, key) = then.split_once('.').unwrap();
            let (_, name) = now.split_once('.').unwrap();
            let in_file = problems(&format!("[{section}]\n{key} = 1\n"), &[]);
            let by_set = problems("", &[format!("{then}=1")]);
            for found in [in_file, by_set] {
                assert_eq!((found[0].key.as_str(), found.len()), (then, 1));
                let hint = found[0].hint.as_ref().unwrap();
                assert!(hint.contains(&format!("now `{name}`")), "{hint}");
            }
        }
    }

    #[test]
    fn every_new_name_is_a_key_of_a_recipe() {
        for (_, now) in KEYS {
            let found = problems("", &[format!("{now}={{}}")]); // no key takes a table
            assert!(found[0].hint.is_none() && found[0].what.contains("found keys with values"), "{found:?}");
        }
    }

    #[test]
    fn every_renamed_value_is_rejected_with_its_new_name_alone_and_in_a_list() {
        for (key, then, now) in VALUES {
            for value in [format!("\"{then}\""), format!("[\"{then}\"]")] {
                let found = problems("", &[format!("{key}={value}")]);
                let hint = format!("`{then}` is now `{now}`");
                assert_eq!((found[0].key.as_str(), found[0].hint.as_ref()), (key, Some(&hint)));
            }
        }
    }
}
