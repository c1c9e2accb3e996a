//! Cross-modal transfer: one adapter for each training set and seed, every one evaluated on every task of the test set.
//!
//! A cell is a run of its own in `cells/<train>-seed<n>/`, so a stopped experiment goes on where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::json::write_json;
use idk_common::lock::RunLock;
use idk_evaluator::{ALL, Method, Results};
use serde::{Deserialize, Serialize};

use crate::cli::{print_line, say};
use crate::error::Failure;
use crate::pipeline::{self, Options, move_aside};
use crate::recipe::Recipe;

/// Name of the file of results in the experiment's folder.
pub const TRANSFER_FILE: &str = "transfer.json";

/// `[transfer]`: which adapters are trained. Each takes the recipe as it is, but for its tasks and its seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransferConfig {
    /// What each adapter is trained on: a task (`sound`, `music`, `speech`), or `all` of them. Default all four.
    pub train: Vec<String>,
    /// Seeds of sampling and training; one adapter for each. Three or more give a spread: the interval over questions
    /// does not know how much another seed would change. Default `[0, 1, 2]`.
    pub seeds: Vec<u64>,
}

impl Default for TransferConfig {
    fn default() -> Self {
        let train = ["sound", "music", "speech", ALL].map(str::to_owned).to_vec();
        Self { train, seeds: vec![0, 1, 2] }
    }
}

impl TransferConfig {
    /// What cannot be used: key and reason.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        if self.train.is_empty() || repeats(&self.train) {
            problems.push(("train", "must name one or more tasks, each once"));
        }
        if self.train.iter().any(|name| !is_plain(name)) {
            problems
                .push(("train", "may hold names of letters, digits, `-` and `_` only: they name folders"));
        }
        if self.seeds.is_empty() || repeats(&self.seeds) {
            problems.push(("seeds", "must hold one or more seeds, each once"));
        }
        problems
    }
}

fn repeats<T: PartialEq>(values: &[T]) -> bool {
    values.iter().enumerate().any(|(at, value)| values[..at].contains(value))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// One adapter on one task of the test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// What the adapter was trained on.
    pub train: String,
    /// What it was tested on: a task, or [`ALL`].
    pub test: String,
    /// One value a seed, in their order; `null` where RGI is undefined.
    pub rgi: Vec<Option<f64>>,
    /// The 95 % interval over questions of each seed.
    pub rgi_ci95: Vec<Option<[f64; 2]>>,
    /// Refused, in percent, of each seed.
    pub refusal_rate: Vec<Option<f64>>,
    /// Accuracy in percent, of each seed.
    pub acc: Vec<Option<f64>>,
    /// RGI of refusing as many questions at random, of each seed.
    pub random_rgi: Vec<Option<f64>>,
    /// Mean of the defined values of `rgi`.
    pub rgi_mean: Option<f64>,
    /// Sample standard deviation of the defined values of `rgi`; two at least.
    pub rgi_std: Option<f64>,
}

/// Content of `transfer.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Version of the file.
    pub format: u32,
    /// The seeds, in the order of every cell's lists.
    pub seeds: Vec<u64>,
    /// Accuracy of the base model on each task, in percent.
    pub base_acc: BTreeMap<String, Option<f64>>,
    /// Row by row.
    pub cells: Vec<Cell>,
}

/// Trains and evaluates every cell, prints the matrix and writes `transfer.json`.
///
/// # Errors
/// Whatever stops a cell; finished cells stay and are kept by the next start.
pub(crate) fn run(recipe: &Recipe, config: &TransferConfig, options: &Options<'_>) -> Result<(), Failure> {
    let root = &recipe.output.dir;
    if options.fresh {
        move_aside(root)?;
    }
    let _lock = RunLock::acquire(root)?;
    let mut rows = Vec::new();
    for train in &config.train {
        let mut of_seeds = Vec::new();
        for &seed in &config.seeds {
            say(&format!("transfer  trained on {train}, seed {seed}"));
            of_seeds.push(cell_results(recipe, root, train, seed, options)?);
        }
        rows.push((train.clone(), of_seeds));
    }
    let transfer = collect(&rows, &config.seeds);
    let path = root.join(TRANSFER_FILE);
    write_json(&path, &transfer)?;
    let table = matrix(&transfer);
    print_line(&if options.json { serde_json::to_string(&transfer).unwrap_or_default() } else { table })?;
    say(&format!("results   {}", path.display()));
    Ok(())
}

