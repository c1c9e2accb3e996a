//! Replies that a vLLM 0.32 server gave, byte for byte (tests/fixtures/vllm, made by its record.py).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use idk_common::fs::read;
use serde_json::Value;

use crate::client::Server;
use crate::error::ServerError;
use crate::failure::{ServerFailure, ServerFault};
use crate::fake::{Act, FakeServer};
use crate::reply::{Expected, ServerAnswer, answers};
use crate::settings::ServerSettings;

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
    let expected =
        Expected { choices, max_new_tokens, log_probs: true, prompt_ids: Some(&prompt_ids), only: &[] };
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
