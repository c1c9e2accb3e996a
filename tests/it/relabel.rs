//! Samples can be relabelled any number of times, without the model and without losing any.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{BUILD, Desk, TRAIN, assert_same, files};
use idk_common::json::{JsonlWriter, read_json, read_jsonl, write_jsonl};
use idk_dataset_builder::{BuildConfig, Provenance, QuestionRow, Screening, finish};
use idk_questions::Verdict;
use idk_questions::rows::SampleRow;
use serde_json::{Value, json};

/// Right answers of question `number` among its five samples: 0, 5, 4, 3, 2, 1, 0, ...
fn right(number: usize) -> usize {
    number * 5 % 6
}

/// A finished sampling of `questions` x 5 in `dir`, labelled with `config`. With `stop`, each question ends as soon as
/// its label is decided.
fn synthetic(dir: &Path, questions: usize, config: &BuildConfig, stop: bool) {
    let mut asked = JsonlWriter::create(&dir.join("questions.jsonl")).unwrap();
    let mut samples = JsonlWriter::create(&dir.join("samples.jsonl")).unwrap();
    for number in 0..questions {
        let id = format!("q{number}");
        asked.put(&asked_row(number)).unwrap();
        let (mut correct, mut n) = (0, 0);
        while n < 5 && !(stop && (correct >= config.k || correct + 5 - n < config.k)) {
            let is_right = n < right(number);
            correct += usize::from(is_right);
            let row = SampleRow {
                id: id.clone(),
                sample: n,
                seed: (number * 5 + n) as u64,
                text: if is_right { "a dog".to_owned() } else { format!("(B) a cat number {n}") },
                verdict: if is_right { Verdict::Correct } else { Verdict::Wrong },
                choice: Some(usize::from(!is_right)),
                log_prob: Some(-0.123_456_789),
                tokens: None,
            };
            samples.put(&row).unwrap();
            n += 1;
        }
    }
    asked.commit().unwrap();
    samples.commit().unwrap();
    write_jsonl::<Value>(&dir.join("rejected.jsonl"), &[]).unwrap();
    let screening = Screening { input: questions, kept: questions, ..Screening::default() };
    finish(dir, config, 7, &Provenance::default(), &screening).unwrap();
}

fn asked_row(number: usize) -> QuestionRow {
    QuestionRow {
        id: format!("q{number}"),
        message: format!("<audio>What do you hear in clip {number}?\nA. a dog\nB. a cat"),
        audios: vec![format!("../audio/{}.wav", number / 2)],
        answer: "a dog".to_owned(),
        choices: vec!["a dog".to_owned(), "a cat".to_owned()],
        task: ["sound", "music", "speech"][number % 3].to_owned(),
        sub_category: ["event", "count"][number / 3 % 2].to_owned(),
        difficulty: ["easy", "hard"][number % 2].to_owned(),
        group: format!("{}.wav", number / 2),
        ..QuestionRow::default()
    }
}

fn three_of_five() -> BuildConfig {
    BuildConfig { k: 3, ..BuildConfig::default() }
}

fn manifest(dataset: &Path) -> Value {
    read_json(&dataset.join("manifest.json")).unwrap()
}

fn rows(dataset: &Path, name: &str) -> Vec<Value> {
    read_jsonl(&dataset.join(name)).unwrap()
}

#[test]
fn relabelling_gives_the_bytes_of_a_build_with_that_k_and_training_goes_on_with_it() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    desk.build(&["build.k=1", "output.dir=other"]).succeeded();
    desk.run(BUILD, &["relabel", "run", "--k", "1"]).succeeded();
    assert_same(&files(&desk.path("other/dataset")), &files(&desk.path("run/dataset")));
    desk.build(&[]).failed(65, &["build.k"]);
    desk.train(&["build.k=1"]).succeeded();
    // What was trained stays valid for what it was trained on.
    let said = desk.run(BUILD, &["relabel", "run", "--set", "build.refusal=I am not sure"]).succeeded();
    assert!(said.stderr.contains("checkpoints"), "{}", said.stderr);
    desk.train(&["build.k=1", "build.refusal=I am not sure"]).failed(65, &["rows"]);
}

