//! Paths that no shape follows.

use idk_common::fs::write_atomic;
use idk_questions::read_questions;
use serde_json::json;
use tempfile::TempDir;

use crate::{folder, with};

#[test]
fn paths_out_of_the_folder_are_rejected_in_every_shape() {
    use std::os::unix::fs::symlink;
    let outside = folder("secret.wav", "x", &[]);
    let dir = tempfile::tempdir().unwrap();
    symlink(outside.path().join("secret.wav"), dir.path().join("link.wav")).unwrap();
    let absolute = outside.path().join("secret.wav").to_str().unwrap().to_owned();
    for name in ["link.wav", "../link.wav", absolute.as_str()] {
        let mcq = json!({"id": 1, "question": "Which?", "choices": ["a", "b"], "answer": "a"});
        let shapes = [
            with(&mcq, &[("audio_id", json!(name))]),
            with(&mcq, &[("audio_path", json!(name)), ("modality", json!("sound"))]),
            with(
                &mcq,
                &[
                    ("path", json!(name)),
                    ("choice_a", json!("a")),
                    ("choice_b", json!("b")),
                    ("answer_gt", json!("a")),
                ],
            ),
            with(
                &mcq,
                &[
                    ("audio_path", json!(name)),
                    ("question_text", json!("Which?")),
                    ("multi_choice", json!(["a", "b"])),
                    ("answer", json!(0)),
                ],
            ),
            with(&mcq, &[("audio", json!(name)), ("choices", json!([]))]),
        ];
        for row in &shapes {
            assert_eq!(code(&dir, "q.jsonl", &row.to_string()), "bad-path", "{row}");
        }
        let table = format!("file_name,QuestionText,answer\n{name},Which?,dog\n{name},Which?,dog\n");
        assert_eq!(code(&dir, "q.csv", &table), "bad-path", "{name}");
    }
}

/// The code of the only row's rejection.
fn code(dir: &TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    write_atomic(&path, text.as_bytes()).unwrap();
    let set = read_questions(&path).unwrap();
    assert_eq!((set.questions.len(), set.rejected.len()), (0, 1));
    set.rejected[0].reason.clone()
}