/// The results of a cell: kept if its run is finished and of this recipe, else made.
fn cell_results(
    recipe: &Recipe,
    root: &Path,
    train: &str,
    seed: u64,
    options: &Options<'_>,
) -> Result<Results, Failure> {
    let cell = cell_recipe(recipe, root, train, seed);
    pipeline::train_cell(&cell, &questions_dir(root, train), options)
}

fn cell_recipe(recipe: &Recipe, root: &Path, train: &str, seed: u64) -> Recipe {
    let mut cell = recipe.clone();
    cell.transfer = None;
    cell.seed = seed;
    cell.data.tasks = if train == ALL { Vec::new() } else { vec![train.to_owned()] };
    cell.output.dir = root.join("cells").join(format!("{train}-seed{seed}"));
    cell
}

/// Cells that are trained on the same tasks share their rendered clips.
fn questions_dir(root: &Path, train: &str) -> PathBuf {
    root.join("questions").join(train)
}

fn collect(rows: &[(String, Vec<Results>)], seeds: &[u64]) -> Transfer {
    let mut base_acc = BTreeMap::new();
    let mut cells = Vec::new();
    for (train, of_seeds) in rows {
        let Some(first) = of_seeds.first() else { continue };
        for base in &first.base {
            base_acc.insert(base.task.clone(), base.counts.acc().map(|share| 100.0 * share));
        }
        cells.extend(first.base.iter().map(|base| cell(train, &base.task, of_seeds)));
    }
    Transfer { format: 1, seeds: seeds.to_vec(), base_acc, cells }
}

fn cell(train: &str, test: &str, of_seeds: &[Results]) -> Cell {
    let found: Vec<_> = of_seeds.iter().map(|results| adapter_row(results, test)).collect();
    let values = |value: &dyn Fn(&idk_questions::metrics::Comparison) -> Option<f64>| -> Vec<Option<f64>> {
        found.iter().map(|row| row.and_then(value)).collect()
    };
    let rgi = values(&|row| row.rgi);
    let (rgi_mean, rgi_std) = mean_and_std(&rgi);
    Cell {
        train: train.to_owned(),
        test: test.to_owned(),
        rgi_ci95: found.iter().map(|row| row.and_then(|row| row.rgi_ci95)).collect(),
        refusal_rate: values(&|row| row.refusal_rate.after),
        acc: values(&|row| row.acc.after),
        random_rgi: values(&|row| row.random_rgi),
        rgi,
        rgi_mean,
        rgi_std,
    }
}

fn adapter_row<'a>(results: &'a Results, task: &str) -> Option<&'a idk_questions::metrics::Comparison> {
    let adapter = results.methods.iter().find(|result| result.method == Method::Adapter)?;
    Some(&adapter.tasks.iter().find(|row| row.task == task)?.comparison)
}

/// Mean and sample standard deviation of what is defined.
fn mean_and_std(values: &[Option<f64>]) -> (Option<f64>, Option<f64>) {
    let defined: Vec<f64> = values.iter().flatten().copied().collect();
    if defined.is_empty() {
        return (None, None);
    }
    let n = defined.len() as f64;
    let mean = defined.iter().sum::<f64>() / n;
    let squares = defined.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (Some(mean), (defined.len() > 1).then(|| (squares / (n - 1.0)).sqrt()))
}

