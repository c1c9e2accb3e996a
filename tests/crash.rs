//! Builds that are killed, stopped, starved of disk or spread over machines: no sample is lost, and every byte is the same.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use idk_common::json::{read_json, read_jsonl};
use idk_common::seed::Rng;
use idk_questions::rows::{LabelRow, SampleRow};
use serde_json::Value;
use support::{
    BUILD, Desk, FROM_BANK, assert_same, base_model, files, finished, question_set, said, stop, tiny_model,
    with_overrides,
};

/// 48 questions in 24 shards: long enough to be hit in the middle.
const MANY: [&str; 6] = [
    "data.train=many/questions.json",
    "data.limit_per_task=16",
    "build.shard_size=2",
    "build.n_samples=16",
    "build.max_new_tokens=32",
    "build.k=2",
];

fn desk() -> Desk {
    let desk = Desk::new();
    question_set(&desk, "many", 48, |_| {});
    desk
}

fn many<'a>(more: &[&'a str]) -> Vec<&'a str> {
    MANY.into_iter().chain(more.iter().copied()).collect()
}

/// The files of a finished dataset; nothing else may lie in its folder.
#[track_caller]
fn dataset(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let dir = run.join("dataset");
    let found = files(&dir);
    assert!(found.contains_key("manifest.json"), "{:?}", found.keys());
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), found.len(), "something else lies in the folder");
    found
}

/// Number of shards of a build that is not complete.
fn shards(run: &Path) -> usize {
    let listed = std::fs::read_dir(run.join("dataset/shards")).into_iter().flatten();
    listed
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "jsonl"))
        .count()
}

/// Less work of the same kind, for a build that is started often.
fn short(folder: &str) -> Vec<&str> {
    many(&["build.n_samples=8", "build.max_new_tokens=16", folder])
}

#[test]
fn a_build_that_is_killed_at_thirty_random_moments_ends_with_the_same_bytes() {
    const KILLS: usize = 30;
    let desk = desk();
    let started = Instant::now();
    desk.build(&short("output.dir=whole")).succeeded();
    let duration = started.elapsed();
    let expected = dataset(&desk.path("whole"));

    let mut rng = Rng::new(30);
    let (mut kills, mut finished, mut in_the_middle) = (0, 0, 0);
    while kills < KILLS {
        let name = format!("run{finished}");
        let folder = format!("output.dir={name}");
        let arguments = short(&folder);
        let mut child = desk.command(BUILD, &with_overrides("quick.toml", &arguments)).spawn().unwrap();
        std::thread::sleep(duration.mul_f64(rng.uniform()));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.success() || status.signal() == Some(9), "{status}");
        kills += usize::from(!status.success());
        in_the_middle += usize::from((1..24).contains(&shards(&desk.path(&name))));
        if kills == KILLS || desk.path(&name).join("dataset/manifest.json").exists() {
            desk.build(&arguments).succeeded();
            assert_same(&expected, &dataset(&desk.path(&name)));
            finished += 1;
        }
    }
    assert!(in_the_middle >= 5, "only {in_the_middle} of {KILLS} kills hit the sampling");
}

#[test]
fn a_build_that_is_asked_to_stop_finishes_its_shard_says_how_to_go_on_and_ends_with_the_same_bytes() {
    let desk = desk();
    desk.build(&many(&["output.dir=whole"])).succeeded();
    let mut before = 0;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let sign = format!("run/dataset/shards/{before:05}.jsonl");
        let said = stop(desk.build_until(&MANY, &sign), signal);
        let said =
            said.failed(code, &["stopping after the shard", "stopped by a signal", "same command again"]);
        assert!(said.stdout.is_empty(), "{}", said.stdout);
        let now = shards(&desk.path("run"));
        assert!(before < now && now < 24, "{before}, then {now}");
        assert!(said.stderr.contains(&format!("{} of 48 questions", 2 * now)), "{}", said.stderr);
        before = now;
    }
    desk.run(BUILD, &[&with_overrides("quick.toml", &MANY)[..], &["--resume"]].concat()).succeeded();
    assert_same(&dataset(&desk.path("whole")), &dataset(&desk.path("run")));
}

#[test]
fn a_second_process_is_refused_while_the_first_samples_and_disturbs_nothing() {
    let desk = desk();
    desk.build(&many(&["output.dir=whole"])).succeeded();
    let first = desk.build_until(&MANY, "run/dataset/shards/00000.jsonl");
    let holder = format!("pid {}", first.id());
    desk.build(&MANY).failed(75, &["in use by another process", &holder]);
    finished(first).succeeded();
    assert_same(&dataset(&desk.path("whole")), &dataset(&desk.path("run")));
}

