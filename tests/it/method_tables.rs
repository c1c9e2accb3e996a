//! The tables of docs/guide/methods.md are those of `docs/results/methods/cells.json`, the results of every training method.
//!
//! `scripts/methods.sh` trains and tests, stores the results there and rewrites the tables.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as expected"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::fs::write_atomic;
use idk_common::json::{read_json, write_json};
use idk_evaluator::{Method, Results, RuleResult, TaskResult};
use serde::{Deserialize, Serialize};

/// Evaluations of a run, by the folder they are in, and what tables call them.
const WAYS: [(&str, &str); 4] = [
    ("eval", "text"),
    ("guided", "guided"),
    ("guided-0.2", "guided, 20 % wanted"),
    ("guided-0.3", "guided, 30 % wanted"),
];

const TASKS: [&str; 4] = ["sound", "music", "speech", "all"];

/// One adapter on the questions of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cell {
    method: String,
    seed: u64,
    way: String,
    task: String,
    acc: f64,
    base_acc: f64,
    refused: f64,
    rgi: Option<f64>,
    one_pass: Option<f64>,
    conf: Option<f64>,
    group: Option<f64>,
    /// Right answers of the base model that are wrong now, and how many there are.
    spoiled: [u64; 2],
    ranking: Option<f64>,
    base_ranking: Option<f64>,
}

