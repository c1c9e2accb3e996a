//! `[eval]`: how a test set is answered and how methods are compared.

mod judge;

use std::path::{Path, PathBuf};

use idk_common::{Problem, Problems};
use idk_model::{SamplingConfig, StatePosition};
use idk_questions::metrics::Criterion;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::method::{ADAPTER_NAME_RULE, Method, is_adapter_name};

pub use judge::JudgeConfig;

/// What an adapter that a server has is given with, before its name there.
const SERVER_PREFIX: &str = "server:";

/// How a question that has options is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerBy {
    /// With what the model says.
    #[default]
    Text,
    /// With the likeliest of the options and the refusals: nothing else can be answered.
    Options,
    /// With what the model says if each token must lead to one of the options or refusals: nothing else can be answered.
    Guided,
}

impl AnswerBy {
    /// Whether the answer to a question with options is always one of them or a refusal.
    pub fn is_from_list(self) -> bool {
        self != Self::Text
    }
}

/// `[eval]` of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Methods that are compared with the base model: `adapter`, `idk-prompt`, `mcot`, `mcot-few-shot`, `task-agent`,
    /// the measures of doubt `threshold`, `one-pass`, `perplexity`, `option-probability`, `self-consistency`,
    /// `predictive-entropy`, `length-normalised-entropy`, `semantic-entropy`, `discrete-semantic-entropy`,
    /// `p-true`, `verbalised-confidence`, `self-verification`, `probe`, then `explicit-option`, `group`, `random`. The base itself is always answered, and `adapter` only where there is one. Default `["adapter"]`.
    pub methods: Vec<Method>,
    /// How a question that has options is answered. `text`: with what the model says. `guided`: the same, but each token
    /// must lead to one of its options or to a refusal of [build]; nothing else can be answered. `options`: all of these are
    /// scored as a whole, and the likeliest is the answer. Default `text`.
    pub answer_by: AnswerBy,
    /// Added to the log-probability of every refusal where the answer is taken from a list (`guided`, `options`), in nats: below
    /// 0 fewer questions are refused, above 0 more. `base` is left as it is. Default 0.
    pub refusal_offset: f64,
    /// Most tokens of an answer. Default 16.
    pub max_new_tokens: usize,
    /// Most tokens of each text that `mcot` and `task-agent` make before their answer. Default 64.
    pub max_step_tokens: usize,
    /// Divides (or multiplies) the logits of tokens that were already seen, prompt included; 1 = off. Decoding is
    /// greedy. Default 1.
    pub repetition_penalty: f64,
    /// Questions that are given to the model together; it makes its own batches of them. Default 128.
    pub batch_size: usize,
    /// Show the options in an order that depends on (seed, question id); else as in the file. Default true.
    pub shuffle_options: bool,
    /// Draws of the paired bootstrap for the intervals. Default 2000.
    pub bootstrap_draws: usize,
    /// Answer at most this many questions of each task, the first ones of the file. Default: all.
    pub limit: Option<usize>,
    /// Stop if more than this share of the questions cannot be used. Default 0.05.
    pub max_rejected_share: f64,
    /// Adapters in addition to the run's own, each as `NAME=FOLDER`, or as `NAME=server:ITS_NAME` one that the server of
    /// [model] has.
    pub adapters: Vec<String>,
    /// What the threshold of a measure of doubt makes as large as possible on the questions of `val` in [data]: `youden` or
    /// `rgi`. Default `youden`.
    pub threshold_by: Criterion,
    /// `group` refuses the sub-categories of which the base model knows less than this share. Default 0.5.
    pub group_known_share: f64,
    /// Share of the questions that `random` refuses. Default: as many as the first method that runs a model.
    pub random_rate: Option<f64>,
    /// How the method `probe` is fitted on the IDK split.
    pub probe: ProbeConfig,
    /// A model that judges answers to open questions: `server_url`, `server_model`, `server_key_env`, `server_api`,
    /// `server_concurrency`, `server_timeout_s`, `server_max_retries` (as in [model]), `prompt` (a file) and `max_new_tokens`.
    /// Default: none, and the exact rule judges.
    pub judge: JudgeConfig,
    /// Files instead of the prompts of the training-free methods.
    pub prompts: PromptFiles,
}

