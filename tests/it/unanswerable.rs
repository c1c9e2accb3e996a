//! Questions without a right answer: labelled, trained on and measured as such, and nothing else changes.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::path::Path;

use crate::support::{BUILD, Desk, EVAL, assert_same, files, question_set};
use idk_common::json::{read_json, read_jsonl};
use serde_json::{Value, json};

/// `set/questions.json` whose last two of six questions have no right answer.
fn desk() -> Desk {
    let desk = Desk::new();
    question_set(&desk, "set", 6, |rows| {
        (rows[4]["answer"], rows[4]["kind"]) = (Value::Null, json!("absent"));
        (rows[5]["answer"], rows[5]["answerable"]) = (json!(""), json!(false));
    });
    desk
}

fn rows(dataset: &Path, name: &str) -> Vec<Value> {
    read_jsonl(&dataset.join(name)).unwrap()
}

#[test]
fn a_dataset_teaches_to_refuse_what_has_no_right_answer_and_does_not_call_it_unknown_to_the_model() {
    let desk = desk();
    desk.build(&["build.k=1"]).succeeded();
    let dataset = desk.path("run/dataset");
    let manifest: Value = read_json(&dataset.join("manifest.json")).unwrap();
    let counts = &manifest["counts"];
    assert_eq!((&counts["kept"], &counts["unanswerable"]), (&6.into(), &2.into()));
    assert_eq!(manifest["idk_share"]["overall"]["n"], 4, "the share is of questions that can be known");
    for (place, kind) in [(4, "absent"), (5, "")] {
        let label = &rows(&dataset, "labels.jsonl")[place];
        assert_eq!(
            (&label["label"], &label["unanswerable"], &label["n"], &label["correct"]),
            (&"unknown".into(), &kind.into(), &3.into(), &0.into())
        );
        let chat = &rows(&dataset, "sft.jsonl")[place];
        assert_eq!(chat["messages"][1]["content"], "I don't know");
    }
    let samples = rows(&dataset, "samples.jsonl");
    assert!(
        samples
            .iter()
            .all(|row| row["verdict"] != "correct" || !["q4", "q5"].contains(&row["id"].as_str().unwrap()))
    );
    assert!(rows(&dataset, "labels.jsonl")[0].get("unanswerable").is_none());
    let said = desk.run(BUILD, &["inspect", "run"]).succeeded();
    assert!(said.stdout.contains("2 of the unknown ones have no right answer"), "{}", said.stdout);
    desk.run(BUILD, &["relabel", "run", "--set", "build.unanswerable_share=0.2", "--out", "fewer"])
        .succeeded();
    let fewer = desk.path("fewer/dataset");
    assert_eq!(rows(&fewer, "sft.jsonl").len(), 5, "one of five is a share of 0.2");
    assert_eq!(rows(&fewer, "labels.jsonl").len(), 6);
}

#[test]
fn accuracy_and_rgi_are_those_of_the_questions_that_have_an_answer() {
    let desk = desk();
    question_set(&desk, "answerable", 4, |_| {});
    desk.train(&["output.dir=mixed", "eval.methods=[\"adapter\", \"random\"]"]).succeeded();
    let adapter = desk.path("mixed/adapter").display().to_string();
    let recipe = ["quick.toml", "--set", "eval.methods=[\"adapter\"]", "--adapter", &adapter];
    for (set, out) in [("set", "all"), ("answerable", "part")] {
        let questions = format!("{set}/questions.json");
        desk.run(EVAL, &[&recipe[..], &["--questions", &questions, "--out", out]].concat()).succeeded();
    }
    let results = |out: &str| -> Value { read_json(&desk.path(out).join("results.json")).unwrap() };
    let (all, part) = (results("all"), results("part"));
    assert_eq!((&all["n"], &part["n"]), (&6.into(), &4.into()));
    let last = |of: &Value| of["methods"][0]["tasks"].as_array().unwrap().last().unwrap().clone();
    for key in ["n", "acc", "tru", "rel", "refusal_rate", "rgi", "dcon", "dhum", "rgi_ci95"] {
        assert_eq!(last(&all)[key], last(&part)[key], "{key}");
    }
    assert_eq!(all["base"].as_array().unwrap().last().unwrap()["counts"]["n"], 4);
    assert_eq!(rows(&desk.path("all"), "answers-adapter.jsonl").len(), 6, "all of them are answered");
}

#[test]
fn a_set_of_questions_without_an_answer_alone_can_be_evaluated() {
    let desk = desk();
    question_set(&desk, "set", 6, |rows| rows.iter_mut().for_each(|row| row["answer"] = Value::Null));
    desk.run(EVAL, &["quick.toml"]).succeeded();
    let results: Value = read_json(&desk.path("run/eval/results.json")).unwrap();
    assert_eq!((&results["n"], &results["base"][0]["counts"]["n"]), (&6.into(), &0.into()));
    desk.build(&["output.dir=other"]).succeeded();
    assert_eq!(rows(&desk.path("other/dataset"), "sft.jsonl").len(), 6);
}

#[test]
fn validation_leaves_questions_without_an_answer_out() {
    let desk = desk();
    for (name, count) in [("val-all", 6), ("val-part", 4)] {
        question_set(&desk, name, count, |rows| {
            rows.iter_mut().for_each(|row| row["split"] = "val".into());
            rows.iter_mut().skip(4).for_each(|row| row["answer"] = Value::Null);
        });
        let (val, out) = (format!("data.val={name}/questions.json"), format!("output.dir={name}-run"));
        desk.train(&[&val, &out, "train.eval_every=1", "eval.methods=[\"adapter\", \"threshold\"]"])
            .succeeded();
    }
    let adapter = |name: &str| files(&desk.path(&format!("{name}-run/adapter")));
    assert_same(&adapter("val-all"), &adapter("val-part"));
    let rule = |name: &str| {
        let path = desk.path(&format!("{name}-run/eval/results.json"));
        read_json::<Value>(&path).unwrap()["methods"][1]["rule"].clone()
    };
    assert_eq!(rule("val-all"), rule("val-part"));
}
