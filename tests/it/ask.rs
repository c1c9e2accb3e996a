//! `idk-eval ask`: one question by itself is answered as the evaluation of a set answers it.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use crate::support::{Desk, EVAL, base_model, tiny_model, with_overrides};
use serde_json::Value;

const QUESTION: [&str; 4] = ["ask", "What is that sound?", "--choices", "dog,cat,rain"];

fn ask(desk: &Desk, options: &[&str]) -> Value {
    desk.run(EVAL, &[&QUESTION[..], options, &["--json"]].concat()).succeeded().json()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn a_single_question_is_answered_as_in_an_evaluation_by_the_base_model_and_with_the_adapter() {
    let desk = Desk::new();
    let adapter = tiny_model().join("lora_adapter").display().to_string();
    let unshuffled = with_overrides("quick.toml", &["eval.shuffle_options=false", "eval.limit=1"]);
    let options = ["--adapter", adapter.as_str(), "--out", "evaluation"];
    desk.run(EVAL, &[&unshuffled[..], &options].concat()).succeeded();
    for (index, clip) in ["set/audio/q0.wav", "set/audio/q1.wav"].into_iter().enumerate() {
        let found = ask(&desk, &["--audio", clip, "--recipe", "quick.toml", "--adapter", &adapter]);
        for (name, said) in [("adapter", &found), ("base", &found["base"])] {
            let rows: Vec<Value> =
                idk_common::json::read_jsonl(&desk.path(&format!("evaluation/answers-{name}.jsonl")))
                    .unwrap();
            let row = &rows[index];
            assert_eq!(said["text"], row["text"], "{name}");
            // In another batch log-probabilities differ by rounding.
            assert!((number(&said["log_prob"]) - number(&row["log_prob"])).abs() < 1e-4, "{name}");
            let texts = said["texts"].as_array().unwrap();
            let names: Vec<&str> = texts.iter().map(|text| text["text"].as_str().unwrap()).collect();
            assert_eq!(names, ["dog", "cat", "rain", "I don't know"]);
            let scores: Vec<f64> = texts.iter().map(|text| number(&text["log_prob"])).collect();
            let margin = scores[..3].iter().copied().fold(f64::MIN, f64::max) - scores[3];
            assert!((margin - number(&row["refusal_margin"])).abs() < 1e-3, "{name}: {margin}");
            let total: f64 = texts.iter().map(|text| number(&text["probability"])).sum();
            assert!((total - 1.0).abs() < 1e-9);
            let ratio = number(&texts[0]["probability"]) / number(&texts[1]["probability"]);
            assert!((ratio.ln() - (scores[0] - scores[1])).abs() < 1e-6);
        }
    }
}

#[test]
fn samples_at_temperature_zero_all_agree_with_the_answer_and_others_depend_on_the_seed_alone() {
    let desk = Desk::new();
    let model = base_model().display().to_string();
    let common = ["--audio", "set/audio/q0.wav", "--model", &model, "--samples", "7"];
    let guided = ["build.temperature=0", "build.guided=true", "eval.answer_by=guided"];
    let guided: Vec<&str> = guided.iter().flat_map(|text| ["--set", text]).collect();
    let greedy = ask(&desk, &[&common[..], &guided].concat());
    assert!(greedy["base"].is_null(), "{greedy}");
    let samples = &greedy["samples"];
    assert_eq!((samples["count"].as_u64(), samples["agree"].as_u64()), (Some(7), Some(7)), "{greedy}");
    assert!(samples["texts"].as_array().unwrap().iter().all(|text| *text == greedy["text"]));

    let hot = |seed: &str| ask(&desk, &[&common[..], &["--set", seed]].concat());
    let (first, again, other) = (hot("seed=0"), hot("seed=0"), hot("seed=1"));
    assert_eq!(first, again);
    assert_ne!(first["samples"]["texts"], other["samples"]["texts"]);
    assert_eq!(first["text"], other["text"], "the answer itself is greedy");
}

#[test]
fn a_guided_answer_is_one_of_the_options_or_a_refusal_and_an_open_question_has_none() {
    let desk = Desk::new();
    let recipe = ["--audio", "set/audio/q0.wav", "--audio", "set/audio/q1.wav", "--recipe", "quick.toml"];
    let guided = ask(&desk, &[&recipe[..], &["--set", "eval.answer_by=guided"]].concat());
    let named = guided["texts"].as_array().unwrap().iter().any(|text| text["text"] == guided["text"]);
    assert!(named, "{guided}");
    let open = desk.run(EVAL, &[&["ask", "What is that sound?", "--json"][..], &recipe].concat());
    let open = open.succeeded().json();
    assert_eq!((&open["texts"], &open["choices"]), (&Value::from(Vec::<u8>::new()), &open["texts"]));
    let text = desk.run(EVAL, &[&QUESTION[..], &recipe].concat()).succeeded().stdout;
    let labels: Vec<&str> = text.lines().filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(labels, ["answer", "read as", "log-prob.", "options", "", "", ""], "{text}");
}

#[test]
fn what_cannot_be_asked_is_rejected_with_its_reason() {
    let desk = Desk::new();
    desk.write("broken.wav", b"RIFF");
    let audio = ["--audio", "set/audio/q0.wav"];
    let run = |question: &[&str], options: &[&str]| {
        desk.run(EVAL, &[question, options, &["--recipe", "quick.toml"]].concat())
    };
    run(&["ask", "What?"], &[]).failed(2, &["--audio"]);
    run(&["ask", " "], &audio).failed(2, &["the question is empty"]);
    run(&["ask", "What?", "--choices", "dog,cat,dog"], &audio).failed(2, &["`dog` is given twice"]);
    run(&["ask", "What?", "--choices", "dog"], &audio).failed(2, &["`dog` is the only option"]);
    run(&["ask", "What?", "--choices", "dog,,cat"], &audio).failed(2, &["an option is empty"]);
    run(&["ask", "What?", "--choices", "[\"dog\""], &audio).failed(2, &["not a JSON array"]);
    run(&QUESTION, &["--audio", "none.wav"]).failed(66, &["`none.wav` does not exist", "check the path"]);
    run(&QUESTION, &["--audio", "set"]).failed(65, &["`set` is not a regular file"]);
    desk.write("text.wav", b"I am no recording, but a text.");
    let long = "word ".repeat(3000);
    let too_long = ["ask", long.as_str(), "--choices", "dog,cat"];
    for (question, recording, parts) in [
        (&QUESTION, "broken.wav", ["cannot be asked", "broken.wav", "WAV, FLAC"]),
        (&QUESTION, "text.wav", ["cannot be asked", "text.wav", "WAV, FLAC"]),
        (&too_long, "set/audio/q0.wav", ["cannot be asked", "but the model has", "shorter"]),
    ] {
        let said = run(question, &["--audio", recording]).failed(65, &parts);
        assert!(!said.stderr.contains("max_rejected_share"), "{}", said.stderr);
    }
    run(&QUESTION, &["--audio", "set/audio/q0.wav", "--samples", "x"]).failed(2, &["give a whole number"]);
    desk.run(EVAL, &["quick.toml", "ask", "What?", "--audio", "x.wav"]).failed(2, &["`ask` does not take"]);
}