/// `idk-build` that can write files of at most so many blocks of 512 bytes: a write beyond is cut short, the next fails.
fn build_with_little_room(desk: &Desk, blocks: usize) -> support::Said {
    let limited = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command: Command = desk.command("sh", &["-c", &limited, BUILD]);
    command.args(with_overrides("quick.toml", &MANY));
    said(command)
}

#[test]
fn a_file_that_cannot_be_written_whole_is_named_with_74_and_the_same_command_completes_later() {
    let desk = desk();
    desk.build(&many(&["output.dir=whole"])).succeeded();
    let expected = dataset(&desk.path("whole"));
    let largest = expected.values().map(Vec::len).max().unwrap();
    let mut named = Vec::new();
    for blocks in (0..).map(|power| 1 << power).take_while(|blocks| blocks * 512 < largest) {
        let said = build_with_little_room(&desk, blocks).failed(74, &["cannot write `", "ulimit -f"]);
        let file = said.stderr.split('`').nth(1).unwrap().to_owned();
        assert!(!desk.path(&file).exists() || file.ends_with(".lock"), "a half of {file} is there");
        let left: Vec<_> = ["run", "run/dataset", "run/dataset/shards"]
            .iter()
            .flat_map(|dir| std::fs::read_dir(desk.path(dir)).into_iter().flatten())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".tmp") || name == "manifest.json")
            .collect();
        assert!(left.is_empty(), "{left:?}");
        named.push(file);
    }
    for file in ["recipe.toml", "00000.jsonl", "samples.jsonl"] {
        assert!(named.iter().any(|name| name.ends_with(file)), "{file} is not in {named:?}");
    }
    desk.build(&MANY).succeeded();
    assert_same(&expected, &dataset(&desk.path("run")));
}

#[test]
fn samples_of_another_model_seed_setting_or_question_file_are_refused_with_each_difference_and_stay() {
    let desk = desk();
    stop(desk.build_until(&MANY, "run/dataset/shards/00001.jsonl"), "TERM").failed(143, &[]);
    let before = files(&desk.path("run"));
    for (changes, named) in [
        (
            vec!["build.n_samples=17", "build.temperature=0.5"],
            vec!["`build.n_samples` was 16 and is 17 now", "build.temperature"],
        ),
        (vec!["build.top_p=0.5", "build.top_k=3"], vec!["build.top_p", "build.top_k"]),
        (
            vec!["build.repetition_penalty=1.5", "build.max_new_tokens=9"],
            vec!["build.repetition_penalty", "build.max_new_tokens"],
        ),
        (vec!["build.options=keep", "build.prompt=lines"], vec!["build.options", "build.prompt"]),
        (
            vec!["build.stop_when_decided=true", "build.shard_size=5"],
            vec!["build.stop_when_decided", "build.shard_size"],
        ),
        (vec!["seed=1"], vec!["`seed` was 0 and is 1 now"]),
        (vec!["data.limit_per_task=3"], vec!["data.limit_per_task"]),
    ] {
        let said = desk.build(&many(&changes)).failed(65, &named).failed(65, &["another run", "--fresh"]);
        assert_eq!(said.stderr.matches(" was ").count(), changes.len(), "{}", said.stderr);
        assert_same(&before, &files(&desk.path("run")));
    }
    let mut model = files(&tiny_model());
    *model.get_mut("model.safetensors").unwrap().last_mut().unwrap() ^= 1;
    for (name, bytes) in &model {
        desk.write(&format!("model/{name}"), bytes);
    }
    desk.build(&many(&["model.path=model"])).failed(65, &["the content of `model` has changed"]);
    assert_same(&before, &files(&desk.path("run")));
    question_set(&desk, "many", 48, |rows| rows[40]["answer"] = "rain".into());
    desk.build(&MANY).failed(65, &["questions_sha256", "--fresh"]);
    assert_same(&before, &files(&desk.path("run")));

    // What only labels read may change.
    question_set(&desk, "many", 48, |_| {});
    let relabelled =
        ["build.k=5", "build.target=sampled", "build.refusal=I am not sure", "build.batch_size=7"];
    desk.build(&many(&relabelled)).succeeded();
    desk.build(&many(&[&relabelled[..], &["output.dir=whole"]].concat())).succeeded();
    assert_same(&dataset(&desk.path("whole")), &dataset(&desk.path("run")));
}

