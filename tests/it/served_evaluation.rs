//! Evaluations of a model behind a server. The server of the tests runs the tiny model, so its answers must be those of
//! the local evaluation.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::path::Path;

use serde_json::{Value, json};

use crate::server::{Act, FakeServer};
use crate::support::{Desk, EVAL, Said, TRAIN, question_set, tiny_model};
use crate::tiny_server::{TinyServer, at};

/// A recipe without a folder of the model: `local.toml` has one, and the same settings.
fn desk() -> Desk {
    let desk = Desk::new();
    // Questions that differ in their text too.
    question_set(&desk, "set", 6, |rows| {
        for (index, row) in rows.iter_mut().enumerate() {
            row["question"] = format!("What is sound number {index}?").into();
        }
    });
    question_set(&desk, "val", 4, |rows| rows.iter_mut().for_each(|row| row["split"] = "val".into()));
    let rest = "[data]\ntest = \"set/questions.json\"\nval = \"val/questions.json\"\n[build]\ntemperature = 0\nn_samples = 3\nk = 2\nmax_new_tokens = 4\n[eval]\nmax_new_tokens = 4\n\
                max_step_tokens = 6\nbootstrap_draws = 20\n";
    desk.write("served.toml", rest.as_bytes());
    desk.write("local.toml", format!("[model]\npath = '{}'\n{rest}", tiny_model().display()).as_bytes());
    desk
}

fn evaluate(desk: &Desk, recipe: &str, out: &str, settings: &[&str]) -> Said {
    let settings = settings.iter().flat_map(|text| ["--set", text]);
    let arguments: Vec<&str> = [recipe].into_iter().chain(settings).chain(["--out", out]).collect();
    desk.run(EVAL, &arguments)
}

