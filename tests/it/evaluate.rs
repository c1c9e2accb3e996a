//! The evaluator as a program: many methods and adapters compared with the base model, answers that survive a kill,
//! answers of other programs.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::{
    Desk, EVAL, METHODS, Said, TRAIN, assert_same, files, question_set, stop, tiny_model, with_overrides,
};
use idk_common::fs::read;
use serde_json::{Value, json};

/// `idk-eval quick.toml` with options after the overrides.
fn evaluate(desk: &Desk, overrides: &[&str], options: &[&str]) -> Said {
    desk.run(EVAL, &[&with_overrides("quick.toml", overrides)[..], options].concat())
}

fn results(dir: &Path) -> Value {
    idk_common::json::read_json(&dir.join("results.json")).unwrap()
}

/// Shards of stored answers below an evaluation's folder.
fn shards(eval: &Path) -> Vec<String> {
    let store = eval.join(".answers");
    if !store.is_dir() {
        return Vec::new();
    }
    files(&store).into_keys().filter(|name| name.ends_with(".jsonl")).collect()
}

#[test]
fn every_method_has_answers_results_and_its_place_beside_every_other() {
    let desk = Desk::new();
    question_set(&desk, "val", 4, |rows| rows.iter_mut().for_each(|row| row["split"] = "val".into()));
    let adapter = format!("eval.adapters=[\"other={}\"]", tiny_model().join("lora_adapter").display());
    let overrides = [METHODS, "data.val=val/questions.json", "eval.max_step_tokens=6", &adapter];
    desk.train(&overrides).succeeded();
    let found = results(&desk.path("run/eval"));
    let names: Vec<&str> =
        found["methods"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    let expected = [
        "adapter",
        "other",
        "idk-prompt",
        "mcot",
        "task-agent",
        "threshold",
        "one-pass",
        "self-consistency",
        "perplexity",
        "semantic-entropy",
        "p-true",
        "verbalised-confidence",
        "self-verification",
        "probe",
        "explicit-option",
        "group",
        "random",
    ];
    assert_eq!(names, expected);
    for name in ["base"].into_iter().chain(expected) {
        let rows: Vec<Value> =
            idk_common::json::read_jsonl(&desk.path(&format!("run/eval/answers-{name}.jsonl"))).unwrap();
        assert_eq!(rows.len(), 6, "{name}");
        let has_options =
            rows.iter().all(|row| row["option_log_probs"].as_array().is_some_and(|all| all.len() == 3));
        let expected = !["idk-prompt", "mcot", "task-agent"].contains(&name);
        assert_eq!(has_options, expected, "{name}");
    }
    for method in found["methods"].as_array().unwrap() {
        assert_eq!(method["sub_categories"].as_array().unwrap().len(), 3, "one sub-category of each task");
        assert_eq!(method["difficulties"][0]["group"], "easy");
    }
    let method = |name: &str| &found["methods"][expected.iter().position(|other| *other == name).unwrap()];
    assert_eq!(method("threshold")["rule"]["n"], 4);
    assert_eq!(
        (&method("self-consistency")["rule"]["rule"], &method("self-consistency")["rule"]["n"]),
        (&"self-consistency".into(), &4.into())
    );
    assert!(found["methods"][0]["tasks"][3]["self_consistency"].is_object(), "a yardstick for every method");
    assert_eq!(
        (&method("one-pass")["rule"]["rule"], &method("one-pass")["rule"]["n"]),
        (&"one-pass".into(), &4.into())
    );
    let ranking = |name: &str| method(name)["tasks"][3]["auroc"]["ranking"].clone();
    for name in ["idk-prompt", "group", "random"] {
        assert_eq!(ranking(name), Value::Null, "{name}");
    }
    let measured: Vec<Value> =
        idk_common::json::read_jsonl(&desk.path("run/eval/answers-semantic-entropy.jsonl")).unwrap();
    // Of 3 samples the entropy is at most log 3.
    let in_range = |row: &Value| (0.0..=3.0_f64.ln() + 1e-9).contains(&row["measure"].as_f64().unwrap());
    assert!(measured.iter().all(in_range), "{measured:?}");
    assert_eq!(method("semantic-entropy")["tasks"][3]["risk_coverage"]["n"], 6);
    let verified: Vec<Value> =
        idk_common::json::read_jsonl(&desk.path("run/eval/answers-self-verification.jsonl")).unwrap();
    for row in &verified {
        assert!((0.0..=1.0).contains(&row["measure"].as_f64().unwrap()), "{row}");
        assert!(
            row["steps"].as_array().unwrap().iter().any(|step| step["step"] == "self-verification"),
            "{row}"
        );
    }
    let probed: Vec<Value> =
        idk_common::json::read_jsonl(&desk.path("run/eval/answers-probe.jsonl")).unwrap();
    let is_probability = |row: &Value| (0.0..=1.0).contains(&row["measure"].as_f64().unwrap());
    assert!(probed.iter().all(is_probability), "{probed:?}");
    assert_eq!(method("random")["rule"]["like"], "adapter");
    let rate = |name: &str| method(name)["tasks"][3]["refusal_rate"]["after"].clone();
    assert_eq!(rate("random"), rate("adapter"));
    assert_eq!(found["pairs"].as_array().unwrap().len(), 18 * 17 / 2 * 4);
    assert_eq!(
        (&found["config"]["adapters"][0], &found["provenance"]["val"]),
        (&"other=lora_adapter".into(), &"questions.json".into())
    );
    for key in [
        "adapter_sha256",
        "adapter_other_sha256",
        "val_sha256",
        "prompt_mcot_sha256",
        "prompt_agent-type_sha256",
    ] {
        assert_eq!(found["provenance"][key].as_str().map(str::len), Some(64), "{key}");
    }
    let curve = &found["base"][3]["risk_coverage"];
    assert_eq!((&curve["n"], curve["points"].as_array().unwrap().len()), (&6.into(), 6));

    // The samples of both sets are kept, and found again.
    assert_eq!(std::fs::read_dir(desk.path("run/eval/.samples")).unwrap().count(), 2);
    let options = ["--by", "sub-category", "--transitions", "--p-values"];
    let said = evaluate(&desk, &overrides, &options).succeeded();
    assert!(!said.stderr.contains("sampling "), "{}", said.stderr);
    for part in [
        "other against the base model",
        "| sound/event",
        "| refused |",
        "McNemar",
        "as many as adapter",
        "| self-consistency |",
        "| one-pass |",
        "AUROC of rankings",
        "measures of doubt, all:",
        "| explicit-option",
        "| semantic-entropy",
    ] {
        assert!(said.stdout.contains(part), "`{part}` is not in {}", said.stdout);
    }
    let csv = evaluate(&desk, &overrides, &["--format", "csv"]).succeeded().stdout;
    assert_eq!(csv.lines().count(), 1 + 18 * 4);
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == columns), "{csv}");
    let latex = evaluate(&desk, &overrides, &["--format", "latex", "--by", "difficulty"]).succeeded().stdout;
    assert!(latex.contains("\\toprule") && latex.contains("task-agent & easy & 6"), "{latex}");
    let both = evaluate(&desk, &overrides, &["--format", "csv", "--json"]).failed(2, &[]);
    assert!(both.stdout.contains("--json prints everything"), "{}", both.stdout);
}

