//! `docs/reference/recipe.md` lists every key of a recipe, as the code documents it.
//!
//! `IDK_WRITE_DOCS=1 cargo test --release --test it recipe_reference` rewrites the file.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that is not as expected")]

use std::path::{Path, PathBuf};

use idk::recipe::{Recipe, SECTIONS, SweepConfig, TransferConfig};

/// Where the struct of each section stands.
const SOURCES: [(&str, &str, &str); 12] = [
    ("model", "src/recipe/sections.rs", "ModelSection"),
    ("data", "src/recipe/sections.rs", "DataSection"),
    ("build", "dataset-builder/src/config/mod.rs", "BuildConfig"),
    ("lora", "model/src/lora/mod.rs", "LoraConfig"),
    ("train", "trainer/src/config.rs", "TrainConfig"),
    ("dpo", "trainer/src/method/dpo/config.rs", "DpoConfig"),
    ("calibrated", "trainer/src/method/calibrated/config.rs", "CalibratedConfig"),
    ("rl", "trainer/src/method/rl/config.rs", "RlConfig"),
    ("eval", "evaluator/src/config/mod.rs", "EvalConfig"),
    ("output", "src/recipe/sections.rs", "OutputSection"),
    ("transfer", "src/recipe/experiments.rs", "TransferConfig"),
    ("sweep", "src/recipe/experiments.rs", "SweepConfig"),
];

const HEADER: &str = "# Recipe keys

A recipe is a TOML file. Every key has a default; an unknown key is refused with its line and the nearest known name, and all
mistakes are reported at once. `--set section.key=value` overrides a key, `--print-config` prints the recipe with every default
filled in. This page is made from the code's own documentation.

`seed` (default 0) stands above the sections: the seed of everything random in the run.
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// A key and its documentation.
struct Key {
    name: String,
    text: String,
}

/// What the code says about a struct, and its public fields with what it says about them.
fn documented(path: &str, name: &str) -> (String, Vec<Key>) {
    let source = std::fs::read_to_string(root().join(path)).unwrap();
    let mut docs: Vec<&str> = Vec::new();
    let mut about = None;
    let mut keys = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            docs.push(text.trim());
        } else if about.is_none() {
            if line == format!("pub struct {name} {{") {
                about = Some(docs.join(" "));
            }
            if !line.starts_with("#[") {
                docs.clear();
            }
        } else if let Some(field) = line.strip_prefix("pub ") {
            let name = field.split(':').next().unwrap().to_owned();
            keys.push(Key { name, text: docs.join(" ") });
            docs.clear();
        } else if line == "}" {
            break;
        }
    }
    (about.unwrap(), keys)
}

/// A recipe in which every section is there.
fn whole() -> toml::Table {
    let recipe = Recipe {
        transfer: Some(TransferConfig::default()),
        sweep: Some(SweepConfig::default()),
        ..Recipe::default()
    };
    recipe.to_toml().unwrap().parse().unwrap()
}

/// Links of rustdoc mean nothing on this page.
fn plain(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}

fn page() -> String {
    let defaults = whole();
    let mut text = HEADER.to_owned();
    for (section, path, name) in SOURCES {
        let (about, keys) = documented(path, name);
        text.push_str(&format!(
            "\n## [{section}]\n\n{}\n\n| key | default | |\n|---|---|---|\n",
            plain(&about)
        ));
        let table = defaults[section].as_table().unwrap();
        for key in &keys {
            let default = table.get(&key.name).map_or("not set".to_owned(), |value| format!("`{value}`"));
            text.push_str(&format!("| `{}` | {default} | {} |\n", key.name, plain(&key.text)));
        }
        for name in table.keys() {
            assert!(
                keys.iter().any(|key| key.name == *name),
                "[{section}] {name} is not documented in {path}"
            );
        }
        assert!(keys.iter().all(|key| key.text.len() > 10), "a key of [{section}] has no documentation");
    }
    text
}

#[test]
fn every_section_of_a_recipe_is_on_the_page() {
    let named: Vec<&str> = SOURCES.iter().map(|(section, ..)| *section).collect();
    assert_eq!(named, SECTIONS);
}

#[test]
fn the_page_says_what_the_code_says() {
    let path = root().join("docs/reference/recipe.md");
    let page = page();
    if std::env::var_os("IDK_WRITE_DOCS").is_some() {
        idk_common::fs::write_atomic(&path, page.as_bytes()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/reference/recipe.md is not up to date; write it with IDK_WRITE_DOCS=1");
}
