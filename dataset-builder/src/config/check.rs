//! What values of `[build]` can be used.

use idk_common::chat::AUDIO_TAG;
use idk_common::text::terminal_safe;
use idk_common::{Problem, Problems};
use idk_questions::is_refusal;

use super::{BuildConfig, Sampler};
use crate::error::{BuildError, SECTION};

impl BuildConfig {
    /// What is wrong with the values of `[build]`, all of it.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section(SECTION);
        self.sampling().check(&mut problems);
        problems.at_least_one([
            ("n_samples", self.n_samples),
            ("batch_size", self.batch_size),
            ("shard_size", self.shard_size),
        ]);
        problems.shares([("max_rejected_share", self.max_rejected_share)]);
        if self.sampler == Sampler::OpenAi {
            self.check_server(&mut problems);
        }
        self.check_labels(&mut problems);
        problems.into_vec()
    }

    /// Refuses values that cannot be used.
    ///
    /// # Errors
    /// [`BuildError::Config`] with every problem in it.
    pub fn validate(&self) -> Result<(), BuildError> {
        none_of(self.problems())
    }

    /// Checks what labelling reads, and nothing else: a stored configuration does not say where its server was.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub(crate) fn validate_labels(&self) -> Result<(), BuildError> {
        let mut problems = Problems::of_section(SECTION);
        self.check_labels(&mut problems);
        none_of(problems.into_vec())
    }

    fn check_labels(&self, problems: &mut Problems) {
        // Without samples the problem is theirs.
        let k_fits = self.n_samples == 0 || (1..=self.n_samples).contains(&self.k);
        problems.require(k_fits, "k", "must be between 1 and n_samples");
        problems.shares([
            ("max_idk_share", self.max_idk_share.unwrap_or_default()),
            ("unanswerable_share", self.unanswerable_share.unwrap_or_default()),
        ]);
        problems.below_one("val_share", self.val_share);
        problems.at_least_one([("max_pairs_per_question", self.max_pairs_per_question.unwrap_or(1))]);
        let refuses = |text: &String| is_refusal(text) && !text.contains(AUDIO_TAG);
        let no_refusal =
            "is not read as a refusal by the judge, so a model trained on it would only be wrong";
        problems.require(refuses(&self.refusal), "refusal", no_refusal);
        for text in self.refusals.iter().filter(|text| !refuses(text)) {
            problems.add("refusals", format!("`{}` {no_refusal}", terminal_safe(text)));
        }
    }

    fn check_server(&self, problems: &mut Problems) {
        self.server().check(problems);
        let hot = self.temperature > 2.0;
        problems.require(!hot, "temperature", "must be at most 2 for a server");
        let at_once = "is not for a server, which draws all samples of a question at once";
        problems.require(!self.stop_when_decided, "stop_when_decided", at_once);
    }
}

fn none_of(problems: Vec<Problem>) -> Result<(), BuildError> {
    if problems.is_empty() { Ok(()) } else { Err(BuildError::Config { problems }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &BuildConfig) -> Vec<String> {
        config.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn the_defaults_are_the_papers_five_at_five_and_pass_the_check() {
        let config = BuildConfig::default();
        assert_eq!((config.n_samples, config.k), (5, 5));
        config.validate().unwrap();
    }

    #[test]
    fn a_servers_settings_are_checked_only_where_a_server_is_asked() {
        type Change = fn(&mut BuildConfig);
        let cases: [(&str, Change); 8] = [
            ("server_url", |c| c.server_url = "gpu7:8000".to_owned()),
            ("server_url", |c| c.server_url = String::new()),
            ("server_model", |c| c.server_model = " ".to_owned()),
            ("server_key_env", |c| c.server_key_env = "sk-123".to_owned()),
            ("server_concurrency", |c| c.server_concurrency = 0),
            ("server_timeout_s", |c| c.server_timeout_s = 0),
            ("server_max_retries", |c| c.server_max_retries = 21),
            ("temperature", |c| c.temperature = 2.5),
        ];
        for (expected, change) in cases {
            let mut config = BuildConfig {
                sampler: Sampler::OpenAi,
                server_url: "http://gpu7:8000/v1".to_owned(),
                server_model: "m".to_owned(),
                ..BuildConfig::default()
            };
            config.validate().unwrap();
            change(&mut config);
            assert_eq!(keys(&config), [format!("build.{expected}")]);
            assert!(!config.validate().unwrap_err().to_string().contains("sk-123"));
            config.sampler = Sampler::Local;
            config.validate().unwrap();
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<BuildConfig>(r#"{"n_sample": 5}"#).unwrap_err().to_string();
        assert!(error.contains("n_sample"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_used_names_its_key() {
        type Change = fn(&mut BuildConfig);
        let cases: [(&str, Change); 17] = [
            ("n_samples", |c| c.n_samples = 0),
            ("k", |c| c.k = 6),
            ("k", |c| c.k = 0),
            ("temperature", |c| c.temperature = f64::NAN),
            ("top_p", |c| c.top_p = 0.0),
            ("repetition_penalty", |c| c.repetition_penalty = -1.0),
            ("max_new_tokens", |c| c.max_new_tokens = 0),
            ("shard_size", |c| c.shard_size = 0),
            ("max_rejected_share", |c| c.max_rejected_share = 1.5),
            ("refusal", |c| c.refusal = "a dog barks".to_owned()),
            ("refusal", |c| c.refusal = "I don't know <audio>".to_owned()),
            ("refusals", |c| c.refusals = vec!["I don't know".to_owned(), "rain".to_owned()]),
            ("max_idk_share", |c| c.max_idk_share = Some(f64::NAN)),
            ("max_idk_share", |c| c.max_idk_share = Some(1.1)),
            ("unanswerable_share", |c| c.unanswerable_share = Some(-0.1)),
            ("val_share", |c| c.val_share = 1.0),
            ("max_pairs_per_question", |c| c.max_pairs_per_question = Some(0)),
        ];
        for (expected, change) in cases {
            let mut config = BuildConfig::default();
            change(&mut config);
            assert_eq!(keys(&config), [format!("build.{expected}")]);
        }
    }

    #[test]
    fn all_bad_values_are_reported_at_once() {
        let config = BuildConfig {
            top_p: 2.0,
            temperature: -1.0,
            k: 9,
            refusals: vec!["rain".to_owned(), "I don't know".to_owned(), "snow".to_owned()],
            sampler: Sampler::OpenAi,
            ..BuildConfig::default()
        };
        let all = ["temperature", "top_p", "server_url", "server_model", "k", "refusals", "refusals"]
            .map(|key| format!("build.{key}"));
        assert_eq!(keys(&config), all);
    }
}