#[test]
fn a_damaged_shard_is_sampled_again_with_one_warning() {
    let desk = desk();
    stop(desk.build_until(&MANY, "run/dataset/shards/00002.jsonl"), "INT").failed(130, &[]);
    desk.write("run/dataset/shards/00001.jsonl", b"{\"shard\": 1");
    let said = desk.build(&MANY).succeeded();
    assert_eq!(said.stderr.matches("warning: ").count(), 1, "{}", said.stderr);
    assert!(said.stderr.contains("00001.jsonl"), "{}", said.stderr);
    desk.build(&many(&["output.dir=whole"])).succeeded();
    assert_same(&dataset(&desk.path("whole")), &dataset(&desk.path("run")));
}

#[test]
fn parts_that_are_sampled_at_once_in_any_order_merge_to_the_bytes_of_one_build() {
    let desk = Desk::new();
    let overrides = [&FROM_BANK[..], &["build.shard_size=1"]].concat();
    let whole = [&overrides[..], &["output.dir=whole"]].concat();
    desk.build(&whole).succeeded();
    let recipe = with_overrides("quick.toml", &overrides);
    let start = |part| desk.command(BUILD, &[&recipe[..], &["--shard", part]].concat()).spawn().unwrap();
    let merge = |more: &[&str]| {
        let sets: Vec<&str> = overrides.iter().flat_map(|text| ["--set", text]).collect();
        desk.run(BUILD, &[&["merge", "quick.toml"][..], more, &sets].concat())
    };
    merge(&[]).failed(66, &["shard-i-of-n", "--shard"]);
    assert!(!desk.path("run").exists());
    let children = ["3/4", "1/4", "4/4"].map(start);
    for child in children {
        let said = finished(child).succeeded();
        assert!(said.stdout.contains("idk-build merge"), "{}", said.stdout);
    }
    merge(&[]).failed(65, &["2 of 6 shard files", "00001.jsonl", "00005.jsonl"]);
    assert!(!desk.path("run/dataset").exists());
    finished(start("2/4")).succeeded();
    // A part that was sampled before is kept.
    assert!(!finished(start("2/4")).succeeded().stderr.contains("sampling"));
    merge(&[]).succeeded();
    assert_same(&dataset(&desk.path("whole")), &dataset(&desk.path("run")));
    merge(&["elsewhere"]).failed(66, &["elsewhere"]);
    desk.run(BUILD, &[&recipe[..], &["--shard", "5/4"]].concat()).failed(2, &["i/n"]);
}

#[test]
fn sampling_that_stops_when_the_label_is_certain_gives_the_same_labels_from_fewer_samples() {
    let desk = Desk::new();
    let model = format!("model.path={}", base_model().display());
    let sound = [
        "data.train=bank:idk",
        "data.limit_per_task=12",
        "build.n_samples=5",
        "build.k=3",
        "build.max_new_tokens=16",
    ];
    let overrides = [&sound[..], &[model.as_str()]].concat();
    desk.build(&overrides).succeeded();
    desk.build(&[&overrides[..], &["build.stop_when_decided=true", "output.dir=early"]].concat()).succeeded();
    let labels =
        |run: &str| -> Vec<LabelRow> { read_jsonl(&desk.path(run).join("dataset/labels.jsonl")).unwrap() };
    let label = |row: &LabelRow| (row.id.clone(), row.label);
    let (all, early) = (labels("run"), labels("early"));
    assert_eq!(all.iter().map(label).collect::<Vec<_>>(), early.iter().map(label).collect::<Vec<_>>());
    assert!(all.iter().any(|row| row.correct >= 3) && all.iter().any(|row| row.correct < 3));
    assert!(all.iter().all(|row| row.n == 5) && early.iter().all(|row| (3..=5).contains(&row.n)));
    assert!(early.iter().any(|row| row.n == 3) && early.iter().any(|row| row.n > 3));

    let samples =
        |run: &str| -> Vec<SampleRow> { read_jsonl(&desk.path(run).join("dataset/samples.jsonl")).unwrap() };
    let drawn: BTreeMap<&str, usize> = early.iter().map(|row| (row.id.as_str(), row.n)).collect();
    let texts = |rows: Vec<SampleRow>| -> Vec<(String, usize, u64, String)> {
        let first = rows.into_iter().filter(|row| row.sample < drawn[row.id.as_str()]);
        first.map(|row| (row.id, row.sample, row.seed, row.text)).collect()
    };
    assert_eq!(texts(samples("run")), texts(samples("early")), "the first samples are the same");

    let shares = |run: &str| {
        let manifest: Value = read_json(&desk.path(run).join("dataset/manifest.json")).unwrap();
        manifest["idk_share"]["overall"]["unknown"].clone()
    };
    assert_eq!(shares("early"), serde_json::json!({"3": shares("run")["3"]}), "no other K is claimed");
}