fn served<'a>(at: &'a [String; 3], more: &[&'a str]) -> Vec<&'a str> {
    at.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

fn rows(dir: &Path, name: &str) -> Vec<Value> {
    idk_common::json::read_jsonl(&dir.join(format!("answers-{name}.jsonl"))).unwrap()
}

/// Checks that two evaluations have the same answers, log-probabilities within 1e-4 a number.
fn assert_same_answers(local: &Path, served: &Path, names: &[&str]) {
    for name in names {
        let (ours, theirs) = (rows(local, name), rows(served, name));
        assert_eq!((ours.len(), theirs.len()), (6, 6), "{name}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            for key in ["id", "text", "verdict", "choice", "steps"] {
                assert_eq!(ours[key], theirs[key], "{name} {key}");
            }
            let numbers = |row: &Value| -> Vec<f64> {
                let options = row["option_log_probs"].as_array().cloned().unwrap_or_default();
                let single = [row["log_prob"].clone(), row["refusal_margin"].clone()];
                options.iter().chain(&single).map(|value| value.as_f64().unwrap_or(7.0)).collect()
            };
            assert_eq!(numbers(ours).len(), numbers(theirs).len(), "{name}: {ours} {theirs}");
            for (ours, theirs) in numbers(ours).into_iter().zip(numbers(theirs)) {
                assert!((ours - theirs).abs() < 1e-4, "{name}: {ours} {theirs}");
            }
        }
    }
}

const METHODS: &str = "eval.methods=[\"adapter\", \"idk-prompt\", \"mcot\", \"task-agent\", \"threshold\", \"one-pass\", \"self-consistency\", \"p-true\", \"self-verification\", \"verbalised-confidence\", \"semantic-entropy\", \"explicit-option\", \"random\"]";
const NAMES: [&str; 14] = [
    "base",
    "tuned",
    "idk-prompt",
    "mcot",
    "task-agent",
    "threshold",
    "one-pass",
    "self-consistency",
    "p-true",
    "self-verification",
    "verbalised-confidence",
    "semantic-entropy",
    "explicit-option",
    "random",
];

#[test]
fn an_evaluation_through_a_server_is_the_local_one_with_and_without_the_folder() {
    let (desk, server) = (desk(), TinyServer::new().start());
    let adapter = format!("eval.adapters=[\"tuned={}\"]", tiny_model().join("lora_adapter").display());
    evaluate(&desk, "local.toml", "local", &[METHODS, &adapter]).succeeded();
    let at = at(&server);
    let on_server = "eval.adapters=[\"tuned=server:tuned\"]";
    for (recipe, out) in [("served.toml", "served"), ("local.toml", "strict")] {
        evaluate(&desk, recipe, out, &served(&at, &[METHODS, on_server])).succeeded();
        assert_same_answers(&desk.path("local"), &desk.path(out), &NAMES);
    }
    let results: Value = idk_common::json::read_json(&desk.path("served/results.json")).unwrap();
    assert_eq!(results["provenance"]["model"], "tiny");
    assert_eq!(results["provenance"]["adapter_tuned"], "server:tuned");
    let port = server.url.rsplit(':').next().unwrap().trim_end_matches("/v1").to_owned();
    assert!(!results.to_string().contains(&port), "results do not say where the server was");

    // Stored answers are used again, also at another address and with other patience; of another model they are not.
    let moved = TinyServer::new().start();
    let moved_at = self::at(&moved);
    let patient = [METHODS, on_server, "model.server_concurrency=2", "model.server_timeout_s=9"];
    evaluate(&desk, "served.toml", "served", &served(&moved_at, &patient)).succeeded();
    assert_eq!(moved.seen().len(), 0);
    let other = [METHODS, on_server, "model.server_model=other"];
    evaluate(&desk, "served.toml", "served", &served(&moved_at, &other)).succeeded();
    assert!(!moved.seen().is_empty());
}

#[test]
fn answers_from_a_list_are_those_of_the_local_model_too() {
    let (desk, server) = (desk(), TinyServer::new().start());
    let at = at(&server);
    for by in ["guided", "options"] {
        let by_list = format!("eval.answer_by={by}");
        let methods = "eval.methods=[\"idk-prompt\"]";
        let (local, out) = (format!("local-{by}"), format!("served-{by}"));
        evaluate(&desk, "local.toml", &local, &[&by_list, methods]).succeeded();
        evaluate(&desk, "served.toml", &out, &served(&at, &[&by_list, methods])).succeeded();
        assert_same_answers(&desk.path(&local), &desk.path(&out), &["base", "idk-prompt"]);
    }
}

#[test]
fn an_evaluation_that_a_server_fails_resumes_after_the_answers_that_came() {
    let desk = desk();
    // More questions than are stored together.
    question_set(&desk, "many", 40, |_| {});
    let tiny = TinyServer::new();
    let failing = FakeServer::start(move |number, request| match number {
        0..38 => Act::Say(200, "", tiny.reply(request).to_string()),
        _ => Act::error(503, "the engine is busy"),
    });
    let few = ["data.test=many/questions.json", "eval.methods=[]", "model.server_log_probs=answers"];
    let first = at(&failing);
    let one = [&few[..], &["model.server_concurrency=1"]].concat();
    evaluate(&desk, "served.toml", "out", &served(&first, &one))
        .failed(74, &["status 503: the engine is busy", "hint:"]);
    assert!(!desk.path("out/results.json").exists());
    let working = TinyServer::new().start();
    let second = at(&working);
    evaluate(&desk, "served.toml", "out", &served(&second, &few)).succeeded();
    assert_eq!(working.seen().len(), 8, "32 answers were stored");
    evaluate(&desk, "served.toml", "whole", &served(&second, &few)).succeeded();
    assert_eq!(
        idk_common::fs::read(&desk.path("out/answers-base.jsonl")).unwrap(),
        idk_common::fs::read(&desk.path("whole/answers-base.jsonl")).unwrap()
    );
}

#[test]
fn what_a_server_does_not_give_is_left_empty_or_named_by_what_needs_it() {
    let (desk, server) = (desk(), TinyServer::new().start());
    let at = at(&server);
    let run = |out: &str, more: &[&str]| evaluate(&desk, "served.toml", out, &served(&at, more));
    let strict = ["model.server_api=openai", "eval.methods=[\"idk-prompt\", \"one-pass\"]"];
    run("answers", &strict).succeeded();
    let body = &server.seen()[0].body;
    for field in ["top_k", "min_p", "repetition_penalty", "stop_token_ids", "return_token_ids", "max_tokens"]
    {
        assert_eq!(body.get(field), None, "{field} is not a field of OpenAI");
    }
    let row = &rows(&desk.path("answers"), "base")[0];
    assert!(
        row["log_prob"].is_f64() && row["option_log_probs"].as_array().is_none_or(Vec::is_empty),
        "{row}"
    );
    let results: Value = idk_common::json::read_json(&desk.path("answers/results.json")).unwrap();
    let all = &results["methods"][0]["tasks"][3];
    assert!(all["threshold"].is_null() && all["one_pass"].is_object(), "{all}");

    let asked = server.seen().len();
    run("samples", &["model.server_api=openai", "eval.methods=[\"self-consistency\"]"]).succeeded();
    let sampled: Vec<Value> = server.seen()[asked..].iter().map(|seen| seen.body.clone()).collect();
    assert!(
        sampled.iter().all(|body| body.get("top_k").is_none()),
        "samples, too, take fields of OpenAI alone"
    );

    run("none", &["model.server_log_probs=none", "eval.methods=[\"idk-prompt\"]"]).succeeded();
    assert!(rows(&desk.path("none"), "base")[0]["log_prob"].is_null());
    let lacks = |settings: &[&str], parts: &[&str]| {
        run("lacks", settings).failed(2, parts);
    };
    let none = "model.server_log_probs=none";
    let answers = "model.server_log_probs=answers";
    lacks(
        &[none, "eval.methods=[\"one-pass\"]"],
        &["`one-pass` needs the log-probability", "server_log_probs"],
    );
    lacks(
        &[answers, "eval.methods=[\"threshold\"]"],
        &["`threshold` needs the probability of every option", "\"letters\""],
    );
    lacks(&[answers, "eval.answer_by=options"], &["needs the probability of given texts"]);
    lacks(&["eval.answer_by=guided", "eval.refusal_offset=1"], &["refusal_offset", "not for a server"]);
    lacks(&["model.server_api=openai", "eval.answer_by=guided"], &["answer_by", "openai"]);
    lacks(&["model.server_api=openai", "model.server_log_probs=options"], &["server_log_probs", "vLLM"]);
    lacks(&["model.server_api=openai", "build.guided=true"], &["`guided` in [build]", "vLLM"]);
    lacks(&["model.server_api=openai", "build.top_k=3"], &["`top_k` in [build]", "openai"]);
    lacks(&["eval.adapters=[\"a=server:\"]"], &["does not name an adapter"]);
    let folder = format!("eval.adapters=[\"a={}\"]", tiny_model().join("lora_adapter").display());
    lacks(&[&folder], &["the adapter `a` is a folder", "server:ITS_NAME"]);
    evaluate(&desk, "local.toml", "lacks", &["eval.adapters=[\"a=server:b\"]"]).failed(2, &["server_url"]);
    assert!(!desk.path("lacks/results.json").exists());
}

#[test]
fn a_server_of_openais_fields_gives_the_probabilities_of_options_by_their_letters() {
    let desk = desk();
    // The question decides what is listed: of number 0 no letter, of number 1 only A, else A and B.
    let server = FakeServer::start(|_, request| {
        let text = request["messages"][0]["content"][1]["text"].as_str().unwrap();
        let top: &[(&str, f64)] = match text {
            text if text.contains("number 0") => &[("dog", 0.75)],
            text if text.contains("number 1") => &[("A", 0.75), ("dog", 0.125)],
            _ => &[("A", 0.5), (" a", 0.125), ("(B", 0.25), ("C", 0.0625)],
        };
        let listed = top.iter().map(|(token, p)| json!({ "token": token, "logprob": p.ln() }));
        let listed: Vec<Value> = listed.collect();
        let mut reply = crate::server::completion(request);
        let choice = &mut reply["choices"][0];
        choice["message"]["content"] = "(A)".into();
        let token = |text: &str| json!({ "token": text, "logprob": -0.5, "top_logprobs": listed });
        choice["logprobs"]["content"] = json!([token("A"), token("")]);
        Act::Say(200, "", reply.to_string())
    });
    let at = at(&server);
    let letters = ["model.server_api=openai", "model.server_log_probs=letters"];
    let run = |out: &str, more: &[&str]| {
        evaluate(&desk, "served.toml", out, &served(&at, &[&letters[..], more].concat()))
    };
    run("out", &["eval.methods=[\"threshold\", \"option-probability\"]"]).succeeded();
    for seen in server.seen() {
        assert_eq!((&seen.body["top_logprobs"], &seen.body["logprobs"]), (&json!(20), &json!(true)));
    }
    let found = |number: usize| -> Vec<f64> {
        let row = rows(&desk.path("out"), "base").remove(number);
        row["option_log_probs"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|value| value.as_f64().unwrap().exp())
            .collect()
    };
    let near = |found: &[f64], expected: &[f64]| {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-9)
    };
    assert!(near(&found(0), &[]), "no letter is listed");
    assert!(near(&found(1), &[0.75, 0.125, 0.125]), "what is left is the most that B and C can have");
    assert!(near(&found(2), &[0.625, 0.25, 0.0625]), "{:?}", found(2));
    let results: Value = idk_common::json::read_json(&desk.path("out/results.json")).unwrap();
    let missing = |name: &str| {
        let methods = results["methods"].as_array().unwrap();
        methods.iter().find(|method| method["name"] == name).unwrap()["missing"].clone()
    };
    assert_eq!((missing("threshold"), missing("option-probability")), (json!(1), json!(1)));

    let refused = |more: &[&str], parts: &[&str]| {
        run("lacks", more).failed(2, parts);
    };
    refused(&["eval.methods=[\"p-true\"]"], &["`p-true` needs the probability of given texts"]);
    refused(&["build.prompt=lines"], &["\"letters\" needs answers that begin with a letter"]);
    refused(&["eval.answer_by=options"], &["\"letters\" needs answers that begin with a letter"]);
    let question = [
        "ask",
        "What is sound number 2?",
        "--choices",
        "dog,cat,rain",
        "--audio",
        "set/audio/q1.wav",
        "--json",
    ];
    let settings = served(&at, &letters).into_iter().flat_map(|text| ["--set", text]);
    let asked = desk.run(
        EVAL,
        &question.into_iter().chain(["--recipe", "served.toml"]).chain(settings).collect::<Vec<_>>(),
    );
    let texts = asked.succeeded().json()["texts"].clone();
    let shares: Vec<f64> =
        texts.as_array().unwrap().iter().map(|text| text["probability"].as_f64().unwrap()).collect();
    assert!(near(&shares, &[0.625 / 0.9375, 0.25 / 0.9375, 0.0625 / 0.9375]), "{texts}");
    let bare = FakeServer::start(|_, request| Act::good(request));
    let bare_at = crate::tiny_server::at(&bare);
    let settings = served(&bare_at, &[letters[0], letters[1], "eval.methods=[]"]);
    evaluate(&desk, "served.toml", "bare", &settings).failed(65, &["no `top_logprobs`", "server_log_probs"]);
}

