//! Any bytes as a question set: an error that names the file, or every row as a question or a rejection that can be used.

#![no_main]

mod folder;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use idk_questions::{ReadOptions, read_questions_with};
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = folder::folder();
    std::fs::write(dir.join("a.wav"), b"RIFF").expect("the clip can be written");
    dir.join("questions.json")
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the file can be written");
    for require_audio in [true, false] {
        let options = ReadOptions { require_audio, ..ReadOptions::default() };
        match read_questions_with(&FILE, &options) {
            Ok(set) => {
                let root = FILE.parent().expect("a folder");
                let ids: BTreeSet<&str> = set.questions.iter().map(|question| question.id.as_str()).collect();
                assert_eq!(ids.len(), set.questions.len(), "two questions have one id");
                for question in &set.questions {
                    assert!(question.audio.iter().all(|clip| clip.starts_with(root)), "{:?}", question.audio);
                    assert!(question.choices.is_empty() || question.choices.contains(&question.answer));
                }
                assert!(set.rejected.iter().all(|row| !row.reason.is_empty()));
            }
            Err(error) => assert!(error.to_string().contains("questions.json"), "{error}"),
        }
    }
});
