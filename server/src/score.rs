//! How likely given texts are as the answer: each is sent as the answer that was given, and vLLM returns the
//! log-probability of every token of such a prompt (`prompt_logprobs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use idk_common::chat::Message;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::client::Server;
use crate::error::ServerError;
use crate::failure::{ServerFault, excerpt};
use crate::reply::check_prompt;
use crate::request::{Decoding, ServerPrompt, body, messages_json};

/// A text that is scored as the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextToScore {
    /// The text.
    pub text: String,
    /// Its tokens and the end token as the local tokenizer has them: the server must have the same. `None` without one.
    pub token_ids: Option<Vec<u32>>,
}

/// The tokens of a scored text, the end token included, each with its log-probability in nats.
pub type ScoredTokens = Vec<(u32, f32)>;

/// Most tokens of a prompt that is scored.
const MAX_PROMPT_TOKENS: usize = 1 << 20;

/// What a reply has, without its contents: a list of these takes no memory, however long it is.
#[derive(Deserialize)]
struct ScoredOutline {
    #[serde(default)]
    prompt_logprobs: Option<Vec<IgnoredAny>>,
}

/// What is read of a reply whose prompt was scored.
#[derive(Deserialize)]
struct ScoredPrompt {
    #[serde(default)]
    prompt_token_ids: Option<Vec<u32>>,
    #[serde(default)]
    prompt_logprobs: Option<Vec<Option<BTreeMap<String, PromptLogProb>>>>,
}

#[derive(Deserialize)]
struct PromptLogProb {
    logprob: f64,
}

/// The whole chat with its answer, as tokens with their log-probabilities.
struct AnsweredChat {
    ids: Vec<u32>,
    /// `None` where the server gives none: the first token.
    log_probs: Vec<Option<f64>>,
}

impl Server {
    /// The tokens of each of the texts of `count` prompts as the answer, with their log-probabilities; `None` if `stop` was
    /// set before all of them came. `prompt` makes a prompt and its texts when its turn comes. One request per text, and
    /// one more per prompt without [`ServerPrompt::token_ids`].
    ///
    /// # Errors
    /// As [`Server::answer_all`]; [`ServerFault::BadReply`] from a server that does not return `prompt_logprobs`.
    pub fn score_all<E: From<ServerError> + Send>(
        &self,
        count: usize,
        stop: &AtomicBool,
        prompt: &(dyn Fn(usize) -> Result<(ServerPrompt, Vec<TextToScore>), E> + Sync),
    ) -> Result<Option<Vec<Vec<ScoredTokens>>>, E> {
        let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
        let Some(end) = self.answer_end(&stopped)? else { return Ok(None) };
        let ask = |place: usize, stopped: &dyn Fn() -> bool| {
            let (prompt, texts) = prompt(place)?;
            Ok(self.score(&prompt, &texts, &end, stopped)?)
        };
        self.ask_all(count, stop, &ask, &|| ())
    }

