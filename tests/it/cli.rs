//! The programs as commands: what they print where, their options, their exit codes.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::support::{BUILD, Desk, EVAL, FROM_BANK, Said, TRAIN, assert_same, files, repo, said, tiny_model};
use idk_common::fs::read_to_string;
use idk_common::paths::regular_files;
use idk_questions::read_questions;
use serde_json::{Value, json};

// Recipes.

#[test]
fn every_shipped_recipe_is_valid_and_prints_back_to_itself() {
    let desk = Desk::new();
    let recipes = regular_files(&repo("recipes")).unwrap();
    assert!(recipes.keys().any(|name| name == "sound.toml"), "{:?}", recipes.keys());
    // Those with [base] are for another program, whose tests read them.
    let of_pretraining = |path: &Path| read_to_string(path).unwrap().contains("\n[base]\n");
    let recipes = recipes.into_iter().filter(|(name, path)| name.ends_with(".toml") && !of_pretraining(path));
    // From the repository, where the shipped paths are found as they are written.
    let print = |recipe: &Path| {
        let mut command = desk.command(TRAIN, &[recipe.to_str().unwrap(), "--print-config"]);
        command.current_dir(repo(""));
        said(command).succeeded().stdout
    };
    for (name, path) in recipes {
        let printed = print(&path);
        let values = |text: &str| text.parse::<toml::Table>().unwrap();
        let (given, whole) = (values(&read_to_string(&path).unwrap()), values(&printed));
        for (section, value) in &given {
            let Some(keys) = value.as_table() else {
                assert_eq!(Some(value), whole.get(section), "{name}: {section}");
                continue;
            };
            for (key, value) in keys {
                assert_eq!(Some(value), whole[section].get(key), "{name}: {section}.{key}");
            }
        }
        let again = print(&desk.write("printed.toml", printed.as_bytes()));
        assert_eq!(printed, again, "{name}");
    }
}

#[test]
fn the_recipe_that_a_run_leaves_runs_again_to_the_same_bytes() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    desk.run(TRAIN, &["run/recipe.toml", "--set", "output.dir=again"]).succeeded();
    assert_same(&crate::support::outputs(&desk.path("run")), &crate::support::outputs(&desk.path("again")));
}

// Scoring of stored answers.

/// `(before, after, questions)` of the published row: sound of MMAU test-mini, Qwen2-Audio-7B-Instruct, IDK prompt.
const GOLDEN: [(&str, &str, usize); 6] = [
    ("(A) a cat", "a cat", 167),
    ("cat? A", "the dog", 16),
    ("a cat", "I don't know.", 20),
    ("(B)", "A", 27),
    ("a dog", "(B) a dog", 63),
    ("a dog", "I do not know the answer", 40),
];

/// Questions and answers of the golden row as lines of files, in the order of the table.
fn golden() -> [Vec<Value>; 3] {
    let mut rows = [Vec::new(), Vec::new(), Vec::new()];
    for (before, after, count) in GOLDEN {
        for _ in 0..count {
            let id = format!("q{}", rows[0].len());
            rows[0].push(json!({
                "id": id, "audio_id": format!("{id}.wav"), "question": "What is that?",
                "choices": ["a cat", "a dog"], "answer": "a cat", "task": "sound",
            }));
            rows[1].push(json!({"id": id, "text": before}));
            rows[2].push(json!({"id": id, "text": after}));
        }
    }
    rows
}

fn score(desk: &Desk, rows: &[Vec<Value>; 3], options: &[&str]) -> Said {
    let lines = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    for (name, rows) in ["q.jsonl", "before.jsonl", "after.jsonl"].into_iter().zip(rows) {
        desk.write(name, lines(rows).as_bytes());
    }
    let command = ["score", "--questions", "q.jsonl", "--before", "before.jsonl", "--after", "after.jsonl"];
    desk.run(EVAL, &[&command[..], options].concat())
}

fn assert_value(found: &Value, expected: f64, digits: i32, name: &str) {
    let scale = 10.0_f64.powi(digits);
    assert_eq!((found.as_f64().unwrap() * scale).round() / scale, expected, "{name}");
}

