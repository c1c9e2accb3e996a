//! `[build]`: how the base model is sampled and how its samples become labels and targets.

use idk_common::chat::AUDIO_TAG;
use idk_common::text::terminal_safe;
use idk_common::{Problem, Problems};
use idk_model::SamplingConfig;
use idk_questions::{AskedQuestion, Judgement, PromptStyle, is_refusal};
use idk_server::ServerSettings;
use serde::{Deserialize, Serialize};

use crate::error::{BuildError, LABELLING_KEYS, SECTION};

/// What a known question is trained to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The text of the right option, as it stands in the question file.
    #[default]
    Gold,
    /// One of the model's own correct samples, chosen by the seed (Cheng et al. 2024, arXiv 2401.13275).
    Sampled,
    /// The commonest of the model's own correct samples: what it mostly says already, so that little changes.
    Own,
}

/// In which order the options are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptionOrder {
    /// Shuffled by (seed, question id): in some sets the right option comes first far too often.
    #[default]
    Shuffle,
    /// As in the question file.
    Keep,
}

/// Who answers the questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// The model of `[model]`, in this program.
    #[default]
    Local,
    /// A server that speaks the API of OpenAI; `[model]` must be the folder that it serves.
    OpenAi,
}

/// `[build]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuildConfig {
    /// N: answers that are sampled from the base model for each question. Default 5.
    pub n_samples: usize,
    /// K: a question is *known* if at least this many of its N answers are right. Default 5.
    pub k: usize,
    /// Divides the logits before sampling; 0 = greedy, and all N answers are the same. Default 1.
    pub temperature: f64,
    /// Sample from the smallest set of tokens with at least this probability; 1 = off. Default 1.
    pub top_p: f64,
    /// Sample from this many most likely tokens; 0 = off. Default 0.
    pub top_k: usize,
    /// Divides (or multiplies) the logits of tokens that were already seen, prompt included; 1 = off. Default 1.
    pub repetition_penalty: f64,
    /// A sample is cut after this many tokens. Default 16.
    pub max_new_tokens: usize,
    /// Sample only answers that are one of the question's options or one of `refusals`: each token is drawn from those that
    /// lead to one of them. Questions without options are sampled as ever. Default false.
    pub guided: bool,
    /// The answer that an unknown question is trained to give. Default "I don't know".
    pub refusal: String,
    /// Several such answers, of which each question gets one by the seed, instead of `refusal`. Default none.
    pub refusals: Vec<String>,
    /// The answer that a known question is trained to give: `gold`, `sampled` or `own`. Default `gold`.
    pub target: Target,
    /// Tasks whose questions only keep the model's own answers, right or wrong: no label of theirs is used, and none of
    /// them is refused. Default none.
    pub keep_tasks: Vec<String>,
    /// Cap on the share of unknown questions among the training rows: more are left out by the seed, the same share of
    /// every task and sub-category. Default none.
    pub max_idk_share: Option<f64>,
    /// Cap on the share of questions without a right answer among the training rows: more are left out by the seed, the same
    /// share of every task, sub-category and kind; `max_idk_share` is then about the other unknown ones alone. Default none:
    /// they count as unknown, and all are used unless `max_idk_share` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswerable_share: Option<f64>,
    /// Share of the questions whose rows go to the validation files instead; questions about the same recordings stay
    /// together. Default 0.
    pub val_share: f64,
    /// Cap on the preference pairs of one question. Default none.
    pub max_pairs_per_question: Option<usize>,
    /// Order of the options: `shuffle` or `keep`. Default `shuffle`.
    pub options: OptionOrder,
    /// How question and options become the user's text: `lettered` or `lines`. Default `lettered`.
    pub prompt: PromptStyle,
    /// Questions whose recordings are in memory together; the model makes its own batches of them. Default 128.
    pub batch_size: usize,
    /// Questions whose samples are kept together as one file while a build runs: what an interrupted build loses is less
    /// than this. Default 256.
    pub shard_size: usize,
    /// Stop sampling a question as soon as its label for this K is certain. The labels are the same; the share of unknown
    /// questions for any other K is then not known. Default false.
    pub stop_when_decided: bool,
    /// The build stops if more than this share of the questions cannot be used. Default 0.05.
    pub max_rejected_share: f64,
    /// Who answers: `local` or `openai`. Default `local`.
    pub sampler: Sampler,
    /// Base of the server's API, such as `http://localhost:8000/v1`.
    pub server_url: String,
    /// The name under which the server has the model.
    pub server_model: String,
    /// Name of the environment variable that holds the server's API key; none when empty.
    pub server_key_env: String,
    /// Requests in flight at once, one per question. Default 16.
    pub server_concurrency: usize,
    /// Seconds that a request may take, all of its answers together. Default 300.
    pub server_timeout_s: u64,
    /// How often a request that failed is sent again. Default 6: up to half a minute of waits.
    pub server_max_retries: u32,
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self {
            n_samples: 5,
            k: 5,
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            max_new_tokens: 16,
            guided: false,
            refusal: idk_questions::REFUSAL.to_owned(),
            refusals: Vec::new(),
            target: Target::default(),
            keep_tasks: Vec::new(),
            max_idk_share: None,
            unanswerable_share: None,
            val_share: 0.0,
            max_pairs_per_question: None,
            options: OptionOrder::default(),
            prompt: PromptStyle::default(),
            batch_size: 128,
            shard_size: 256,
            stop_when_decided: false,
            max_rejected_share: 0.05,
            sampler: Sampler::default(),
            server_url: String::new(),
            server_model: String::new(),
            server_key_env: String::new(),
            server_concurrency: 16,
            server_timeout_s: 300,
            server_max_retries: 6,
        }
    }
}

impl BuildConfig {
    /// The keys that decide what is made of the samples, not the samples: `idk-build relabel` may change them.
    pub const LABELLING_KEYS: [&'static str; 9] = LABELLING_KEYS;

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

    /// Every text that may be given to an unknown question.
    pub fn refusal_texts(&self) -> &[String] {
        if self.refusals.is_empty() { std::slice::from_ref(&self.refusal) } else { &self.refusals }
    }

    /// The only texts that a question may be answered with: its options as they are shown, then the refusals. Empty where any
    /// answer may be given.
    pub(crate) fn answers_to<'a>(&'a self, question: &'a AskedQuestion) -> Vec<&'a str> {
        if !self.guided || question.shown.is_open() {
            return Vec::new();
        }
        question.shown.choices.iter().chain(self.refusal_texts()).map(String::as_str).collect()
    }

    /// What an answer of the model is.
    pub(crate) fn judge(&self, question: &AskedQuestion, text: &str) -> Judgement {
        match self.guided && !question.shown.is_open() {
            true => question.judge_chosen(text),
            false => question.judge(text),
        }
    }

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

    /// The server that samples.
    pub(crate) fn server(&self) -> ServerSettings {
        ServerSettings::named(&self.server_url, &self.server_model, &self.server_key_env).patient(
            self.server_concurrency,
            self.server_timeout_s,
            self.server_max_retries,
        )
    }

    fn check_server(&self, problems: &mut Problems) {
        self.server().check(problems);
        let hot = self.temperature > 2.0;
        problems.require(!hot, "temperature", "must be at most 2 for a server");
        let at_once = "is not for a server, which draws all samples of a question at once";
        problems.require(!self.stop_when_decided, "stop_when_decided", at_once);
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

    /// The sampling settings for the generator.
    pub fn sampling(&self) -> SamplingConfig {
        SamplingConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            max_new_tokens: self.max_new_tokens,
        }
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
