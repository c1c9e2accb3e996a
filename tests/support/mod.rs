//! A folder of one's own to run the programs in, and what they leave there.
#![allow(dead_code, reason = "each test program uses its own part of this file")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use idk_common::fs::read;
use idk_common::paths::regular_files;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const BUILD: &str = env!("CARGO_BIN_EXE_idk-build");
pub(crate) const TRAIN: &str = env!("CARGO_BIN_EXE_idk-train");
pub(crate) const EVAL: &str = env!("CARGO_BIN_EXE_idk-eval");

/// A run that takes less than a second: random weights, six questions, short answers.
const QUICK_RECIPE: &str = r#"
[data]
train = "set/questions.json"
test = "set/test.json"
limit_per_task = 6

[build]
n_samples = 3
k = 2
max_new_tokens = 4

[train]
epochs = 2
batch_size = 2

[eval]
max_new_tokens = 4
bootstrap_draws = 50

[output]
dir = "run"
"#;

/// Questions rendered from the bank instead of the six of the quick recipe.
pub(crate) const FROM_BANK: [&str; 3] =
    ["data.train=bank:idk", "data.test=bank:test", "data.tasks=[\"sound\"]"];

/// Every method but the one whose prompt is too long for the tiny model.
pub(crate) const METHODS: &str = "eval.methods=[\"adapter\", \"idk-prompt\", \"mcot\", \"task-agent\", \"threshold\", \"one-pass\", \"self-consistency\", \"perplexity\", \"semantic-entropy\", \"p-true\", \"verbalised-confidence\", \"self-verification\", \"probe\", \"explicit-option\", \"group\", \"random\"]";

/// Longest that a test waits for a program to get somewhere.
const PATIENCE: Duration = Duration::from_secs(120);

/// A file or folder of the repository.
pub(crate) fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A true Qwen2-Audio folder of random weights with a window of two seconds.
pub(crate) fn tiny_model() -> PathBuf {
    repo("tests/fixtures/qwen2-audio-tiny")
}

/// The embedded base model, for tests in which the answers matter.
pub(crate) fn base_model() -> PathBuf {
    repo("checkpoints/mini-lalm")
}

/// What a finished program said.
#[derive(Debug)]
pub(crate) struct Said {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Checks the exit code, and that the error names every one of `parts`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
        self
    }

    /// The one JSON object on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let lines: Vec<&str> = self.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "not one line: {}", self.stdout);
        let value: Value = serde_json::from_str(lines[0]).unwrap();
        assert!(value.is_object(), "{value}");
        value
    }
}

/// A folder that programs run in; removed at the end of the test.
pub(crate) struct Desk {
    dir: TempDir,
}

impl Desk {
    /// A folder with `quick.toml` and its questions in `set`; its run folder is `run`.
    pub(crate) fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        question_set(&desk, "set", 6, |_| {});
        let recipe = format!("[model]\npath = '{}'\n{QUICK_RECIPE}", tiny_model().display());
        desk.write("quick.toml", recipe.as_bytes());
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test need not wait until its inputs are safely on the disk"
    )]
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A program that is to run in this folder.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env("IDK_BANK", repo("dataset-builder/bank"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Said {
        said(self.command(program, arguments))
    }

    /// `idk-train quick.toml` with overrides.
    pub(crate) fn train(&self, overrides: &[&str]) -> Said {
        self.run(TRAIN, &with_overrides("quick.toml", overrides))
    }

    /// `idk-build quick.toml` with overrides.
    pub(crate) fn build(&self, overrides: &[&str]) -> Said {
        self.run(BUILD, &with_overrides("quick.toml", overrides))
    }

    /// Starts `idk-train quick.toml` and comes back as soon as `sign` lies in the folder.
    pub(crate) fn train_until(&self, overrides: &[&str], sign: &str) -> Child {
        self.until(TRAIN, overrides, sign)
    }

    /// The same with `idk-build`.
    pub(crate) fn build_until(&self, overrides: &[&str], sign: &str) -> Child {
        self.until(BUILD, overrides, sign)
    }

    /// Trains with these settings, once as it comes, once on one thread, and once stopped while it samples and killed while
    /// it trains: the files must be the same.
    pub(crate) fn has_the_same_bytes_on_one_thread_and_after_a_stop_and_a_kill(&self, settings: &[&str]) {
        self.train(settings).succeeded();
        let expected = outputs(&self.path("run"));
        let one = [settings, &["output.dir=one"]].concat();
        let mut command = self.command(TRAIN, &with_overrides("quick.toml", &one));
        command.env("RAYON_NUM_THREADS", "1");
        said(command).succeeded();
        assert_same(&expected, &outputs(&self.path("one")));
        let two = [settings, &["output.dir=two"]].concat();
        stop(self.train_until(&two, "two/dataset/manifest.json"), "TERM");
        stop(self.train_until(&two, "two/checkpoints"), "KILL");
        self.train(&two).succeeded();
        // Where it stopped there is a checkpoint more.
        let results = |mut files: BTreeMap<String, Vec<u8>>| {
            files.retain(|name, _| !name.starts_with("checkpoints/"));
            files
        };
        assert_same(&results(expected), &results(outputs(&self.path("two"))));
    }

    fn until(&self, program: &str, overrides: &[&str], sign: &str) -> Child {
        let mut child = self.command(program, &with_overrides("quick.toml", overrides)).spawn().unwrap();
        let started = Instant::now();
        while !self.path(sign).exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it made {sign}");
            assert!(started.elapsed() < PATIENCE, "{sign} does not come");
            std::thread::sleep(Duration::from_millis(1));
        }
        child
    }
}