/// `[eval.probe]`: a logistic regression on the hidden states of the base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeConfig {
    /// Layers whose states it sees, side by side: 0 is the embeddings, the number of decoder layers the last. Default `[]`:
    /// the one in the middle.
    pub layers: Vec<usize>,
    /// Where in the prompt, side by side: `last` is the state at the last token, `audio-mean` the mean of the states at all audio
    /// tokens. Default `["last"]`.
    pub positions: Vec<StatePosition>,
    /// Strength of the L2 penalty on its weights, more than 0: 1/C of scikit-learn. Default 10.
    pub l2: f64,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { layers: Vec::new(), positions: vec![StatePosition::Last], l2: 10.0 }
    }
}

impl ProbeConfig {
    /// The layers for a model of so many decoder layers.
    pub(crate) fn layers_of(&self, decoder_layers: usize) -> Vec<usize> {
        if self.layers.is_empty() { vec![decoder_layers.div_ceil(2)] } else { self.layers.clone() }
    }
}

/// `[eval.prompts]`: files instead of the default templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PromptFiles {
    /// The question of `idk-prompt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idk_prompt: Option<PathBuf>,
    /// What makes `mcot` think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcot: Option<PathBuf>,
    /// What makes `mcot-few-shot` think: worked examples before the question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcot_few_shot: Option<PathBuf>,
    /// What makes both answer after thinking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcot_answer: Option<PathBuf>,
    /// What makes `task-agent` name the kind of recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<PathBuf>,
    /// What makes it write down speech.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_transcript: Option<PathBuf>,
    /// What makes it describe anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_caption: Option<PathBuf>,
    /// What makes it answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_answer: Option<PathBuf>,
    /// What `p-true` asks about an answer and the samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_true: Option<PathBuf>,
    /// What `verbalised-confidence` asks after an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbalised_confidence: Option<PathBuf>,
    /// What `self-verification` asks after an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_verification: Option<PathBuf>,
    /// The option that `explicit-option` adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explicit_option: Option<PathBuf>,
}

impl PromptFiles {
    /// The same with file names instead of paths: results do not say where a file lay.
    pub(crate) fn without_folders(&self) -> Self {
        let name =
            |path: &Option<PathBuf>| path.as_ref().and_then(|path| path.file_name()).map(PathBuf::from);
        Self {
            idk_prompt: name(&self.idk_prompt),
            mcot: name(&self.mcot),
            mcot_few_shot: name(&self.mcot_few_shot),
            mcot_answer: name(&self.mcot_answer),
            agent_type: name(&self.agent_type),
            agent_transcript: name(&self.agent_transcript),
            agent_caption: name(&self.agent_caption),
            agent_answer: name(&self.agent_answer),
            p_true: name(&self.p_true),
            verbalised_confidence: name(&self.verbalised_confidence),
            self_verification: name(&self.self_verification),
            explicit_option: name(&self.explicit_option),
        }
    }
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            methods: vec![Method::Adapter],
            answer_by: AnswerBy::default(),
            refusal_offset: 0.0,
            max_new_tokens: 16,
            max_step_tokens: 64,
            repetition_penalty: 1.0,
            batch_size: 128,
            shuffle_options: true,
            bootstrap_draws: 2000,
            limit: None,
            max_rejected_share: 0.05,
            adapters: Vec::new(),
            threshold_by: Criterion::default(),
            group_known_share: 0.5,
            random_rate: None,
            probe: ProbeConfig::default(),
            judge: JudgeConfig::default(),
            prompts: PromptFiles::default(),
        }
    }
}

