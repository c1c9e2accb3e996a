//! Replies that a vLLM 0.32 server gave, byte for byte (tests/fixtures/vllm, made by its record.py).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use idk_common::chat::Message;
use idk_common::fs::read;
use serde_json::Value;

use crate::client::Server;
use crate::error::ServerError;
use crate::failure::{ServerFailure, ServerFault};
use crate::fake::{Act, FakeServer};
use crate::reply::{Expected, ServerAnswer, answers};
use crate::request::ServerPrompt;
use crate::score::TextToScore;
use crate::settings::{ServerLogProbs, ServerSettings};

fn recording(name: &str) -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/vllm").join(name)).unwrap()
}

/// What Python read in a recorded reply.
fn case(name: &str) -> Value {
    serde_json::from_slice::<Value>(&recording("cases.json")).unwrap()[name].take()
}

/// The body of a recorded reply, or how the client describes it, after it has gone over a socket.
fn replay(name: &str) -> Result<Vec<u8>, ServerFailure> {
    let raw = recording(&format!("{name}.http"));
    let server = FakeServer::start(move |_, _| Act::Raw(raw.clone()));
    let settings = ServerSettings {
        url: server.url.clone(),
        model: "mini".to_owned(),
        key_env: String::new(),
        concurrency: 1,
        timeout: Duration::from_secs(20),
        max_retries: 1,
        ..ServerSettings::default()
    };
    let mut server = Server::open(&settings).unwrap();
    server.first_wait = Duration::from_millis(1);
    let reply = server.ask("q", &Arc::from(*b"{}"), 7, &|| false);
    let reply = reply.map_err(|error| match error {
        ServerError::Unanswered(failure) => *failure,
        other => panic!("{other}"),
    })?;
    Ok(reply.unwrap())
}

fn read_answers(name: &str, max_new_tokens: usize) -> Result<Vec<ServerAnswer>, (ServerFault, String)> {
    let case = case(name);
    let prompt_ids: Vec<u32> = serde_json::from_value(case["prompt_ids"].clone()).unwrap();
    let choices = case["answers"].as_array().unwrap().len();
    let expected = Expected {
        choices,
        max_new_tokens,
        log_probs: true,
        prompt_ids: Some(&prompt_ids),
        only: &[],
        letters: 0,
    };
    answers(&replay(name).unwrap(), &expected)
}

#[test]
fn vllms_answers_are_read_as_python_reads_them() {
    for name in ["sampled", "greedy", "second-alone"] {
        let expected = case(name);
        let seen = read_answers(name, 6).unwrap();
        for (answer, expected) in seen.iter().zip(expected["answers"].as_array().unwrap()) {
            assert_eq!(answer.text, expected["text"].as_str().unwrap(), "{name}");
            assert!(
                (answer.log_prob.unwrap() - expected["log_prob"].as_f64().unwrap()).abs() < 1e-12,
                "{name}"
            );
        }
        assert_eq!(seen.len(), expected["answers"].as_array().unwrap().len());
    }
}

#[test]
fn vllm_draws_choice_one_as_it_draws_the_only_choice_of_the_next_seed() {
    assert_eq!(read_answers("sampled", 6).unwrap()[1], read_answers("second-alone", 6).unwrap()[0]);
}

#[test]
fn the_letters_of_options_are_read_as_python_reads_them_and_none_where_vllm_lists_none() {
    let letters = |name: &str| {
        let prompt_ids: Vec<u32> = serde_json::from_value(case(name)["prompt_ids"].clone()).unwrap();
        let prompt_ids = Some(prompt_ids.as_slice());
        let expected =
            Expected { choices: 1, max_new_tokens: 2, log_probs: true, prompt_ids, only: &[], letters: 3 };
        answers(&replay(name).unwrap(), &expected).unwrap().remove(0).letter_log_probs
    };
    let expected: Vec<f64> = serde_json::from_value(case("letters")["letter_log_probs"].clone()).unwrap();
    let found = letters("letters").unwrap();
    assert!(
        found.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-9),
        "{found:?} {expected:?}"
    );
    assert!(
        (found.iter().map(|value| value.exp()).sum::<f64>() - 1.0).abs() < 1e-4,
        "nothing else was allowed"
    );
    assert_eq!((found.len(), letters("no-letters")), (3, None));
}

