//! Questions without a right answer: labelled, trained on and measured as such, and nothing else changes.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;
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

/// The questions of `NAME/questions.json`, by id.
fn by_id(path: &Path) -> BTreeMap<String, Value> {
    let rows: Vec<Value> = read_json(path).unwrap();
    rows.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect()
}

/// The words of a text, in lower case and sorted.
fn words(text: &Value) -> Vec<String> {
    let text = text.as_str().unwrap().to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    words.sort();
    words
}

#[test]
fn over_the_whole_bank_no_made_question_has_the_answer_of_its_clip_among_its_options() {
    let desk = Desk::new();
    for split in ["idk", "test"] {
        desk.run(BUILD, &["compose", "--split", split, "--out", split]).succeeded();
        let sources = by_id(&desk.path(&format!("{split}/questions.json")));
        for kind in ["absent", "options", "audio"] {
            let made = format!("{split}/{kind}.json");
            let path = format!("{split}/questions.json");
            let command = ["unanswerable", &path, "--kind", kind, "--out", &made, "--exclude", "loudness"];
            desk.run(BUILD, &command).succeeded();
            let made = by_id(&desk.path(&made));
            assert!(made.len() > sources.len() / 5, "{split} {kind}: {} of {}", made.len(), sources.len());
            for (id, row) in &made {
                let (source, donor) =
                    (&sources[row["made_from"].as_str().unwrap()], &sources[row["donor"].as_str().unwrap()]);
                assert_eq!(
                    (&row["answer"], &row["answerable"], &row["kind"]),
                    (&Value::Null, &false.into(), &kind.into())
                );
                assert_eq!((&row["question"], &row["task"]), (&source["question"], &source["task"]), "{id}");
                // The question that has the clip: nothing that is right there may be an option here.
                let of_clip = if kind == "audio" { donor } else { source };
                assert_eq!(row["audio_id"], of_clip["audio_id"], "{id}");
                let right = words(&of_clip["answer"]);
                let choices = row["choices"].as_array().unwrap();
                assert!(
                    choices.len() >= 2 && choices.iter().all(|choice| words(choice) != right),
                    "{id}: {row}"
                );
                match kind {
                    "absent" => {
                        assert_eq!(donor["sub-category"], source["sub-category"]);
                        let kept = source["choices"]
                            .as_array()
                            .unwrap()
                            .iter()
                            .filter(|it| **it != source["answer"]);
                        assert!(kept.clone().all(|choice| choices.contains(choice)), "{id}: the others stay");
                    }
                    _ => assert_ne!(donor["task"], source["task"], "{id}"),
                }
            }
        }
    }
}

#[test]
fn made_questions_can_be_read_built_and_evaluated_and_a_file_that_exists_is_never_written_over() {
    let desk = Desk::new();
    desk.run(BUILD, &["compose", "--split", "test", "--questions", "20", "--out", "set20"]).succeeded();
    let make =
        ["unanswerable", "set20/questions.json", "--kind", "audio", "--kind", "absent", "--count", "8"];
    let said = desk.run(BUILD, &make).succeeded();
    assert_eq!(said.stdout.trim(), "set20/questions-absent-audio.json");
    let path = desk.path("set20/questions-absent-audio.json");
    let bytes = idk_common::fs::read(&path).unwrap();
    desk.run(BUILD, &make).failed(2, &["exists already", "--out"]);
    assert_eq!(idk_common::fs::read(&path).unwrap(), bytes);
    let again = [&make[..], &["--out", "set20/again.jsonl"]].concat();
    desk.run(BUILD, &again).succeeded();
    let rows: Vec<Value> = read_jsonl(&desk.path("set20/again.jsonl")).unwrap();
    assert_eq!(
        Value::from(rows),
        serde_json::from_slice::<Value>(&bytes).unwrap(),
        "the same seed, the same rows"
    );
    let other = [&make[..], &["--seed", "1", "--out", "set20/other.json"]].concat();
    let said = desk.run(BUILD, &[&other[..], &["--json"]].concat()).succeeded().json();
    assert_eq!((&said["rows"], &said["made"]["audio"]), (&16.into(), &8.into()));
    assert_ne!(idk_common::fs::read(&desk.path("set20/other.json")).unwrap(), bytes);
    let mixed = [&make[..], &["--with-source", "--out", "set20/mixed.json"]].concat();
    desk.run(BUILD, &mixed).succeeded();
    let data = [
        "data.test=set20/questions-absent-audio.json",
        "data.train=set20/mixed.json",
        "data.limit_per_task=99",
    ];
    desk.build(&data).succeeded();
    let manifest: Value = read_json(&desk.path("run/dataset/manifest.json")).unwrap();
    assert!(manifest["counts"]["unanswerable"].as_u64().unwrap() > 0, "{}", manifest["counts"]);
    let wrong = [
        "unanswerable",
        "set20/questions.json",
        "--kind",
        "audio",
        "--count",
        "999",
        "--out",
        "set20/no.json",
    ];
    desk.run(BUILD, &wrong).failed(65, &["of 999 questions of the kind `audio`", "--count"]);
    assert!(!desk.path("set20/no.json").exists());
}

#[test]
fn the_tables_of_questions_without_an_answer_are_there_only_where_the_set_has_some() {
    let desk = desk();
    question_set(&desk, "answerable", 4, |_| {});
    let json = |path: &str| -> Value { read_json(&desk.path(path).join("results.json")).unwrap() };
    for (set, out, has) in [("set", "mixed", true), ("answerable", "plain", false)] {
        let questions = format!("{set}/questions.json");
        let recipe =
            ["quick.toml", "--questions", &questions, "--out", out, "--set", "eval.methods=[\"idk-prompt\"]"];
        let text = desk.run(EVAL, &recipe).succeeded().stdout;
        assert_eq!(
            text.contains("2 questions without an answer (absent 1), where to refuse is right"),
            has,
            "{text}"
        );
        for (format, part) in [("csv", "unanswerable/absent"), ("latex", "over-refused")] {
            let text = desk.run(EVAL, &[&recipe[..], &["--format", format]].concat()).succeeded().stdout;
            assert_eq!(text.contains(part), has, "{format}: {text}");
        }
        let page =
            String::from_utf8(idk_common::fs::read(&desk.path(out).join("report.html")).unwrap()).unwrap();
        assert_eq!(page.contains("<h2>Questions without an answer</h2>"), has);
        assert_eq!(json(out).get("unanswerable").is_some(), has);
    }
    let found = json("mixed")["unanswerable"].clone();
    assert_eq!((&found["n"], &found["kinds"]["absent"]), (&2.into(), &1.into()));
    let names: Vec<&str> =
        found["replies"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["base", "idk-prompt"]);
    let said = desk
        .run(
            EVAL,
            &[
                "score",
                "--questions",
                "set/questions.json",
                "--before",
                "mixed/answers-base.jsonl",
                "--after",
                "mixed/answers-idk-prompt.jsonl",
                "--json",
            ],
        )
        .succeeded()
        .json();
    assert_eq!(
        (&said["n"], &said["unanswerable"]["replies"][1]["correct_abstain"]),
        (&4.into(), &found["replies"][1]["correct_abstain"])
    );
}