#[test]
fn another_folder_becomes_a_run_of_its_own_and_the_first_stays_as_it_is() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let before = files(&desk.path("run"));
    let relabel = ["relabel", "run", "--k", "1", "--set", "build.target=sampled", "--out", "deep/down/other"];
    desk.run(BUILD, &relabel).succeeded();
    assert_same(&before, &files(&desk.path("run")));
    desk.train(&["build.k=1", "build.target=sampled", "output.dir=deep/down/other"]).succeeded();
    desk.run(BUILD, &relabel).failed(65, &["already holds"]);
    // The run also answers to the name of its dataset folder.
    desk.run(BUILD, &["relabel", "run/dataset", "--k", "1"]).succeeded();
    desk.build(&["build.k=1"]).succeeded();
}

#[test]
fn kept_tasks_only_keep_the_models_own_answers_and_no_label_of_theirs_is_used() {
    let desk = Desk::new();
    let dataset = desk.path("kept");
    synthetic(&dataset, 60, &three_of_five(), false);
    let labels = files(&dataset)["labels.jsonl"].clone();
    let settings = ["--set", "build.keep_tasks=[\"music\", \"speech\"]", "--set", "build.target=own"];
    desk.run(BUILD, &[&["relabel", "kept", "--k", "3"][..], &settings].concat()).succeeded();
    assert!(files(&dataset)["labels.jsonl"] == labels, "labels say what was sampled");
    let (chats, pairs) = (rows(&dataset, "sft.jsonl"), rows(&dataset, "dpo.jsonl"));
    let calibrated = rows(&dataset, "calibrated.jsonl");
    assert_eq!((chats.len(), calibrated.len()), (60, 60));
    for (number, (chat, row)) in chats.iter().zip(&calibrated).enumerate() {
        let (kept, right) = (number % 3 > 0, right(number));
        // Right samples come first and are the same text; each wrong one is another.
        let own = if right == 0 { "(B) a cat number 0" } else { "a dog" };
        let target = if kept {
            own
        } else if right >= 3 {
            "a dog"
        } else {
            "I don't know"
        };
        assert_eq!(chat["messages"][1]["content"], target, "{chat}");
        assert_eq!(row["own"][0]["content"], own, "{row}");
        let rate = (!kept).then_some((5 - right) as f64 / 5.0);
        assert_eq!(row.get("error_rate").and_then(Value::as_f64), rate, "{row}");
        let of_question: Vec<&Value> = pairs.iter().filter(|pair| pair["id"] == chat["id"]).collect();
        if kept {
            assert_eq!(of_question.len(), 1);
            assert_eq!(of_question[0]["chosen"][0]["content"], own);
            assert_eq!(of_question[0]["rejected"][0]["content"], "I don't know");
        }
    }
    desk.write("audio/0.wav", b"");
    desk.run(BUILD, &["export", "kept", "--format", "trl", "--out", "out"]).succeeded();
    assert_eq!(rows(&desk.path("out"), "calibrated.jsonl")[1]["error_rate"], Value::Null);
}

