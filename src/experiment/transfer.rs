//! Cross-modal transfer: one adapter per training set and seed, each evaluated on every task of the test set.
//!
//! Each cell has its own run in `cells/<train>-seed<n>/`, so an interrupted experiment resumes.

use std::path::{Path, PathBuf};

use idk_common::RunDir;
use idk_common::json::write_json;
use idk_evaluator::{ALL, Results, TRANSFER_FILE, Transfer, report_file, write_transfer_report};

use crate::recipe::{Recipe, TransferConfig};
use crate::run::{Options, move_aside};
use crate::stage;
use crate::terminal::{Failure, print_result, say};

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
    print_result(options.json, &transfer, || transfer.matrix())?;
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
    stage::cell(&cell, &questions_dir(root, train), options)
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
