//! The workspace's sources as text, for tests that hold rules of the code.
#![allow(clippy::unwrap_used, reason = "a test program: a failed step is a failed test")]

use std::path::{Path, PathBuf};

/// Every Rust file below a folder, in the order of their paths.
pub(crate) fn source_files(folder: &Path) -> Vec<PathBuf> {
    let (mut open, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// The text of a source file without comment lines and without the unit tests at its end.
pub(crate) fn code(file: &Path) -> String {
    let source = std::fs::read_to_string(file).unwrap();
    let program = source.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(&source);
    let lines = program.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}