#[test]
fn what_labelling_cannot_change_is_refused_by_name_and_nothing_is_touched() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let before = files(&desk.path("run"));
    let set = |text: &str| desk.run(BUILD, &["relabel", "run", "--set", text]);
    set("build.temperature=0.5").failed(2, &["build.temperature", "decides what is sampled"]);
    set("build.n_samples=9").failed(2, &["build.n_samples"]);
    set("train.epochs=1").failed(2, &["train.epochs", "[build]"]);
    set("build.max_idk_shar=0.5").failed(2, &["did you mean `max_idk_share`?"]);
    set("build.max_idk_share=2").failed(2, &["max_idk_share", "between 0 and 1"]);
    set("build.refusal=rain").failed(2, &["refusal"]);
    set("build.refusals=[\"I am not sure\", \"dog\"]").failed(2, &["refusals", "dog"]);
    desk.run(BUILD, &["relabel", "run", "--k", "4"]).failed(2, &["`k`", "n_samples"]);
    desk.run(BUILD, &["relabel", "nowhere"]).failed(66, &["nowhere"]);
    desk.run(BUILD, &["relabel", "set"]).failed(66, &["set", "no finished samples"]);
    assert_same(&before, &files(&desk.path("run")));
    // Samples that were changed by hand are not labelled.
    let samples = desk.path("run/dataset/samples.jsonl");
    let spoilt = idk_common::fs::read_to_string(&samples).unwrap().replacen("wrong", "correct", 1);
    desk.write("run/dataset/samples.jsonl", spoilt.as_bytes());
    desk.run(BUILD, &["relabel", "run", "--k", "1"]).failed(65, &["samples.jsonl"]);
}

#[test]
fn samples_that_stopped_when_decided_give_their_own_k_and_no_other() {
    let desk = Desk::new();
    let (whole, stopped) = (desk.path("whole"), desk.path("stopped"));
    synthetic(&whole, 60, &three_of_five(), false);
    synthetic(&stopped, 60, &three_of_five(), true);
    assert!(rows(&stopped, "samples.jsonl").len() < rows(&whole, "samples.jsonl").len());
    let labels = |dataset: &Path| -> Vec<Value> {
        rows(dataset, "labels.jsonl").iter().map(|row| row["label"].clone()).collect()
    };
    assert_eq!(labels(&whole), labels(&stopped));
    let shares = |dataset: &Path| manifest(dataset)["idk_share"]["overall"]["unknown"].clone();
    assert_eq!(shares(&whole).as_object().unwrap().len(), 5);
    assert_eq!(shares(&stopped), json!({ "3": shares(&whole)["3"] }));
    let before = files(&stopped);
    for k in ["2", "4"] {
        desk.run(BUILD, &["relabel", "stopped", "--k", k])
            .failed(65, &["do not decide", &format!("K = {k}")]);
        assert_same(&before, &files(&stopped));
    }
    desk.run(BUILD, &["relabel", "stopped", "--set", "build.target=sampled"]).succeeded();
    let card = idk_common::fs::read_to_string(&stopped.join("README.md")).unwrap();
    assert!(card.contains("| | n | 3@5 |"), "{card}");
}

#[test]
fn a_relabelling_that_is_killed_leaves_an_incomplete_dataset_and_the_same_command_completes_it() {
    let desk = Desk::new();
    synthetic(&desk.path("expected"), 3000, &three_of_five(), false);
    synthetic(&desk.path("killed"), 3000, &three_of_five(), false);
    let settings = ["--k", "5", "--set", "build.val_share=0.1", "--set", "build.max_idk_share=0.4"];
    let relabel = |name: &'static str| [&["relabel", name][..], &settings].concat();
    let started = Instant::now();
    desk.run(BUILD, &relabel("expected")).succeeded();
    let took = started.elapsed();
    let kept = ["samples.jsonl", "questions.jsonl", "rejected.jsonl"];
    let before = files(&desk.path("killed"));
    let mut incomplete = 0;
    for moment in 0..24 {
        let mut child = desk.command(BUILD, &relabel("killed")).spawn().unwrap();
        std::thread::sleep(took.mul_f64(f64::from(moment) / 20.0));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = files(&desk.path("killed"));
        assert!(kept.iter().all(|name| now.get(*name) == before.get(*name)), "samples are never touched");
        if now.contains_key("manifest.json") {
            idk_dataset_builder::verify(&desk.path("killed")).unwrap();
        } else {
            incomplete += 1;
            desk.run(BUILD, &["inspect", "killed"]).failed(65, &["incomplete", "relabel"]);
        }
    }
    println!("{incomplete} of 24 kills left an incomplete dataset");
    desk.run(BUILD, &relabel("killed")).succeeded();
    assert_same(&files(&desk.path("expected")), &files(&desk.path("killed")));
}