#[test]
fn the_published_row_comes_out_of_stored_answers_with_the_promised_keys() {
    let desk = Desk::new();
    let row = score(&desk, &golden(), &["--json"]).succeeded().json();
    assert_eq!(row["n"], 333);
    for (key, expected) in [("cc", 167), ("cw", 16), ("cr", 20), ("wc", 27), ("ww", 63), ("wr", 40)] {
        assert_eq!(row[key], expected, "{key}");
    }
    for (key, before, after) in
        [("acc", 60.96, 58.26), ("tru", 60.96, 76.28), ("rel", 60.96, 73.03), ("refusal_rate", 0.0, 18.02)]
    {
        assert_value(&row[key]["before"], before, 2, key);
        assert_value(&row[key]["after"], after, 2, key);
    }
    assert_value(&row["dcon"], 10.81, 2, "dcon");
    assert_value(&row["dhum"], 20.12, 2, "dhum");
    assert_value(&row["rgi"], 0.2698, 4, "rgi");
    assert_value(&row["rgi_relative"], 0.4633, 4, "rgi_relative");
    assert_eq!(row.get("rgi_reason"), Some(&Value::Null));
    let interval: [f64; 2] = serde_json::from_value(row["rgi_ci95"].clone()).unwrap();
    assert!(interval[0] < 0.2698 && 0.2698 < interval[1] && interval[1] - interval[0] < 0.6, "{interval:?}");

    let table = score(&desk, &golden(), &[]).succeeded().stdout;
    for part in ["58.26", "76.28", "73.03", "18.02", "10.81", "20.12", "0.2698", "0.4633"] {
        assert!(table.contains(part), "{part} is not in {table}");
    }
}

#[test]
fn the_order_of_rows_changes_nothing() {
    let desk = Desk::new();
    let straight = score(&desk, &golden(), &["--json"]).succeeded().stdout;
    let mut rows = golden();
    rows[1].reverse();
    rows[2].rotate_left(100);
    assert_eq!(score(&desk, &rows, &["--json"]).succeeded().stdout, straight);
    // A JSON array is as good as JSON lines, and what is not asked about is not counted.
    desk.write("q.json", Value::from(golden()[0].clone()).to_string().as_bytes());
    let command =
        ["score", "--questions", "q.json", "--before", "before.jsonl", "--after", "after.jsonl", "--json"];
    assert_eq!(desk.run(EVAL, &command).succeeded().stdout, straight);
}

#[test]
fn a_method_that_changes_nothing_has_no_rgi_but_a_reason() {
    let desk = Desk::new();
    let [questions, before, _] = golden();
    let row = score(&desk, &[questions, before.clone(), before], &["--json"]).succeeded().json();
    assert_eq!((&row["rgi"], &row["rgi_relative"]), (&Value::Null, &Value::Null));
    assert_eq!(row["rgi_reason"], "changed nothing");
    assert_eq!((&row["dcon"], &row["dhum"]), (&json!(0.0), &json!(0.0)));
}

#[test]
fn missing_and_double_answers_are_refused_by_their_id() {
    let desk = Desk::new();
    let mut missing = golden();
    missing[2].remove(41);
    score(&desk, &missing, &[]).failed(65, &["after.jsonl", "q41"]);
    let mut double = golden();
    let row = double[1][17].clone();
    double[1].push(row);
    score(&desk, &double, &[]).failed(65, &["before.jsonl", "more than once", "q17"]);
    let mut torn = golden();
    torn[2][5] = json!({"id": "q5"});
    score(&desk, &torn, &[]).failed(65, &["after.jsonl", "line 6", "text"]);
    desk.run(
        EVAL,
        &["score", "--questions", "q.jsonl", "--before", "before.jsonl", "--after", "nowhere.jsonl"],
    )
    .failed(66, &["nowhere.jsonl"]);
    desk.run(EVAL, &["score", "--questions", "q.jsonl"]).failed(2, &["--before", "--after"]);
}

// Evaluation without a recipe.

