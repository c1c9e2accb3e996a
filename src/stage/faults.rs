//! A disk that fails once, at every operation of a small run: the run ends with 74 or is right, and resumes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::diagnose::ExitKind;
use idk_common::{faults, fs, paths};

use crate::recipe::Recipe;
use crate::run::{Options, Run};
use crate::terminal::Failure;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qwen2-audio-tiny")
}

/// Two questions about a clip in `root`, and a recipe of one step.
fn recipe(root: &Path, run: &str) -> Recipe {
    let clip = fs::read(&tiny().join("a.wav")).unwrap();
    fs::write_atomic(&root.join("a.wav"), &clip).unwrap();
    let row = |id: &str| serde_json::json!({"id": id, "audio": "a.wav", "question": "What?", "choices": ["dog", "rain"], "answer": "dog"});
    for file in ["train.json", "test.json"] {
        idk_common::json::write_json(&root.join(file), &[row("a"), row("b")]).unwrap();
    }
    let text = format!(
        "[model]\npath = '{}'\n[data]\ntrain = '{set}/train.json'\ntest = '{set}/test.json'\ntasks = []\n\
         [build]\nn_samples = 1\nk = 1\nmax_new_tokens = 1\n[train]\nmax_steps = 1\nbatch_size = 2\n\
         [eval]\nmax_new_tokens = 1\nbootstrap_draws = 10\n[output]\ndir = '{}'\n",
        tiny().display(),
        root.join(run).display(),
        set = root.display(),
    );
    Recipe::parse(&text, Path::new("r.toml"), &[]).unwrap()
}

fn run(recipe: &Recipe) -> Result<(), Failure> {
    let run = Run::start(recipe, &recipe.output.dir, &Options::default())?;
    super::all(&run).map(drop)
}

/// What a run is the same in wherever it ran; hidden files apart from leftovers of writers do not count.
fn outputs(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = paths::regular_files(dir).unwrap().into_iter();
    let same = files.filter(|(name, _)| !name.starts_with("logs/events.") && name != "recipe.toml");
    same.map(|(name, path)| (name, fs::read(&path).unwrap())).collect()
}

fn leftovers(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(leftovers(&path));
        } else if fs::is_temporary(&name) {
            found.push(path);
        }
    }
    found
}

fn differing(one: &BTreeMap<String, Vec<u8>>, other: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names = one.keys().chain(other.keys());
    names.filter(|name| one.get(*name) != other.get(*name)).cloned().collect()
}

#[test]
fn whichever_operation_on_a_file_fails_the_run_ends_with_74_or_is_right_and_then_resumes() {
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let calm = recipe(root.path(), "calm");
    faults::fail(root.path(), 0);
    run(&calm).unwrap();
    let operations = faults::end();
    let expected = outputs(&calm.output.dir);
    assert!(operations > 100, "{operations}");
    let mut failed = 0;
    for at in 1..=operations {
        let recipe = recipe(root.path(), "run");
        faults::fail(root.path(), at);
        let result = run(&recipe);
        faults::end();
        match result {
            Ok(()) => {
                assert_eq!(differing(&expected, &outputs(&recipe.output.dir)), [""; 0], "operation {at}");
            }
            Err(failure) => {
                failed += 1;
                assert_eq!(failure.exit_kind(), ExitKind::Io, "operation {at}: {failure}");
                let text = failure.to_string();
                assert!(text.contains(root.path().to_str().unwrap()), "operation {at} names no file: {text}");
            }
        }
        run(&recipe).unwrap_or_else(|failure| panic!("after operation {at}: {failure}"));
        assert_eq!(differing(&expected, &outputs(&recipe.output.dir)), [""; 0], "after operation {at}");
        assert_eq!(leftovers(&recipe.output.dir), Vec::<PathBuf>::new(), "after operation {at}");
        std::fs::remove_dir_all(&recipe.output.dir).unwrap();
    }
    assert!(failed > operations / 2, "{failed} of {operations}");
}
