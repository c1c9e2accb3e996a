//! The crates' dependencies point downward only, and only those that compute with tensors see burn.
#![expect(clippy::expect_used, reason = "a test program: a failed step is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The floor of each crate: a crate may depend on lower floors only, never on its own.
const LAYERS: [(&str, u8); 11] = [
    ("idk-common", 0),
    ("idk-audio", 1),
    ("idk-questions", 1),
    ("idk-model", 2),
    ("idk-server", 2),
    ("idk-benchmark", 2),
    ("idk-dataset-builder", 3),
    ("idk-trainer", 3),
    ("idk-evaluator", 3),
    ("idk", 4),
    ("idk-pretrain", 4),
];

/// The crates that may use burn; the root package only in its tests.
const BURN_USERS: [&str; 4] = ["idk-model", "idk-dataset-builder", "idk-trainer", "idk-evaluator"];

/// One line of one manifest.
#[derive(Clone)]
struct Edge {
    from: String,
    to: String,
    /// `normal`, `dev` or `build`.
    kind: String,
}

fn edge(from: &str, to: &str, kind: &str) -> Edge {
    Edge { from: from.to_owned(), to: to.to_owned(), kind: kind.to_owned() }
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

/// What is wrong with `edge`, if anything. Edges within tests count as any other.
fn violation(edge: &Edge) -> Option<String> {
    let Edge { from, to, kind } = edge;
    let Some(from_layer) = layer(from) else { return Some(format!("{from} has no layer")) };
    if to == "burn" || to.starts_with("burn-") {
        let allowed = BURN_USERS.contains(&from.as_str()) || (from == "idk" && kind == "dev");
        return (!allowed).then(|| format!("{from} uses {to} ({kind})"));
    }
    if to != "idk" && !to.starts_with("idk-") {
        return None;
    }
    match layer(to) {
        Some(to_layer) if to_layer < from_layer => None,
        Some(to_layer) => Some(format!("{from} (L{from_layer}) depends on {to} (L{to_layer})")),
        None => Some(format!("{to} has no layer")),
    }
}

/// The names of the workspace's crates and every dependency that their manifests declare.
fn workspace() -> (Vec<String>, Vec<Edge>) {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| env!("CARGO").to_owned());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path", manifest])
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let (mut names, mut edges) = (Vec::new(), Vec::new());
    for package in metadata["packages"].as_array().expect("packages") {
        let from = package["name"].as_str().expect("a package has a name");
        names.push(from.to_owned());
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a dependency has a name");
            edges.push(edge(from, to, dependency["kind"].as_str().unwrap_or("normal")));
        }
    }
    names.sort();
    (names, edges)
}

#[test]
fn every_dependency_points_downward_and_burn_stays_in_its_rooms() {
    let (_, edges) = workspace();
    let violations: Vec<String> = edges.iter().filter_map(violation).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_workspace_is_the_eleven_crates_of_the_design() {
    let (names, edges) = workspace();
    let mut expected: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    // Guards the first test against reading nothing: these edges must be seen.
    for (from, to) in [("idk-audio", "idk-common"), ("idk-model", "burn"), ("idk", "idk-trainer")] {
        assert!(edges.iter().any(|edge| edge.from == from && edge.to == to), "{from} -> {to} was not seen");
    }
}

#[test]
fn upward_and_sideways_edges_are_rejected() {
    for (from, to, kind) in [
        ("idk-common", "idk-audio", "normal"),
        ("idk-audio", "idk-questions", "normal"),
        ("idk-questions", "idk-audio", "dev"),
        ("idk-questions", "idk-model", "normal"),
        ("idk-model", "idk-trainer", "dev"),
        ("idk-trainer", "idk-evaluator", "normal"),
        ("idk-evaluator", "idk-dataset-builder", "build"),
        ("idk-trainer", "idk", "dev"),
        ("idk-common", "burn", "dev"),
        ("idk-audio", "burn-tensor", "normal"),
        ("idk-questions", "burn", "normal"),
        ("idk-server", "burn", "normal"),
        ("idk-benchmark", "idk-model", "dev"),
        ("idk", "burn", "normal"),
        ("idk-trainer", "idk-new", "normal"),
        ("idk-new", "serde", "normal"),
        ("idk", "idk-pretrain", "normal"),
        ("idk-pretrain", "idk", "normal"),
    ] {
        assert!(violation(&edge(from, to, kind)).is_some(), "{from} -> {to} ({kind}) was let through");
    }
    for (from, to, kind) in [
        ("idk-audio", "idk-common", "normal"),
        ("idk-model", "idk-audio", "normal"),
        ("idk-trainer", "idk-questions", "normal"),
        ("idk-evaluator", "burn", "normal"),
        ("idk", "burn", "dev"),
        ("idk", "idk-evaluator", "normal"),
        ("idk-common", "serde", "normal"),
    ] {
        assert_eq!(violation(&edge(from, to, kind)), None, "{from} -> {to} ({kind})");
    }
}

/// Where tensors may be called by name.
const NAMING_FOLDERS: [&str; 2] = ["model/src/arch", "model/src/weights"];

/// Parts of tensors' names that nothing else is called.
const TENSOR_NAMES: [&str; 14] = [
    "audio_tower.",
    "language_model.",
    "multi_modal_projector",
    "embed_tokens",
    "embed_positions",
    "lm_head",
    "_proj",
    "layernorm",
    "layer_norm.",
    ".fc1",
    ".fc2",
    "conv1",
    "conv2",
    "self_attn",
];

/// The source files of all crates, but for those of tests.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src")];
    for entry in std::fs::read_dir(root).expect("the root can be read") {
        folders.push(entry.expect("an entry can be read").path().join("src"));
    }
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                files.push(path);
            }
        }
    }
    files
}

/// The string literals of a source file, without its comments and its unit tests.
fn literals(source: &str) -> Vec<&str> {
    let code = source.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(source);
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}

fn tensor_name(literal: &str) -> Option<&'static str> {
    TENSOR_NAMES.into_iter().find(|name| literal.contains(name))
}

#[test]
fn a_tensor_is_called_by_name_in_two_folders_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut elsewhere, mut inside) = (Vec::new(), 0);
    for path in sources() {
        let source = std::fs::read_to_string(&path).expect("a source file is text");
        let named = literals(&source).into_iter().filter(|literal| tensor_name(literal).is_some());
        let may = NAMING_FOLDERS.iter().any(|folder| path.starts_with(root.join(folder)));
        for literal in named {
            if may {
                inside += 1;
            } else {
                elsewhere.push(format!("{}: \"{literal}\"", path.display()));
            }
        }
    }
    assert!(elsewhere.is_empty(), "tensor names belong in {NAMING_FOLDERS:?}:\n{}", elsewhere.join("\n"));
    assert!(inside > 20, "the names of the tensors were not seen: {inside}");
}

#[test]
fn a_name_in_a_comment_or_a_test_is_no_literal_of_the_program() {
    let source = "//! \"lm_head\"\nlet a = f(\"x\", \"y.lm_head\"); // why\n/// \"fc1\"\n\n#[cfg(test)]\nmod tests {\n\"q_proj\"\n}\n";
    assert_eq!(literals(source), ["x", "y.lm_head"]);
    assert_eq!(tensor_name("y.lm_head"), Some("lm_head"));
    assert_eq!([tensor_name("x"), tensor_name("language_model")], [None, None]);
}
