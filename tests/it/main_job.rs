//! The main job as a whole: the same bytes whenever, wherever and however often it is run, stopped and run again.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use crate::support::{
    BUILD, Desk, EVAL, FROM_BANK, TRAIN, assert_same, base_model, files, outputs, repo, said, stop,
    tiny_model,
};
use idk_common::lock::RunLock;
use serde_json::Value;

/// Long enough to be stopped in the middle.
const LONG: [&str; 4] =
    ["train.max_steps=150", "train.save_every=10", "train.batch_size=2", "lora.dropout=0.1"];

/// The lines of `recipe.toml` that are not the same.
fn differing_lines(one: &Path, other: &Path) -> Vec<String> {
    let read = |dir: &Path| idk_common::fs::read_to_string(&dir.join("recipe.toml")).unwrap();
    let (one, other) = (read(one), read(other));
    assert_eq!(one.lines().count(), other.lines().count());
    one.lines().zip(other.lines()).filter(|(a, b)| a != b).map(|(a, _)| a.to_owned()).collect()
}

/// Runs a recipe three times: as it is, in another folder, and there again on one thread; compares everything.
fn three_runs(recipe: &Path, overrides: &[&str]) -> (Desk, String) {
    let (here, there) = (Desk::new(), Desk::new());
    let elsewhere = here.path("far/away").display().to_string();
    let job = |desk: &Desk, dir: &str, threads: Option<&str>| {
        let mut command = desk.command(TRAIN, &[]);
        command.arg(recipe).args(["--set", &format!("output.dir={dir}")]);
        command.args(overrides.iter().flat_map(|text| ["--set", text]));
        threads.map(|count| command.env("RAYON_NUM_THREADS", count));
        said(command).succeeded().stdout
    };
    let table = job(&here, "run", None);
    assert_eq!(table, job(&there, &elsewhere, None));
    assert_eq!(table, job(&there, "one-thread", Some("1")));
    let first = outputs(&here.path("run"));
    for again in [here.path("far/away"), there.path("one-thread")] {
        assert_same(&first, &outputs(&again));
        let differing = differing_lines(&here.path("run"), &again);
        assert_eq!(differing, ["dir = \"run\""]);
    }
    (here, table)
}

fn results(run: &Path) -> Value {
    idk_common::json::read_json(&run.join("eval/results.json")).unwrap()
}

#[test]
fn the_shipped_recipe_gives_the_same_bytes_again_elsewhere_and_on_one_thread() {
    let model = format!("model.path={}", base_model().display());
    let overrides = [model.as_str(), "data.limit_per_task=6", "eval.bootstrap_draws=50"];
    let (desk, table) = three_runs(&repo("recipes/sound.toml"), &overrides);
    let run = desk.path("run");
    for task in ["sound", "music", "speech", "all"] {
        assert!(table.contains(&format!("\n| {task} ")), "{table}");
    }
    let results = results(&run);
    assert_eq!(results["n"], 18, "the test set has six questions of each modality");
    assert_eq!(results["methods"][0]["method"], "adapter");
    let manifest: Value = idk_common::json::read_json(&run.join("dataset/manifest.json")).unwrap();
    assert_eq!((&manifest["counts"]["kept"], &manifest["counts"]["samples"]), (&6.into(), &30.into()));
    let correct = manifest["counts"]["correct"].as_u64().unwrap();
    assert!((1..30).contains(&correct), "a model that knows something, but not all: {correct} of 30");
    let unreadable = &results["methods"][0]["tasks"][3]["unparsed"]["before"];
    assert!(
        unreadable.as_u64().unwrap() < 9,
        "the base model mostly answers with options: {unreadable} of 18 do not"
    );
}