#[test]
fn a_question_set_is_evaluated_without_a_recipe_and_nothing_else_is_written() {
    let desk = Desk::new();
    let (model, before) = (tiny_model().display().to_string(), files(&desk.path("")));
    let adapter = tiny_model().join("lora_adapter").display().to_string();
    let parts = [["--model", &model], ["--questions", "set/questions.json"], ["--out", "out"]];
    for left_out in 0..3 {
        let given: Vec<&str> =
            parts.iter().enumerate().filter(|(at, _)| *at != left_out).flat_map(|(_, pair)| *pair).collect();
        desk.run(EVAL, &given).failed(2, &["without a recipe", parts[left_out][0]]);
        assert_same(&before, &files(&desk.path("")));
    }
    let quick = ["--set", "eval.max_new_tokens=4", "--set", "eval.bootstrap_draws=20"];
    let whole = [&parts.concat()[..], &quick].concat();
    let said = desk.run(EVAL, &whole).succeeded();
    assert!(said.stdout.contains("| all "), "{}", said.stdout);
    let results: Value = idk_common::json::read_json(&desk.path("out/results.json")).unwrap();
    assert_eq!((&results["n"], &results["methods"]), (&6.into(), &json!([])), "the base model alone");
    let mut after = files(&desk.path(""));
    after.retain(|name, _| !name.starts_with("out/"));
    assert_same(&before, &after);

    desk.run(EVAL, &[&whole[..], &["--adapter", &adapter]].concat()).succeeded();
    let results: Value = idk_common::json::read_json(&desk.path("out/results.json")).unwrap();
    assert_eq!(results["methods"][0]["method"], "adapter");
    let answers: Vec<Value> = idk_common::json::read_jsonl(&desk.path("out/answers-adapter.jsonl")).unwrap();
    assert_eq!(answers.len(), 6);
    let names: BTreeSet<String> = files(&desk.path("out")).into_keys().collect();
    assert!(names.contains("answers-base.jsonl") && names.contains("rejected.jsonl"), "{names:?}");
}

#[test]
fn the_stored_answers_of_an_evaluation_score_as_the_evaluation_did() {
    let desk = Desk::new();
    desk.train(&["eval.methods=[\"idk-prompt\"]"]).succeeded();
    let results: Value = idk_common::json::read_json(&desk.path("run/eval/results.json")).unwrap();
    let of_all = results["methods"][0]["tasks"].as_array().unwrap().last().unwrap();
    let (before, after) = ("run/eval/answers-base.jsonl", "run/eval/answers-idk-prompt.jsonl");
    let command =
        ["score", "--questions", "set/questions.json", "--before", before, "--after", after, "--json"];
    let scored = desk.run(EVAL, &command).succeeded().json();
    for key in [
        "n",
        "acc",
        "tru",
        "rel",
        "refusal_rate",
        "unparsed",
        "cc",
        "cw",
        "cr",
        "wc",
        "ww",
        "wr",
        "dcon",
        "dhum",
        "rgi",
    ] {
        assert_eq!(scored[key], of_all[key], "{key}");
    }
}

#[test]
fn the_json_of_an_evaluation_has_the_keys_of_score_at_the_top() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let found = desk.run(EVAL, &["quick.toml", "--json"]).succeeded().json();
    let score = score(&desk, &golden(), &["--json"]).succeeded().json();
    let of_all = found["methods"][0]["tasks"].as_array().unwrap().last().unwrap();
    for key in score.as_object().unwrap().keys() {
        assert_eq!(found.get(key), of_all.get(key), "{key}");
        assert!(found.get(key).is_some(), "{key}");
    }
    assert_eq!(found["method"], "adapter");
}

#[test]
fn answers_of_another_model_adapter_or_question_set_do_not_go_into_a_runs_results() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let before = files(&desk.path("run"));
    let adapter = tiny_model().join("lora_adapter").display().to_string();
    for (option, value) in [("--model", "other"), ("--adapter", &adapter), ("--questions", "other.json")] {
        desk.run(EVAL, &["quick.toml", option, value]).failed(2, &[option, "--out"]);
        assert_same(&before, &files(&desk.path("run")));
    }
    desk.run(EVAL, &["quick.toml", "--adapter", &adapter, "--out", "elsewhere"]).succeeded();
    assert_same(&before, &files(&desk.path("run")));
}

#[test]
fn an_evaluation_that_cannot_start_leaves_no_folder() {
    let desk = Desk::new();
    let model = tiny_model().display().to_string();
    let command = ["--model", &model, "--out", "out", "--questions"];
    desk.run(EVAL, &[&command[..], &["none.json"]].concat()).failed(66, &["none.json"]);
    let rest = ["set/questions.json", "--adapter", "none"];
    desk.run(EVAL, &[&command[..], &rest].concat()).failed(66, &["none"]);
    assert!(!desk.path("out").exists());
}

