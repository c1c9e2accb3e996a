//! What `idk-train` reports before a run and when resuming: `--env`, `--check`, `--dry-run`, `--allow-change`.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use crate::support::{Desk, Said, TRAIN, assert_same, files, question_set, tiny_model, with_overrides};
use idk_common::json::{read_json, read_jsonl};
use idk_common::lock::RunLock;
use serde_json::Value;

/// `idk-train quick.toml` with overrides and options.
fn train(desk: &Desk, overrides: &[&str], options: &[&str]) -> Said {
    desk.run(TRAIN, &[&with_overrides("quick.toml", overrides)[..], options].concat())
}

#[test]
fn env_tells_what_a_bug_report_needs_and_takes_no_recipe() {
    let desk = Desk::new();
    let said = desk.run(TRAIN, &["--env"]).succeeded();
    for part in [env!("CARGO_PKG_VERSION"), "burn", "features", "system", "cpu", "cores", "memory", "devices"]
    {
        assert!(said.stdout.contains(part), "`{part}` is not in {}", said.stdout);
    }
    let found = desk.run(TRAIN, &["--env", "--json"]).succeeded().json();
    assert_eq!(found["version"], env!("CARGO_PKG_VERSION"));
    assert!(found["devices"][0].as_str().unwrap().starts_with("cpu ("));
    assert!(found["cores"].as_u64().unwrap() >= 1 && found["threads"].as_u64().unwrap() >= 1);
    let mut one = desk.command(TRAIN, &["--env", "--json"]);
    one.env("RAYON_NUM_THREADS", "1");
    assert_eq!(crate::support::said(one).succeeded().json()["threads"], 1);
    desk.run(TRAIN, &["quick.toml", "--env"]).failed(2, &["--env"]);
}

#[test]
fn a_check_of_good_inputs_says_what_they_are_and_writes_nothing() {
    let desk = Desk::new();
    question_set(&desk, "set", 8, |rows| rows[7]["answer"] = "bird".into());
    let lenient = ["build.max_rejected_share=0.2", "eval.max_rejected_share=0.2"];
    let before = files(&desk.path(""));
    let said = train(&desk, &lenient, &["--check"]).succeeded();
    for part in ["model ", "train ", "7 questions", "1 answer", "test ", "output ", "no problem found"] {
        assert!(said.stdout.contains(part), "`{part}` is not in {}", said.stdout);
    }
    assert_same(&before, &files(&desk.path("")));
    assert!(!desk.path("run").exists());
    let found = train(&desk, &lenient, &["--check", "--json"]).succeeded().json();
    assert_eq!(found["problems"], serde_json::json!([]));
    assert_eq!(found["checked"][0]["what"], "model");
}

#[test]
fn a_check_says_everything_that_is_wrong_at_once_and_ends_as_the_run_would() {
    let desk = Desk::new();
    for name in ["config.json", "generation_config.json"] {
        if let Ok(bytes) = idk_common::fs::read(&tiny_model().join(name)) {
            desk.write(&format!("model/{name}"), &bytes);
        }
    }
    // Half of the recordings of the test set are gone.
    question_set(&desk, "gone", 6, |_| {});
    for index in 0..3 {
        std::fs::remove_file(desk.path(&format!("gone/audio/q{index}.wav"))).unwrap();
    }
    desk.write("file", b"");
    let overrides = [
        "model.path=model",
        "data.train=none.json",
        "data.val=bank:vla",
        "data.test=gone/questions.json",
        "output.dir=file/run",
        "eval.prompts={mcot = \"none.txt\"}",
    ];
    let before = files(&desk.path(""));
    let parts = [
        "8 problems found",
        "tokenizer.json",
        "preprocessor_config.json",
        "model.safetensors",
        "none.json",
        "bank:vla",
        "3 of the 6 rows",
        "none.txt",
        "output: cannot create the folder `file`",
    ];
    let said = train(&desk, &overrides, &["--check"]);
    said.failed(66, &parts);
    train(&desk, &overrides, &["--dry-run"]).failed(66, &parts);
    let error = train(&desk, &overrides, &["--check", "--json"]).json();
    assert_eq!((&error["type"], &error["exit_code"]), (&"error".into(), &66.into()));
    assert_same(&before, &files(&desk.path("")));
}

