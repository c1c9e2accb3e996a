//! Where a server is, what it can do, and how patiently it is asked.

use std::time::Duration;

use idk_common::Problems;
use serde::{Deserialize, Serialize};

use crate::url::ServerUrl;

/// Most requests under way together.
const MAX_CONCURRENCY: usize = 1024;

/// Which fields a server knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerApi {
    /// Those of vLLM. Servers that ignore unknown fields, such as SGLang and llama.cpp, take these too.
    #[default]
    Vllm,
    /// Those of OpenAI alone, for servers that reject others.
    OpenAi,
}

/// Which log-probabilities a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerLogProbs {
    /// Those of each answer, and of given texts as the answer (`prompt_logprobs` of vLLM).
    Options,
    /// Those of each answer, and of each option by its letter, from the likeliest tokens at the beginning (`top_logprobs`).
    Letters,
    /// Those of each answer.
    Answers,
    /// None: the server has none.
    None,
}

/// Where a server is, what it can do, and how patiently it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Base of the API, such as `http://localhost:8000/v1`.
    pub url: String,
    /// The name under which the server has the model.
    pub model: String,
    /// Name of the environment variable that holds the API key; none when empty.
    pub key_env: String,
    /// Requests that are under way together, at least 1.
    pub concurrency: usize,
    /// Time for a whole request, from the connection to the last byte of the reply.
    pub timeout: Duration,
    /// How often a request that failed is sent again.
    pub max_retries: u32,
    /// Which fields it knows.
    pub api: ServerApi,
    /// Which log-probabilities it is asked for.
    pub log_probs: ServerLogProbs,
}

impl Default for ServerSettings {
    /// The defaults of a recipe; url and model are empty, which no server is.
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            key_env: String::new(),
            concurrency: 16,
            timeout: Duration::from_secs(300),
            max_retries: 6,
            api: ServerApi::default(),
            log_probs: ServerLogProbs::Answers,
        }
    }
}

impl ServerSettings {
    /// Those of a section's keys `server_url`, `server_model`, `server_key_env`; the rest are the defaults.
    pub fn named(url: &str, model: &str, key_env: &str) -> Self {
        let [url, model, key_env] = [url, model, key_env].map(str::to_owned);
        Self { url, model, key_env, ..Self::default() }
    }

    /// The same with the patience of `server_concurrency`, `server_timeout_s` and `server_max_retries`.
    #[must_use]
    pub fn patient(self, concurrency: usize, timeout_s: u64, max_retries: u32) -> Self {
        Self { concurrency, timeout: Duration::from_secs(timeout_s), max_retries, ..self }
    }

    /// Notes what is wrong with the values, under the names that they have in a recipe: `server_url` and so on.
    pub fn check(&self, problems: &mut Problems) {
        if let Err(what) = ServerUrl::parse(&self.url) {
            problems.add("server_url", what);
        }
        let model = "must be the name under which the server has the model";
        problems.require(!self.model.trim().is_empty(), "server_model", model);
        let begins_well = !self.key_env.starts_with(|c: char| c.is_ascii_digit());
        let is_name = begins_well && self.key_env.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let key = "must be the name of an environment variable, not the key itself";
        problems.require(is_name, "server_key_env", key);
        let concurrency = (1..=MAX_CONCURRENCY).contains(&self.concurrency);
        problems.require(concurrency, "server_concurrency", "must be between 1 and 1024");
        let timeout = (1..=86_400).contains(&self.timeout.as_secs());
        problems.require(timeout, "server_timeout_s", "must be between 1 and 86400 (a day)");
        problems.require(self.max_retries <= 20, "server_max_retries", "must be at most 20");
        let known = self.api == ServerApi::Vllm || self.log_probs != ServerLogProbs::Options;
        let of_vllm = "\"options\" needs a field of vLLM: with `server_api = \"openai\"` write \"letters\", \"answers\" or \"none\"";
        problems.require(known, "server_log_probs", of_vllm);
    }
}
