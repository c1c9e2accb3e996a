//! Which settings may change while a run resumes. The tables are next to the keys of each section.

use idk_common::Identity;
use idk_common::identity::{Difference, OnResume, OnResumeTable};
use idk_model::LoraConfig;
use serde::{Deserialize, Serialize};

use crate::config::TrainConfig;
use crate::method::calibrated::config::CalibratedConfig;
use crate::method::dpo::config::DpoConfig;
use crate::method::rl::config::RlConfig;

/// A change that a run resumed with; kept in its checkpoints.
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

impl AllowedChange {
    pub(crate) fn new(step: u64, difference: &Difference) -> Self {
        let (then, now) = (difference.then_text(), difference.now_text());
        Self { step, key: difference.key.clone(), then, now }
    }
}

/// What a run is made from besides the sections of its recipe.
const INPUTS: [(&str, OnResume); 7] = [
    ("program", OnResume::Later),
    ("seed", OnResume::Never("the dataset and the order of its rows follow from it")),
    ("model", OnResume::Never("the adapter was trained on this base model")),
    ("model.dtype", OnResume::Never("the adapter was trained on weights that were held in this way")),
    ("model.path", OnResume::Never("the adapter was trained on this base model")),
    ("rows", OnResume::Never("the steps so far were made on these rows")),
    ("pairs", OnResume::Never("the steps so far were made on these pairs")),
];

fn tables() -> impl Iterator<Item = &'static (&'static str, OnResume)> + Clone {
    let tables: [&'static OnResumeTable; 6] = [
        &INPUTS,
        &TrainConfig::ON_RESUME,
        &DpoConfig::ON_RESUME,
        &CalibratedConfig::ON_RESUME,
        &RlConfig::ON_RESUME,
        &LoraConfig::ON_RESUME,
    ];
    tables.into_iter().flatten()
}

/// What another value of `key` means for a run that resumes; `None` for keys that training does not know.
pub fn on_resume(key: &str) -> Option<OnResume> {
    tables().find(|(name, _)| *name == key).map(|(_, meaning)| *meaning)
}

/// Adds the keys of `now` that a later version of the program has than the one that wrote `then`: at their defaults, as that
/// version would have trained.
pub(crate) fn add_new_keys(then: &mut Identity, now: &Identity) {
    let defaults = Identity::default()
        .and(TrainConfig::default().identity())
        .and(DpoConfig::default().identity())
        .and(CalibratedConfig::default().identity())
        .and(RlConfig::default().identity())
        .with_section("lora", &LoraConfig::default())
        .as_texts();
    for (key, value) in defaults.iter().filter(|(key, _)| now.get(key).is_some()) {
        then.insert_missing(key, value.clone());
    }
}

/// Every key that training knows.
pub fn known_keys() -> impl Iterator<Item = &'static str> + Clone {
    tables().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use idk_common::identity::differences;

    use super::*;

    #[test]
    fn every_key_of_a_section_that_training_reads_is_in_its_table_and_no_other() {
        let keys = Identity::default()
            .with_section("train", &TrainConfig::default())
            .with_section("dpo", &DpoConfig::default())
            .with_section("calibrated", &CalibratedConfig::default())
            .with_section("rl", &RlConfig::default())
            .with_section("lora", &LoraConfig::default());
        let keys: Vec<&str> = keys.iter().map(|(key, _)| key).collect();
        let mut named: Vec<&str> = known_keys().skip(INPUTS.len()).collect();
        named.sort_unstable();
        assert_eq!(named, keys);
    }

    #[test]
    fn a_key_of_a_later_version_is_a_difference_only_where_it_is_not_at_its_default() {
        let now = |listwise: bool| {
            CalibratedConfig { listwise, ..CalibratedConfig::default() }
                .identity()
                .as_texts()
                .with("seed", "0")
        };
        let before = || {
            let mut then = now(false);
            then.retain(|key| key != "calibrated.listwise");
            then
        };
        let mut then = before();
        add_new_keys(&mut then, &now(false));
        assert_eq!(then, now(false), "and no key of a section that the run does not read");
        let mut then = before();
        add_new_keys(&mut then, &now(true));
        let found: Vec<String> = differences(&then, &now(true)).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["`calibrated.listwise` was false and is true now"]);
    }

    #[test]
    fn what_made_the_dataset_or_the_shape_of_the_adapter_never_changes() {
        for key in ["lora.rank", "lora.modules", "seed", "model", "dpo.loss", "rl.advantage", "rows"] {
            assert!(matches!(on_resume(key), Some(OnResume::Never(_))), "{key}");
        }
        assert_eq!(on_resume("train.learning_rate"), Some(OnResume::Later));
        assert_eq!(on_resume("train.save_every"), Some(OnResume::Free));
        assert_eq!(on_resume("eval.methods"), None);
    }
}