#[test]
fn plots_of_a_run_are_drawn_without_a_model_and_its_sweeps_and_training_are_in_the_report() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let page = |path: &str| String::from_utf8(read(&desk.path(path)).unwrap()).unwrap();
    assert!(page("run/eval/report.html").contains("<h2>Training</h2>"));
    let score = json!({"acc": 50.0, "tru": 60.0, "rel": 55.0, "refusal_rate": 10.0, "rgi": 0.1, "rgi_reason": null,
        "rgi_ci95": [-0.1, 0.3], "random_rgi": null});
    let cell = |value: f64| json!({"value": value, "tasks": {"all": score, "sound": score}});
    let sweep = json!({"schema": 2, "kind": "adapter_scale", "set": "val", "questions": 6, "base_acc": {"all": 50.0},
        "cells": [cell(0.5), cell(1.0)], "picked": {"value": 0.5, "why": "the best"}});
    idk_common::json::write_json(&desk.path("run/sweep/adapter_scale.json"), &sweep).unwrap();
    evaluate(&desk, &[], &[]).succeeded();
    assert!(page("run/eval/report.html").contains("Picked: adapter_scale = 0.5 (the best)."));
    // A folder of answers of its own is not that of the run.
    evaluate(&desk, &[], &["--out", "other"]).succeeded();
    assert!(!page("other/report.html").contains("<h2>Adapter scale</h2>"));

    let said = desk.run(EVAL, &["plot", "run", "--out", "plots"]).succeeded();
    let written = files(&desk.path("plots"));
    assert_eq!(said.stdout.lines().count(), written.len());
    for name in
        ["rgi-forest", "reliability", "risk-coverage-all", "sweep-adapter-scale-val-rgi", "training-loss"]
    {
        for ending in ["svg", "png"] {
            assert!(written.contains_key(&format!("{name}.{ending}")), "{name}.{ending}: {}", said.stdout);
        }
    }
    let listed = desk.run(EVAL, &["plot", "run/eval", "--out", "plots", "--json"]).succeeded().json();
    assert_eq!(listed["files"].as_array().unwrap().len(), written.len());
    assert_same(&written, &files(&desk.path("plots")));
    desk.run(EVAL, &["plot", "nowhere"]).failed(66, &["`nowhere` does not exist"]);
    desk.run(EVAL, &["plot", "set"]).failed(66, &["`set` has neither results.json"]);
    desk.run(EVAL, &["quick.toml", "plot", "run"]).failed(2, &["`plot` does not take a recipe"]);
}

