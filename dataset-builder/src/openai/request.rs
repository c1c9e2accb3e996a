//! The request for one question. Every setting is written out: what is left out, a server takes from the checkpoint's
//! `generation_config.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use idk_common::seed::derive_seed;
use idk_model::Lalm;
use idk_questions::prompt_text;
use serde_json::{Value, json};

use super::wav::wav_bytes;
use crate::config::BuildConfig;
use crate::error::BuildError;
use crate::screen::Usable;

/// The seed of the first answer; answer `i` has this plus `i`.
///
/// vLLM draws choice `i` of a request with the request's seed plus `i` and reads seeds as signed 64-bit integers: the
/// two bits that are left out keep the sum in range. A pure function of the run's seed and the question, so a resumed
/// or re-sharded run sends the same requests.
pub(super) fn first_seed(run_seed: u64, question_id: &str) -> u64 {
    derive_seed(run_seed, "server", &[question_id]) >> 2
}

/// How many answers a request asks for: greedy answers are all the same, and vLLM refuses to give several.
pub(super) fn choices(config: &BuildConfig) -> usize {
    if config.temperature == 0.0 { 1 } else { config.n_samples }
}

/// Whether a text holds what a server's tokenizer takes for a special token: `<|AUDIO|>`, `<|im_end|>` ...
///
/// The local tokenizer keeps such text as text. A server does not: the recording would go where the text says.
pub(crate) fn has_special_token(text: &str) -> bool {
    text.split("<|").skip(1).any(|rest| {
        let name = rest.split_once("|>").map(|(name, _)| name);
        name.is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace))
    })
}

/// The body of `POST /v1/chat/completions`.
///
/// The recordings come before the text, as in the rows of the dataset: templates that move audio to the front give the
/// same prompt then. Each is sent at the model's rate and cut to its window, as the local encoder hears it.
///
/// # Errors
/// [`BuildError::AudioChanged`] if a recording cannot be read any more.
pub(super) fn body(
    model: &str,
    question: &Usable,
    lalm: &Lalm,
    config: &BuildConfig,
    run_seed: u64,
) -> Result<Vec<u8>, BuildError> {
    let mel = lalm.mel.config();
    let rate_hz = mel.sampling_rate as u32;
    let mut content = Vec::with_capacity(question.shown.audio.len() + 1);
    for path in &question.shown.audio {
        let recording = idk_audio::load_window(path, rate_hz, mel.window_samples())
            .map_err(|source| BuildError::recording(path, source))?;
        let data = STANDARD.encode(wav_bytes(&recording.audio.samples, rate_hz));
        content.push(json!({ "type": "input_audio", "input_audio": { "data": data, "format": "wav" } }));
    }
    content.push(json!({ "type": "text", "text": prompt_text(&question.shown, config.prompt) }));
    let request = json!({
        "model": model,
        "messages": [{ "role": "user", "content": content }],
        "n": choices(config),
        "seed": first_seed(run_seed, &question.original.id),
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": if config.top_k == 0 { Value::from(-1) } else { Value::from(config.top_k) },
        "min_p": 0.0,
        "repetition_penalty": config.repetition_penalty,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_completion_tokens": config.max_new_tokens,
        // The older name, for servers that do not know the other.
        "max_tokens": config.max_new_tokens,
        "stop_token_ids": lalm.generation.eos_token_ids,
        "logprobs": true,
        "top_logprobs": 0,
        "return_token_ids": true,
        "stream": false,
    });
    Ok(request.to_string().into_bytes())
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
    fn greedy_asks_for_one_answer_and_sampling_for_all() {
        let mut config = BuildConfig { n_samples: 7, ..BuildConfig::default() };
        assert_eq!(choices(&config), 7);
        config.temperature = 0.0;
        assert_eq!(choices(&config), 1);
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