#[test]
fn an_answer_that_was_given_is_scored_as_python_reads_its_tokens_with_and_without_a_tokenizer() {
    let server = FakeServer::start(|_, request| {
        let last = request["messages"].as_array().unwrap().last().unwrap();
        let name = match last["content"].as_str() {
            Some("x") => "scored-x",
            Some("7") => "scored-7",
            Some(_) => "scored",
            None => "no-letters",
        };
        Act::Raw(recording(&format!("{name}.http")))
    });
    let log_probs = ServerLogProbs::Options;
    let settings = ServerSettings { log_probs, ..ServerSettings::named(&server.url, "mini", "") };
    let client = Server::open(&settings).unwrap();
    let expected: Vec<(u32, f64)> =
        serde_json::from_value(case("scored")["last_prompt_tokens"].clone()).unwrap();
    let prompt_ids: Vec<u32> = serde_json::from_value(case("no-letters")["prompt_ids"].clone()).unwrap();
    for token_ids in [None, Some(prompt_ids)] {
        let prompt = |_| -> Result<_, ServerError> {
            let prompt =
                ServerPrompt { id: "q".to_owned(), token_ids: token_ids.clone(), ..ServerPrompt::default() };
            let prompt = ServerPrompt { messages: vec![Message::user(0, "which?")], ..prompt };
            Ok((prompt, vec![TextToScore { text: "dog".to_owned(), token_ids: None }]))
        };
        let scored = client.score_all(1, &AtomicBool::new(false), &prompt).unwrap().unwrap();
        // The line break behind the end token belongs to no answer.
        let found = &scored[0][0];
        assert_eq!(found.len(), 3);
        for ((id, value), (expected_id, expected)) in found.iter().zip(&expected) {
            assert_eq!(id, expected_id);
            assert!((f64::from(*value) - expected).abs() < 1e-5, "{value} {expected}");
        }
    }
    assert_eq!(server.seen().len(), 5, "two short chats once, the prompt once, two answers");
}

#[test]
fn an_answer_that_vllm_cut_at_its_context_is_noticed() {
    let (fault, what) = read_answers("cut", 6).unwrap_err();
    assert_eq!(fault, ServerFault::ContextTooSmall, "{what}");
    assert!(what.contains("of 6 tokens"), "{what}");
}

#[test]
fn a_reply_of_vllm_without_log_probs_is_refused() {
    let (fault, what) = read_answers("without-log-probs", 6).unwrap_err();
    assert_eq!((fault, what.as_str()), (ServerFault::BadReply, "choice 0 has no log-probabilities"));
}

#[test]
fn vllms_errors_are_told_apart_and_shown_in_its_words() {
    for (name, fault, words) in [
        ("several-greedy", ServerFault::Refused, "n must be 1 when using greedy sampling, got 3."),
        ("other-model", ServerFault::NoSuchModel, "The model `other` does not exist. Valid aliases: mini."),
        ("wrong-key", ServerFault::Denied, "Unauthorized"),
        ("wrong-path", ServerFault::WrongUrl, "Not Found"),
        ("bad-audio", ServerFault::Refused, "Invalid or corrupted audio data."),
        ("too-long", ServerFault::Refused, "maximum context length is 1024 tokens"),
        ("bad-seed", ServerFault::Refused, "Input should be less than or equal to 9223372036854775807"),
    ] {
        let failure = replay(name).unwrap_err();
        assert_eq!(failure.fault, fault, "{failure}");
        assert_eq!(failure.status, case(name)["status"].as_u64().map(|status| status as u16));
        assert!(failure.what.contains(words), "{failure}");
        assert_eq!(failure.attempts, 1, "it would be the same the next time");
    }
}
