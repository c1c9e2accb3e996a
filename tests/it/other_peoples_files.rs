//! Files and folders that the programs did not write are never replaced or deleted.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use idk_common::fs::read;
use idk_common::json::read_json;
use serde_json::{Value, json};

use crate::support::{BUILD, Desk, EVAL, TRAIN, assert_same, files, tiny_model};

const MINE: &[u8] = b"mine";

#[test]
fn a_run_never_starts_in_a_folder_that_holds_files_of_someone_else_under_its_names() {
    let desk = Desk::new();
    let theirs = [
        "adapter/adapter_model.safetensors",
        "eval/results.json",
        "report.html",
        "logs/metrics.jsonl",
        "curves.svg",
        "recipe.toml",
        "dataset/train.json",
        "checkpoints/best.pt",
        "questions/a.txt",
    ];
    for (number, name) in theirs.into_iter().enumerate() {
        let (run, file) = (format!("other{number}"), format!("other{number}/{name}"));
        desk.write(&file, MINE);
        let output = format!("output.dir={run}");
        let first = name.split('/').next().unwrap();
        let commands = [
            (TRAIN, vec!["quick.toml", "--set", &output]),
            (TRAIN, vec!["quick.toml", "--set", &output, "--check"]),
            (BUILD, vec!["quick.toml", "--set", &output]),
            (EVAL, vec!["quick.toml", "--set", &output]),
        ];
        for (program, arguments) in commands {
            let part = format!("{run}/{first}");
            desk.run(program, &arguments).failed(2, &[&part, "did not write it"]);
        }
        let left: Vec<String> = files(&desk.path(&run)).into_keys().collect();
        assert_eq!((left, read(&desk.path(&file)).unwrap().as_slice()), (vec![name.to_owned()], MINE));
    }
    // Other names do not disturb a run, and a run does not disturb them; `--fresh` moves, it does not delete.
    desk.write("notes/todo.txt", MINE);
    desk.build(&["output.dir=notes"]).succeeded();
    desk.build(&["output.dir=notes"]).succeeded();
    assert_eq!(read(&desk.path("notes/todo.txt")).unwrap(), MINE);
    desk.run(BUILD, &["quick.toml", "--fresh", "--set", "output.dir=other0"]).succeeded();
    assert_eq!(read(&desk.path("other0.old-1").join(theirs[0])).unwrap(), MINE);
}

#[test]
fn a_copied_run_and_a_copied_dataset_are_still_the_programs_own() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    for (name, bytes) in files(&desk.path("run")) {
        desk.write(&format!("copy/{name}"), &bytes);
        if name.starts_with("dataset/") {
            desk.write(&format!("new/{name}"), &bytes);
        }
    }
    for run in ["copy", "new"] {
        desk.build(&[&format!("output.dir={run}")]).succeeded();
        assert_same(&files(&desk.path("run/dataset")), &files(&desk.path(run).join("dataset")));
    }
}

#[test]
fn no_command_replaces_a_strangers_file_in_the_folder_of_out() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let tiny = tiny_model();
    let tiny = tiny.to_str().unwrap();
    let evaluate = ["--model", tiny, "--questions", "set/questions.json", "--out", "out"];
    desk.run(EVAL, &evaluate).succeeded();
    desk.run(EVAL, &evaluate).succeeded();
    let cases: [(&str, &str, &[&str]); 7] = [
        (EVAL, "results.json", &evaluate[..5]),
        (EVAL, "answers-base.jsonl", &evaluate[..5]),
        (EVAL, "rgi-forest.svg", &["plot", "out", "--out"]),
        (BUILD, "sft.jsonl", &["export", "run", "--format", "trl", "--out"]),
        (BUILD, "dataset/labels.jsonl", &["relabel", "run", "--k", "1", "--out"]),
        (BUILD, "recipe.toml", &["relabel", "run", "--k", "1", "--out"]),
        (BUILD, "audio/a.wav", &["compose", "--split", "val", "--out"]),
    ];
    for (number, (program, name, arguments)) in cases.into_iter().enumerate() {
        let out = format!("theirs{number}");
        desk.write(&format!("{out}/{name}"), MINE);
        let mut arguments = arguments.to_vec();
        arguments.push(&out);
        let said = desk.run(program, &arguments);
        if name == "rgi-forest.svg" && said.code == Some(0) {
            continue; // A base model alone has no such plot.
        }
        said.failed(2, &[&out, "did not write it"]);
        let left = files(&desk.path(&out));
        assert_eq!(left.into_iter().collect::<Vec<_>>(), [(name.to_owned(), MINE.to_vec())]);
    }
}

#[test]
fn an_export_into_the_data_folder_of_another_program_adds_entries_and_removes_nothing() {
    let desk = Desk::new();
    desk.build(&["build.val_share=0.4"]).succeeded();
    let info = json!({"alpaca": {"file_name": "alpaca.json"}, "idk_old": {"file_name": "x"}});
    desk.write("data/dataset_info.json", info.to_string().as_bytes());
    desk.write("data/sft-val.jsonl", MINE);
    let export = |run: &str| desk.run(BUILD, &["export", run, "--format", "llama-factory", "--out", "data"]);
    export("run").failed(2, &["data/sft-val.jsonl", "did not write it"]);
    assert_eq!(read_json::<Value>(&desk.path("data/dataset_info.json")).unwrap(), info);
    std::fs::rename(desk.path("data/sft-val.jsonl"), desk.path("data/mine.jsonl")).unwrap();
    export("run").succeeded();
    let names = |desk: &Desk| -> Vec<String> {
        let info: Value = read_json(&desk.path("data/dataset_info.json")).unwrap();
        info.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(names(&desk)[..2], ["alpaca", "idk_old"]);
    assert!(names(&desk).contains(&"idk_sft_val".to_owned()), "{:?}", names(&desk));
    // A dataset without validation rows: the files of the earlier export go, and their entries too.
    desk.build(&["output.dir=whole"]).succeeded();
    export("whole").succeeded();
    assert!(!desk.path("data/sft-val.jsonl").exists());
    assert!(!names(&desk).contains(&"idk_sft_val".to_owned()), "{:?}", names(&desk));
    assert_eq!(read(&desk.path("data/mine.jsonl")).unwrap(), MINE);
    // A list that is no JSON object is nothing to add to.
    desk.write("bad/dataset_info.json", b"[1]");
    desk.run(BUILD, &["export", "run", "--format", "llama-factory", "--out", "bad"])
        .failed(65, &["bad/dataset_info.json"]);
    assert_eq!(files(&desk.path("bad")).len(), 1);
}