/// `RECIPE --set A --set B`.
pub(crate) fn with_overrides<'a>(recipe: &'a str, overrides: &[&'a str]) -> Vec<&'a str> {
    std::iter::once(recipe).chain(overrides.iter().flat_map(|text| ["--set", text])).collect()
}

pub(crate) fn said(mut command: Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal by its name (`INT`, `TERM`) and waits for the end.
pub(crate) fn stop(child: Child, signal: &str) -> Said {
    let kill = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    finished(child)
}

/// Waits for the end of a program.
pub(crate) fn finished(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All files under a folder that are not hidden, by name.
pub(crate) fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    regular_files(dir).unwrap().into_iter().map(|(name, path)| (name, read(&path).unwrap())).collect()
}

/// The files of a run that are the same whenever and wherever it ran: all but TensorBoard's events, which hold
/// times, and `recipe.toml`, which names the run folder.
pub(crate) fn outputs(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = files(run);
    found.retain(|name, _| !name.starts_with("logs/events.") && name != "recipe.toml");
    for needed in ["dataset/manifest.json", "adapter/adapter_model.safetensors", "eval/results.json"] {
        assert!(found.contains_key(needed), "{needed} is missing: {:?}", found.keys());
    }
    found
}

/// Fails with the names of the files that differ.
#[track_caller]
pub(crate) fn assert_same(expected: &BTreeMap<String, Vec<u8>>, found: &BTreeMap<String, Vec<u8>>) {
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let differing: Vec<&String> =
        names.into_iter().filter(|name| expected.get(*name) != found.get(*name)).collect();
    assert!(differing.is_empty(), "these files differ: {differing:?}");
}

/// Row `index` of a question set about the tiny model's clips.
pub(crate) fn question(index: usize) -> Value {
    let task = ["sound", "music", "speech"][index % 3];
    json!({
        "id": format!("q{index}"), "audio_id": format!("audio/q{index}.wav"), "question": "What is that sound?",
        "choices": ["dog", "cat", "rain"], "answer": "dog", "task": task, "category": "test",
        "sub-category": "event", "difficulty": "easy", "dataset": "made up", "split": "test",
    })
}

/// Writes `NAME/questions.json` and, with the same rows, `NAME/test.json`: `count` good rows and their clips; `change` may
/// spoil the rows.
pub(crate) fn question_set(
    desk: &Desk,
    name: &str,
    count: usize,
    change: impl Fn(&mut Vec<Value>),
) -> PathBuf {
    let clips = ["a.wav", "b.wav", "c.wav"].map(|clip| read(&tiny_model().join(clip)).unwrap());
    let mut rows: Vec<Value> = (0..count).map(question).collect();
    for index in 0..count {
        desk.write(&format!("{name}/audio/q{index}.wav"), &clips[index % 3]);
    }
    change(&mut rows);
    let text = Value::from(rows).to_string();
    desk.write(&format!("{name}/test.json"), text.as_bytes());
    desk.write(&format!("{name}/questions.json"), text.as_bytes())
}
