//! What of `[build]` a dataset depends on, and what of it only its labels do.

use super::{BuildConfig, Sampler};
use crate::error::LABELLING_KEYS;

impl BuildConfig {
    /// The keys that decide what is made of the samples, not the samples: `idk-build relabel` may change them.
    pub const LABELLING_KEYS: [&'static str; 9] = LABELLING_KEYS;

    /// This configuration with `other`'s values of [`Self::LABELLING_KEYS`]. Two that are equal then need the same
    /// samples. The refusals of guided samples were among the answers, so they stay.
    #[must_use]
    pub fn labelled_as(&self, other: &Self) -> Self {
        let refusals = if self.guided { self } else { other };
        Self {
            k: other.k,
            target: other.target,
            keep_tasks: other.keep_tasks.clone(),
            refusal: refusals.refusal.clone(),
            refusals: refusals.refusals.clone(),
            max_idk_share: other.max_idk_share,
            unanswerable_share: other.unanswerable_share,
            val_share: other.val_share,
            max_pairs_per_question: other.max_pairs_per_question,
            ..self.clone()
        }
    }

    /// The settings that the dataset depends on: where the server is and how patiently it is asked are left at their
    /// defaults, and so is everything about a server when none is asked.
    #[must_use]
    pub fn identity(&self) -> Self {
        let server_model = match self.sampler {
            Sampler::Local => String::new(),
            Sampler::OpenAi => self.server_model.clone(),
        };
        let none = Self::default();
        Self {
            server_model,
            server_url: none.server_url,
            server_key_env: none.server_key_env,
            server_concurrency: none.server_concurrency,
            server_timeout_s: none.server_timeout_s,
            server_max_retries: none.server_max_retries,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    #[test]
    fn a_dataset_depends_on_the_servers_model_but_not_on_its_address_or_patience() {
        let config = BuildConfig {
            sampler: Sampler::OpenAi,
            server_url: "http://gpu7:8000/v1".to_owned(),
            server_model: "m".to_owned(),
            ..BuildConfig::default()
        };
        let moved = BuildConfig {
            server_url: "http://gpu8".to_owned(),
            server_key_env: "KEY".to_owned(),
            server_concurrency: 3,
            server_timeout_s: 7,
            server_max_retries: 0,
            ..config.clone()
        };
        assert_eq!(config.identity(), moved.identity());
        assert!(!serde_json::to_string(&config.identity()).unwrap().contains("gpu7"));
        for other in [
            BuildConfig { server_model: "n".to_owned(), ..config.clone() },
            BuildConfig { sampler: Sampler::Local, ..config.clone() },
            BuildConfig { temperature: 0.5, ..config.clone() },
        ] {
            assert_ne!(config.identity(), other.identity());
        }
        assert_eq!(BuildConfig::default().identity(), BuildConfig::default());
    }

    #[test]
    fn labelling_keys_are_all_that_relabelling_takes_over() {
        let other = BuildConfig {
            k: 2,
            target: Target::Sampled,
            keep_tasks: vec!["music".to_owned()],
            refusal: "I am not sure".to_owned(),
            refusals: vec!["I don't know".to_owned()],
            max_idk_share: Some(0.5),
            unanswerable_share: Some(0.25),
            val_share: 0.1,
            max_pairs_per_question: Some(3),
            temperature: 0.5,
            ..BuildConfig::default()
        };
        let taken = serde_json::to_value(BuildConfig::default().labelled_as(&other)).unwrap();
        let (default, other) =
            (serde_json::to_value(BuildConfig::default()).unwrap(), serde_json::to_value(&other).unwrap());
        assert_eq!(taken["unanswerable_share"], 0.25);
        assert!(
            default.get("unanswerable_share").is_none(),
            "datasets without it have the bytes that they had"
        );
        for (key, value) in default.as_object().unwrap() {
            let labels = BuildConfig::LABELLING_KEYS.contains(&key.as_str());
            assert_eq!(&taken[key], if labels { &other[key] } else { value }, "{key}");
            assert_eq!(other[key] != *value, labels || key == "temperature", "{key}");
        }
    }
}