#[test]
fn adapters_are_named_on_the_command_line_and_two_need_two_names() {
    let desk = Desk::new();
    let (model, folder) =
        (tiny_model().display().to_string(), tiny_model().join("lora_adapter").display().to_string());
    let command = |adapters: &[&str]| {
        let fixed =
            ["--model", &model, "--questions", "set/questions.json", "--out", "out", "--format", "csv"];
        let quick = ["--set", "eval.max_new_tokens=4", "--set", "eval.bootstrap_draws=20"];
        let given: Vec<&str> = adapters.iter().flat_map(|entry| ["--adapter", entry]).collect();
        desk.run(EVAL, &[&fixed[..], &quick, &given].concat())
    };
    let named = format!("k5={folder}");
    let said = command(&[&folder, &named]).succeeded();
    let names: Vec<&str> = said.stdout.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(names, ["base", "adapter", "k5"].map(|name| [name; 4]).concat());
    command(&[&folder, &folder]).failed(2, &["two adapters", "`adapter`", "NAME=FOLDER"]);
    for name in ["a<b|c>", "mcot", ""] {
        let said =
            ["--adapter", &format!("`{name}` cannot name an adapter"), "letters, digits, `-`, `_` and `.`"];
        command(&[&format!("{name}={folder}")]).failed(2, &said);
    }
    command(&["nowhere"]).failed(66, &["nowhere"]);
    // Another choice of adapters takes the files of the earlier ones away.
    command(&[&named]).succeeded();
    assert!(!desk.path("out/answers-adapter.jsonl").exists() && desk.path("out/answers-k5.jsonl").exists());
}

#[test]
fn a_killed_evaluation_goes_on_and_ends_with_the_same_bytes() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let slow = ["eval.batch_size=1", "eval.max_new_tokens=40", "eval.methods=[\"adapter\", \"idk-prompt\"]"];
    let whole = [&slow[..], &["output.dir=run"]].concat();
    evaluate(&desk, &whole, &["--out", "whole"]).succeeded();
    let mut child = desk
        .command(EVAL, &[&with_overrides("quick.toml", &slow)[..], &["--out", "killed"]].concat())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while shards(&desk.path("killed")).len() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was killed");
        assert!(started.elapsed() < Duration::from_secs(120), "no answers come");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!desk.path("killed/results.json").exists());
    let said = evaluate(&desk, &slow, &["--out", "killed"]).succeeded();
    assert!(said.stderr.contains("answers were already stored"), "{}", said.stderr);
    assert_same(&files(&desk.path("whole")), &files(&desk.path("killed")));
}