#[test]
fn an_interrupted_relabelling_of_a_run_is_completed_by_the_next_training_too() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let complete = files(&desk.path("run/dataset"));
    std::fs::remove_file(desk.path("run/dataset/manifest.json")).unwrap();
    desk.write("run/dataset/sft.jsonl", b"");
    // Another run's recipe does not get these samples.
    desk.build(&["seed=5"]).failed(65, &["seed"]);
    desk.build(&["build.temperature=0.5"]).failed(65, &["build.temperature"]);
    desk.train(&[]).succeeded();
    assert_same(&complete, &files(&desk.path("run/dataset")));
    // Nor do samples have to be drawn again for other labels.
    std::fs::remove_file(desk.path("run/dataset/manifest.json")).unwrap();
    desk.build(&["build.k=1"]).succeeded();
    assert_eq!(manifest(&desk.path("run/dataset"))["config"]["k"], 1);
}

#[test]
fn two_processes_do_not_relabel_one_run() {
    let desk = Desk::new();
    desk.build(&[]).succeeded();
    let _lock = idk_common::lock::RunLock::acquire(&desk.path("run")).unwrap();
    desk.run(BUILD, &["relabel", "run", "--k", "1"]).failed(75, &["in use"]);
}

#[test]
fn split_and_balance_account_for_every_question_and_no_recording_is_on_both_sides() {
    let desk = Desk::new();
    let dataset = desk.path("set600");
    synthetic(&dataset, 600, &three_of_five(), false);
    let settings = ["--k", "5", "--set", "build.val_share=0.2", "--set", "build.max_idk_share=0.5"];
    let pairs = ["--set", "build.max_pairs_per_question=2"];
    desk.run(BUILD, &[&["relabel", "set600"][..], &settings, &pairs].concat()).succeeded();
    // 100 of 600 have 5 of 5 right.
    let counts = manifest(&dataset)["counts"].clone();
    assert_eq!([&counts["known"], &counts["unknown"], &counts["sft_val_rows"]], [100, 500, 120]);
    let (train, val) = (rows(&dataset, "sft.jsonl"), rows(&dataset, "sft-val.jsonl"));
    let unknown = |rows: &[Value]| rows.iter().filter(|row| row["label"] == "unknown").count();
    assert_eq!(unknown(&train) * 2, train.len());
    assert_eq!(counts["left_out"], 600 - 120 - train.len());
    let recordings =
        |rows: &[Value]| -> Vec<Value> { rows.iter().map(|row| row["audios"][0].clone()).collect() };
    let (left, other) = (recordings(&train), recordings(&val));
    assert!(left.iter().all(|audio| !other.contains(audio)));
    let mut per_question = BTreeMap::<String, usize>::new();
    for row in rows(&dataset, "dpo.jsonl").iter().chain(&rows(&dataset, "dpo-val.jsonl")) {
        *per_question.entry(row["id"].to_string()).or_default() += 1;
    }
    assert_eq!(per_question.values().max(), Some(&2));
    // Without the split its files go.
    desk.run(BUILD, &["relabel", "set600", "--set", "build.val_share=0"]).succeeded();
    for name in ["sft-val.jsonl", "dpo-val.jsonl", "calibrated-val.jsonl"] {
        assert!(!dataset.join(name).exists(), "{name}");
    }
    idk_dataset_builder::verify(&dataset).unwrap();
}

/// Largest resident size of a running process so far, in MiB.
fn peak_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

