//! `docs/reference/dataset.md` lists every reason code, as the code documents it, and no other code exists.
//!
//! `IDK_WRITE_DOCS=1 cargo test --release -p idk-questions --test reasons` rewrites the table.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::path::{Path, PathBuf};

use idk_common::limits::{MAX_CLIPS, MAX_FIELD_CHARS, MAX_ROW_BYTES};
use idk_questions::{Rejection, reason};

const TABLE_HEAD: &str = "| reason | what is wrong |\n|---|---|\n";

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    idk_common::fs::read_to_string(&repo(path)).unwrap()
}

/// The codes in `questions/src/reason.rs` with their comments.
fn documented() -> Vec<(String, String)> {
    let source = read("questions/src/reason.rs");
    let (mut comment, mut found) = (String::new(), Vec::new());
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            text.clone_into(&mut comment);
        } else if line.starts_with("pub const") && line.contains(": &str = ") {
            found.push((line.split('"').nth(1).unwrap().to_owned(), comment.clone()));
        }
    }
    found
}

#[test]
fn the_list_holds_every_code_that_is_documented() {
    let codes: Vec<String> = documented().into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, reason::ALL);
    // Numbers in the comments.
    assert_eq!((MAX_FIELD_CHARS, MAX_CLIPS, MAX_ROW_BYTES), (65_536, 16, 4 << 20));
}

#[test]
fn the_table_says_what_the_code_says() {
    let rows =
        documented().into_iter().map(|(code, text)| format!("| `{code}` | {} |\n", text.replace('|', "\\|")));
    let table = TABLE_HEAD.to_owned() + &rows.collect::<String>();
    let path = "docs/reference/dataset.md";
    let page = read(path);
    let start = page.find(TABLE_HEAD).unwrap();
    let end = start + page[start..].find("\n\n").unwrap() + 1;
    let wanted = format!("{}{table}{}", &page[..start], &page[end..]);
    if std::env::var_os("IDK_WRITE_DOCS").is_some() {
        idk_common::fs::write_atomic(&repo(path), wanted.as_bytes()).unwrap();
    }
    assert!(
        read(path) == wanted,
        "docs/reference/dataset.md is not up to date; write it with IDK_WRITE_DOCS=1"
    );
}

#[test]
fn every_code_of_an_unusable_recording_is_in_the_list() {
    let source = read("audio/src/error.rs");
    let body = source.split("pub fn reason(&self)").nth(1).unwrap().split("\n    }\n").next().unwrap();
    let codes: Vec<&str> = body.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(codes.len() > 10, "{codes:?}");
    // What is wrong with a model's own settings is no matter of a recording.
    for code in codes.iter().filter(|code| !code.ends_with("-mel-config")) {
        assert!(reason::ALL.contains(code), "{code}");
    }
}

#[test]
fn counts_are_by_code_in_order() {
    let rejection = |reason: &str| Rejection {
        id: String::new(),
        line: 1,
        reason: reason.to_owned(),
        detail: String::new(),
    };
    let rejected = [reason::MISSING_FIELD, reason::BAD_PATH, reason::MISSING_FIELD].map(rejection);
    assert_eq!(reason::listed(&reason::counts(&rejected)), "1 bad-path, 2 missing-field");
}