// Where programs compute, and where they find what a recipe names.

#[test]
fn the_flag_for_the_device_is_the_recipes_key_and_wins_over_it() {
    let desk = Desk::new();
    let printed = desk.run(TRAIN, &["quick.toml", "--print-config", "--device", "cuda:1"]).succeeded().stdout;
    assert!(printed.contains("device = \"cuda:1\""), "{printed}");
    let both = ["quick.toml", "--print-config", "--device", "wgpu", "--set", "model.device=cuda"];
    assert!(desk.run(TRAIN, &both).succeeded().stdout.contains("device = \"wgpu\""), "whatever their order");
    for program in [TRAIN, BUILD, EVAL] {
        let by_key =
            desk.run(program, &["quick.toml", "--set", "model.device=abacus"]).failed(2, &["abacus"]);
        let by_flag = desk.run(program, &["quick.toml", "--device", "abacus"]).failed(2, &["abacus"]);
        assert_eq!(by_key.stderr, by_flag.stderr);
        assert!(desk.run(program, &["--help"]).stdout.contains("--device <DEVICE>"));
    }
    for verb in ["sweep", "pick"] {
        desk.run(EVAL, &[verb, "--help"]).succeeded();
        desk.run(EVAL, &["--device", "cpu", verb, "quick.toml"]).failed(2, &["--device before its name"]);
    }
    desk.run(BUILD, &["--device", "cpu", "inspect", "run"]).failed(2, &["--device before its name"]);
    desk.run(TRAIN, &["--device", "cpu", "warm-up", "quick.toml"]).failed(2, &["--device before its name"]);
}

#[test]
fn model_and_bank_are_found_from_any_folder_first_there_then_above_the_recipe_then_in_the_source_tree() {
    let desk = Desk::new();
    let check = |recipe: &str| {
        let mut command = desk.command(TRAIN, &[recipe, "--check", "--set", "output.dir=out"]);
        command.env_remove("IDK_BANK");
        said(command).succeeded().stdout
    };
    let fact = |text: &str, what: &str| text.lines().find(|line| line.starts_with(what)).unwrap().to_owned();
    let shipped = check(repo("recipes/sound.toml").to_str().unwrap());
    assert!(fact(&shipped, "model").contains(repo("checkpoints/mini-lalm").to_str().unwrap()), "{shipped}");
    assert!(fact(&shipped, "bank").contains(repo("dataset-builder/bank").to_str().unwrap()), "{shipped}");

    // A recipe outside of any source tree, with defaults alone.
    desk.write("other/defaults.toml", b"");
    let defaults = check("other/defaults.toml");
    assert!(fact(&defaults, "model").contains("checkpoints/mini-lalm"), "{defaults}");

    // A project of one's own.
    for (name, bytes) in files(&tiny_model()).iter().filter(|(name, _)| !name.contains('/')) {
        desk.write(&format!("project/models/tiny/{name}"), bytes);
    }
    let recipe =
        "[model]\npath = 'models/tiny'\n[data]\ntrain = 'set/questions.json'\ntest = 'set/test.json'\n";
    desk.write("project/recipes/own.toml", recipe.as_bytes());
    let own = fact(&check("project/recipes/own.toml"), "model");
    assert!(own.contains("project/models/tiny"), "{own}");
}

// The shipped benchmark as files.

fn compose(desk: &Desk, out: &str, options: &[&str]) -> PathBuf {
    let said = desk.run(BUILD, &[&["compose", "--out", out][..], options].concat()).succeeded();
    assert_eq!(said.stdout, format!("{out}/questions.json\n"));
    desk.path(out)
}

/// Reads a composed set with all its promises; gives the distinct options.
fn check_set(dir: &Path, split: &str) -> BTreeSet<String> {
    let set = read_questions(&dir.join("questions.json")).unwrap();
    assert!(set.rejected.is_empty(), "{:?}", set.rejected);
    for question in &set.questions {
        assert_eq!((question.choices.len(), question.split.as_str()), (4, split), "{}", question.id);
        assert!(question.answer_index().is_some());
        let clip = idk_audio::decode_file(&question.audio[0]).unwrap();
        assert_eq!((clip.sample_rate_hz, clip.samples.len()), (16_000, 48_000), "{}", question.id);
        assert!(clip.samples.iter().any(|sample| sample.abs() > 0.01), "{} is silent", question.id);
    }
    set.questions.into_iter().flat_map(|question| question.choices).collect()
}

