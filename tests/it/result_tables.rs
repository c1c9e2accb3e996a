//! The tables in the docs are those of `docs/results/*.json`, the results of the shipped recipes.
//!
//! `scripts/results.sh RECIPE...` runs recipes, stores their results there and rewrites the tables.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as expected"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::fs::write_atomic;
use idk_common::json::{read_json, write_json};
use idk_evaluator::{Results, tables};

/// Pages with tables, between `<!-- tables of NAME -->`, `<!-- table N of NAME -->` or `<!-- table brief of NAME -->` and
/// `<!-- end -->`.
const PAGES: [&str; 2] = ["README.md", "docs/guide/results.md"];

const START: &str = "<!-- table";
const END: &str = "<!-- end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The stored results by the name of their recipe.
fn stored() -> BTreeMap<String, Results> {
    let files = std::fs::read_dir(root().join("docs/results")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some());
    paths
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read_json(&path).unwrap()))
        .collect()
}

/// What no table shows is left out, so that the files stay small.
fn trimmed(mut results: Results) -> Results {
    for method in &mut results.methods {
        (method.sub_categories, method.difficulties) = (Vec::new(), Vec::new());
        method.tasks.iter_mut().for_each(|task| task.risk_coverage = Default::default());
    }
    results.base.iter_mut().for_each(|row| row.risk_coverage = Default::default());
    (results.base_sub_categories, results.base_difficulties) = (Vec::new(), Vec::new());
    Results { pairs: Vec::new(), ..results }
}

/// Stores the results of every run in a folder of runs that is named as a recipe.
fn store(runs: &Path) {
    for entry in std::fs::read_dir(runs).unwrap() {
        let run = entry.unwrap().path();
        let (results, name) = (run.join("eval/results.json"), run.file_name().unwrap().to_str().unwrap());
        if results.is_file() && root().join(format!("recipes/{name}.toml")).is_file() {
            let results = trimmed(read_json(&results).unwrap());
            write_json(&root().join(format!("docs/results/{name}.json")), &results).unwrap();
        }
    }
}

/// The text of a block: all that is printed of a recipe, or its table of this number.
fn block(what: &str, stored: &BTreeMap<String, Results>) -> String {
    let (number, name) = what.split_once(" of ").unwrap_or_else(|| panic!("`{what}` is no `N of NAME`"));
    let results = stored.get(name).unwrap_or_else(|| panic!("docs/results/{name}.json is missing"));
    let text = tables(results);
    if number == "s" {
        // The heading of the page says whose it is.
        return text.split_once("\n\n").unwrap().1.trim_end().to_owned();
    }
    let parts = text.split("\n\n").filter(|part| part.trim_start().starts_with('|'));
    let tables: Vec<String> = parts
        .map(|part| part.lines().filter(|line| line.starts_with('|')).collect::<Vec<_>>().join("\n"))
        .collect();
    match number.trim() {
        "brief" => brief(&tables[0], &tables[1]),
        number => tables[number.parse::<usize>().unwrap() - 1].clone(),
    }
}

/// Four columns for a reader who is new to all of them: the first table's task, accuracy, refusals and RGI, and the RGI of the
/// one-pass rule from the second table's rows over all answers.
fn brief(metrics: &str, rules: &str) -> String {
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rules: BTreeMap<String, String> = rules
        .lines()
        .map(&cells)
        .filter(|row| row[2] == "all")
        .map(|row| (row[1].clone(), row[7].clone()))
        .collect();
    let mut lines = vec![
        "| test questions | right answers, % | refused, % | RGI [95 %] | RGI of one-pass |".to_owned(),
        "|---|---:|---:|---:|---:|".to_owned(),
    ];
    for row in metrics.lines().skip(2).map(cells) {
        lines.push(format!("| {} | {} | {} | {} | {} |", row[1], row[2], row[5], row[8], rules[&row[1]]));
    }
    lines.join("\n")
}

/// A page with all of its tables made again.
fn renewed(page: &str, stored: &BTreeMap<String, Results>) -> String {
    let mut parts = page.split(START);
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (what, rest) = part.split_once(" -->").unwrap();
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("`{START}{what}` has no `{END}`"));
        text.push_str(&format!("{START}{what} -->\n\n{}\n\n{END}{after}", block(what, stored)));
    }
    text
}

#[test]
fn the_tables_in_the_docs_are_those_of_the_stored_results() {
    let is_written = std::env::var_os("IDK_WRITE_DOCS").is_some();
    if let Some(runs) = std::env::var_os("IDK_RUNS").filter(|_| is_written) {
        store(Path::new(&runs));
    }
    let stored = stored();
    let mut found = 0;
    for page in PAGES {
        let path = root().join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        found += text.matches(START).count();
        let renewed = renewed(&text, &stored);
        if is_written {
            write_atomic(&path, renewed.as_bytes()).unwrap();
        }
        let differs = text.lines().zip(renewed.lines()).find(|(is, must)| is != must);
        assert!(is_written || text == renewed, "{page} is not what scripts/results.sh writes: {differs:?}");
    }
    assert!(found > 3, "the tables were not seen: {found}");
}

#[test]
fn a_table_that_was_edited_by_hand_is_seen() {
    let stored = stored();
    let page = |table: &str| format!("before\n<!-- table 1 of sound -->\n\n{table}\n\n<!-- end -->\nafter\n");
    let right = page(&block(" 1 of sound", &stored));
    assert_eq!(renewed(&right, &stored), right);
    assert_eq!(renewed(&page("| an old table |"), &stored), right);
    for table in [" 1 of sound", " 2 of sound", " 3 of sound", " brief of sound"] {
        let lines = block(table, &stored);
        assert!(lines.lines().count() > 5 && lines.lines().all(|line| line.starts_with('|')), "{lines}");
    }
}