#[test]
fn a_hostile_reply_ends_the_evaluation_with_its_reason_and_nothing_of_it_is_stored() {
    let desk = desk();
    type Spoil = fn(&mut Value);
    let cases: [(Spoil, &str); 6] = [
        (|reply| reply["choices"] = json!([]), "0 choices, 1 asked for"),
        (|reply| reply["choices"][0]["message"]["content"] = Value::Null, "no content"),
        (|reply| reply["choices"][0]["logprobs"] = Value::Null, "no log-probabilities"),
        (|reply| reply["choices"][0]["logprobs"]["content"][0]["logprob"] = json!(3.0), "above 0"),
        (|reply| reply["prompt_logprobs"] = Value::Null, "no `prompt_logprobs`"),
        (|reply| reply["prompt_token_ids"] = json!([1]), "of its 1 prompt tokens"),
    ];
    for (spoil, part) in cases {
        let tiny = TinyServer::new();
        let server = FakeServer::start(move |_, request| {
            let mut reply = tiny.reply(request);
            if reply.get("prompt_logprobs").is_some() || !part.contains("prompt") {
                spoil(&mut reply);
            }
            Act::Say(200, "", reply.to_string())
        });
        let at = at(&server);
        let settings = ["eval.methods=[\"idk-prompt\"]"];
        let scored = if part.contains("prompt") { "options" } else { "answers" };
        let log_probs = format!("model.server_log_probs={scored}");
        evaluate(&desk, "served.toml", "out", &served(&at, &[settings[0], &log_probs])).failed(65, &[part]);
        assert!(!desk.path("out/results.json").exists(), "{part}");
    }
    // With the folder at hand the server's prompt must be the local one.
    let tiny = TinyServer::new();
    let other = FakeServer::start(move |_, request| {
        let mut reply = tiny.reply(request);
        reply["prompt_token_ids"][0] = json!(9);
        Act::Say(200, "", reply.to_string())
    });
    let at = at(&other);
    let answers = served(&at, &["eval.methods=[]", "model.server_log_probs=answers"]);
    evaluate(&desk, "local.toml", "out", &answers).failed(65, &["at 0 it has 9 where", "[model] path"]);
    evaluate(&desk, "served.toml", "out", &answers).succeeded();
}