#[test]
fn compose_writes_four_options_and_a_whole_clip_for_every_question_and_the_same_bytes_again() {
    let desk = Desk::new();
    let set = ["--split", "test", "--questions", "12", "--seed", "3"];
    let first = compose(&desk, "first", &set);
    check_set(&first, "test");
    let found = files(&first);
    assert_eq!(found.len(), 1 + 3 * 12, "questions.json and a clip for each question of three modalities");
    let again = compose(&desk, "again", &set);
    assert_same(&found, &files(&again));
    let other = compose(&desk, "other", &["--split", "test", "--questions", "12", "--seed", "4"]);
    let other = files(&other);
    assert!(found.keys().eq(other.keys()));
    assert!(found.iter().all(|(name, bytes)| other[name] != *bytes), "another seed gives other clips");
}

#[test]
fn json_may_stand_before_a_subcommand_but_a_recipe_may_not() {
    let desk = Desk::new();
    let compose = ["compose", "--split", "val", "--questions", "6", "--out", "set2"];
    let found = desk.run(BUILD, &[&["--json"], &compose[..]].concat()).succeeded().json();
    assert_eq!(found["questions"], "set2/questions.json");
    for before in [&["quick.toml"][..], &["--fresh"], &["--shard", "1/2"]] {
        desk.run(BUILD, &[before, &compose[..]].concat()).failed(2, &["a subcommand does not take"]);
    }
    desk.run(EVAL, &["quick.toml", "score", "--questions", "q", "--before", "a", "--after", "b"])
        .failed(2, &["`score` does not take a recipe before its name"]);
}

#[test]
fn compose_knows_four_splits_and_says_so() {
    let desk = Desk::new();
    desk.run(BUILD, &["compose", "--split", "train", "--out", "out"])
        .failed(2, &["train", "base, idk, val, test"]);
    desk.run(BUILD, &["compose", "--out", "out"]).failed(2, &["--split"]);
    desk.run(BUILD, &["compose", "--split", "test"]).failed(2, &["--out"]);
    assert!(!desk.path("out").exists());
}

/// A bank of decaying tones: six labels that the shipped bank does not have, ten recordings of each.
fn write_tones(desk: &Desk) {
    let mut manifest = String::new();
    for (label, name) in ["kettle", "lathe", "sonar", "turbine", "winch", "anvil"].into_iter().enumerate() {
        for take in 0..10 {
            let hz = 180.0 * (label + 1) as f32 + 9.0 * take as f32;
            let tone = |i: usize| {
                let t = i as f32 / 16_000.0;
                0.4 * (std::f32::consts::TAU * hz * t).sin() * (-3.0 * t).exp()
            };
            let path = format!("{name}-{take}.wav");
            let samples: Vec<f32> = (0..6400).map(tone).collect();
            idk_audio::write_wav(&desk.path("tones").join(&path), &samples, 16_000).unwrap();
            let row = json!({
                "path": path, "modality": "sound", "family": "workshop", "label": name,
                "recording": path, "seconds": 0.4,
            });
            manifest.push_str(&format!("{row}\n"));
        }
    }
    desk.write("tones/manifest.jsonl", manifest.as_bytes());
}

#[test]
fn a_bank_of_other_recordings_gives_questions_and_a_whole_run_about_its_own_labels() {
    let desk = Desk::new();
    write_tones(&desk);
    let out = compose(&desk, "out", &["--bank", "tones", "--split", "test", "--questions", "30"]);
    let options = check_set(&out, "test");
    assert!(options.contains("kettle") && options.contains("anvil"), "{options:?}");
    let known = read_to_string(&repo("dataset-builder/bank/manifest.jsonl")).unwrap();
    assert!(!known.contains("kettle"), "the shipped bank must not have the test's labels");
    desk.train(&[&FROM_BANK[..], &["data.bank=tones"]].concat()).succeeded();
    let asked = read_to_string(&desk.path("run/questions/idk/questions.json")).unwrap();
    assert!(asked.contains("lathe") || asked.contains("sonar") || asked.contains("winch"), "{asked}");
}