#[test]
fn every_recording_of_a_run_is_decoded_once_and_encoded_once() {
    let desk = Desk::new();
    let model = format!("model.path={}", base_model().display());
    let mut command = desk.command(TRAIN, &[]);
    command.arg(repo("recipes/sound.toml"));
    let overrides =
        [&model, "output.dir=run", "data.limit_per_task=4", "data.val=bank:val", "train.eval_every=2"];
    command.args(overrides.iter().flat_map(|text| ["--set", text]));
    command.args(["--set", "eval.methods=[\"adapter\", \"idk-prompt\", \"threshold\"]"]);
    let stderr = said(command).succeeded().stderr;
    let files = files(&desk.path("run/questions"));
    let clips: Vec<&Vec<u8>> =
        files.iter().filter(|(name, _)| name.ends_with(".wav")).map(|(_, bytes)| bytes).collect();
    assert!(clips.len() > 20, "idk, val and test were rendered: {}", clips.len());
    let distinct: std::collections::BTreeSet<&Vec<u8>> = clips.iter().copied().collect();
    let expected = format!("audio     {} recordings decoded, {} encoded", clips.len(), distinct.len());
    assert!(stderr.lines().any(|line| line == expected), "{expected}\n{stderr}");
}

#[test]
fn random_weights_every_method_and_accumulated_steps_give_the_same_bytes_too() {
    let overrides = [
        "eval.methods=[\"adapter\", \"idk-prompt\"]",
        "train.gradient_accumulation_steps=2",
        "lora.dropout=0.2",
        "lora.rslora=true",
        "build.target=sampled",
        "build.top_p=0.9",
        "data.train=bank:idk",
        "data.limit_per_task=2",
    ];
    let quick = Desk::new();
    let (desk, _) = three_runs(&quick.path("quick.toml"), &overrides);
    assert_eq!(results(&desk.path("run"))["methods"].as_array().unwrap().len(), 2);
}

#[test]
fn another_seed_gives_another_dataset_and_another_adapter_on_the_same_questions() {
    let desk = Desk::new();
    desk.train(&FROM_BANK).succeeded();
    desk.train(&[&FROM_BANK[..], &["seed=1", "output.dir=other"]].concat()).succeeded();
    let (one, other) = (outputs(&desk.path("run")), outputs(&desk.path("other")));
    for name in ["dataset/samples.jsonl", "adapter/adapter_model.safetensors"] {
        assert_ne!(one[name], other[name], "{name}");
    }
    for name in ["questions/idk/questions.json", "questions/test/questions.json"] {
        assert_eq!(one[name], other[name], "{name}");
    }
}

#[test]
fn the_same_command_on_a_finished_run_keeps_every_byte() {
    let desk = Desk::new();
    let table = desk.train(&[]).succeeded().stdout;
    let before = files(&desk.path("run"));
    let again = desk.train(&[]).succeeded();
    assert_eq!(again.stdout, table);
    assert!(!again.stderr.contains("sampling"), "the dataset is there: {}", again.stderr);
    let mut after = files(&desk.path("run"));
    // A start without a step may open a new file of events.
    after.retain(|name, _| before.contains_key(name) || !name.starts_with("logs/events."));
    assert_same(&before, &after);
}

#[test]
fn a_dataset_that_was_built_before_is_trained_on_as_it_is() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let dataset = files(&desk.path("run/dataset"));
    // Nothing was trained yet, so the adapter may still be chosen.
    desk.train(&["lora.rank=4", "train.epochs=1"]).succeeded();
    assert_same(&dataset, &files(&desk.path("run/dataset")));
    let config: Value = idk_common::json::read_json(&desk.path("run/adapter/adapter_config.json")).unwrap();
    assert_eq!(config["r"], 4);
}

#[test]
fn a_run_that_is_killed_at_any_stage_goes_on_and_ends_with_the_same_bytes() {
    let desk = Desk::new();
    let long = [&LONG[..], &FROM_BANK].concat();
    desk.train(&[&long[..], &["output.dir=whole"]].concat()).succeeded();
    for (sign, unfinished) in [
        ("run/questions/idk/questions.json", "run/dataset/manifest.json"),
        ("run/checkpoints/step-000020", "run/adapter"),
        ("run/eval/answers-base.jsonl", "run/eval/results.json"),
    ] {
        let mut child = desk.train_until(&long, sign);
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9), "it was over before {sign}");
        assert!(!desk.path(unfinished).exists(), "{unfinished} is there already");
    }
    desk.train(&long).succeeded();
    assert_same(&outputs(&desk.path("whole")), &outputs(&desk.path("run")));
}

