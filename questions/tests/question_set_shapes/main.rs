//! Every shape of question set, on small files of its own making with the keys of the published ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod benchmarks;
mod clotho_aqa;
mod open;
mod paths;
mod unanswerable;

use idk_common::fs::write_atomic;
use idk_questions::{Question, QuestionSet, ReadOptions, read_questions, read_questions_with};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with `text` as its question file and an empty file for each of `clips`.
fn folder(name: &str, text: &str, clips: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
    for clip in clips {
        write_atomic(&dir.path().join(clip), b"RIFF").unwrap();
    }
    dir
}

fn read(rows: &Value, clips: &[&str]) -> (TempDir, QuestionSet) {
    let dir = folder("q.json", &rows.to_string(), clips);
    let set = read_questions(&dir.path().join("q.json")).unwrap();
    (dir, set)
}

fn table(text: &str, clips: &[&str], options: ReadOptions) -> (TempDir, QuestionSet) {
    let dir = folder("q.csv", text, clips);
    let set = read_questions_with(&dir.path().join("q.csv"), &options).unwrap();
    (dir, set)
}

fn clip(dir: &TempDir, question: &Question) -> String {
    question.audio[0].strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned()
}

/// Line, id and code of every rejection.
fn rejections(set: &QuestionSet) -> Vec<(usize, &str, &str)> {
    set.rejected.iter().map(|row| (row.line, row.id.as_str(), row.reason.as_str())).collect()
}

fn mmau(id: &str, choices: &[&str]) -> Value {
    json!({
        "id": id, "audio_id": "./test-mini-audios/a.wav", "question": "What is heard?", "choices": choices,
        "answer": choices[0], "dataset": "AudioSet", "task": "sound", "split": "test-mini", "category": ["Reasoning"],
        "sub-category": "Event", "difficulty": "easy",
    })
}

const MMAU_CLIP: &[&str] = &["test-mini-audios/a.wav"];

fn with(row: &Value, keys: &[(&str, Value)]) -> Value {
    let mut row = row.clone();
    for (key, value) in keys {
        row[*key] = value.clone();
    }
    row
}