    /// The tokens of each text as the answer to one prompt. `end` is what follows every answer.
    fn score(
        &self,
        prompt: &ServerPrompt,
        texts: &[TextToScore],
        end: &[u32],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<ScoredTokens>>, ServerError> {
        if texts.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let prefix = match &prompt.token_ids {
            Some(ids) => ids.clone(),
            None => match self.prompt_ids(prompt, stopped)? {
                Some(ids) => ids,
                None => return Ok(None),
            },
        };
        let mut scored = Vec::with_capacity(texts.len());
        for text in texts {
            let Some(chat) = self.answered_chat(prompt, &text.text, stopped)? else { return Ok(None) };
            let tokens = answer_tokens(&chat, &prefix, end, text.token_ids.as_deref());
            scored.push(tokens.map_err(|(fault, what)| self.unusable(&prompt.id, fault, what))?);
        }
        Ok(Some(scored))
    }

    /// What the chat template puts behind every answer: the end token first. Asked for once, with two short chats whose
    /// answers have no token in common.
    fn answer_end(&self, stopped: &dyn Fn() -> bool) -> Result<Option<Vec<u32>>, ServerError> {
        let mut known = self.answer_end.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(end) = known.as_ref() {
            return Ok(Some(end.clone()));
        }
        let prompt = ServerPrompt {
            id: "(end of an answer)".to_owned(),
            messages: vec![Message::user(0, "a")],
            ..ServerPrompt::default()
        };
        let mut chats = Vec::new();
        for answer in ["x", "7"] {
            let Some(chat) = self.answered_chat(&prompt, answer, stopped)? else { return Ok(None) };
            chats.push(chat.ids);
        }
        let same = chats[0].iter().rev().zip(chats[1].iter().rev()).take_while(|(one, other)| one == other);
        let end = chats[0][chats[0].len() - same.count()..].to_vec();
        if end.is_empty() || end.len() == chats[0].len() {
            let what = "its chat template puts nothing behind an answer of the assistant".to_owned();
            return Err(self.unusable(&prompt.id, ServerFault::BadReply, what).into());
        }
        *known = Some(end.clone());
        Ok(Some(end))
    }

    /// The prompt's tokens as the server has them.
    fn prompt_ids(
        &self,
        prompt: &ServerPrompt,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<u32>>, ServerError> {
        let one_token = Decoding {
            choices: 1,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            max_new_tokens: 1,
            stop_token_ids: Vec::new(),
        };
        let free = ServerPrompt { only: Vec::new(), ..prompt.clone() };
        let body = Arc::from(body(&self.settings, &free, &one_token)?);
        let Some(reply) = self.ask(&prompt.id, &body, prompt.seed, stopped)? else { return Ok(None) };
        let ids = read(&reply).and_then(|reply| reply.prompt_token_ids.ok_or_else(no_prompt_ids));
        ids.map(Some).map_err(|(fault, what)| self.unusable(&prompt.id, fault, what).into())
    }

    /// The chat with `answer` as what the assistant has said.
    fn answered_chat(
        &self,
        prompt: &ServerPrompt,
        answer: &str,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<AnsweredChat>, ServerError> {
        let mut messages = messages_json(prompt)?;
        messages.push(json!({ "role": "assistant", "content": answer }));
        let request: Value = json!({
            "model": prompt.model.as_ref().unwrap_or(&self.settings.model),
            "messages": messages,
            "add_generation_prompt": false,
            "continue_final_message": false,
            "prompt_logprobs": 1,
            "return_token_ids": true,
            "max_completion_tokens": 1,
            "max_tokens": 1,
            "temperature": 0.0,
            "stream": false,
        });
        let body = Arc::from(request.to_string().into_bytes());
        let Some(reply) = self.ask(&prompt.id, &body, prompt.seed, stopped)? else { return Ok(None) };
        let chat = read(&reply).and_then(answered);
        chat.map(Some).map_err(|(fault, what)| self.unusable(&prompt.id, fault, what).into())
    }
}

fn read(reply: &[u8]) -> Result<ScoredPrompt, (ServerFault, String)> {
    let unread = |error| {
        (ServerFault::BadReply, format!("the reply is not a chat completion ({error}): {}", excerpt(reply)))
    };
    let listed = serde_json::from_slice::<ScoredOutline>(reply).map_err(unread)?.prompt_logprobs;
    if listed.is_some_and(|listed| listed.len() > MAX_PROMPT_TOKENS) {
        let what = format!("the reply has more than {MAX_PROMPT_TOKENS} prompt tokens");
        return Err((ServerFault::TooLarge, what));
    }
    serde_json::from_slice(reply).map_err(unread)
}

fn no_prompt_ids() -> (ServerFault, String) {
    let what = "the reply has no `prompt_token_ids`, so options cannot be scored: write `server_log_probs = \"answers\"`";
    (ServerFault::BadReply, what.to_owned())
}

fn answered(reply: ScoredPrompt) -> Result<AnsweredChat, (ServerFault, String)> {
    let bad = |what: &str| (ServerFault::BadReply, what.to_owned());
    let ids = reply.prompt_token_ids.ok_or_else(no_prompt_ids)?;
    let listed = reply.prompt_logprobs.ok_or_else(|| {
        bad("the reply has no `prompt_logprobs`, so options cannot be scored: write `server_log_probs = \"answers\"`")
    })?;
    if listed.len() != ids.len() {
        let what = format!("{} of its {} prompt tokens have a log-probability", listed.len(), ids.len());
        return Err((ServerFault::BadReply, what));
    }
    let of_token = |(id, entry): (&u32, &Option<BTreeMap<String, PromptLogProb>>)| {
        Some(entry.as_ref()?.get(&id.to_string())?.logprob)
    };
    let log_probs = ids.iter().zip(&listed).map(of_token).collect();
    Ok(AnsweredChat { ids, log_probs })
}

/// The tokens of the answer and its end token.
fn answer_tokens(
    chat: &AnsweredChat,
    prefix: &[u32],
    end: &[u32],
    expected: Option<&[u32]>,
) -> Result<ScoredTokens, (ServerFault, String)> {
    let ids = &chat.ids;
    let from = prefix.len().min(ids.len());
    check_prompt(&ids[..from], prefix)?;
    if !ids[from..].ends_with(end) {
        let what = "its answered chat does not end as its other chats do".to_owned();
        return Err((ServerFault::BadReply, what));
    }
    // What follows the end token belongs to no answer.
    let to = ids.len() - end.len() + 1;
    if let Some(expected) = expected {
        check_prompt(&ids[from..to], expected)?;
    }
    let tokens = ids[from..to].iter().zip(&chat.log_probs[from..to]);
    let tokens: Option<ScoredTokens> = tokens
        .map(|(&id, log_prob)| {
            // Rounding may take the logarithm of 1 a little above 0.
            let value = log_prob.filter(|value| value.is_finite() && *value <= 1e-3)?;
            Some((id, value as f32))
        })
        .collect();
    let no_use = || (ServerFault::BadReply, "a token of an option has no usable log-probability".to_owned());
    tokens.ok_or_else(no_use)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(ids: &[u32], log_probs: &[f64]) -> Value {
        let listed: Vec<Value> = std::iter::once(Value::Null)
            .chain(ids[1..].iter().zip(log_probs).map(|(id, value)| {
                json!({ id.to_string(): { "logprob": value, "rank": 2 }, "77": { "logprob": -0.1, "rank": 1 } })
            }))
            .collect();
        json!({ "choices": [], "prompt_token_ids": ids, "prompt_logprobs": listed })
    }

    fn scored(reply: &Value, prefix: &[u32], expected: Option<&[u32]>) -> Result<ScoredTokens, String> {
        let chat = read(reply.to_string().as_bytes()).and_then(answered);
        let tokens = chat.and_then(|chat| answer_tokens(&chat, prefix, &[8, 9], expected));
        tokens.map_err(|(_, what)| what)
    }

    #[test]
    fn the_tokens_between_the_prompt_and_the_end_token_are_the_answers_and_the_end_token_counts() {
        let reply = chat(&[1, 2, 5, 6, 8, 9], &[-9.0, -0.5, -0.25, -1.0, -7.0]);
        let expected = vec![(5, -0.5), (6, -0.25), (8, -1.0)];
        assert_eq!(scored(&reply, &[1, 2], None).unwrap(), expected);
        assert_eq!(scored(&reply, &[1, 2], Some(&[5, 6, 8])).unwrap(), expected);
    }

    #[test]
    fn each_way_in_which_a_scored_prompt_is_not_usable_is_named() {
        let good = chat(&[1, 2, 5, 8, 9], &[-9.0, -0.5, -1.0, -7.0]);
        let with = |change: fn(&mut Value)| {
            let mut reply = good.clone();
            change(&mut reply);
            reply
        };
        type Case = (&'static str, Value, &'static [u32], Option<&'static [u32]>);
        let cases: [Case; 9] = [
            ("at 1 it has 2 where 3 should be", good.clone(), &[1, 3], None),
            ("the server's prompt has 5 tokens", good.clone(), &[1, 2, 5, 8, 9, 9], None),
            ("at 0 it has 5 where 6 should be", good.clone(), &[1, 2], Some(&[6, 8])),
            ("does not end as its other chats", chat(&[1, 2, 5, 8], &[-1.0; 3]), &[1, 2], None),
            ("no `prompt_token_ids`", with(|r| r["prompt_token_ids"] = Value::Null), &[1, 2], None),
            ("no `prompt_logprobs`", with(|r| r["prompt_logprobs"] = Value::Null), &[1, 2], None),
            (
                "4 of its 5 prompt tokens",
                with(|r| {
                    r["prompt_logprobs"].as_array_mut().unwrap().pop();
                }),
                &[1, 2],
                None,
            ),
            (
                "no usable log-probability",
                with(|r| r["prompt_logprobs"][2]["5"]["logprob"] = json!(0.5)),
                &[1, 2],
                None,
            ),
            ("no usable log-probability", with(|r| r["prompt_logprobs"][3] = Value::Null), &[1, 2], None),
        ];
        for (expected, reply, prefix, ids) in cases {
            let what = scored(&reply, prefix, ids).unwrap_err();
            assert!(what.contains(expected), "`{expected}` is not in {what}");
        }
        assert!(scored(&json!("no"), &[1], None).unwrap_err().contains("not a chat completion"));
        // Counted before they are read: a reply of millions of them takes no memory.
        let long = format!("{{\"prompt_logprobs\":[{}{{}}]}}", "{},".repeat(MAX_PROMPT_TOKENS));
        let (fault, what) = read(long.as_bytes()).err().unwrap();
        assert_eq!(fault, ServerFault::TooLarge, "{what}");
    }
}
