//! Inside a crate too, imports go one way; a folder holds few entries; a public module is a choice.
//!
//! The rules read the source text: `use crate::...` and paths that begin with `crate::`, without unit tests and comments.
#![allow(clippy::unwrap_used, reason = "a test program: a failed step is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::source_text::{code, source_files};

/// The modules of each crate, lower ones first: a module imports only from those before its own. Modules of unit tests
/// are left out.
const ORDER: [(&str, &[&str]); 10] = [
    (
        "common",
        &[
            "limits", "text", "chat", "diagnose", "error", "files", "identity", "prefetch", "problem",
            "progress", "run_dir", "seed",
        ],
    ),
    ("audio", &["error", "resample", "decode", "mel", "write"]),
    (
        "questions",
        &[
            "error",
            "interner",
            "question",
            "judge",
            "metrics",
            "reason",
            "unanswerable",
            "asked",
            "readers",
            "rows",
            "score",
        ],
    ),
    (
        "server",
        &[
            "failure",
            "error",
            "url",
            "settings",
            "http",
            "wav",
            "reply",
            "request",
            "retry",
            "client",
            "concurrent",
            "score",
        ],
    ),
    (
        "benchmark",
        &[
            "dials",
            "error",
            "mix",
            "bank",
            "deck",
            "scene",
            "family",
            "wording",
            "vocabulary",
            "item",
            "set",
            "write",
        ],
    ),
    (
        "dataset-builder",
        &["control", "error", "config", "format", "label", "sample", "build", "export", "inspect"],
    ),
    (
        "model",
        &[
            "error", "arch", "text", "weights", "lora", "device", "fused", "nn", "lalm", "generate",
            "features", "answer", "outline",
        ],
    ),
    ("trainer", &["best_metric", "error", "config", "train_run", "data", "step", "method", "run", "testing"]),
    (
        "evaluator",
        &["error", "method", "config", "backend", "doubt", "answer", "compare", "grid", "report", "evaluate"],
    ),
    (".", &["terminal", "recipe", "run", "preflight", "stage", "experiment", "command"]),
];

/// Modules that only unit tests have.
const OF_TESTS: [&str; 5] = ["fake", "replays", "test_fixture", "test_support", "tests"];

/// Most entries of a folder of sources.
const MAX_ENTRIES: usize = 14;

/// The modules that a crate shows as modules. Everything else is shown by name in lib.rs.
const PUBLIC: [(&str, &[&str]); 10] = [
    ("common", &["chat", "diagnose", "identity", "limits", "problem", "progress", "run_dir", "seed", "text"]),
    ("audio", &[]),
    ("questions", &["metrics", "reason", "rows", "score"]),
    ("model", &["fused"]),
    ("server", &[]),
    ("benchmark", &[]),
    ("dataset-builder", &[]),
    ("trainer", &["testing"]),
    ("evaluator", &[]),
    (".", &["recipe"]),
];

/// Folders whose modules lib.rs shows under shorter paths.
const SHOWN_BY_LIB: [(&str, &str); 1] = [("common", "files/mod.rs")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The paths of a `use` or `mod` tree: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn paths(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let of_part = |part: &&str| paths(part).into_iter().map(|path| format!("{}{path}", prefix.trim()));
    parts.iter().filter(|part| !part.trim().is_empty()).flat_map(of_part).collect()
}

/// Every statement `keyword ...;` of a source text, without the keyword.
fn statements<'a>(source: &'a str, keyword: &str) -> Vec<&'a str> {
    let at_line = |from: usize| source[..from].ends_with('\n') || from == 0 || source[..from].ends_with(' ');
    let starts = source.match_indices(keyword).filter(|(from, _)| at_line(*from));
    starts.filter_map(|(from, _)| source[from + keyword.len()..].split(';').next()).collect()
}

/// The modules that lib.rs declares, with whether they are public, and the module of each name that it re-exports.
fn declared(lib: &str) -> (BTreeMap<String, bool>, BTreeMap<String, String>) {
    let mut modules = BTreeMap::new();
    for line in lib.lines() {
        let public = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'));
        let private = || line.trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';');
        if let Some(name) = public.or_else(private) {
            modules.insert(name.to_owned(), public.is_some());
        }
    }
    let mut names = BTreeMap::new();
    for path in statements(lib, "pub use ").into_iter().flat_map(paths) {
        let (module, last) =
            (path.split("::").next().unwrap_or_default(), path.rsplit("::").next().unwrap_or_default());
        let name = last.rsplit(" as ").next().unwrap_or(last).trim();
        if modules.contains_key(module) {
            names.insert(name.to_owned(), module.to_owned());
        }
    }
    (modules, names)
}