#[test]
fn a_run_that_is_asked_to_stop_saves_says_how_to_go_on_and_ends_with_the_same_bytes() {
    let desk = Desk::new();
    let whole: Vec<&str> = LONG.into_iter().chain(["output.dir=whole"]).collect();
    desk.train(&whole).succeeded();
    let mut last_step = 0;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let sign = format!("run/checkpoints/step-{:06}", (last_step / 10 + 2) * 10);
        let said = stop(desk.train_until(&LONG, &sign), signal);
        let said = said.failed(code, &["stopped by a signal", "same command again"]);
        assert!(said.stdout.is_empty(), "{}", said.stdout);
        assert!(!desk.path("run/adapter").exists());
        let last = idk_common::fs::read_to_string(&desk.path("run/checkpoints/last")).unwrap();
        let step = last.trim().trim_start_matches("step-").parse::<u64>().unwrap();
        assert!(last_step + 10 <= step && step < 150, "{last_step}, then {step}");
        assert!(said.stderr.contains(&format!("after step {step};")), "{}", said.stderr);
        last_step = step;
    }
    // The evaluation says so too, wherever in it the signal comes.
    let child = desk.train_until(&LONG, "run/eval/answers-base.jsonl");
    stop(child, "INT")
        .failed(130, &["stopping after the batch", "stopped by a signal", "same command again"]);
    desk.train(&LONG).succeeded();
    let mut resumed = outputs(&desk.path("run"));
    let mut expected = outputs(&desk.path("whole"));
    for files in [&mut resumed, &mut expected] {
        // Where it was stopped late, that step's checkpoint may still be one of the last two.
        files.retain(|name, _| !name.starts_with("checkpoints/") || name.contains("step-000150"));
    }
    assert_same(&expected, &resumed);
}

#[test]
fn a_second_process_on_a_run_folder_is_refused_with_75_and_changes_nothing() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let before = files(&desk.path("run"));
    let lock = RunLock::acquire(&desk.path("run")).unwrap();
    let holder = format!("pid {}", std::process::id());
    for (program, arguments) in [
        (TRAIN, vec!["quick.toml"]),
        (TRAIN, vec!["quick.toml", "--fresh"]),
        (BUILD, vec!["quick.toml"]),
        (EVAL, vec!["quick.toml"]),
    ] {
        desk.run(program, &arguments).failed(75, &["in use by another process", &holder]);
        assert_same(&before, &files(&desk.path("run")));
    }
    drop(lock);
    desk.build(&[]).succeeded();
}

#[test]
fn a_changed_recipe_on_an_existing_run_is_refused_names_what_differs_and_changes_nothing() {
    let desk = Desk::new();
    let changed = |change: &str| {
        let overrides = [&FROM_BANK[..], &[change]].concat();
        desk.train(&overrides)
    };
    desk.train(&FROM_BANK).succeeded();
    let before = files(&desk.path("run"));
    for (change, named) in [
        ("build.k=1", ["build.k", "2", "1"]),
        ("build.temperature=0.5", ["build.temperature", "1.0", "0.5"]),
        ("seed=1", ["seed", "0", "1"]),
        ("lora.rank=4", ["lora.rank", "8", "4"]),
        ("train.epochs=3", ["train.epochs", "2", "3"]),
        ("data.limit_per_task=5", ["data.limit_per_task", "6", "5"]),
        ("data.seed=7", ["data.seed", "0", "7"]),
        ("data.train=bank:val", ["data.train", "bank:idk", "bank:val"]),
    ] {
        changed(change).failed(65, &named).failed(65, &["another run", "--fresh"]);
        assert_same(&before, &files(&desk.path("run")));
    }
    // Another model of the same sizes: one value of its weights is another.
    let mut model = files(&tiny_model());
    *model.get_mut("model.safetensors").unwrap().last_mut().unwrap() ^= 1;
    for (name, bytes) in &model {
        desk.write(&format!("model/{name}"), bytes);
    }
    changed("model.path=model").failed(65, &["model"]);
    assert_same(&before, &files(&desk.path("run")));
    // What only the evaluation reads may change.
    changed("eval.bootstrap_draws=20").succeeded();
    let after = files(&desk.path("run"));
    let kept = |files: &BTreeMap<String, Vec<u8>>| {
        let mut kept = files.clone();
        kept.retain(|name, _| {
            // The card of the adapter has the results on it.
            let read_by_people = ["recipe.toml", "adapter/README.md"].contains(&name.as_str());
            !name.starts_with("eval/") && !name.starts_with("logs/events.") && !read_by_people
        });
        kept
    };
    assert_same(&kept(&before), &kept(&after));
    assert_ne!(before["eval/results.json"], after["eval/results.json"]);
}

