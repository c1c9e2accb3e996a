//! The crates' dependencies point downward only, and only those that compute with tensors see burn.
#![expect(clippy::expect_used, reason = "a test program: a failed step is a failed test")]

use std::process::Command;

use serde_json::Value;

/// The floor of each crate: a crate may depend on lower floors only, never on its own.
const LAYERS: [(&str, u8); 8] = [
    ("idk-common", 0),
    ("idk-audio", 1),
    ("idk-questions", 1),
    ("idk-model", 2),
    ("idk-dataset-builder", 3),
    ("idk-trainer", 3),
    ("idk-evaluator", 3),
    ("idk", 4),
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
fn the_workspace_is_the_eight_crates_of_the_design() {
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
        ("idk", "burn", "normal"),
        ("idk-trainer", "idk-new", "normal"),
        ("idk-new", "serde", "normal"),
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