/// The first segment after every `crate::` of a source text.
fn imported(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        let tree = rest.split(';').next().unwrap_or_default();
        let tree = if rest.starts_with('{') {
            tree
        } else {
            rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
        };
        found.extend(
            paths(tree).into_iter().map(|path| path.split("::").next().unwrap_or_default().trim().to_owned()),
        );
    }
    found
}

/// Imports of `krate` that go up, as `from -> to (file)`, and the modules that `order` does not know.
fn against_order(krate: &str, order: &[&str]) -> Vec<String> {
    let src = root().join(krate).join("src");
    let lib = code(&src.join("lib.rs"));
    let (modules, names) = declared(&lib);
    let rank = |module: &str| order.iter().position(|known| *known == module);
    let mut wrong = Vec::new();
    for module in modules.keys().filter(|module| !OF_TESTS.contains(&module.as_str())) {
        if rank(module).is_none() {
            wrong.push(format!("{krate}: `{module}` has no place in the order"));
        }
    }
    for known in order.iter().filter(|known| !modules.contains_key(**known)) {
        wrong.push(format!("{krate}: the order has `{known}`, which does not exist"));
    }
    for file in source_files(&src) {
        let inside = file.strip_prefix(&src).unwrap();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let from = first.strip_suffix(".rs").unwrap_or(&first);
        let Some(from_rank) = rank(from) else { continue };
        for to in imported(&code(&file)) {
            let to = names.get(&to).unwrap_or(&to);
            if rank(to).is_some_and(|to_rank| to_rank > from_rank) {
                wrong.push(format!("{krate}: {from} -> {to} ({})", inside.display()));
            }
        }
    }
    wrong
}

#[test]
fn imports_within_a_crate_go_one_way() {
    let wrong: Vec<String> = ORDER.iter().flat_map(|(krate, order)| against_order(krate, order)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_against_the_order_is_seen() {
    let reversed: Vec<&str> = ORDER[1].1.iter().rev().copied().collect();
    let wrong = against_order("audio", &reversed);
    assert!(wrong.iter().any(|line| line.starts_with("audio: decode -> error")), "{wrong:?}");
    assert!(!against_order("audio", &["error"]).is_empty(), "modules without a place");
    let source = "use crate::{a::B, c};\nuse crate::d::{e, f};\nlet x = crate::g::h(crate::I);\n";
    let found: Vec<String> = imported(source).into_iter().collect();
    assert_eq!(found, ["I", "a", "c", "d", "g"]);
    let (modules, names) = declared("pub mod a;\nmod b;\npub use b::{C, d::{E as F}};\npub use a::G;\n");
    assert_eq!(modules.into_iter().collect::<Vec<_>>(), [("a".to_owned(), true), ("b".to_owned(), false)]);
    assert_eq!(names.keys().collect::<Vec<_>>(), ["C", "F", "G"]);
}

#[test]
fn a_folder_of_sources_holds_at_most_14_entries() {
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for krate in crates() {
        let src = root().join(&krate).join("src");
        let mut open = vec![src];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                *folders.entry(folder.clone()).or_default() += 1;
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
    }
    assert!(folders.len() > 30, "the folders were not seen");
    let name = |folder: &Path| folder.strip_prefix(root()).unwrap().display().to_string();
    let crowded: Vec<String> =
        folders.iter().filter(|(_, count)| **count > MAX_ENTRIES).map(|(folder, _)| name(folder)).collect();
    assert_eq!(crowded, Vec::<String>::new(), "folders with more than {MAX_ENTRIES} entries");
}

/// The folders of the workspace's libraries.
fn crates() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    members.split('"').skip(1).step_by(2).map(str::to_owned).chain([".".to_owned()]).collect()
}

#[test]
fn a_module_is_public_only_where_that_was_chosen() {
    for (krate, chosen) in PUBLIC {
        let (modules, _) = declared(&code(&root().join(krate).join("src/lib.rs")));
        let public: Vec<&String> =
            modules.iter().filter(|(_, public)| **public).map(|(name, _)| name).collect();
        assert_eq!(public, chosen, "public modules of {krate}");
        let src = root().join(krate).join("src");
        for file in source_files(&src) {
            let name = file.strip_prefix(&src).unwrap().display().to_string();
            let inner = code(&file).lines().any(|line| line.trim_start().starts_with("pub mod "));
            let may = name == "lib.rs" || SHOWN_BY_LIB.contains(&(krate, &name));
            assert!(may || !inner, "{krate}: {name}: `pub mod` belongs in lib.rs");
        }
    }
}
