//! Docs name files, headings, commands and recipe keys that exist.
#![allow(clippy::unwrap_used, reason = "a test program: a failed step is a failed test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{BUILD, EVAL, TRAIN, repo};

/// Files and folders with pages.
const PLACES: [&str; 16] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "STYLE.md",
    "docs",
    "recipes",
    "audio/README.md",
    "benchmark/README.md",
    "checkpoints",
    "common/README.md",
    "dataset-builder/README.md",
    "evaluator/README.md",
    "model/README.md",
    "questions/README.md",
    "server/README.md",
    "trainer/README.md",
];

/// The pages, with the recipes, whose headers have commands.
fn pages() -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = PLACES.into_iter().map(repo).collect();
    let mut pages = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|ending| ending == "md" || ending == "toml") {
            pages.push(path);
        }
    }
    pages.sort();
    assert!(pages.len() > 50, "the pages were not seen: {pages:?}");
    pages
}

/// The targets of a page's links, without those into the web.
fn links(page: &str) -> Vec<&str> {
    let text = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    text.map(|(target, _)| target).filter(|target| !target.contains("://") && !target.contains(' ')).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter(kept).collect::<String>().replace(' ', "-"))
        .collect()
}

#[test]
fn every_link_of_the_docs_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for page in pages().into_iter().filter(|page| page.extension().is_some_and(|ending| ending == "md")) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name("").join(file) };
            let has_heading =
                || anchor.is_empty() || anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor);
            if !target.exists() || !has_heading() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(seen > 100, "{seen}");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_of_the_docs_is_in_the_summary_of_the_site() {
    let summary = std::fs::read_to_string(repo("docs/SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> = links(&summary).into_iter().map(|link| repo("docs").join(link)).collect();
    let docs = pages().into_iter().filter(|page| page.starts_with(repo("docs")));
    let written: BTreeSet<PathBuf> = docs
        .filter(|page| page.extension().is_some_and(|ending| ending == "md") && !page.ends_with("SUMMARY.md"))
        .collect();
    assert_eq!(listed, written);
}

/// A line of a page that runs one of the programs: the program and its arguments. Notes behind the command are left out.
fn command(line: &str) -> Option<(&'static str, Vec<String>)> {
    let line = line.trim_start_matches('#').trim_start().trim_start_matches("Command").trim_start();
    let line = line.trim_start_matches("$ ").split("  ").next()?.split(" #").next()?;
    let mut words = shlex::split(line)?.into_iter().peekable();
    if words.peek()? == "cargo" {
        let run = words.by_ref().take_while(|word| word != "--").collect::<Vec<_>>();
        let program = run.iter().skip_while(|word| *word != "--bin").nth(1)?;
        return Some((program_of(program)?, arguments(words)));
    }
    let program = program_of(words.next()?.rsplit('/').next()?)?;
    let arguments = arguments(words);
    // `idk-train takes a recipe` is prose.
    let is_prose = |word: &String| word == "and" || word == "a" || word == "the" || word.ends_with(',');
    let has_optional = |word: &String| {
        word.starts_with('$') || word.starts_with('[') && !word.ends_with("\"]") && word != "[]"
    };
    (!arguments.iter().any(|word| is_prose(word) || has_optional(word))).then_some((program, arguments))
}

fn program_of(name: &str) -> Option<&'static str> {
    [("idk-build", BUILD), ("idk-train", TRAIN), ("idk-eval", EVAL)]
        .into_iter()
        .find_map(|(program, path)| (program == name).then_some(path))
}

/// Up to what only a shell reads.
fn arguments(words: impl Iterator<Item = String>) -> Vec<String> {
    words.take_while(|word| !matches!(word.as_str(), "|" | ">" | "2>" | "&&" | "&" | ";")).collect()
}

/// The commands of a page: in indented lines, fenced blocks and headers of recipes.
fn commands(page: &str) -> Vec<(&'static str, Vec<String>)> {
    let mut joined = String::new();
    for part in page.split("\\\n") {
        joined.truncate(joined.trim_end_matches(' ').len());
        let is_first = joined.is_empty();
        joined.push_str(&if is_first {
            part.to_owned()
        } else {
            format!(" {}", part.trim_start_matches(' '))
        });
    }
    let mut fenced = false;
    let mut found = Vec::new();
    for line in joined.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if fenced || line.starts_with("    ") || line.starts_with('#') {
            found.extend(command(line));
        }
    }
    found
}

#[test]
fn every_command_of_the_docs_is_one_that_the_programs_take() {
    let folder = tempfile::tempdir().unwrap();
    let mut rejected = BTreeSet::new();
    let mut seen = BTreeSet::new();
    // What the programs print of themselves is held by a test of its own.
    for page in pages().into_iter().filter(|page| !page.ends_with("reference/commands.md")) {
        for (program, arguments) in commands(&std::fs::read_to_string(&page).unwrap()) {
            if !seen.insert((program, arguments.clone())) {
                continue;
            }
            // No file of the docs exists here, so nothing is built, trained or answered.
            let mut run = Command::new(program);
            run.current_dir(&folder).env("IDK_BANK", folder.path().join("none")).args(&arguments);
            let output = String::from_utf8_lossy(&run.output().unwrap().stderr).into_owned();
            if output.contains("Usage: ") || output.contains("For more information, try") {
                rejected.insert(format!("{}: {arguments:?}: {output}", page.display()));
            }
        }
    }
    assert!(seen.len() > 60, "{seen:?}");
    assert!(rejected.is_empty(), "{}", rejected.into_iter().collect::<String>());
}

#[test]
fn every_recipe_key_that_a_command_of_the_docs_sets_exists() {
    let reference = std::fs::read_to_string(repo("docs/reference/recipe.md")).unwrap();
    let mut keys = BTreeSet::from(["seed".to_owned()]);
    let mut section = String::new();
    for line in reference.lines() {
        if let Some(name) = line.trim_start_matches('#').trim().strip_prefix('[') {
            section = name.split(']').next().unwrap().to_owned();
        } else if let Some(key) = line.strip_prefix("| `") {
            keys.insert(format!("{section}.{}", key.split('`').next().unwrap()));
        }
    }
    assert!(keys.contains("train.learning_rate"), "{keys:?}");
    let mut unknown = BTreeSet::new();
    for page in pages() {
        for (_, arguments) in commands(&std::fs::read_to_string(&page).unwrap()) {
            for pair in arguments.windows(2).filter(|pair| pair[0] == "--set") {
                let key = pair[1].split('=').next().unwrap();
                if !keys.contains(key) && key.chars().any(char::is_lowercase) {
                    unknown.insert(format!("{}: {key}", page.display()));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_command_is_found_with_its_arguments_and_without_its_note() {
    let page = "Text\n\n    $ idk-train recipes/x.toml \\\n        --set 'data.tasks=[\"sound\"]' --check     says more\n    cargo run \
                --release --bin idk-eval -- sweep R | head\n    idk-build RECIPE [--shard I/N]\n";
    let arguments: Vec<Vec<String>> = commands(page).into_iter().map(|(_, arguments)| arguments).collect();
    assert_eq!(
        arguments,
        [vec!["recipes/x.toml", "--set", "data.tasks=[\"sound\"]", "--check"], vec!["sweep", "R"]]
    );
    assert_eq!(anchors("# A `B` (c)\n## D-e: f\n"), BTreeSet::from(["a-b-c", "d-e-f"].map(str::to_owned)));
}
