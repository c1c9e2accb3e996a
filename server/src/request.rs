//! The request for one question. Every setting is written out: what is left out, a server takes from the checkpoint's
//! `generation_config.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use idk_common::chat::{Message, Part, audio_count};
use idk_common::seed::derive_seed;
use serde_json::{Value, json};

use crate::error::ServerError;
use crate::reply::TOP_TOKENS;
use crate::settings::{ServerApi, ServerLogProbs, ServerSettings};

/// What a server is asked about one question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerPrompt {
    /// The question's id: it names failures.
    pub id: String,
    /// The chat.
    pub messages: Vec<Message>,
    /// A WAV file ([`crate::wav_bytes`]) for each recording of the chat, in its order.
    pub clips: Vec<Vec<u8>>,
    /// Seed of the first answer; the server draws answer `i` with this plus `i`. [`first_seed`] makes one.
    pub seed: u64,
    /// The prompt as the local tokenizer has it: a server that returns its own must have the same. `None` without one.
    pub token_ids: Option<Vec<u32>>,
    /// The name of another model than that of [`ServerSettings`], such as that of a LoRA adapter.
    pub model: Option<String>,
    /// How many options the question has, lettered from A: with [`ServerLogProbs::Letters`] each letter's probability is asked
    /// for.
    pub letters: usize,
    /// The only answers that may be given; any where it is empty. They are never cut.
    pub only: Vec<String>,
}

impl ServerPrompt {
    /// How many letters a reply must give the probabilities of.
    pub(crate) fn letters(&self, settings: &ServerSettings) -> usize {
        if settings.log_probs == ServerLogProbs::Letters { self.letters } else { 0 }
    }

    /// Most tokens of an answer: of a list, those of its longest text if each byte is a token, and the end.
    pub(crate) fn max_new_tokens(&self, decoding: &Decoding) -> usize {
        self.only.iter().map(|text| text.len() + 1).max().unwrap_or(decoding.max_new_tokens)
    }
}

/// How answers are drawn, and how many of each question.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoding {
    /// Answers of one request, at least 1.
    pub choices: usize,
    /// Divides the logits; 0 = greedy, which vLLM allows for one choice only.
    pub temperature: f64,
    /// Smallest set of tokens with at least this probability; 1 = off.
    pub top_p: f64,
    /// This many most likely tokens; 0 = off.
    pub top_k: usize,
    /// Divides the logits of tokens that were seen; 1 = off.
    pub repetition_penalty: f64,
    /// An answer is cut after this many tokens.
    pub max_new_tokens: usize,
    /// An answer ends with one of these tokens.
    pub stop_token_ids: Vec<u32>,
}

/// The seed of the first answer; answer `i` has this plus `i`.
///
/// vLLM draws choice `i` of a request with the request's seed plus `i` and reads seeds as signed 64-bit integers: the
/// two bits that are left out keep the sum in range. A pure function of the run's seed and the question, so a resumed
/// or re-sharded run sends the same requests.
#[must_use]
pub fn first_seed(run_seed: u64, question_id: &str) -> u64 {
    derive_seed(run_seed, "server", &[question_id]) >> 2
}

/// Whether a text holds what a server's tokenizer takes for a special token: `<|AUDIO|>`, `<|im_end|>` ...
///
/// A local tokenizer may keep such text as text. A server does not: the recording would go where the text says.
#[must_use]
pub fn has_special_token(text: &str) -> bool {
    text.split("<|").skip(1).any(|rest| {
        let name = rest.split_once("|>").map(|(name, _)| name);
        name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
    })
}

