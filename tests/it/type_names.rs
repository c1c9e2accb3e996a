//! A type's name means one thing in the whole workspace.
#![allow(clippy::unwrap_used, reason = "a test program: a failed step is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;

use crate::source_text::{code, source_files};

/// Names that several types have, and why.
const SHARED: [(&str, &str); 2] =
    [("Arguments", "the command line of each program"), ("Command", "the subcommands of each program")];

/// The names of the types that a source text declares.
fn declared(source: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for line in source.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(") ").map_or(rest, |(_, rest)| rest),
            None => rest.trim_start(),
        });
        for keyword in ["struct ", "enum ", "trait ", "union "] {
            let Some(rest) = line.strip_prefix(keyword) else { continue };
            names.push(rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default());
        }
    }
    names
}

#[test]
fn no_two_types_of_the_workspace_have_the_same_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut folders = vec![root.join("src")];
    folders.extend(std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().join("src")));
    for file in folders.iter().filter(|folder| folder.is_dir()).flat_map(|folder| source_files(folder)) {
        let place = file.strip_prefix(root).unwrap().display().to_string();
        if place.contains("test") || place.starts_with("target") {
            continue;
        }
        for name in declared(&code(&file)) {
            places.entry(name.to_owned()).or_default().push(place.clone());
        }
    }
    assert!(places.len() > 300, "the types were not seen: {}", places.len());
    places.retain(|_, files| files.len() > 1);
    let unexpected: Vec<_> =
        places.iter().filter(|(name, _)| !SHARED.iter().any(|(shared, _)| shared == name)).collect();
    assert!(unexpected.is_empty(), "give each of these a name of its own: {unexpected:#?}");
    let gone: Vec<&str> =
        SHARED.iter().map(|(name, _)| *name).filter(|name| !places.contains_key(*name)).collect();
    assert!(gone.is_empty(), "no longer shared, so not to be listed: {gone:?}");
}

#[test]
fn declarations_of_any_visibility_are_seen() {
    let source =
        "pub struct A<'a> {\n    pub(crate) enum B {\ntrait C: D {}\nstruct E;\nlet structure = 1;\n";
    assert_eq!(declared(source), ["A", "B", "C", "E"]);
}
