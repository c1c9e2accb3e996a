//! Screened questions against a server of the tests, on the question set of three clips.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use idk_common::progress::Progress;
use idk_model::{Answerer, FeatureLimits, FeatureStore, Lalm, device};
use idk_questions::rows::SampleRow;
use idk_questions::{PackedSet, Question, QuestionSet};
use serde_json::json;

use super::fake::{Act, FakeServer, completion};
use super::*;
use crate::config::OptionOrder;
use crate::control::Control;
use crate::sample::screen::screen;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny")
}

fn tiny_model() -> Lalm {
    Lalm::load(&fixture(), &device("cpu").unwrap()).unwrap()
}

fn question(id: &str, clips: &[&str]) -> Question {
    Question {
        id: id.to_owned(),
        audio: clips.iter().map(|clip| fixture().join(clip)).collect(),
        question: "What is that sound?".to_owned(),
        choices: ["dog", "cat", "rain"].map(str::to_owned).to_vec(),
        answer: "dog".to_owned(),
        ..Question::default()
    }
}

fn three_questions() -> QuestionSet {
    let questions =
        vec![question("q1", &["c.wav"]), question("q2", &["b.wav", "a.wav"]), question("q3", &["a.wav"])];
    QuestionSet { questions, rejected: Vec::new() }
}

fn config(server: &FakeServer) -> BuildConfig {
    BuildConfig {
        n_samples: 3,
        k: 2,
        max_new_tokens: 6,
        options: OptionOrder::Keep,
        sampler: Sampler::OpenAi,
        server_url: server.url.clone(),
        server_model: "tiny".to_owned(),
        server_concurrency: 1,
        server_timeout_s: 20,
        server_max_retries: 3,
        ..BuildConfig::default()
    }
}

/// Screens `set` and samples it with seed 7.
fn sample_set(set: &QuestionSet, config: &BuildConfig) -> Result<Vec<Vec<SampleRow>>, BuildError> {
    let lalm = tiny_model();
    let features = FeatureStore::new("", FeatureLimits::NONE);
    let answerer = Answerer::base(&lalm, &features);
    let (model, set) = (SampledModel::Folder(&answerer), PackedSet::from(set));
    let screened = screen(model, &set, config, 7, &Control::silent())?;
    assert_eq!(screened.rejected, []);
    let server = open(config)?.unwrap();
    let questions = screened.prompts(0..screened.len(), model, config)?;
    let rows = sample(&server, model, &questions, config, 7, &AtomicBool::new(false), &Progress::hidden())?;
    Ok(rows.unwrap())
}

fn run(config: &BuildConfig) -> Result<Vec<Vec<SampleRow>>, BuildError> {
    sample_set(&three_questions(), config)
}

#[test]
fn answers_become_judged_rows_with_the_seeds_that_the_server_drew_them_with() {
    let server = FakeServer::start(|_, request| {
        let mut reply = completion(request);
        reply["choices"][1]["message"]["content"] = json!("The answer is dog.");
        Act::Say(200, "", reply.to_string())
    });
    let rows = run(&config(&server)).unwrap();
    assert_eq!(rows.len(), 3);
    for (list, id) in rows.iter().zip(["q1", "q2", "q3"]) {
        let first = first_seed(7, id);
        for (sample, row) in list.iter().enumerate() {
            assert_eq!((row.id.as_str(), row.sample, row.seed), (id, sample, first + sample as u64));
            assert_eq!((row.log_prob, row.tokens), (Some(-0.5), Some(2)), "two tokens of -0.25 each");
        }
        assert_eq!(list[0].text, format!("seed {first}"));
        assert_eq!(list.iter().map(|row| row.choice).collect::<Vec<_>>(), [None, Some(0), None]);
    }
}

#[test]
fn a_guided_question_is_sent_with_its_only_answers_and_one_without_options_as_ever() {
    let server = FakeServer::start(|_, request| {
        let mut reply = completion(request);
        for sample in 0..3 {
            if let Some(text) = request["structured_outputs"]["choice"].get(sample + 1) {
                reply["choices"][sample]["message"]["content"] = text.clone();
            }
        }
        Act::Say(200, "", reply.to_string())
    });
    let mut set = three_questions();
    set.questions[1].choices.clear();
    let rows = sample_set(&set, &BuildConfig { guided: true, ..config(&server) }).unwrap();
    let texts: Vec<&str> = rows[0].iter().map(|row| row.text.as_str()).collect();
    assert_eq!(texts, ["cat", "rain", "I don't know"]);
    let bodies: Vec<_> = server.seen().into_iter().map(|seen| seen.body).collect();
    let choices = json!(["dog", "cat", "rain", "I don't know"]);
    assert_eq!(bodies[0]["structured_outputs"], json!({ "choice": choices }));
    assert_eq!((&bodies[0]["max_tokens"], &bodies[0]["max_completion_tokens"]), (&json!(13), &json!(13)));
    assert_eq!((bodies[1].get("structured_outputs"), &bodies[1]["max_tokens"]), (None, &json!(6)));
    assert!(rows[1][0].text.starts_with("seed "));
}

