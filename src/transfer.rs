//! Cross-modal transfer: one adapter per training set and seed, each evaluated on every task of the test set.
//!
//! Each cell has its own run in `cells/<train>-seed<n>/`, so an interrupted experiment resumes.

use std::path::{Path, PathBuf};

use idk_common::json::write_json;
use idk_common::{Problem, Problems, RunDir};
use idk_evaluator::{ALL, Results, TRANSFER_FILE, Transfer, report_file, write_transfer_report};
use serde::{Deserialize, Serialize};

use crate::cli::{print_line, say};
use crate::error::Failure;
use crate::pipeline::{self, Options, move_aside};
use crate::recipe::Recipe;

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
    /// What is wrong with the values of `[transfer]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("transfer");
        let once = !self.train.is_empty() && !repeats(&self.train);
        problems.require(once, "train", "must name one or more tasks, each once");
        let plain = "may hold names of letters, digits, `-` and `_` only: they name folders";
        problems.require(self.train.iter().all(|name| is_plain(name)), "train", plain);
        let once = !self.seeds.is_empty() && !repeats(&self.seeds);
        problems.require(once, "seeds", "must hold one or more seeds, each once");
        problems.into_vec()
    }
}

fn repeats<T: PartialEq>(values: &[T]) -> bool {
    values.iter().enumerate().any(|(at, value)| values[..at].contains(value))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Trains and evaluates every cell, prints the matrix and writes `report.html` and `transfer.json`.
///
/// # Errors
/// Whatever stops a cell; finished cells stay and are kept by the next start.
pub(crate) fn run(recipe: &Recipe, config: &TransferConfig, options: &Options<'_>) -> Result<(), Failure> {
    let root = &recipe.output.dir;
    if options.fresh {
        move_aside(root)?;
    }
    let _lock = RunDir::new(root).claim()?;
    let mut rows = Vec::new();
    for train in &config.train {
        let mut of_seeds = Vec::new();
        for &seed in &config.seeds {
            say(&format!("transfer  trained on {train}, seed {seed}"));
            of_seeds.push(cell_results(recipe, root, train, seed, options)?);
        }
        rows.push((train.clone(), of_seeds));
    }
    let transfer = Transfer::collect(&rows, &config.seeds);
    let path = root.join(TRANSFER_FILE);
    write_transfer_report(root, &transfer)?;
    write_json(&path, &transfer)?;
    let table = transfer.matrix();
    print_line(&if options.json { serde_json::to_string(&transfer).unwrap_or_default() } else { table })?;
    say(&format!("results   {}", path.display()));
    say(&format!("report    {}", report_file(root).display()));
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
    cell.output.dir = RunDir::new(root).cell(&format!("{train}-seed{seed}")).root;
    cell
}

/// Cells that are trained on the same tasks share their rendered clips.
fn questions_dir(root: &Path, train: &str) -> PathBuf {
    RunDir::new(root).questions().join(train)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_folders_and_repeats_are_refused() {
        let keys = |train: &[&str], seeds: &[u64]| {
            let train = train.iter().map(|name| (*name).to_owned()).collect();
            let problems = TransferConfig { train, seeds: seeds.to_vec() }.problems();
            problems.into_iter().map(|problem| problem.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(&["sound", "all"], &[0]), Vec::<String>::new());
        assert_eq!(keys(&["../x"], &[0, 0]), ["transfer.train", "transfer.seeds"]);
        assert_eq!(keys(&[], &[]), ["transfer.train", "transfer.seeds"]);
    }
}