#[test]
fn what_is_found_before_a_run_ends_the_check_and_the_run_with_one_code_and_writes_nothing() {
    let desk = Desk::new();
    desk.write("file", b"");
    let before = files(&desk.path(""));
    for (set, code, parts) in [
        ("train.feature_cache_dir=file/cache", 74, &["cannot create the folder `file`"][..]),
        (
            "lora.target_modules=[\"q_proj\", \"v_proj\", \"q_proj\"]",
            2,
            &["--set: `target_modules` in [lora] names `q_proj` twice"],
        ),
        ("lora.rank=0", 2, &["--set: `rank` in [lora] must be between 1 and"]),
        ("train.group_by_length=-1", 2, &["--set: `group_by_length` in [train]"]),
        (
            "train.group_by_length=true",
            2,
            &["`group_by_length` in [train]", "write the steps to sort together, such as 50"],
        ),
        ("data.val_questions=0", 2, &["--set: `val_questions` in [data] must be at least 1"]),
    ] {
        for options in [&["--check"][..], &[]] {
            train(&desk, &[set], options).failed(code, parts);
        }
    }
    assert_same(&before, &files(&desk.path("")));
    // More steps than there are: one window.
    train(&desk, &["train.group_by_length=9223372036854775807"], &[]).succeeded();
}

#[test]
fn a_question_set_without_a_question_is_a_problem_before_the_run() {
    let desk = Desk::new();
    desk.write("empty.json", b"[]");
    for key in ["data.train", "data.test"] {
        let empty = format!("{key}=empty.json");
        train(&desk, &[&empty], &["--check"]).failed(65, &["no question is left in `empty.json`"]);
    }
}

#[test]
fn a_check_sees_that_the_folder_holds_another_run() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let said = train(&desk, &[], &["--check"]).succeeded();
    assert!(said.stdout.contains("holds a run of this recipe"), "{}", said.stdout);
    train(&desk, &["train.eps=1e-7"], &["--check"]).failed(65, &["train.eps", "--allow-change"]);
    // No step is left that would read it, so nothing may say that one did.
    let before = files(&desk.path("run"));
    for check in [&["--check"][..], &[]] {
        let options = [check, &["--allow-change", "train.eps"]].concat();
        train(&desk, &["train.eps=1e-7"], &options).failed(2, &["is finished", "train.eps"]);
    }
    assert_same(&before, &files(&desk.path("run")));
    train(&desk, &["build.k=1"], &["--check"]).failed(65, &["build.k", "--fresh"]);
    let lock = RunLock::acquire(&desk.path("run")).unwrap();
    train(&desk, &[], &["--check"]).failed(75, &["in use by another process"]);
    drop(lock);
}

#[test]
fn a_dry_run_plans_for_a_gpu_that_this_machine_lacks_and_a_check_rejects_it() {
    let desk = Desk::new();
    let weights = |dtype: &str| {
        let overrides = ["model.device=cuda:7", dtype];
        let planned = train(&desk, &overrides, &["--dry-run", "--json"]).succeeded().json();
        let facts = planned["checked"].to_string();
        assert!(facts.contains("cuda:7, on another machine: "), "{facts}");
        planned["plan"]["memory_bytes"]["weights"].as_u64().unwrap()
    };
    let [half, int8, nf4] = ["model.dtype=bf16", "model.dtype=int8", "model.dtype=nf4"].map(weights);
    assert!(nf4 < int8 && int8 < half, "{nf4} {int8} {half}");
    train(&desk, &["model.device=cuda:7"], &["--check"]).failed(66, &["cuda:7", "--features cuda"]);
    train(&desk, &["model.device=abacus"], &["--dry-run"]).failed(2, &["abacus"]);
}