#[test]
fn a_server_that_ignores_the_only_answers_ends_the_build() {
    let server = FakeServer::start(|_, request| Act::good(request));
    let error = run(&BuildConfig { guided: true, ..config(&server) }).unwrap_err();
    assert!(error.to_string().contains("none of the answers in `structured_outputs`"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_request_writes_out_every_setting_and_puts_the_recordings_before_the_text() {
    let server = FakeServer::start(|_, request| Act::good(request));
    let settings = BuildConfig { temperature: 0.7, top_p: 0.9, repetition_penalty: 1.1, ..config(&server) };
    run(&settings).unwrap();
    let seen = server.seen();
    assert_eq!(seen.len(), 3, "one request per question");
    assert!(seen[0].head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{}", seen[0].head);
    assert!(!seen[0].head.to_ascii_lowercase().contains("authorization"));
    let mut body = seen[1].body.clone();
    let messages = body.as_object_mut().unwrap().remove("messages").unwrap();
    assert_eq!(
        body,
        json!({
            "model": "tiny", "n": 3, "seed": first_seed(7, "q2"), "temperature": 0.7, "top_p": 0.9, "top_k": -1,
            "min_p": 0.0, "repetition_penalty": 1.1, "presence_penalty": 0.0, "frequency_penalty": 0.0,
            "max_completion_tokens": 6, "max_tokens": 6, "stop_token_ids": tiny_model().generation.eos_token_ids,
            "logprobs": true, "top_logprobs": 0, "return_token_ids": true, "stream": false,
        })
    );
    let content = messages[0]["content"].as_array().unwrap();
    let kinds: Vec<&str> = content.iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!((messages.as_array().unwrap().len(), &messages[0]["role"]), (1, &json!("user")));
    assert_eq!(kinds, ["input_audio", "input_audio", "text"]);
    assert!(content[2]["text"].as_str().unwrap().starts_with("What is that sound?"));
}

/// The samples of the clip in the first request.
fn sent_samples(server: &FakeServer) -> Vec<f32> {
    let data = server.seen()[0].body["messages"][0]["content"][0]["input_audio"]["data"].clone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sent.wav");
    idk_common::fs::write_atomic(&path, &STANDARD.decode(data.as_str().unwrap()).unwrap()).unwrap();
    let audio = idk_audio::decode_file(&path).unwrap();
    assert_eq!(audio.sample_rate_hz, 16_000);
    audio.samples
}

#[test]
fn a_recording_is_sent_as_the_local_encoder_hears_it_and_cut_to_its_window() {
    let dir = tempfile::tempdir().unwrap();
    let wave = |count: usize| (0..count).map(|t| (t as f32 * 0.05).sin() * 0.8).collect::<Vec<f32>>();
    // The window of the fixture is two seconds. One clip has the model's rate, the other must be resampled.
    for (name, rate_hz, seconds) in [("same.wav", 16_000, 3), ("other.wav", 22_050, 1)] {
        let path = dir.path().join(name);
        idk_audio::write_wav(&path, &wave(rate_hz * seconds), rate_hz as u32).unwrap();
        let mut set = three_questions();
        set.questions.truncate(1);
        set.questions[0].audio = vec![path.clone()];
        let server = FakeServer::start(|_, request| Act::good(request));
        sample_set(&set, &config(&server)).unwrap();
        let mut expected = idk_audio::load(&path, 16_000).unwrap().samples;
        expected.truncate(32_000);
        assert_eq!(sent_samples(&server), expected, "{name}");
    }
}

#[test]
fn greedy_asks_for_one_answer_and_gives_it_to_every_sample() {
    let server = FakeServer::start(|_, request| Act::good(request));
    let rows = run(&BuildConfig { temperature: 0.0, ..config(&server) }).unwrap();
    assert!(server.seen().iter().all(|seen| seen.body["n"] == 1));
    assert!(rows.iter().all(|list| list.len() == 3 && list.iter().all(|row| row.text == list[0].text)));
}

#[test]
fn the_same_question_gives_the_same_request_in_any_part_of_the_set() {
    let (whole, part) = (FakeServer::start(|_, r| Act::good(r)), FakeServer::start(|_, r| Act::good(r)));
    run(&config(&whole)).unwrap();
    let mut set = three_questions();
    set.questions.remove(0);
    sample_set(&set, &config(&part)).unwrap();
    let bodies = |server: &FakeServer| server.seen().into_iter().map(|seen| seen.body).collect::<Vec<_>>();
    assert_eq!(bodies(&whole)[1..], bodies(&part));
}

#[test]
fn a_question_with_a_special_token_is_rejected_where_a_server_would_read_it_as_one() {
    let server = FakeServer::start(|_, request| Act::good(request));
    let mut set = three_questions();
    set.questions[1].question = "Which one is <|AUDIO|>?".to_owned();
    let remote = config(&server);
    let (lalm, features) = (tiny_model(), FeatureStore::new("", FeatureLimits::NONE));
    let answerer = Answerer::base(&lalm, &features);
    let (model, set) = (SampledModel::Folder(&answerer), PackedSet::from(&set));
    let screened = screen(model, &set, &remote, 7, &Control::silent()).unwrap();
    assert_eq!(screened.len(), 2);
    assert_eq!(screened.rejected[0].reason, "reserved-token");
    let local = BuildConfig { sampler: Sampler::Local, ..remote };
    assert_eq!(screen(model, &set, &local, 7, &Control::silent()).unwrap().len(), 3);
}
