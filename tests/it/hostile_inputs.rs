//! Inputs that were made to do harm, or that broke in the field: what the programs make of them.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use idk_common::fs::{read, read_to_string};
use idk_common::json::read_json;
use serde_json::{Value, json};

use crate::support::{BUILD, Desk, EVAL, FROM_BANK, TRAIN, assert_same, files, outputs, question_set};

const HOSTILE: &str = "\u{1b}]0;owned\u{7}\u{202e}<img src=x onerror=alert(1)>|`a`";

#[test]
fn no_published_text_carries_markup_or_control_characters_of_a_question_file() {
    let desk = Desk::new();
    question_set(&desk, "set", 6, |rows| rows.iter_mut().for_each(|row| row["task"] = json!(HOSTILE)));
    desk.train(&["data.tasks=[]", "build.val_share=0.3"]).succeeded();
    for name in ["dataset/README.md", "adapter/README.md", "eval/report.html"] {
        let text = read_to_string(&desk.path("run").join(name)).unwrap();
        let raw = text.chars().find(|&c| c.is_control() && c != '\n' || c == '\u{202e}');
        assert_eq!(raw, None, "{name}");
        assert!(!text.contains("<img") && text.contains("onerror"), "{name}: {text}");
    }
    let said = desk.run(BUILD, &["export", "run", "--format", "trl", "--out", "o\u{1b}[31m"]).succeeded();
    assert!(!said.stdout.contains('\u{1b}') && said.stdout.contains("sft.jsonl"), "{}", said.stdout);
}

#[test]
fn a_card_is_its_owners_to_edit() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    desk.write("run/dataset/README.md", b"mine");
    desk.build(&[]).succeeded();
    assert_eq!(read(&desk.path("run/dataset/README.md")).unwrap(), b"mine");
    std::fs::remove_file(desk.path("run/dataset/README.md")).unwrap();
    desk.build(&[]).succeeded();
}

#[test]
fn a_rendered_clip_that_was_changed_or_lost_is_rendered_again() {
    let desk = Desk::new();
    let few = ["data.train_questions=6", "data.limit_per_task=4"];
    let all: Vec<&str> = FROM_BANK.iter().chain(&few).copied().collect();
    desk.build(&all).succeeded();
    let before = files(&desk.path("run/questions"));
    let clip = before.keys().find(|name| name.ends_with(".wav")).unwrap().clone();
    let path = desk.path("run/questions").join(&clip);
    let mut flipped = before[&clip].clone();
    flipped[1000] ^= 1;
    for change in [Some(flipped), None] {
        match change {
            Some(bytes) => drop(desk.write(&format!("run/questions/{clip}"), &bytes)),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let said = desk.build(&all).succeeded();
        assert!(said.stderr.contains("rendered again"), "{}", said.stderr);
        assert_same(&before, &files(&desk.path("run/questions")));
    }
    let said = desk.build(&all).succeeded();
    assert!(!said.stderr.contains("rendered again"), "{}", said.stderr);
}

#[test]
fn an_adapter_does_not_say_where_its_maker_keeps_files_and_a_merge_still_finds_the_base() {
    let desk = Desk::new();
    desk.train(&[]).succeeded();
    for (name, bytes) in outputs(&desk.path("run")) {
        if name.starts_with("adapter/") || name.contains("adapter_config") {
            assert!(!String::from_utf8_lossy(&bytes).contains(env!("CARGO_MANIFEST_DIR")), "{name}");
        }
    }
    let config: Value = read_json(&desk.path("run/adapter/adapter_config.json")).unwrap();
    assert_eq!(config["base_model_name_or_path"], "qwen2-audio-tiny");
    desk.run(TRAIN, &["merge", "run", "--out", "merged"]).succeeded();
}

#[test]
fn a_check_opens_every_recording_and_a_quick_one_some_of_each_set() {
    let desk = Desk::new();
    question_set(&desk, "set", 200, |_| {});
    let none = ["data.limit_per_task=1000", "data.tasks=[]"];
    let check = |how: &str| {
        let mut arguments = vec!["quick.toml", how];
        none.iter().for_each(|text| arguments.extend(["--set", text]));
        desk.run(TRAIN, &arguments)
    };
    check("--check").succeeded();
    for number in 0..12 {
        desk.write(&format!("set/audio/q{}.wav", 1 + 16 * number), b"RIFF");
    }
    check("--check").failed(65, &["12 of the 200 rows", "q1`", "truncated-audio"]);
    check("--check=quick").succeeded();
    for number in 0..200 {
        desk.write(&format!("set/audio/q{number}.wav"), b"RIFF");
    }
    check("--check=quick").failed(65, &["rows of"]);
    check("--check=slow").failed(2, &["quick"]);
}

#[test]
fn a_folder_that_is_nearly_an_adapter_is_told_what_to_do() {
    let desk = Desk::new();
    desk.write("pickle/adapter_config.json", b"{}");
    desk.write("pickle/adapter_model.bin", b"x");
    desk.write("trainer/checkpoint-9/adapter_config.json", b"{}");
    desk.write("trainer/checkpoint-10/adapter_config.json", b"{}");
    for (folder, hint) in
        [("pickle", "safe_serialization"), ("trainer", "did you mean `trainer/checkpoint-10`?")]
    {
        desk.run(EVAL, &["quick.toml", "--adapter", folder, "--out", "out"])
            .failed(66, &["holds no adapter", hint]);
        let named = format!("eval.adapters=[\"mine={folder}\"]");
        desk.run(TRAIN, &["quick.toml", "--check", "--set", &named]).failed(66, &["holds no adapter", hint]);
    }
}