/// The body of `POST /v1/chat/completions`.
///
/// # Errors
/// [`ServerError::Clips`] if the chat has more or fewer recordings than there are clips.
pub(crate) fn body(
    settings: &ServerSettings,
    prompt: &ServerPrompt,
    decoding: &Decoding,
) -> Result<Vec<u8>, ServerError> {
    let max_new_tokens = prompt.max_new_tokens(decoding);
    let mut request = json!({
        "model": prompt.model.as_ref().unwrap_or(&settings.model),
        "messages": messages_json(prompt)?,
        "n": decoding.choices,
        "seed": prompt.seed,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "max_completion_tokens": max_new_tokens,
        "stream": false,
    });
    if settings.log_probs != ServerLogProbs::None {
        request["logprobs"] = true.into();
    }
    if settings.api == ServerApi::Vllm {
        add_fields_of_vllm(&mut request, prompt, decoding, max_new_tokens);
    }
    if prompt.letters(settings) > 0 {
        request["top_logprobs"] = TOP_TOKENS.into();
    }
    Ok(request.to_string().into_bytes())
}

/// What only vLLM and servers like it know.
fn add_fields_of_vllm(
    request: &mut Value,
    prompt: &ServerPrompt,
    decoding: &Decoding,
    max_new_tokens: usize,
) {
    let top_k = if decoding.top_k == 0 { Value::from(-1) } else { Value::from(decoding.top_k) };
    let fields = [
        ("top_k", top_k),
        ("min_p", 0.0.into()),
        ("repetition_penalty", decoding.repetition_penalty.into()),
        ("presence_penalty", 0.0.into()),
        ("frequency_penalty", 0.0.into()),
        // The older name, for servers that do not know the other.
        ("max_tokens", max_new_tokens.into()),
        ("stop_token_ids", decoding.stop_token_ids.clone().into()),
        ("top_logprobs", 0.into()),
        ("return_token_ids", true.into()),
    ];
    for (name, value) in fields {
        request[name] = value;
    }
    if !prompt.only.is_empty() {
        // vLLM 0.11 and newer; 0.12 dropped the older `guided_choice`, and ignores it.
        request["structured_outputs"] = json!({ "choice": prompt.only });
    }
}

/// The chat with its recordings.
///
/// # Errors
/// As [`body`].
pub(crate) fn messages_json(prompt: &ServerPrompt) -> Result<Vec<Value>, ServerError> {
    let (messages, clips) = (audio_count(&prompt.messages), prompt.clips.len());
    if messages != clips {
        return Err(ServerError::Clips { question: prompt.id.clone(), messages, clips });
    }
    let mut clips = prompt.clips.iter();
    Ok(prompt.messages.iter().map(|message| message_json(message, &mut clips)).collect())
}

fn message_json<'a>(message: &Message, clips: &mut impl Iterator<Item = &'a Vec<u8>>) -> Value {
    let part = |part: &Part| match part {
        Part::Audio => {
            let data = STANDARD.encode(clips.next().map_or(&[][..], Vec::as_slice));
            json!({ "type": "input_audio", "input_audio": { "data": data, "format": "wav" } })
        }
        Part::Text(text) => json!({ "type": "text", "text": text }),
    };
    json!({ "role": message.role, "content": message.parts.iter().map(part).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_function_of_run_and_question_and_fit_a_signed_integer_with_room_for_all_choices() {
        // Python: int.from_bytes(sha256(b"idk-v1\0" b"7\0" b"server\0" b"q1\0").digest()[:8], "little") >> 2
        assert_eq!(first_seed(7, "q1"), 625_403_270_459_507_054);
        assert_ne!(first_seed(7, "q2"), first_seed(7, "q1"));
        assert_ne!(first_seed(8, "q1"), first_seed(7, "q1"));
        assert!((u64::MAX >> 2) + 1_000_000 < i64::MAX as u64);
    }

    #[test]
    fn texts_that_hold_a_special_token_are_found() {
        for text in ["<|AUDIO|>", "what is <|im_end|>?", "<| x <|zh|>"] {
            assert!(has_special_token(text), "{text}");
        }
        for text in ["a <|", "<||>", "2 <| 3 |> 4", "<audio>", "|>x<|"] {
            assert!(!has_special_token(text), "{text}");
        }
    }
}
