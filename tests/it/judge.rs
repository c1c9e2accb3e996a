//! `[eval.judge]`: answers to open questions that a model behind a server judges.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use serde_json::{Value, json};

use crate::server::{Act, FakeServer, completion};
use crate::support::{Desk, EVAL, Said, TRAIN, files, question_set};

/// Six open questions, of which the last has no right answer, and one with options.
fn desk() -> Desk {
    let desk = Desk::new();
    question_set(&desk, "open", 7, |rows| {
        for (number, row) in rows.iter_mut().enumerate() {
            row["question"] = format!("What is sound number {number}?").into();
            if number < 6 {
                row.as_object_mut().unwrap().remove("choices");
                row["answer"] = "a bark".into();
                row["aliases"] = json!(["woof"]);
            }
        }
        rows[5]["answer"] = Value::Null;
        rows[5].as_object_mut().unwrap().remove("aliases");
    });
    desk
}

fn reply(request: &Value, text: &str) -> Act {
    let mut reply = completion(request);
    reply["choices"][0]["message"]["content"] = text.into();
    reply["choices"][0]["logprobs"] = Value::Null;
    Act::Say(200, "", reply.to_string())
}

/// The text that a judge is asked.
fn asked(request: &Value) -> &str {
    request["messages"][0]["content"][0]["text"].as_str().unwrap()
}

/// A judge whose verdict depends on the question alone.
fn judge(request: &Value) -> Act {
    let verdicts = ["correct", "wrong", "refused", "not correct", "Correct."];
    let number =
        verdicts.iter().enumerate().find(|(number, _)| asked(request).contains(&format!("number {number}?")));
    reply(request, number.unwrap().1)
}

fn settings(server: &FakeServer) -> Vec<String> {
    vec![
        "data.test=open/questions.json".to_owned(),
        "eval.methods=[\"idk-prompt\", \"random\"]".to_owned(),
        "eval.random_rate=0.5".to_owned(),
        "eval.max_rejected_share=0".to_owned(),
        format!("eval.judge.server_url={}", server.url),
        "eval.judge.server_model=grader".to_owned(),
        "eval.judge.server_max_retries=0".to_owned(),
    ]
}

fn evaluate(desk: &Desk, settings: &[String], more: &[&str], out: &str) -> Said {
    let settings = settings.iter().map(String::as_str).chain(more.iter().copied());
    let settings = settings.flat_map(|text| ["--set", text]);
    let arguments: Vec<&str> = ["quick.toml", "--out", out].into_iter().chain(settings).collect();
    desk.run(EVAL, &arguments)
}

fn rows(desk: &Desk, out: &str, name: &str) -> Vec<Value> {
    idk_common::json::read_jsonl(&desk.path(out).join(format!("answers-{name}.jsonl"))).unwrap()
}