#[test]
fn a_dry_run_plans_what_the_run_then_does_and_knows_afterwards_that_it_is_done() {
    let desk = Desk::new();
    let before = files(&desk.path(""));
    let planned = train(&desk, &[], &["--dry-run", "--json"]).succeeded().json();
    let plan = &planned["plan"];
    let states = |plan: &Value| -> Vec<String> {
        let stages = plan["stages"].as_array().unwrap();
        stages.iter().map(|stage| format!("{} {}", stage["name"], stage["state"])).collect()
    };
    assert_eq!(states(plan), ["\"dataset\" \"to do\"", "\"training\" \"to do\"", "\"answers\" \"to do\""]);
    assert_eq!((&plan["training"]["rows"], &plan["training"]["exact"]), (&6.into(), &false.into()));
    // Pairs of a question share its clip: the features of six are kept, however many pairs there may be.
    let pairs = train(&desk, &["train.method=dpo"], &["--dry-run", "--json"]).succeeded().json();
    assert_eq!(pairs["plan"]["training"]["rows"], 18);
    assert!(plan["memory_bytes"]["features"].as_u64().unwrap() > 0);
    assert_eq!(pairs["plan"]["memory_bytes"]["features"], plan["memory_bytes"]["features"]);
    assert_same(&before, &files(&desk.path("")));

    desk.train(&[]).succeeded();
    let made = files(&desk.path("run"));
    let done = train(&desk, &[], &["--dry-run", "--json"]).succeeded().json();
    let plan = &done["plan"];
    assert_eq!(states(plan), ["\"dataset\" \"done\"", "\"training\" \"done\"", "\"answers\" \"done\""]);
    let rows: Vec<Value> = read_jsonl(&desk.path("run/dataset/sft.jsonl")).unwrap();
    let steps: Vec<Value> = read_jsonl(&desk.path("run/logs/metrics.jsonl")).unwrap();
    let training = &plan["training"];
    assert_eq!((&training["rows"], &training["exact"]), (&rows.len().into(), &true.into()));
    assert_eq!(
        (&training["steps"], &planned["plan"]["training"]["steps"]),
        (&steps.len().into(), &steps.len().into())
    );
    // All rows are looked at, and each is seen in two epochs of three steps: the log counts the same tokens.
    let logged = steps.last().unwrap()["num_tokens"].as_f64().unwrap();
    let mean = training["mean_tokens_per_row"].as_f64().unwrap();
    assert!((mean * 12.0 - logged).abs() < 1e-6, "{mean} x 12, not {logged}");
    let adapter = idk_common::fs::read(&desk.path("run/adapter/adapter_model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&adapter).unwrap();
    let numbers: usize = tensors.iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>()).sum();
    assert_eq!(training["trained_parameters"], numbers);
    assert_eq!(plan["memory_bytes"]["trained"], 16 * numbers);
    assert_same(&made, &files(&desk.path("run")));

    let text = train(&desk, &[], &["--dry-run"]).succeeded().stdout;
    for part in [
        "training  done",
        "rows      6, 2 a step",
        "tokens    about",
        "memory    weights",
        ">>>",
        "<|im_end|><<<",
    ] {
        assert!(text.contains(part), "`{part}` is not in {text}");
    }
}

#[test]
fn a_changed_key_that_is_allowed_by_name_is_taken_with_one_warning_and_noted() {
    let desk = Desk::new();
    let constant = ["train.schedule=constant", "train.warmup_ratio=0"];
    desk.train(&constant).succeeded();
    let before = files(&desk.path("run"));
    let longer = [&constant[..], &["train.epochs=3", "train.learning_rate=5e-4"]].concat();
    train(&desk, &longer, &[]).failed(65, &["`train.epochs` was 2 and is 3 now", "--allow-change KEY"]);
    let one = ["--allow-change", "train.epochs"];
    train(&desk, &longer, &one).failed(65, &["`train.learning_rate` was 0.001 and is 0.0005 now"]);
    assert_same(&before, &files(&desk.path("run")));

    let both = [&one[..], &["--allow-change", "train.learning_rate"]].concat();
    let said = train(&desk, &longer, &both).succeeded();
    let warnings: Vec<&str> = said.stderr.lines().filter(|line| line.starts_with("warning:")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("after step 6") && warnings[0].contains("train.learning_rate = 0.0005"),
        "{warnings:?}"
    );
    let rows: Vec<Value> = read_jsonl(&desk.path("run/logs/metrics.jsonl")).unwrap();
    let rates: Vec<f64> = rows.iter().map(|row| row["learning_rate"].as_f64().unwrap()).collect();
    assert_eq!(rates, [&[1e-3; 6][..], &[5e-4; 3]].concat());
    let state: Value = read_json(&desk.path("run/checkpoints/step-000009/state.json")).unwrap();
    let noted = state["allowed_changes"].as_array().unwrap();
    assert_eq!(noted.len(), 2);
    assert_eq!((&noted[1]["key"], &noted[1]["step"]), (&"train.learning_rate".into(), &6.into()));
    // From now on it is this run's recipe.
    let again = train(&desk, &longer, &[]).succeeded();
    assert!(!again.stderr.contains("warning:"), "{}", again.stderr);
}

#[test]
fn what_no_run_can_go_on_with_is_refused_with_the_reason_and_a_wrong_key_with_the_right_one() {
    let desk = Desk::new();
    for (key, part) in [
        ("lora.rank", "have this shape"),
        ("rows", "on these rows"),
        ("model.path", "this base model"),
        ("data.train", "idk-build relabel"),
        ("train.learning_rte", "did you mean `train.learning_rate`?"),
    ] {
        train(&desk, &[], &["--allow-change", key]).failed(2, &[key, part]);
    }
    assert!(!desk.path("run").exists());
}

#[test]
fn a_check_shows_five_bad_rows_with_their_places_and_how_many_more_there_are() {
    let desk = Desk::new();
    question_set(&desk, "set", 12, |rows| rows[4..].iter_mut().for_each(|row| row["answer"] = "bird".into()));
    let parts = ["train: 8 of the 12 rows of `set/questions.json` cannot be used: 8 answer-not-in-choices"];
    let said = train(&desk, &["data.limit_per_task=1"], &["--check"]).failed(65, &parts);
    for part in ["\n    row 5: ", "\n    row 9: ", "\n    and 3 more", "`max_rejected_share` in [build]"] {
        assert!(said.stderr.contains(part), "`{part}` is not in {}", said.stderr);
    }
    assert!(!said.stderr.contains("row 10: "), "{}", said.stderr);
    train(&desk, &["data.train=bank:ikd"], &["--check"]).failed(2, &["did you mean `bank:idk`?"]);
    train(&desk, &["data.train=set"], &["--check"]).failed(65, &["it is a folder: name a file in it"]);
    // The run stops for the same reason with the same rows.
    let said = train(&desk, &["data.limit_per_task=1"], &[]).failed(65, &["row 5: ", "and 3 more"]);
    assert!(said.stderr.contains("max_rejected_share"), "{}", said.stderr);
}

#[test]
fn one_file_for_training_and_test_is_a_problem_of_data_test_before_anything_is_written() {
    let desk = Desk::new();
    let before = files(&desk.path(""));
    for same in ["set/questions.json", "./set/../set/questions.json"] {
        let test = format!("data.test={same}");
        for options in [&["--check"][..], &["--dry-run"], &[]] {
            train(&desk, &[&test], options)
                .failed(2, &["`test` in [data] must be other questions than `train`"]);
        }
    }
    assert_same(&before, &files(&desk.path("")));
    // A build alone tests nothing.
    desk.build(&["data.test=set/questions.json"]).succeeded();
}

#[test]
fn an_output_path_that_is_a_file_is_rejected_with_what_to_do() {
    let desk = Desk::new();
    desk.write("file", b"mine");
    let parts = ["`file", "name another folder, or move the file away"];
    for options in [&["--check"][..], &[]] {
        train(&desk, &["output.dir=file"], options).failed(74, &parts);
    }
    assert_eq!(idk_common::fs::read(&desk.path("file")).unwrap(), b"mine");
}