// What goes where.

#[test]
fn json_is_one_object_on_stdout_and_so_are_errors() {
    let desk = Desk::new();
    let built = desk.run(BUILD, &["quick.toml", "--json"]).succeeded().json();
    assert_eq!(built["counts"]["kept"], 6);
    let trained = desk.run(TRAIN, &["quick.toml", "--json"]).succeeded().json();
    let stored: Value = idk_common::json::read_json(&desk.path("run/eval/results.json")).unwrap();
    // What is printed has a headline besides.
    assert!(stored.as_object().unwrap().iter().all(|(key, value)| trained[key] == *value));
    assert_eq!(desk.run(EVAL, &["quick.toml", "--json"]).succeeded().json(), trained);
    let composed = desk
        .run(BUILD, &["compose", "--split", "val", "--questions", "6", "--out", "out", "--json"])
        .succeeded();
    assert_eq!(composed.json(), json!({"questions": "out/questions.json"}));

    let score = ["score", "--questions", "gone", "--before", "b", "--after", "a"];
    let failures: [(&str, &[&str], i32); 6] = [
        (TRAIN, &["gone.toml"], 66),
        (TRAIN, &["quick.toml", "--set", "lora.rnak=1"], 2),
        (BUILD, &["quick.toml", "--set", "model.path=gone"], 66),
        (BUILD, &["compose", "--split", "tset", "--out", "o"], 2),
        (EVAL, &[], 2),
        (EVAL, &score, 66),
    ];
    for (program, arguments, code) in failures {
        let said = desk.run(program, &[arguments, &["--json"]].concat());
        assert_eq!(said.code, Some(code), "{}", said.stderr);
        let error = said.json();
        assert_eq!((&error["type"], &error["exit_code"]), (&"error".into(), &code.into()));
        assert!(!error["message"][0].as_str().unwrap().is_empty());
        assert!(error.get("hint").is_some());
        assert!(!said.stderr.contains("error:"), "said twice: {}", said.stderr);
    }
}

#[test]
fn stdout_carries_the_table_only_and_no_stream_carries_escape_codes() {
    let desk = Desk::new();
    let said = desk.train(&[]).succeeded();
    for line in said.stdout.lines() {
        assert!(!line.contains("ETA") && !line.contains(" lr ") && !line.starts_with("dataset "), "{line}");
    }
    assert!(said.stdout.contains("| all "), "{}", said.stdout);
    for stage in ["reading audio", "sampling", "train  100%", "answers of base", "results "] {
        assert!(said.stderr.contains(stage), "`{stage}` is not in {}", said.stderr);
    }
    assert!(!said.stdout.contains('\u{1b}') && !said.stderr.contains('\u{1b}'));
    assert!(said.stderr.is_ascii() && !said.stderr.contains('\r'), "{}", said.stderr);
}

#[test]
fn an_error_message_cannot_send_escape_codes_to_the_terminal() {
    let desk = Desk::new();
    let said = desk.run(TRAIN, &["\u{1b}[2Jgone.toml"]).failed(66, &["gone.toml"]);
    assert!(!said.stderr.contains('\u{1b}'), "{:?}", said.stderr);
    desk.write("nasty.toml", b"\"\\u001b[2J\" = 1\n");
    let said = desk.run(TRAIN, &["nasty.toml"]).failed(2, &["nasty.toml:1"]);
    assert!(!said.stderr.contains('\u{1b}'), "{:?}", said.stderr);
}

/// Closes the reading end of stdout at once, as `| head -c 0` does.
fn end_with_closed_stdout(mut child: Child) -> Said {
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let desk = Desk::new();
    score(&desk, &golden(), &["--json"]).succeeded();
    let score =
        ["score", "--questions", "q.jsonl", "--before", "before.jsonl", "--after", "after.jsonl", "--json"];
    let commands: [(&str, &[&str]); 4] = [
        (EVAL, &score),
        (EVAL, &["--help"]),
        (TRAIN, &["quick.toml", "--print-config"]),
        (BUILD, &["compose", "--split", "val", "--questions", "6", "--out", "out"]),
    ];
    for (program, arguments) in commands {
        let said = end_with_closed_stdout(desk.command(program, arguments).spawn().unwrap());
        assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    }
}