impl EvalConfig {
    /// What is wrong with the values of `[eval]`, all of it.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("eval");
        self.decoding().check(&mut problems);
        problems.at_least_one([
            ("max_step_tokens", self.max_step_tokens),
            ("batch_size", self.batch_size),
            ("limit", self.limit.unwrap_or(1)),
        ]);
        problems.shares([
            ("max_rejected_share", self.max_rejected_share),
            ("group_known_share", self.group_known_share),
            ("random_rate", self.random_rate.unwrap_or_default()),
        ]);
        problems.require(
            self.refusal_offset.is_finite(),
            "refusal_offset",
            "must be a finite number of nats",
        );
        let has_effect = self.refusal_offset == 0.0 || self.answer_by.is_from_list();
        let no_effect =
            "changes nothing with `answer_by = \"text\"`: write `answer_by = \"guided\"`, or leave it out";
        problems.require(has_effect, "refusal_offset", no_effect);
        let l2 = self.probe.l2;
        problems.require(l2.is_finite() && l2 > 0.0, "probe.l2", "must be a number above 0");
        let has_position = !self.probe.positions.is_empty();
        problems.require(has_position, "probe.positions", "must name `last`, `audio-mean` or both");
        self.read_adapters(&mut problems);
        [problems.into_vec(), self.judge.problems()].concat()
    }

    /// Refuses values that cannot be used.
    ///
    /// # Errors
    /// [`EvalError::Config`] with every problem in it.
    pub fn validate(&self) -> Result<(), EvalError> {
        none_of(self.problems())
    }

    /// Whether one of the methods is fitted on val.
    pub fn fits_on_val(&self) -> bool {
        self.methods.iter().any(|method| method.is_measure())
    }

    /// Whether one of the methods is made from samples of the base model.
    pub fn needs_samples(&self) -> bool {
        self.methods.iter().any(|method| method.needs_samples())
    }

    /// The adapters that a server has: the name of each, and that on the server.
    pub fn served_adapters(&self) -> Vec<(String, String)> {
        let entries = self.adapters.iter().filter_map(|entry| entry.split_once('='));
        let served = entries.filter_map(|(name, place)| Some((name, place.strip_prefix(SERVER_PREFIX)?)));
        served.map(|(name, on_server)| (name.to_owned(), on_server.to_owned())).collect()
    }

    /// Names and folders of `adapters`, without those of a server.
    ///
    /// # Errors
    /// [`EvalError::Config`] for entries without a name, names that cannot be one, and names that come twice.
    pub fn named_adapters(&self) -> Result<Vec<(String, PathBuf)>, EvalError> {
        let mut problems = Problems::of_section("eval");
        let named = self.read_adapters(&mut problems);
        none_of(problems.into_vec())?;
        let is_folder = |place: &PathBuf| !place.to_string_lossy().starts_with(SERVER_PREFIX);
        Ok(named.into_iter().filter(|(_, place)| is_folder(place)).collect())
    }

    /// The entries of `adapters` that can be used.
    fn read_adapters(&self, problems: &mut Problems) -> Vec<(String, PathBuf)> {
        let mut named: Vec<(String, PathBuf)> = Vec::new();
        for entry in &self.adapters {
            let Some((name, folder)) = entry.split_once('=') else {
                problems.add("adapters", format!("has `{entry}`: write NAME=FOLDER"));
                continue;
            };
            let wrong = if !is_adapter_name(name) {
                Some(format!("has `{name}`, which cannot name an adapter: {ADAPTER_NAME_RULE}"))
            } else if name == Method::Adapter.name() {
                Some(format!("has `{name}`, which is the run's own adapter: give this one another name"))
            } else if folder == SERVER_PREFIX {
                Some(format!("has `{entry}`, which does not name an adapter of the server"))
            } else if named.iter().any(|(other, _)| other == name) {
                Some(format!("has `{name}` for two adapters"))
            } else {
                None
            };
            match wrong {
                Some(what) => problems.add("adapters", what),
                None => named.push((name.to_owned(), PathBuf::from(folder))),
            }
        }
        named
    }

    /// The same without folders, for results that are the same wherever the files lie.
    pub(crate) fn without_folders(&self) -> Self {
        let last = |path: &str| {
            let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
            name.unwrap_or_else(|| path.to_owned())
        };
        let names = self.adapters.iter().map(|entry| match entry.split_once('=') {
            Some((_, place)) if place.starts_with(SERVER_PREFIX) => entry.clone(),
            Some((name, folder)) => format!("{name}={}", last(folder)),
            None => entry.clone(),
        });
        let (prompts, judge) = (self.prompts.without_folders(), self.judge.without_places());
        Self { adapters: names.collect(), prompts, judge, ..self.clone() }
    }

    /// Greedy decoding.
    pub fn decoding(&self) -> SamplingConfig {
        SamplingConfig {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: self.repetition_penalty,
            max_new_tokens: self.max_new_tokens,
        }
    }
}

