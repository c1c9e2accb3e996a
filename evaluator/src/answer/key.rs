//! What an answer depends on, as one hash: answers are used again only where all of it is the same.

use std::collections::BTreeMap;

use idk_common::identity::sha256_of;
use idk_model::{Adapters, SamplingConfig};
use idk_questions::{AskedQuestion, PromptStyle};
use serde::Serialize;
use serde_json::json;

use crate::answer::ask::MethodRunner;
use crate::answer::ask::own_answer::OwnAnswer;
use crate::backend::{Backend, ServedKey};
use crate::config::AnswerBy;
use crate::method::Method;

/// Version of the keys; raised when the same inputs would give other answers.
const FORMAT: u32 = 2;

#[derive(Serialize)]
struct CandidateKey<'a> {
    format: u32,
    program: &'static str,
    model_sha256: &'a str,
    device: &'a str,
    /// SHA-256 of the adapter's files, and the scale of every layer as it is in memory.
    adapter: Option<(&'a str, BTreeMap<&'a str, f64>)>,
    method: Method,
    prompts: BTreeMap<&'static str, &'a str>,
    style: PromptStyle,
    decoding: SamplingConfig,
    max_step_tokens: usize,
    with_options: bool,
    /// The refusals that are scored next to the options.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusals: Option<&'a [String]>,
    /// The refusals that may be answered, where the answer is one of fixed texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen_from: Option<&'a [String]>,
    /// Whether these texts guide the decoding; else the likeliest is chosen.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    guided: bool,
    /// [`MethodRunner::refusal_offset`].
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal_offset: Option<f64>,
    /// Samples of a recording that are heard, if they were limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_audio: Option<usize>,
    /// The server's model, where a server answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<ServedKey<'a>>,
}

/// The key of whoever answers: model, adapter, prompts, settings.
pub(crate) fn candidate_key(
    runner: &MethodRunner<'_>,
    model_sha256: &str,
    device: &str,
    adapter_sha256: Option<&str>,
) -> String {
    let (adapter, max_audio, served) = match runner.backend {
        Backend::Local(answerer) => {
            let adapter = answerer.adapters.map(|adapters| (adapter_sha256.unwrap_or(""), scales(adapters)));
            (adapter, answerer.lalm.mel.limit(), None)
        }
        Backend::Served(served) => (None, served.audio.limit(), Some(served.key())),
    };
    let key = CandidateKey {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION"),
        model_sha256,
        device,
        adapter,
        method: runner.method,
        prompts: runner.prompts.hashes(runner.method),
        style: runner.style,
        decoding: runner.config.decoding(),
        max_step_tokens: runner.config.max_step_tokens,
        with_options: runner.with_options,
        refusals: runner.with_options.then_some(runner.refusals),
        chosen_from: runner.config.answer_by.is_from_list().then_some(runner.refusals),
        guided: runner.config.answer_by == AnswerBy::Guided,
        refusal_offset: Some(runner.refusal_offset()).filter(|&offset| offset != 0.0),
        max_audio,
        served,
    };
    sha256_of(&json!(key))
}

fn scales(adapters: &Adapters) -> BTreeMap<&str, f64> {
    adapters.modules.iter().map(|(name, pair)| (name.as_str(), f64::from(pair.scale))).collect()
}

/// The key of one answer: who answers, what is asked, and what is heard (SHA-256 of each recording). `about`: the answer
/// that a question about the model's own answer is about.
pub(crate) fn item_key(
    candidate: &str,
    question: &AskedQuestion,
    audio_sha256: &[&str],
    about: Option<&OwnAnswer>,
) -> String {
    let shown = &question.shown;
    let asked = json!([candidate, shown.id, shown.question, shown.choices, audio_sha256]);
    sha256_of(&about.map_or_else(|| asked.clone(), |about| json!([asked, about])))
}

#[cfg(test)]
mod tests {
    use idk_questions::Question;

    use super::*;

    #[test]
    fn the_key_of_an_answer_changes_with_question_options_their_order_audio_and_who_answers() {
        let question = Question {
            id: "q".to_owned(),
            question: "Which?".to_owned(),
            choices: ["dog", "cat"].map(str::to_owned).to_vec(),
            ..Question::default()
        };
        let key = |candidate: &str, shown: &Question, sha256: &str| {
            let asked = AskedQuestion { shown: shown.clone(), original: question.clone() };
            item_key(candidate, &asked, &[sha256], None)
        };
        let mut turned = question.clone();
        turned.choices.reverse();
        let other = Question { question: "What?".to_owned(), ..question.clone() };
        let keys = std::collections::BTreeSet::from([
            key("a", &question, "x"),
            key("b", &question, "x"),
            key("a", &question, "y"),
            key("a", &turned, "x"),
            key("a", &other, "x"),
        ]);
        assert_eq!(keys.len(), 5);
        assert!(keys.contains(&key("a", &question, "x")));
        let about = |answer: &str, sample: &str| {
            let own = OwnAnswer { answer: answer.to_owned(), samples: vec![sample.to_owned()] };
            item_key("a", &AskedQuestion::new(question.clone(), None), &["x"], Some(&own))
        };
        let own = [about("dog", "dog"), about("cat", "dog"), about("dog", "cat"), key("a", &question, "x")];
        assert_eq!(own.into_iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }
}