#[test]
fn a_changed_byte_of_the_model_the_adapter_a_prompt_or_a_clip_is_answered_anew() {
    let desk = Desk::new();
    let copy = |from: &Path, to: &str| {
        for (name, bytes) in files(from).into_iter().filter(|(name, _)| !name.contains('/')) {
            desk.write(&format!("{to}/{name}"), &bytes);
        }
    };
    copy(&tiny_model(), "model");
    copy(&tiny_model().join("lora_adapter"), "adapter");
    desk.write("idk.txt", b"{prompt}\nSay {refusal} if unsure.\n");
    let command = || {
        let fixed =
            ["--model", "model", "--adapter", "adapter", "--questions", "set/questions.json", "--out", "out"];
        let sets = [
            "eval.max_new_tokens=4",
            "eval.bootstrap_draws=20",
            "eval.methods=[\"adapter\", \"idk-prompt\"]",
            "eval.prompts={idk_prompt = \"idk.txt\"}",
        ];
        let sets: Vec<&str> = sets.iter().flat_map(|text| ["--set", text]).collect();
        let said = desk.run(EVAL, &[&fixed[..], &sets].concat()).succeeded();
        said.stderr.matches("6 of 6 answers were already stored").count()
    };
    let flip = |name: &str, from_end: usize| {
        let mut bytes = read(&desk.path(name)).unwrap();
        let place = bytes.len() - from_end;
        bytes[place] ^= 1;
        desk.write(name, &bytes);
    };
    assert_eq!(command(), 0);
    let before = files(&desk.path("out"));
    assert_eq!(command(), 3, "base, adapter and prompt");
    assert_same(&before, &files(&desk.path("out")));
    flip("adapter/adapter_model.safetensors", 4);
    assert_eq!(command(), 2);
    flip("model/model.safetensors", 4);
    assert_eq!(command(), 0);
    assert_eq!(command(), 3);
    desk.write("idk.txt", b"{prompt}\nSay {refusal} if unsure!\n");
    assert_eq!(command(), 2);
    flip("set/audio/q0.wav", 2);
    assert_eq!(command(), 0);
    flip("set/audio/q0.wav", 2);
    assert_eq!(command(), 3, "what was answered before is still there");
}

#[test]
fn a_recipe_whose_evaluation_cannot_run_is_refused_before_anything_is_trained() {
    let desk = Desk::new();
    desk.write("bad.txt", b"{prompt}\n{qestion}\n");
    let prompt = |file: &str| format!("eval.prompts={{mcot = \"{file}\"}}");
    let threshold = "eval.methods=[\"threshold\"]";
    for (overrides, code, parts) in [
        (vec![prompt("bad.txt")], 2, vec!["bad.txt", "line 2", "{qestion}", "{question}"]),
        (vec![prompt("none.txt")], 66, vec!["none.txt"]),
        (vec!["eval.prompts={mcto = \"x\"}".to_owned()], 2, vec!["prompts", "mcto"]),
        (vec![threshold.to_owned()], 2, vec!["threshold", "val"]),
        (vec![threshold.to_owned(), "data.val=none.json".to_owned()], 66, vec!["none.json"]),
        (vec![threshold.to_owned(), "data.val=set/questions.json".to_owned()], 2, vec!["`val` in [data]"]),
        (vec!["eval.adapters=[\"k5=none\"]".to_owned()], 66, vec!["none"]),
        (vec!["eval.adapters=[\"base=none\"]".to_owned()], 2, vec!["adapters", "`base`"]),
        (vec!["eval.adapters=[\"adapter=run/adapter\"]".to_owned()], 2, vec!["own adapter"]),
    ] {
        let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
        desk.train(&overrides).failed(code, &parts);
        assert!(!desk.path("run").exists(), "{overrides:?}");
    }
    let model = tiny_model().display().to_string();
    let free = ["--model", &model, "--questions", "set/questions.json", "--out", "out"];
    let group = [&free[..], &["--set", "eval.methods=[\"group\"]"]].concat();
    desk.run(EVAL, &group).failed(2, &["`group`", "labels", "idk-build"]);
    let val = ["--set", "data.val=val/questions.json", "--set", "eval.methods=[\"probe\"]"];
    question_set(&desk, "val", 4, |rows| rows.iter_mut().for_each(|row| row["split"] = "val".into()));
    desk.run(EVAL, &[&free[..], &val].concat()).failed(2, &["`probe`", "IDK dataset", "idk-build"]);
    assert!(!desk.path("out/results.json").exists());
}

// Answers of others.