#[test]
fn open_answers_have_the_judges_verdict_or_where_it_cannot_be_read_that_of_the_rule() {
    let (desk, server) = (desk(), FakeServer::start(|_, request| judge(request)));
    let said = evaluate(&desk, &settings(&server), &[], "out").succeeded();
    let found: Vec<(Value, Option<Value>, Option<Value>)> = rows(&desk, "out", "base")
        .into_iter()
        .map(|row| (row["verdict"].clone(), row.get("judge").cloned(), row.get("rule").cloned()))
        .collect();
    // The tiny model babbles: the rule finds every answer wrong.
    let wrong = || Some(json!("wrong"));
    let expected =
        ["correct", "wrong", "refused"].map(|verdict| (json!(verdict), Some(json!(verdict)), wrong()));
    assert_eq!(found[..3], expected);
    assert_eq!(found[3], (json!("wrong"), Some(Value::Null), wrong()), "`not correct` is no verdict");
    assert_eq!(found[4], (json!("correct"), Some(json!("correct")), wrong()));
    assert_eq!(
        (&found[5].1, &found[6].1),
        (&None, &None),
        "without a right answer or with options the rule judges"
    );

    let results: Value = idk_common::json::read_json(&desk.path("out/results.json")).unwrap();
    let judge = &results["judge"];
    assert_eq!((&judge["model"], judge["sha256"].as_str().unwrap().len()), (&json!("grader"), 64));
    assert!(results["provenance"]["prompt_judge_sha256"].is_string());
    let names: Vec<&str> =
        judge["agreement"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["base", "idk-prompt"], "a rule answers nothing by itself");
    let of_base = &judge["agreement"][0];
    assert_eq!((&of_base["n"], &of_base["unreadable"]), (&json!(5), &json!(1)));
    assert_eq!(of_base["table"], json!([[0, 0, 0], [2, 1, 1], [0, 0, 0]]));
    // 1 of 4 is equal; the margins 4 and 1 make as many by chance: kappa 0.
    assert_eq!((&of_base["share"], &of_base["kappa"]), (&json!(0.25), &json!(0.0)));
    let sentence = "judged by `grader`; agreement with the exact rule: base 25.0 % of 5 (Cohen's kappa 0.00, 1 unreadable";
    assert!(said.stdout.contains(sentence), "{}", said.stdout);
    let page = idk_common::fs::read_to_string(&desk.path("out/report.html")).unwrap();
    assert!(page.contains("judged by `grader`"), "the report says so too");
    let port = server.url.rsplit(':').next().unwrap().trim_end_matches("/v1");
    for (name, bytes) in files(&desk.path("out")) {
        assert!(
            !String::from_utf8_lossy(&bytes).contains(&format!(":{port}")),
            "{name} says where the judge was"
        );
    }
    // What the judge is asked.
    let body = &server.seen()[0].body;
    let text = asked(body);
    for part in ["What is sound number", "a bark\nwoof\n", "Reply with one of these three words"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!((&body["temperature"], &body["n"], body.get("logprobs")), (&json!(0.0), &json!(1), None));
}

#[test]
fn verdicts_are_kept_and_asked_for_again_only_from_another_judge_or_prompt() {
    let (desk, server) = (desk(), FakeServer::start(|_, request| judge(request)));
    evaluate(&desk, &settings(&server), &[], "out").succeeded();
    let first = server.seen().len();
    assert!((5..=10).contains(&first), "one request per different answer: {first}");
    let results = || idk_common::fs::read(&desk.path("out/results.json")).unwrap();
    let before = results();
    let moved = FakeServer::start(|_, request| judge(request));
    evaluate(&desk, &settings(&moved), &["eval.judge.server_concurrency=1"], "out").succeeded();
    assert_eq!((moved.seen().len(), results() == before), (0, true));
    evaluate(&desk, &settings(&moved), &["eval.judge.server_model=other"], "out").succeeded();
    assert_eq!(moved.seen().len(), first);
    desk.write("mine.txt", b"{question}\n{references}\n{answer}\nGrade it.");
    evaluate(&desk, &settings(&moved), &["eval.judge.prompt=mine.txt"], "out").succeeded();
    assert_eq!(moved.seen().len(), 2 * first);
    assert!(asked(&moved.seen()[first].body).ends_with("Grade it."));
    evaluate(&desk, &settings(&moved), &["eval.judge.max_new_tokens=17"], "out").succeeded();
    assert_eq!(moved.seen().len(), 3 * first);
    evaluate(&desk, &settings(&moved), &[], "out").succeeded();
    assert_eq!((moved.seen().len(), results() == before), (3 * first, true), "each judge keeps its own");
}

#[test]
fn a_judge_that_fails_ends_the_evaluation_and_the_next_one_asks_for_the_rest() {
    let desk = desk();
    question_set(&desk, "open", 40, |rows| {
        for (number, row) in rows.iter_mut().enumerate() {
            row["question"] = format!("What is sound number {number}?").into();
            row.as_object_mut().unwrap().remove("choices");
        }
    });
    let failing = FakeServer::start(|number, request| match number {
        0..35 => reply(request, "wrong"),
        _ => Act::error(503, "the engine is busy"),
    });
    let base_only = ["eval.methods=[]", "eval.judge.server_concurrency=1", "data.limit_per_task=40"];
    evaluate(&desk, &settings(&failing), &base_only, "out").failed(74, &["the engine is busy"]);
    assert!(!desk.path("out/results.json").exists());
    let up = FakeServer::start(|_, request| reply(request, "wrong"));
    evaluate(&desk, &settings(&up), &base_only, "out").succeeded();
    assert_eq!(up.seen().len(), 8, "32 verdicts were kept");
    evaluate(&desk, &settings(&up), &base_only, "whole").succeeded();
    let answers = |out: &str| idk_common::fs::read(&desk.path(out).join("results.json")).unwrap();
    assert!(answers("out") == answers("whole"));
}

#[test]
fn whatever_a_hostile_judge_says_counts_as_unreadable_or_ends_the_evaluation() {
    let desk = desk();
    let long = "correct ".repeat(100_000);
    let replies = ["", "\u{1b}[2Jcorrect wrong", "<|im_end|>correct<|im_start|>", "null", long.as_str()]
        .map(str::to_owned);
    let server = FakeServer::start(move |number, request| reply(request, &replies[number % replies.len()]));
    let settings_of = settings(&server);
    let more = ["eval.judge.max_new_tokens=1000", "eval.methods=[]"];
    let said = evaluate(&desk, &settings_of, &more, "out").succeeded();
    let results: Value = idk_common::json::read_json(&desk.path("out/results.json")).unwrap();
    let of_base = &results["judge"]["agreement"][0];
    assert_eq!(
        (&of_base["n"], &of_base["unreadable"], &of_base["kappa"]),
        (&json!(5), &json!(5), &Value::Null)
    );
    assert_eq!(of_base["kappa_reason"], "no verdict can be read");
    assert!(
        rows(&desk, "out", "base")
            .iter()
            .all(|row| row["verdict"] == row.get("rule").unwrap_or(&row["verdict"]).clone())
    );
    assert!(!said.stdout.contains('\u{1b}'));
    for (script, code) in [("{\"choices\": []}", 65), ("<html>", 65)] {
        let broken = FakeServer::start(move |_, _| Act::Say(200, "", script.to_owned()));
        evaluate(&desk, &settings(&broken), &["eval.judge.server_model=broken"], "broken")
            .failed(code, &["hint:"]);
        assert!(!desk.path("broken/results.json").exists());
    }
}

#[test]
fn a_wrong_setting_of_the_judge_is_named_before_anything_is_asked() {
    let (desk, server) = (desk(), FakeServer::start(|_, request| judge(request)));
    let quick = idk_common::fs::read_to_string(&desk.path("quick.toml")).unwrap();
    let lines = quick.lines().count();
    let text = format!("{quick}\n[eval.judge]\nserver_ulr = \"http://a\"\n");
    desk.write("typo.toml", text.as_bytes());
    let named = format!("typo.toml:{}: unknown key `server_ulr` in [eval.judge]", lines + 3);
    desk.run(EVAL, &["typo.toml"]).failed(2, &[&named, "did you mean `server_url`?"]);
    let wrong = |more: &[&str], parts: &[&str]| {
        evaluate(&desk, &settings(&server), more, "wrong").failed(2, parts);
    };
    wrong(&["eval.judge.server_url=gpu7"], &["`server_url` in [eval.judge]", "must begin with http://"]);
    wrong(&["eval.judge.server_model="], &["`server_model` in [eval.judge]"]);
    wrong(&["eval.judge.server_url="], &["`server_url` in [eval.judge] must name the judge's server"]);
    wrong(&["eval.judge.max_new_tokens=0"], &["`max_new_tokens` in [eval.judge] must be at least 1"]);
    wrong(
        &["eval.judge.server_key_env=IDK_NO_SUCH_KEY"],
        &["server_key_env", "`IDK_NO_SUCH_KEY`", "is not set"],
    );
    desk.write("bad.txt", b"{question} {referenecs}");
    wrong(&["eval.judge.prompt=bad.txt"], &["bad.txt", "{referenecs}", "{references}"]);
    desk.run(TRAIN, &["quick.toml", "--set", "eval.judge.server_model=m"]).failed(2, &["[eval.judge]"]);
    assert!(server.seen().is_empty() && !desk.path("wrong/results.json").exists());
}