impl Cell {
    fn of(method: &str, seed: u64, way: &str, row: &TaskResult) -> Self {
        let rgi = |rule: &Option<RuleResult>| rule.as_ref().and_then(|rule| rule.rgi);
        let (found, yardsticks) = (&row.comparison, &row.yardsticks);
        let counts = serde_json::to_value(found).unwrap();
        let count = |key: &str| counts[key].as_u64().unwrap();
        let percent = |key: &str, side: &str| counts[key][side].as_f64().unwrap();
        Self {
            method: method.to_owned(),
            seed,
            way: way.to_owned(),
            task: row.task.clone(),
            acc: percent("acc", "after"),
            base_acc: percent("acc", "before"),
            refused: percent("refusal_rate", "after"),
            rgi: counts["rgi"].as_f64(),
            one_pass: rgi(&yardsticks.one_pass),
            conf: rgi(&yardsticks.threshold),
            group: rgi(&yardsticks.group),
            spoiled: [count("cw"), count("cc") + count("cw") + count("cr")],
            ranking: yardsticks.auroc.ranking_within,
            base_ranking: yardsticks.auroc.doubt_within,
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn cells_file() -> PathBuf {
    root().join("docs/results/methods/cells.json")
}

/// The cells of all runs in a folder; a run is named `METHOD-SEED`.
fn collect(runs: &Path) -> Vec<Cell> {
    let mut cells = Vec::new();
    for entry in std::fs::read_dir(runs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((method, seed)) = name.rsplit_once('-') else { continue };
        let Ok(seed) = seed.parse() else { continue };
        for (folder, way) in WAYS {
            let path = runs.join(&name).join(folder).join("results.json");
            if !path.is_file() {
                continue;
            }
            let results: Results = read_json(&path).unwrap();
            let adapter = results.methods.iter().find(|row| row.method == Method::Adapter).unwrap();
            cells.extend(adapter.tasks.iter().map(|row| Cell::of(method, seed, way, row)));
        }
    }
    cells.sort_by_key(|cell| (cell.method.clone(), cell.way.clone(), cell.seed));
    cells
}

/// Mean and standard deviation (n - 1) of values that are all there; a single one has no deviation.
fn spread(values: &[Option<f64>], digits: usize, sign: bool) -> String {
    let there: Vec<f64> = values.iter().flatten().copied().collect();
    if there.is_empty() {
        return "-".to_owned();
    }
    let count = there.len() as f64;
    let mean = there.iter().sum::<f64>() / count;
    let text = if sign { format!("{mean:+.digits$}") } else { format!("{mean:.digits$}") };
    let missing = if there.len() < values.len() {
        format!(" ({} of {})", there.len(), values.len())
    } else {
        String::new()
    };
    if there.len() == 1 {
        return text + &missing;
    }
    let variance = there.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    format!("{text} ± {:.digits$}{missing}", variance.sqrt())
}

/// The table of one way of answering and one task: a row per method, mean and deviation over the seeds.
fn table(cells: &[Cell], way: &str, task: &str) -> String {
    let mut lines = vec![
        "| trained by | seeds | Acc | refused | spoiled | RGI | one-pass | conf. | group | ranking |"
            .to_owned(),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    let mut of_method: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.way == way && cell.task == task) {
        of_method.entry(&cell.method).or_default().push(cell);
    }
    for (method, cells) in of_method {
        let all = |value: fn(&Cell) -> Option<f64>| cells.iter().map(|cell| value(cell)).collect::<Vec<_>>();
        let rgi = |value: fn(&Cell) -> Option<f64>| spread(&all(value), 2, true);
        lines.push(format!(
            "| {method} | {} | {} | {} | {} of {} | {} | {} | {} | {} | {} |",
            cells.len(),
            spread(&all(|cell| Some(cell.acc)), 1, false),
            spread(&all(|cell| Some(cell.refused)), 1, false),
            spread(&all(|cell| Some(cell.spoiled[0] as f64)), 0, false),
            cells[0].spoiled[1],
            rgi(|cell| cell.rgi),
            rgi(|cell| cell.one_pass),
            rgi(|cell| cell.conf),
            rgi(|cell| cell.group),
            spread(&all(|cell| cell.ranking), 2, false),
        ));
    }
    lines.join("\n")
}

/// The page with the table of each `<!-- methods WAY / TASK -->` made again.
fn renewed(page: &str, cells: &[Cell]) -> String {
    let mut parts = page.split("<!-- methods ");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (what, rest) = part.split_once(" -->").unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("`{what}` has no end"));
        let (way, task) = what.split_once(" / ").unwrap_or_else(|| panic!("`{what}` is no `WAY / TASK`"));
        assert!(WAYS.iter().any(|(_, name)| *name == way) && TASKS.contains(&task), "`{what}`");
        text.push_str(&format!(
            "<!-- methods {what} -->\n\n{}\n\n<!-- end -->{after}",
            table(cells, way, task)
        ));
    }
    text
}

#[test]
fn the_tables_of_the_training_methods_are_those_of_the_stored_results() {
    let is_written = std::env::var_os("IDK_WRITE_DOCS").is_some();
    if let Some(runs) = std::env::var_os("IDK_RUNS").filter(|_| is_written) {
        let found = collect(Path::new(&runs));
        if !found.is_empty() {
            std::fs::create_dir_all(cells_file().parent().unwrap()).unwrap();
            write_json(&cells_file(), &found).unwrap();
        }
    }
    let cells: Vec<Cell> = read_json(&cells_file()).unwrap();
    let path = root().join("docs/guide/methods.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let renewed = renewed(&text, &cells);
    if is_written {
        write_atomic(&path, renewed.as_bytes()).unwrap();
    }
    let differs = text.lines().zip(renewed.lines()).find(|(is, must)| is != must);
    assert!(
        is_written || text == renewed,
        "docs/guide/methods.md is not what scripts/methods.sh writes: {differs:?}"
    );
    assert!(renewed.matches("| calibrated | ").count() > 1, "the tables were not seen");
}

#[test]
fn means_and_deviations_over_seeds_say_how_many_seeds_have_the_value() {
    assert_eq!(spread(&[Some(0.1), Some(0.2), Some(0.3)], 2, true), "+0.20 ± 0.10");
    assert_eq!(spread(&[Some(0.1), None], 2, true), "+0.10 (1 of 2)");
    assert_eq!(
        (spread(&[None], 1, true), spread(&[Some(16.0)], 0, false)),
        ("-".to_owned(), "16".to_owned())
    );
}