/// Four questions; the base model is right on two, the method refuses one of each kind.
fn write_answers(desk: &Desk) -> [Vec<(String, &'static str)>; 2] {
    question_set(desk, "four", 4, |rows| rows.iter_mut().for_each(|row| row["task"] = "=1+1".into()));
    let side = |texts: [&'static str; 4]| {
        texts.into_iter().enumerate().map(|(at, text)| (format!("q{at}"), text)).collect()
    };
    [side(["(A) dog", "dog", "cat", "rain"]), side(["I don't know", "dog", "I don't know.", "dog"])]
}

fn score(desk: &Desk, before: &str, after: &str, options: &[&str]) -> Said {
    let command = ["score", "--questions", "four/questions.json", "--before", before, "--after", after];
    desk.run(EVAL, &[&command[..], options].concat())
}

#[test]
fn val_is_one_key_for_thresholds_and_training_and_training_asks_it_only_where_it_evaluates() {
    let desk = Desk::new();
    question_set(&desk, "val", 6, |rows| rows.iter_mut().for_each(|row| row["split"] = "val".into()));
    let both = ["data.val=val/questions.json", "data.tasks=[\"sound\"]", "eval.methods=[\"threshold\"]"];
    let evaluations = |run: &str| {
        let log = desk.path(run).join("logs/metrics.jsonl");
        let rows: Vec<Value> = idk_common::json::read_jsonl(&log).unwrap();
        rows.iter().filter(|row| row.get("eval_acc").is_some()).count()
    };
    desk.train(&both).succeeded();
    assert_eq!(evaluations("run"), 0);
    // Trained on sound, but the threshold is fitted on what the test set is like.
    assert_eq!(results(&desk.path("run/eval"))["methods"][0]["rule"]["n"], 6);
    desk.train(&[&both[..], &["train.eval_every=1", "output.dir=asked"]].concat()).succeeded();
    assert_eq!(evaluations("asked"), 2, "two epochs of one step");
    desk.train(&["eval.val=val/questions.json", "output.dir=old"])
        .failed(2, &["its name is now `val` in [data]"]);
}

#[test]
fn submissions_to_mmau_and_samples_of_lmms_eval_score_as_our_own_answers() {
    let desk = Desk::new();
    let sides = write_answers(&desk);
    let mut said = BTreeMap::new();
    for (side, rows) in ["before", "after"].into_iter().zip(&sides) {
        let lines = |row: &dyn Fn(usize, &str, &str) -> Value| -> String {
            rows.iter().enumerate().map(|(at, (id, text))| format!("{}\n", row(at, id, text))).collect()
        };
        let ours = lines(&|_, id, text| json!({"id": id, "text": text}));
        let lmms = lines(&|at, _, text| json!({"doc_id": at, "target": "dog", "filtered_resps": [text]}));
        let submission: Vec<Value> = rows
            .iter()
            .map(|(id, text)| json!({"id": id, "choices": ["dog", "cat", "rain"], "answer": "dog", "model_output": text}))
            .collect();
        desk.write(&format!("ours-{side}"), ours.as_bytes());
        desk.write(&format!("lmms-{side}"), lmms.as_bytes());
        desk.write(&format!("mmau-{side}"), Value::from(submission).to_string().as_bytes());
    }
    for shape in ["ours", "lmms", "mmau"] {
        let (before, after) = (format!("{shape}-before"), format!("{shape}-after"));
        said.insert(shape, score(&desk, &before, &after, &["--json"]).succeeded().stdout);
    }
    assert!(said.values().all(|row| *row == said["ours"]), "{said:?}");
    let row: Value = serde_json::from_str(&said["ours"]).unwrap();
    assert_eq!(
        (&row["cc"], &row["cr"], &row["wr"], &row["wc"]),
        (&1.into(), &1.into(), &1.into(), &1.into())
    );
    // MMAU's own rule knows no refusals.
    let official = score(&desk, "ours-before", "ours-after", &["--json", "--scorer", "mmau-wordset"]);
    let row = official.succeeded().json();
    assert_eq!(
        (&row["cc"], &row["cw"], &row["cr"], &row["ww"]),
        (&1.into(), &1.into(), &0.into(), &1.into())
    );
    score(&desk, "ours-before", "ours-after", &["--scorer", "mmau"]).failed(2, &["mmau-wordset"]);
    desk.write("odd", b"{\"id\": \"q0\", \"answer\": \"dog\"}\n");
    score(&desk, "odd", "ours-after", &[]).failed(65, &["odd", "line 1", "model_output"]);
}

#[test]
fn a_task_from_a_question_file_is_neither_a_formula_nor_a_command_nor_markup() {
    let desk = Desk::new();
    write_answers(&desk);
    let model = tiny_model().display().to_string();
    let command = |format: &str| {
        let fixed =
            ["--model", &model, "--questions", "four/questions.json", "--out", "out", "--format", format];
        let quick = ["--set", "eval.max_new_tokens=2", "--set", "eval.bootstrap_draws=5"];
        desk.run(EVAL, &[&fixed[..], &quick].concat()).succeeded().stdout
    };
    assert!(command("csv").lines().nth(1).unwrap().starts_with("base,base,\"'=1+1\",4,"));
    question_set(&desk, "four", 4, |rows| rows.iter_mut().for_each(|row| row["task"] = "a_b\\x{}".into()));
    assert!(command("latex").contains("a\\_b\\textbackslash{}x\\{\\}"));
    question_set(&desk, "four", 4, |rows| {
        rows.iter_mut().for_each(|row| row["task"] = "</script><img>".into());
    });
    command("csv");
    let page = String::from_utf8(read(&desk.path("out/report.html")).unwrap()).unwrap();
    assert!(page.contains("&lt;/script&gt;&lt;img&gt;/") && !page.contains("<img"));
    assert_eq!(page.matches("</script").count(), 1);
}

#[test]
fn an_evaluation_that_is_asked_to_stop_says_how_many_answers_are_stored_and_resumes_with_them() {
    let desk = Desk::new();
    question_set(&desk, "many", 60, |_| {});
    let adapter = tiny_model().join("lora_adapter").display().to_string();
    let overrides = [
        "data.test=many/questions.json",
        "data.limit_per_task=20",
        "eval.methods=[\"adapter\", \"mcot\"]",
        "eval.batch_size=1",
        "eval.max_new_tokens=32",
    ];
    let command = |out: &str| {
        let options = ["--adapter", &adapter, "--out", out].map(str::to_owned);
        with_overrides("quick.toml", &overrides)
            .into_iter()
            .map(str::to_owned)
            .chain(options)
            .collect::<Vec<_>>()
    };
    let run = |out: &str| {
        let arguments = command(out);
        desk.run(EVAL, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run("whole").succeeded();
    let mut stored = 0;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let arguments = command("out");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let child = desk.command(EVAL, &arguments).spawn().unwrap();
        let started = Instant::now();
        while shards(&desk.path("out")).len() < stored + 5 {
            assert!(started.elapsed() < Duration::from_secs(120), "no answer comes");
            std::thread::sleep(Duration::from_millis(1));
        }
        let parts = [
            "stopping after the batch",
            "stopped by a signal with ",
            " of 60 answers of `",
            "`out`",
            "same command again",
        ];
        let said = stop(child, signal).failed(code, &parts);
        assert!(said.stdout.is_empty(), "{}", said.stdout);
        assert!(!desk.path("out/results.json").exists());
        stored = shards(&desk.path("out")).len();
    }
    let said = run("out").succeeded();
    assert!(said.stderr.contains("answers were already stored"), "{}", said.stderr);
    let results = |out: &str| {
        let mut found = files(&desk.path(out));
        found.retain(|name, _| !name.starts_with('.'));
        found
    };
    assert_same(&results("whole"), &results("out"));
}

#[test]
fn the_folder_of_a_run_stands_for_its_recipe_also_where_it_was_moved() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let expected = results(&desk.path("run/eval"));
    std::fs::remove_file(desk.path("run/eval/results.json")).unwrap();
    std::fs::rename(desk.path("run"), desk.path("moved")).unwrap();
    for program in [EVAL, TRAIN] {
        let said = desk.run(program, &["moved"]).succeeded();
        assert!(said.stderr.contains("moved/eval/results.json"), "{}", said.stderr);
        assert_eq!(results(&desk.path("moved/eval")), expected);
        assert!(!desk.path("run").exists(), "it is read where it is");
    }
    let elsewhere = ["moved", "--check", "--set", "output.dir=other"];
    let said = desk.run(TRAIN, &elsewhere).succeeded();
    assert!(said.stdout.contains("other: can be written"), "{}", said.stdout);
    let parts = ["the folder `.` is no run: it has no recipe.toml", "such as `./moved`"];
    desk.run(EVAL, &["."]).failed(66, &parts);
    desk.run(EVAL, &["moved/eval"]).failed(66, &["the folder `moved/eval` is no run", "such as `moved`"]);
    desk.run(TRAIN, &["set"]).failed(66, &["the folder `set` is no run", "give a recipe"]);
}