#[test]
fn one_question_is_asked_at_a_server_with_its_adapter_and_samples() {
    let (desk, server) = (desk(), TinyServer::new().start());
    let adapter = tiny_model().join("lora_adapter").display().to_string();
    let at = at(&server);
    let ask = |recipe: &str, adapter: &str, settings: &[&str]| {
        let settings = settings.iter().flat_map(|text| ["--set", text]);
        let question =
            ["ask", "What is that?", "--choices", "dog,cat", "--audio", "set/audio/q1.wav", "--json"];
        let options = ["--recipe", recipe, "--adapter", adapter, "--samples", "3"];
        let arguments: Vec<&str> = question.into_iter().chain(options).chain(settings).collect();
        desk.run(EVAL, &arguments).succeeded().json()
    };
    let local = ask("local.toml", &adapter, &["build.temperature=0"]);
    let served = ask("served.toml", "server:tuned", &served(&at, &["build.temperature=0"]));
    for said in [[&local, &served], [&local["base"], &served["base"]]] {
        let [ours, theirs] = said;
        assert_eq!((&ours["text"], &ours["samples"]), (&theirs["text"], &theirs["samples"]));
        for (ours, theirs) in
            ours["texts"].as_array().unwrap().iter().zip(theirs["texts"].as_array().unwrap())
        {
            assert_eq!(ours["text"], theirs["text"]);
            assert!((ours["log_prob"].as_f64().unwrap() - theirs["log_prob"].as_f64().unwrap()).abs() < 1e-3);
        }
    }
    assert_eq!(served["texts"].as_array().unwrap().len(), 3);
}

#[test]
fn a_model_of_a_server_is_evaluated_without_a_recipe_and_is_never_trained() {
    let (desk, server) = (desk(), TinyServer::new().start());
    let at = at(&server);
    let settings: Vec<&str> =
        served(&at, &["eval.max_new_tokens=4"]).into_iter().flat_map(|text| ["--set", text]).collect();
    let free = ["--questions", "set/questions.json", "--out", "out"];
    desk.run(EVAL, &[&free[..], &settings].concat()).succeeded();
    assert_eq!(rows(&desk.path("out"), "base").len(), 6);
    desk.run(TRAIN, &[&["served.toml"], &settings[..]].concat())
        .failed(2, &["`server_url` in [model]", "cannot be trained", "`sampler = \"openai\"`"]);
}
