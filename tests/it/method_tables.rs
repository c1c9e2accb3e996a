//! The tables of docs/guide/methods.md and README.md about training methods are those of `docs/results/methods/cells.json`, the results of every training method.
//!
//! `scripts/methods.sh` trains and tests, stores the results there and rewrites the tables.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as expected"
)]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use idk_common::fs::write_atomic;
use idk_common::json::{read_json, write_json};
use idk_evaluator::{Method, Results, RuleResult, TaskResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Evaluations of a run, by the folder they are in, and what tables call them.
const WAYS: [(&str, &str); 5] = [
    ("eval", "text"),
    ("val", "text, validation questions"),
    ("guided", "guided"),
    ("guided-0.2", "guided, 20 % wanted"),
    ("guided-0.3", "guided, 30 % wanted"),
];

/// Pages with tables between `<!-- methods WAY / TASK -->`, or `<!-- methods brief WAY / TASK -->`, and `<!-- end -->`.
const PAGES: [&str; 2] = ["README.md", "docs/guide/methods.md"];

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
    /// Percent refused of the questions whose label the base model was never trained on, and of the others.
    refused_unmet_met: Option<[f64; 2]>,
}

impl Cell {
    fn of(method: &str, seed: u64, way: &str, row: &TaskResult, refused_unmet_met: Option<[f64; 2]>) -> Self {
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
            refused_unmet_met,
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn cells_file() -> PathBuf {
    root().join("docs/results/methods/cells.json")
}

/// Percent refused in `task` of the questions with a label that the base model never met, and of the others.
fn refused_by_label(run: &Path, folder: &str, task: &str) -> Option<[f64; 2]> {
    let set = if folder == "val" { "val/questions/val" } else { "questions/test" };
    let questions: Vec<Value> = read_json(&run.join(set).join("questions.json")).ok()?;
    let met: HashMap<&str, bool> = questions
        .iter()
        .filter_map(|question| Some((question["id"].as_str()?, question["idk"]["seen_in_base"].as_bool()?)))
        .collect();
    let answers = std::fs::read_to_string(run.join(folder).join("answers-adapter.jsonl")).ok()?;
    let mut counts = [[0_u32; 2]; 2];
    for answer in answers.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let Some(is_met) = answer["id"].as_str().and_then(|id| met.get(id)) else { continue };
        if task == "all" || answer["task"] == task {
            let [refused, all] = &mut counts[usize::from(*is_met)];
            *refused += u32::from(answer["verdict"] == "refused");
            *all += 1;
        }
    }
    counts
        .iter()
        .all(|[_, all]| *all > 0)
        .then(|| counts.map(|[refused, all]| 100.0 * f64::from(refused) / f64::from(all)))
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
            let run = runs.join(&name);
            cells.extend(
                adapter
                    .tasks
                    .iter()
                    .map(|row| Cell::of(method, seed, way, row, refused_by_label(&run, folder, &row.task))),
            );
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
        "| trained by | seeds | Acc | refused | spoiled | RGI | one-pass | conf. | group | ranking | unmet |"
            .to_owned(),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|".to_owned(),
    ];
    let mut of_method: BTreeMap<&str, Vec<&Cell>> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.way == way && cell.task == task) {
        of_method.entry(&cell.method).or_default().push(cell);
    }
    for (method, cells) in of_method {
        let all = |value: fn(&Cell) -> Option<f64>| cells.iter().map(|cell| value(cell)).collect::<Vec<_>>();
        let rgi = |value: fn(&Cell) -> Option<f64>| spread(&all(value), 2, true);
        lines.push(format!(
            "| {method} | {} | {} | {} | {} of {} | {} | {} | {} | {} | {} | {} |",
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
            spread(&all(|cell| cell.refused_unmet_met.map(|[unmet, met]| unmet - met)), 0, true),
        ));
    }
    lines.join("\n")
}

/// The methods that train on all modalities, with four columns.
fn brief(cells: &[Cell], way: &str, task: &str) -> String {
    let long = table(cells, way, task);
    let rows = long.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let short = rows.filter(|row| !row[1].contains('-') || row[1].starts_with("---"));
    short
        .map(|row| format!("| {} | {} | {} | {} | {} |", row[1], row[3], row[4], row[6], row[7]))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The page with the table of each `<!-- methods WAY / TASK -->` made again.
fn renewed(page: &str, cells: &[Cell]) -> String {
    let mut parts = page.split("<!-- methods ");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (what, rest) = part.split_once(" -->").unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(|| panic!("`{what}` has no end"));
        let (way, task) = what.split_once(" / ").unwrap_or_else(|| panic!("`{what}` is no `WAY / TASK`"));
        let (way, is_brief) = way.strip_prefix("brief ").map_or((way, false), |way| (way, true));
        assert!(WAYS.iter().any(|(_, name)| *name == way) && TASKS.contains(&task), "`{what}`");
        let table = if is_brief { brief(cells, way, task) } else { table(cells, way, task) };
        text.push_str(&format!("<!-- methods {what} -->\n\n{table}\n\n<!-- end -->{after}"));
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
    for page in PAGES {
        let path = root().join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        let renewed = renewed(&text, &cells);
        if is_written {
            write_atomic(&path, renewed.as_bytes()).unwrap();
        }
        let differs = text.lines().zip(renewed.lines()).find(|(is, must)| is != must);
        assert!(is_written || text == renewed, "{page} is not what scripts/methods.sh writes: {differs:?}");
        assert!(renewed.contains("| calibrated | "), "the tables of {page} were not seen");
    }
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