// Help.

#[test]
fn help_has_examples_that_parse_and_lists_the_exit_codes() {
    let desk = Desk::new();
    for (program, name) in [(TRAIN, "idk-train"), (BUILD, "idk-build"), (EVAL, "idk-eval")] {
        let help = desk.run(program, &["--help"]).succeeded().stdout;
        for part in ["Usage:", "Examples:", "recipes/sound.toml", "--set", "--json", "Exit codes:"] {
            assert!(help.contains(part), "`{part}` is not in the help of {name}:\n{help}");
        }
        let codes = help.split("Exit codes:").nth(1).unwrap();
        for code in ["0 ", "2 ", "65 ", "66 ", "70 ", "74 ", "75 ", "130", "143"] {
            assert!(codes.contains(code), "{code} is not among the exit codes of {name}:\n{codes}");
        }
        let version = desk.run(program, &["--version"]).succeeded().stdout;
        assert_eq!(version, format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
        desk.run(program, &["--no-such-option"]).failed(2, &["--no-such-option"]);
        // Every example is a command that exists; recipes and folders of the examples need not.
        let examples = help.split("Examples:").nth(1).unwrap().split("\n\n").next().unwrap();
        let one_line = examples.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut tried = 0;
        for example in one_line.split(&format!("{name} ")).skip(1) {
            tried += 1;
            let mut words = shell_words(example);
            words.push("--no-such-option");
            let said = desk.run(program, &words).failed(2, &["unexpected argument"]);
            let blamed = said.stderr.lines().next().unwrap();
            assert!(blamed.contains("--no-such-option"), "{example}: {blamed}");
        }
        assert!(tried >= 3, "{examples}");
    }
}

/// The words of a command as a shell splits it: what is between quotes is one.
fn shell_words(command: &str) -> Vec<&str> {
    let parts = command.split('"').enumerate();
    parts
        .flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

#[test]
fn subcommands_have_help_of_their_own() {
    let desk = Desk::new();
    for (program, arguments, parts) in [
        (BUILD, ["compose", "--help"], ["--bank", "--split", "--out"]),
        (EVAL, ["score", "--help"], ["--questions", "--before", "--after"]),
    ] {
        let help = desk.run(program, &arguments).succeeded().stdout;
        assert!(parts.iter().all(|part| help.contains(part)), "{help}");
    }
}

#[test]
fn a_recipe_that_is_misspelt_or_named_in_short_gets_the_shipped_one_that_is_meant() {
    let desk = Desk::new();
    for (given, meant) in [
        ("sound", "recipes/sound.toml"),
        ("sond.toml", "recipes/sound.toml"),
        ("recipes/soud.toml", "recipes/sound.toml"),
        ("qwen2-audio/sund", "recipes/qwen2-audio/sound.toml"),
    ] {
        let hint = format!("did you mean `{meant}`?");
        for program in [TRAIN, BUILD, EVAL] {
            desk.run(program, &[given]).failed(66, &[&hint]);
        }
    }
    desk.run(TRAIN, &["my/own.toml"]).failed(66, &["recipes that come with the program"]);
    desk.run(EVAL, &["set/questions.json"]).failed(2, &["a recipe is a TOML file", "data.test=FILE"]);
    desk.run(EVAL, &[]).failed(2, &["no run, recipe or model given", "idk-eval runs/sound"]);
}

#[test]
fn an_option_that_is_no_number_is_rejected_in_plain_words() {
    let desk = Desk::new();
    for (program, arguments) in [
        (BUILD, ["compose", "--split", "test", "--out", "x", "--questions", "few"]),
        (BUILD, ["relabel", "run", "--set", "build.k=1", "--k", "-1", "--json"]),
        (EVAL, ["ask", "What?", "--audio", "x.wav", "--json", "--samples", "1.5"]),
        (EVAL, ["pick", "run", "--set", "seed=1", "--json", "--min-accuracy", "half"]),
    ] {
        let said = desk.run(program, &arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}: {}", said.stderr);
        assert!(
            !said.stderr.contains("invalid digit") && !said.stderr.contains("float literal"),
            "{}",
            said.stderr
        );
    }
}