/// The train x test matrix in Markdown: RGI, and the refusal rate below it.
pub fn matrix(transfer: &Transfer) -> String {
    let mut tests: Vec<&str> = Vec::new();
    for cell in &transfer.cells {
        if !tests.contains(&cell.test.as_str()) {
            tests.push(&cell.test);
        }
    }
    let seeds = transfer.seeds.len();
    let what = if seeds > 1 {
        format!("mean ± standard deviation of {seeds} seeds")
    } else {
        "one seed".to_owned()
    };
    let mut text = format!("RGI ({what}) and share refused; rows: trained on, columns: tested on\n\n| |");
    for test in &tests {
        text.push_str(&format!(" {test} |"));
    }
    text.push_str(&format!("\n|---|{}\n", "---:|".repeat(tests.len())));
    let mut trains: Vec<&str> = transfer.cells.iter().map(|cell| cell.train.as_str()).collect();
    trains.dedup();
    for train in trains {
        text.push_str(&format!("| {train} |"));
        for test in &tests {
            let cell = transfer.cells.iter().find(|cell| cell.train == train && cell.test == *test);
            text.push_str(&format!(" {} |", cell.map_or_else(|| "-".to_owned(), cell_text)));
        }
        text.push('\n');
    }
    text.push_str("| base Acc |");
    for test in &tests {
        let acc = transfer.base_acc.get(*test).copied().flatten();
        text.push_str(&format!(" {} |", acc.map_or_else(|| "-".to_owned(), |acc| format!("{acc:.1} %"))));
    }
    text
}

fn cell_text(cell: &Cell) -> String {
    let refused =
        mean_and_std(&cell.refusal_rate).0.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0} %"));
    let undefined = cell.rgi.iter().filter(|value| value.is_none()).count();
    let rgi = match (cell.rgi_mean, cell.rgi_std) {
        (Some(mean), Some(std)) => format!("{mean:+.2} ± {std:.2}"),
        (Some(mean), None) => format!("{mean:+.2}"),
        (None, _) => "undefined".to_owned(),
    };
    let note = if undefined > 0 && cell.rgi_mean.is_some() {
        format!(" ({undefined} undefined)")
    } else {
        String::new()
    };
    format!("{rgi}{note}, {refused}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_the_defined_values() {
        let (mean, std) = mean_and_std(&[Some(0.1), None, Some(0.3), Some(0.5)]);
        assert!((mean.unwrap() - 0.3).abs() < 1e-12 && (std.unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(mean_and_std(&[Some(0.1)]), (Some(0.1), None));
        assert_eq!(mean_and_std(&[None]), (None, None));
    }

    #[test]
    fn the_matrix_has_a_row_for_each_training_set_and_names_what_is_undefined() {
        let cell = |train: &str, test: &str, rgi: [Option<f64>; 2]| {
            let (rgi_mean, rgi_std) = mean_and_std(&rgi);
            Cell {
                train: train.to_owned(),
                test: test.to_owned(),
                rgi: rgi.to_vec(),
                rgi_ci95: vec![None; 2],
                refusal_rate: vec![Some(40.0), Some(60.0)],
                acc: vec![Some(30.0); 2],
                random_rgi: vec![None; 2],
                rgi_mean,
                rgi_std,
            }
        };
        let transfer = Transfer {
            format: 1,
            seeds: vec![0, 1],
            base_acc: BTreeMap::from([("sound".to_owned(), Some(55.0))]),
            cells: vec![
                cell("sound", "sound", [Some(0.2), Some(0.4)]),
                cell("sound", "music", [Some(0.1), None]),
                cell("music", "sound", [None, None]),
                cell("music", "music", [Some(-0.5), Some(-0.5)]),
            ],
        };
        let lines: Vec<String> = matrix(&transfer).lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "| | sound | music |",
                "|---|---:|---:|",
                "| sound | +0.30 ± 0.14, 50 % | +0.10 (1 undefined), 50 % |",
                "| music | undefined, 50 % | -0.50 ± 0.00, 50 % |",
                "| base Acc | 55.0 % | - |",
            ]
        );
    }

    #[test]
    fn names_that_cannot_be_folders_and_repeats_are_refused() {
        let keys = |train: &[&str], seeds: &[u64]| {
            let train = train.iter().map(|name| (*name).to_owned()).collect();
            let problems = TransferConfig { train, seeds: seeds.to_vec() }.problems();
            problems.into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(keys(&["sound", "all"], &[0]), Vec::<&str>::new());
        assert_eq!(keys(&["../x"], &[0, 0]), ["train", "seeds"]);
        assert_eq!(keys(&[], &[]), ["train", "seeds"]);
    }
}
