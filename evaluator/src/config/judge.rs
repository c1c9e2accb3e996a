//! `[eval.judge]`: a model that judges answers to open questions.

use std::path::PathBuf;

use idk_common::{Problem, Problems};
use idk_server::{ServerApi, ServerLogProbs, ServerSettings};
use serde::{Deserialize, Serialize};

/// `[eval.judge]`: a model behind a server that judges answers to open questions instead of the exact rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeConfig {
    /// Base of the API of the judge's server. Default: none, and the exact rule judges.
    pub server_url: String,
    /// The name under which the server has the judge.
    pub server_model: String,
    /// Name of the environment variable that holds the server's API key; none when empty.
    pub server_key_env: String,
    /// Fields that the server knows: `vllm`, also for servers that ignore unknown fields, or `openai`. Default `vllm`.
    pub server_api: ServerApi,
    /// Requests in flight at once. Default 16.
    pub server_concurrency: usize,
    /// Seconds that a request may take. Default 300.
    pub server_timeout_s: u64,
    /// How often a request that failed is sent again. Default 6.
    pub server_max_retries: u32,
    /// File instead of the default prompt. Default "": the prompt of this program.
    pub prompt: PathBuf,
    /// Most tokens of a reply; a judge that thinks aloud needs more. Default 16.
    pub max_new_tokens: usize,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self {
            server_url: String::new(),
            server_model: String::new(),
            server_key_env: String::new(),
            server_api: ServerApi::default(),
            server_concurrency: 16,
            server_timeout_s: 300,
            server_max_retries: 6,
            prompt: PathBuf::new(),
            max_new_tokens: 16,
        }
    }
}

impl JudgeConfig {
    /// What is wrong with the values, all of it.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("eval.judge");
        match self.server() {
            Some(server) => server.check(&mut problems),
            None => {
                let has_more = !self.server_model.is_empty() || !self.prompt.as_os_str().is_empty();
                problems.require(!has_more, "server_url", "must name the judge's server");
            }
        }
        problems.at_least_one([("max_new_tokens", self.max_new_tokens)]);
        problems.into_vec()
    }

    /// The server that has the judge, if there is a judge.
    pub(crate) fn server(&self) -> Option<ServerSettings> {
        if self.server_url.is_empty() {
            return None;
        }
        let named = ServerSettings::named(&self.server_url, &self.server_model, &self.server_key_env);
        let patient = named.patient(self.server_concurrency, self.server_timeout_s, self.server_max_retries);
        Some(ServerSettings { api: self.server_api, log_probs: ServerLogProbs::None, ..patient })
    }

    /// The same for results, which do not say where the server was and where a file lay.
    pub(crate) fn without_places(&self) -> Self {
        let prompt = self.prompt.file_name().map(PathBuf::from).unwrap_or_default();
        Self {
            server_model: self.server_model.clone(),
            server_api: self.server_api,
            max_new_tokens: self.max_new_tokens,
            prompt,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: &JudgeConfig) -> Vec<String> {
        config.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn a_judge_is_a_server_with_a_model_or_nothing_at_all() {
        let none = JudgeConfig::default();
        assert_eq!((keys(&none), none.server()), (Vec::new(), None));
        let named = JudgeConfig { server_model: "m".to_owned(), ..none.clone() };
        assert_eq!(keys(&named), ["eval.judge.server_url"]);
        let wrong = JudgeConfig { server_url: "gpu7".to_owned(), max_new_tokens: 0, ..none };
        assert_eq!(
            keys(&wrong),
            ["server_url", "server_model", "max_new_tokens"].map(|key| format!("eval.judge.{key}"))
        );
        let good = JudgeConfig { server_url: "http://gpu7:8000/v1".to_owned(), ..named };
        assert!(keys(&good).is_empty() && good.server().is_some());
    }

    #[test]
    fn results_say_which_judge_it_was_and_not_where() {
        let config = JudgeConfig {
            server_url: "http://gpu7:8000/v1".to_owned(),
            server_model: "m".to_owned(),
            server_key_env: "KEY".to_owned(),
            server_timeout_s: 9,
            prompt: "/home/me/mine.txt".into(),
            max_new_tokens: 99,
            ..JudgeConfig::default()
        };
        let shown = config.without_places();
        assert_eq!(
            (shown.server_model.as_str(), shown.prompt, shown.max_new_tokens),
            ("m", "mine.txt".into(), 99)
        );
        assert_eq!(
            (shown.server_url.as_str(), shown.server_key_env.as_str(), shown.server_timeout_s),
            ("", "", 300)
        );
    }
}
