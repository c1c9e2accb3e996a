//! Which sections have a key: for a key that was given without its section, or in another one.

use idk_dataset_builder::BuildConfig;
use idk_evaluator::EvalConfig;
use idk_model::LoraConfig;
use idk_trainer::{CalibratedConfig, DpoConfig, RlConfig, TrainConfig};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{DataSection, ModelSection, OutputSection, SweepConfig, TransferConfig};

/// [`has_key`] of a section.
type HasKey = fn(&str) -> bool;

/// Whether a section has a key, also one that is written only where it is set. Sections deny keys that they do not have.
pub(super) fn has_key<T: DeserializeOwned>(key: &str) -> bool {
    let only = Map::from_iter([(key.to_owned(), Value::Null)]);
    serde_json::from_value::<T>(Value::Object(only))
        .map_or_else(|error| !error.to_string().starts_with("unknown field"), |_| true)
}

/// `section.key` for every section that has `key`.
fn with_sections(key: &str) -> Vec<String> {
    let sections: [(&str, HasKey); 12] = [
        ("model", has_key::<ModelSection>),
        ("data", has_key::<DataSection>),
        ("build", has_key::<BuildConfig>),
        ("lora", has_key::<LoraConfig>),
        ("train", has_key::<TrainConfig>),
        ("dpo", has_key::<DpoConfig>),
        ("calibrated", has_key::<CalibratedConfig>),
        ("rl", has_key::<RlConfig>),
        ("eval", has_key::<EvalConfig>),
        ("output", has_key::<OutputSection>),
        ("transfer", has_key::<TransferConfig>),
        ("sweep", has_key::<SweepConfig>),
    ];
    let having = sections.into_iter().filter(|(_, has_key)| has_key(key));
    having.map(|(section, _)| format!("`{section}.{key}`")).collect()
}

/// The question whether `key` of one of the sections that have it was meant; `None` if no section has it.
pub(crate) fn did_you_mean(key: &str) -> Option<String> {
    let places = with_sections(key);
    if places.is_empty() { None } else { Some(format!("did you mean {}?", places.join(" or "))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, SECTIONS};

    #[test]
    fn every_key_of_a_recipe_is_found_in_its_section_and_every_section_is_looked_at() {
        let whole = Recipe {
            transfer: Some(TransferConfig::default()),
            sweep: Some(SweepConfig::default()),
            ..Recipe::default()
        };
        let whole = serde_json::to_value(whole).unwrap();
        for section in SECTIONS {
            for key in whole[section].as_object().unwrap().keys() {
                let place = format!("`{section}.{key}`");
                assert!(with_sections(key).contains(&place), "{place} is not among {:?}", with_sections(key));
            }
        }
    }

    #[test]
    fn a_key_without_its_section_is_suggested_with_every_section_that_has_it() {
        assert_eq!(did_you_mean("epochs").unwrap(), "did you mean `train.epochs`?");
        assert_eq!(
            did_you_mean("max_steps").unwrap(),
            "did you mean `train.max_steps`?",
            "it has no default"
        );
        let several = did_you_mean("batch_size").unwrap();
        assert!(
            several.contains("`train.batch_size`") && several.contains(" or `eval.batch_size`"),
            "{several}"
        );
        assert_eq!(did_you_mean("zebra"), None);
    }
}
