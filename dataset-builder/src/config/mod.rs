//! `[build]`: how the base model is sampled and how its samples become labels and targets.

mod check;
mod choices;
mod dependence;

use idk_model::SamplingConfig;
use idk_questions::{AskedQuestion, Judgement, PromptStyle};
use idk_server::ServerSettings;
use serde::{Deserialize, Serialize};

pub use choices::{OptionOrder, Sampler, Target};

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

    /// The server that samples.
    pub(crate) fn server(&self) -> ServerSettings {
        ServerSettings::named(&self.server_url, &self.server_model, &self.server_key_env).patient(
            self.server_concurrency,
            self.server_timeout_s,
            self.server_max_retries,
        )
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
