//! A server of the tests that runs the tiny model, with an adapter called `tuned`: its answers must be those of the
//! model in this program.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use idk_model::{
    Adapters, Answerer, Chat, FeatureLimits, FeatureStore, Lalm, Message, SamplingConfig, device,
};
use serde_json::{Value, json};

use crate::server::{Act, FakeServer};
use crate::support::tiny_model;

/// What follows an answer's end token in the chat template of the server.
const BEHIND_THE_END: u32 = 198;

/// The tiny model as a server has it, with an adapter called `tuned`.
pub(crate) struct TinyServer {
    lalm: Lalm,
    adapters: Adapters,
    dir: tempfile::TempDir,
    clips: AtomicUsize,
}

impl TinyServer {
    pub(crate) fn new() -> Self {
        let lalm = Lalm::load(&tiny_model(), &device("cpu").unwrap()).unwrap();
        let adapters = Adapters::load(&tiny_model().join("lora_adapter"), &lalm).unwrap();
        Self { lalm, adapters, dir: tempfile::tempdir().unwrap(), clips: AtomicUsize::new(0) }
    }

    /// The turns of a request; where the last is the assistant's, that is the answer to score.
    fn chat(&self, request: &Value) -> (Chat, Option<String>) {
        let mut chat = Chat { messages: Vec::new(), clips: Vec::new() };
        for message in request["messages"].as_array().unwrap() {
            let text = match &message["content"] {
                Value::Array(parts) => parts.iter().map(|part| self.part(part, &mut chat)).collect(),
                text => text.as_str().unwrap().to_owned(),
            };
            chat.messages.push(match message["role"].as_str().unwrap() {
                "assistant" => Message::assistant(&text),
                _ => Message::user(chat.clips.len() - heard(&chat), &text),
            });
        }
        let scored = request["messages"].as_array().unwrap().last().unwrap();
        let answer = (scored["role"] == "assistant").then(|| scored["content"].as_str().unwrap().to_owned());
        if answer.is_some() {
            chat.messages.pop();
        }
        (chat, answer)
    }

    /// The text of a part; a recording joins the clips of the chat.
    fn part(&self, part: &Value, chat: &mut Chat) -> String {
        if part["type"] == "text" {
            return part["text"].as_str().unwrap().to_owned();
        }
        let bytes = STANDARD.decode(part["input_audio"]["data"].as_str().unwrap()).unwrap();
        let number = self.clips.fetch_add(1, Ordering::SeqCst);
        let path = self.dir.path().join(format!("{number}.wav"));
        idk_common::fs::write_atomic(&path, &bytes).unwrap();
        chat.clips.push(self.lalm.load_audio(&path).unwrap());
        String::new()
    }

    pub(crate) fn reply(&self, request: &Value) -> Value {
        let features = FeatureStore::new("", FeatureLimits::NONE);
        let base = Answerer::base(&self.lalm, &features);
        let answerer = match request["model"].as_str().unwrap() {
            "tuned" => base.adapted(&self.adapters).unwrap(),
            _ => base,
        };
        let (chat, scored) = self.chat(request);
        let mut prompts = answerer.prompts(std::slice::from_ref(&chat)).unwrap();
        let ids = prompts[0].ids.clone();
        if let Some(text) = scored {
            let answer_ids = self.lalm.tokenizer.answer_ids(&chat.messages, &text).unwrap();
            let scores = answerer.log_probs(&prompts, &[vec![answer_ids.clone()]]).unwrap();
            let scored = answer_ids.iter().zip(&scores[0][0]).map(
                |(id, value)| json!({ id.to_string(): { "logprob": value, "rank": 1, "decoded_token": "" } }),
            );
            let log_probs: Vec<Value> =
                ids.iter().map(|_| Value::Null).chain(scored).chain([json!({})]).collect();
            let all: Vec<u32> =
                ids.iter().copied().chain(answer_ids.iter().copied()).chain([BEHIND_THE_END]).collect();
            return json!({ "choices": [], "prompt_token_ids": all, "prompt_logprobs": log_probs });
        }
        if let Some(choices) = request["structured_outputs"]["choice"].as_array() {
            let texts = choices.iter().map(|text| (text.as_str().unwrap(), 0.0));
            prompts[0].guide = Some(Arc::new(answerer.guide(&chat.messages, texts).unwrap()));
        }
        let decoding = SamplingConfig {
            temperature: request["temperature"].as_f64().unwrap(),
            max_new_tokens: request["max_completion_tokens"].as_u64().unwrap() as usize,
            ..SamplingConfig::default()
        };
        let (seed, n) = (request["seed"].as_u64().unwrap(), request["n"].as_u64().unwrap());
        let answers = answerer.answer(&prompts, &decoding, &[(seed..seed + n).collect()]).unwrap().remove(0);
        let choice = |(index, answer): (usize, idk_model::Generated)| {
            let log_probs = match request["logprobs"].as_bool() {
                // The client sums them up, and counts them.
                Some(true) => {
                    let rest = answer.ids.iter().skip(1).map(|_| json!({ "token": "", "logprob": 0.0 }));
                    let first = json!({ "token": "", "logprob": answer.log_prob });
                    json!({ "content": std::iter::once(first).chain(rest).collect::<Vec<_>>() })
                }
                _ => Value::Null,
            };
            json!({ "index": index, "finish_reason": "stop", "logprobs": log_probs,
                    "message": { "role": "assistant", "content": answer.text } })
        };
        let choices: Vec<Value> = answers.into_iter().enumerate().map(choice).collect();
        let ids = if request["return_token_ids"] == true { json!(ids) } else { Value::Null };
        json!({ "choices": choices, "prompt_token_ids": ids })
    }

    pub(crate) fn start(self) -> FakeServer {
        FakeServer::start(move |_, request| Act::Say(200, "", self.reply(request).to_string()))
    }
}

/// Clips of the turns so far.
fn heard(chat: &Chat) -> usize {
    idk_common::chat::audio_count(&chat.messages)
}

/// Settings of `[model]` that ask `server`.
pub(crate) fn at(server: &FakeServer) -> [String; 3] {
    [
        format!("model.server_url={}", server.url),
        "model.server_model=tiny".to_owned(),
        "model.server_max_retries=0".to_owned(),
    ]
}