#[test]
fn a_run_names_program_and_model_in_a_file_of_its_own_and_one_that_does_not_is_another_run() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let identity: Value = idk_common::json::read_json(&desk.path("run/identity.json")).unwrap();
    let manifest: Value = idk_common::json::read_json(&desk.path("run/dataset/manifest.json")).unwrap();
    let model = &manifest["provenance"]["model_sha256"];
    assert_eq!(identity, serde_json::json!({ "model": model, "program": env!("CARGO_PKG_VERSION") }));
    let recipe = idk_common::fs::read_to_string(&desk.path("run/recipe.toml")).unwrap();
    assert!(!recipe.contains(model.as_str().unwrap()), "{recipe}");

    let of_earlier = recipe.replace("gradient_accumulation_steps", "accumulation");
    desk.write("run/recipe.toml", of_earlier.as_bytes());
    let names = ["a run of an earlier version", "`accumulation` in [train]", "`gradient_accumulation_steps`"];
    desk.train(&[]).failed(65, &[&names[..], &["--fresh"]].concat());
    desk.write("run/recipe.toml", recipe.as_bytes());

    std::fs::remove_file(desk.path("run/identity.json")).unwrap();
    let before = files(&desk.path("run"));
    desk.train(&[]).failed(65, &["`run` holds another run", "it has no identity.json", "--fresh"]);
    desk.train(&["build.k=1"]).failed(65, &["it has no identity.json"]);
    assert_same(&before, &files(&desk.path("run")));
    desk.run(TRAIN, &["quick.toml", "--fresh"]).succeeded();
    assert!(desk.path("run/identity.json").is_file());
}

#[test]
fn a_question_file_that_changed_is_noticed() {
    let desk = Desk::new();
    crate::support::question_set(&desk, "set", 4, |_| {});
    let source = ["data.train=set/questions.json"];
    desk.build(&source).succeeded();
    desk.build(&source).succeeded();
    crate::support::question_set(&desk, "set", 4, |rows| rows[2]["answer"] = "rain".into());
    desk.build(&source).failed(65, &["questions_sha256"]);
    let limited = ["data.train=set/questions.json", "data.limit_per_task=2"];
    desk.build(&limited).failed(65, &["data.limit_per_task"]);
}

#[test]
fn a_dataset_that_was_tampered_with_is_refused_by_the_name_of_the_file() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let path = desk.path("run/dataset/labels.jsonl");
    let text = idk_common::fs::read_to_string(&path).unwrap();
    desk.write("run/dataset/labels.jsonl", text.replacen("unknown", "known", 1).as_bytes());
    desk.train(&[]).failed(65, &["labels.jsonl"]);
    assert!(!desk.path("run/adapter").exists());
}

#[test]
fn fresh_moves_the_earlier_run_aside_whole() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    let before = files(&desk.path("run"));
    let changed = ["quick.toml", "--fresh", "--set", "build.k=1"];
    // A wrong model is found before anything is moved.
    let wrong = [&changed[..], &["--set", "model.path=nowhere"]].concat();
    desk.run(TRAIN, &wrong).failed(66, &["nowhere"]);
    assert_same(&before, &files(&desk.path("run")));

    desk.run(TRAIN, &changed).succeeded();
    assert_same(&before, &files(&desk.path("run.old-1")));
    let second = files(&desk.path("run"));
    assert_ne!(before["dataset/manifest.json"], second["dataset/manifest.json"]);
    desk.run(TRAIN, &changed).succeeded();
    assert_same(&before, &files(&desk.path("run.old-1")));
    assert_same(&second, &files(&desk.path("run.old-2")));
}
