//! Docs, messages and comments avoid the phrases that STYLE.md replaces.
#![allow(clippy::unwrap_used, reason = "a test program: a failed step is a failed test")]

use std::path::{Path, PathBuf};

/// A phrase and what to write instead. A phrase is found as whole words, in any case.
const BANNED: [(&str, &str); 15] = [
    ("goes on", "resumes"),
    ("gone on", "resumed"),
    ("go on", "resume"),
    ("going on", "resuming"),
    ("anew", "again"),
    ("in the place of", "instead of"),
    ("in place of", "instead of"),
    ("takes the place of", "replaces"),
    ("beside", "next to"),
    ("by lot", "at random"),
    ("carry over", "transfer"),
    ("carries over", "transfers"),
    ("once more", "again"),
    ("one row a", "one row per"),
    ("one label a", "one label per"),
];

/// Texts that are not ours, or that are about the phrases.
const SPARED: [&str; 6] =
    ["STYLE.md", "CHANGELOG.md", "third_party", "dataset-builder/bank", "tests/it/words.rs", "target"];

/// The files that the rule reads.
const ENDINGS: [&str; 5] = ["md", "rs", "toml", "sh", "py"];

fn texts(root: &Path) -> Vec<PathBuf> {
    let (mut open, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let inside = path.strip_prefix(root).unwrap();
            // Folders of runs and of other tools are not part of the project.
            if name.starts_with('.')
                || name == "runs"
                || name == "my"
                || SPARED.iter().any(|it| inside == Path::new(it))
            {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ENDINGS.iter().any(|it| ending == *it)) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The banned phrases of a line, each with what to write instead.
fn banned(line: &str) -> Vec<(&'static str, &'static str)> {
    let line = line.to_lowercase();
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let has = |phrase: &str| {
        line.match_indices(phrase).any(|(at, _)| {
            !is_part(line[..at].chars().next_back()) && !is_part(line[at + phrase.len()..].chars().next())
        })
    };
    BANNED.into_iter().filter(|(phrase, _)| has(phrase)).collect()
}

#[test]
fn no_text_of_the_project_has_a_phrase_that_the_style_replaces() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = texts(root);
    assert!(files.len() > 300, "the texts were not seen: {}", files.len());
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for (number, line) in text.lines().enumerate() {
            for (phrase, instead) in banned(line) {
                let place = file.strip_prefix(root).unwrap().display();
                found.push(format!("{place}:{}: \"{phrase}\": write \"{instead}\"", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_phrase_is_found_as_whole_words_in_any_case() {
    let found = |line| banned(line).into_iter().map(|(phrase, _)| phrase).collect::<Vec<_>>();
    assert_eq!(found("Go on, besides; it is done anew"), ["go on", "anew"]);
    assert_eq!(found("the cargo on board, one row at a time, random_beside"), [""; 0]);
}