fn none_of(problems: Vec<Problem>) -> Result<(), EvalError> {
    if problems.is_empty() { Ok(()) } else { Err(EvalError::Config { problems }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_named_as_in_a_recipe() {
        let config: EvalConfig = serde_json::from_str(r#"{"methods": ["adapter", "idk-prompt"]}"#).unwrap();
        assert_eq!(config.methods, [Method::Adapter, Method::IdkPrompt]);
        assert!(serde_json::from_str::<EvalConfig>(r#"{"methods": ["prompt"]}"#).is_err());
        assert!(serde_json::from_str::<EvalConfig>(r#"{"draws": 3}"#).is_err());
    }

    #[test]
    fn an_offset_is_a_number_and_needs_a_list_to_choose_from() {
        for (refusal_offset, answer_by, is_good) in [
            (-1.5, AnswerBy::Guided, true),
            (2.0, AnswerBy::Options, true),
            (0.0, AnswerBy::Text, true),
            (2.0, AnswerBy::Text, false),
            (f64::NEG_INFINITY, AnswerBy::Guided, false),
            (f64::NAN, AnswerBy::Guided, false),
        ] {
            let found = keys(&EvalConfig { refusal_offset, answer_by, ..EvalConfig::default() });
            let expected: &[&str] = if is_good { &[] } else { &["eval.refusal_offset"] };
            assert_eq!(found, expected, "{refusal_offset} {answer_by:?}");
        }
    }

    fn keys(config: &EvalConfig) -> Vec<String> {
        config.problems().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn all_bad_values_are_reported_at_once_and_the_defaults_are_good() {
        EvalConfig::default().validate().unwrap();
        let config = EvalConfig {
            limit: Some(0),
            max_new_tokens: 0,
            random_rate: Some(f64::NAN),
            probe: ProbeConfig { l2: 0.0, positions: Vec::new(), ..ProbeConfig::default() },
            adapters: vec!["folder".to_owned(), "a=x".to_owned(), "=y".to_owned()],
            ..EvalConfig::default()
        };
        let all =
            ["max_new_tokens", "limit", "random_rate", "probe.l2", "probe.positions", "adapters", "adapters"];
        assert_eq!(keys(&config), all.map(|key| format!("eval.{key}")));
        assert!(matches!(config.validate(), Err(EvalError::Config { problems }) if problems.len() == 7));
    }

    #[test]
    fn every_entry_that_does_not_name_an_adapter_is_reported() {
        for entry in ["folder", "mcot=folder", "adapter=folder", "../x=folder", "=folder"] {
            let config = EvalConfig { adapters: vec![entry.to_owned()], ..EvalConfig::default() };
            assert_eq!(keys(&config), ["eval.adapters"], "{entry}");
            assert!(matches!(config.named_adapters(), Err(EvalError::Config { .. })), "{entry}");
        }
        let twice =
            EvalConfig { adapters: vec!["a=x".to_owned(), "a=y".to_owned()], ..EvalConfig::default() };
        assert!(twice.validate().unwrap_err().to_string().contains("two adapters"));
    }

    #[test]
    fn results_say_what_was_used_but_not_where_it_lay() {
        let config = EvalConfig {
            adapters: vec!["k5=/home/me/runs/k5/adapter".to_owned()],
            prompts: PromptFiles { mcot: Some("/p/think.txt".into()), ..PromptFiles::default() },
            ..EvalConfig::default()
        };
        let shown = config.without_folders();
        assert_eq!(shown.adapters, ["k5=adapter"]);
        assert_eq!(shown.prompts.mcot, Some("think.txt".into()));
    }
}