/// `IDK_RELABEL_SAMPLES=1000000` for the size of the documentation.
#[test]
fn many_samples_are_relabelled_right_and_in_little_memory() {
    let desk = Desk::new();
    let samples: usize = std::env::var("IDK_RELABEL_SAMPLES").map_or(50_000, |text| text.parse().unwrap());
    let questions = samples / 5;
    let dataset: PathBuf = desk.path("many");
    synthetic(&dataset, questions, &three_of_five(), false);
    let settings = ["--k", "4", "--set", "build.val_share=0.1", "--set", "build.max_idk_share=0.5"];
    let started = Instant::now();
    let mut child = desk.command(BUILD, &[&["relabel", "many"][..], &settings].concat()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak_mib(child.id()).unwrap_or(0).max(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    let took_s = started.elapsed().as_secs_f64();
    assert!(child.wait().unwrap().success());
    let size_mib = std::fs::metadata(dataset.join("samples.jsonl")).unwrap().len() >> 20;
    println!("{samples} samples ({size_mib} MiB): {took_s:.1} s, peak {peak} MiB");
    let counts = manifest(&dataset)["counts"].clone();
    let known = (0..questions).filter(|&number| right(number) >= 4).count();
    assert_eq!((&counts["known"], &counts["samples"]), (&known.into(), &samples.into()));
    let labels = rows(&dataset, "labels.jsonl");
    assert!(labels.iter().enumerate().all(|(number, row)| row["correct"] == right(number)));
    // The program itself takes some 20 MiB.
    assert!(peak < 128, "{peak} MiB");
}

#[test]
fn a_dataset_is_shown_as_text_that_a_terminal_can_take_and_as_json() {
    let desk = Desk::new();
    let dataset = desk.path("shown");
    synthetic(&dataset, 12, &three_of_five(), false);
    let text = desk.run(BUILD, &["inspect", "shown"]).succeeded().stdout;
    for part in [
        "12 = 12 kept + 0 rejected",
        "60: 30 correct, 30 wrong, 0 refused",
        "6 known, 6 unknown at 3@5",
        "    1@5   16.7 %",
        "    3@5   50.0 %  <- this dataset",
        "IDK share by sub-category",
        "music/count",
        "IDK share by difficulty",
        "Examples, chosen by the seed",
        "    => I don't know",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert_eq!(text.matches("What do you hear in clip").count(), 5);
    let shown = desk.run(BUILD, &["inspect", "shown", "--json"]).succeeded().json();
    assert_eq!(shown["counts"]["known"], 6);
    assert_eq!(shown["examples"].as_array().unwrap().len(), 5);
    // A question that tries to clear the screen.
    let mut asked: Vec<QuestionRow> = read_jsonl(&dataset.join("questions.jsonl")).unwrap();
    for row in &mut asked {
        row.message.push_str("\u{1b}[2J");
        row.difficulty = "\u{1b}]0;x\u{7}".to_owned();
    }
    write_jsonl(&dataset.join("questions.jsonl"), &asked).unwrap();
    let screening = Screening { input: 12, kept: 12, ..Screening::default() };
    finish(&dataset, &three_of_five(), 7, &Provenance::default(), &screening).unwrap();
    let text = desk.run(BUILD, &["inspect", "shown"]).succeeded().stdout;
    assert!(!text.contains('\u{1b}') && text.contains("\\u{1b}[2J"), "{text}");
    desk.run(BUILD, &["inspect", "nowhere"]).failed(66, &["nowhere"]);
}

#[test]
fn exports_have_the_shapes_of_their_readers_and_name_recordings_that_open() {
    let desk = Desk::new();
    desk.build(&["build.val_share=0.34"]).succeeded();
    let dataset = desk.path("run/dataset");
    let export = |format: &str, more: &[&str]| {
        let out = format!("out/{format}");
        desk.run(BUILD, &[&["export", "run", "--format", format, "--out", &out], more].concat()).succeeded();
        desk.path(&out)
    };
    let keys = |row: &Value| -> Vec<String> { row.as_object().unwrap().keys().cloned().collect() };
    let (chats, pairs) = (rows(&dataset, "sft.jsonl"), rows(&dataset, "dpo.jsonl"));
    assert!(!pairs.is_empty() && dataset.join("sft-val.jsonl").exists());

    let swift = export("ms-swift", &[]);
    let (chat, pair) = (&rows(&swift, "sft.jsonl")[0], &rows(&swift, "dpo.jsonl")[0]);
    assert_eq!(keys(chat), ["messages", "audios"]);
    assert_eq!(chat["messages"], chats[0]["messages"]);
    assert_eq!(keys(pair), ["messages", "rejected_response", "audios"]);
    assert_eq!(pair["messages"][1], pairs[0]["chosen"][0]);
    assert_eq!(pair["rejected_response"], pairs[0]["rejected"][0]["content"]);
    let (calibrated, own) = (rows(&dataset, "calibrated.jsonl"), &rows(&swift, "calibrated.jsonl")[0]);
    assert_eq!(keys(own), ["messages", "refusal", "error_rate", "audios"]);
    assert_eq!(own["messages"][1], calibrated[0]["own"][0]);
    assert_eq!(own["refusal"], "I don't know");
    for row in rows(&swift, "sft.jsonl").iter().chain(&rows(&swift, "sft-val.jsonl")) {
        let path = Path::new(row["audios"][0].as_str().unwrap()).to_owned();
        assert!(path.is_absolute() && path.is_file(), "{path:?}");
    }

    let factory = export("llama-factory", &[]);
    let pair = &rows(&factory, "dpo.jsonl")[0];
    assert_eq!(keys(pair), ["messages", "chosen", "rejected", "audios"]);
    assert_eq!((&pair["messages"], &pair["chosen"]), (&pairs[0]["prompt"], &pairs[0]["chosen"][0]));
    assert!(factory.join(pair["audios"][0].as_str().unwrap()).is_file(), "relative to the folder");
    let info: Value = read_json(&factory.join("dataset_info.json")).unwrap();
    let names = ["idk_sft", "idk_dpo", "idk_calibrated", "idk_sft_val", "idk_dpo_val", "idk_calibrated_val"];
    assert_eq!(keys(&info), names);
    let tags = json!({"role_tag": "role", "content_tag": "content", "user_tag": "user",
        "assistant_tag": "assistant", "system_tag": "system"});
    assert_eq!(
        info["idk_dpo"],
        json!({"file_name": "dpo.jsonl", "formatting": "sharegpt", "ranking": true, "columns": {"messages": "messages",
            "audios": "audios", "chosen": "chosen", "rejected": "rejected"}, "tags": tags})
    );

    let trl = export("trl", &["--paths", "relative"]);
    let (chat, pair) = (&rows(&trl, "sft.jsonl")[0], &rows(&trl, "dpo.jsonl")[0]);
    assert_eq!(
        (keys(chat), keys(pair)),
        (vec!["prompt".into(), "completion".into(), "audios".into()], {
            let keys = ["prompt", "chosen", "rejected", "audios"];
            keys.map(str::to_owned).to_vec()
        })
    );
    assert_eq!(chat["completion"], json!([chats[0]["messages"][1]]));
    let own = &rows(&trl, "calibrated.jsonl")[0];
    assert_eq!(keys(own), ["prompt", "completion", "refusal", "error_rate", "audios"]);
    assert!(trl.join(chat["audios"][0].as_str().unwrap()).is_file());

    desk.run(BUILD, &["export", "run", "--format", "trl", "--out", "run/dataset"])
        .failed(65, &["already holds"]);
    desk.write("run/dataset/sft.jsonl", b"");
    desk.run(BUILD, &["export", "run", "--format", "trl", "--out", "out/again"]).failed(65, &["sft.jsonl"]);
}

#[test]
fn validation_rows_reach_the_training() {
    let desk = Desk::new();
    let overrides = ["build.val_share=0.34", "train.eval_every=1"];
    desk.run(TRAIN, &crate::support::with_overrides("quick.toml", &overrides)).succeeded();
    let metrics: Vec<Value> = read_jsonl(&desk.path("run/logs/metrics.jsonl")).unwrap();
    assert!(metrics.iter().any(|row| row.get("eval_loss").is_some()), "{metrics:?}");
}
