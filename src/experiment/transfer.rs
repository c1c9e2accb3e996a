//! Cross-modal transfer: one adapter per training set and seed, each evaluated on every task of the test set.

use idk_common::json::write_json;
use idk_evaluator::{ALL, TRANSFER_FILE, Transfer, report_file, write_transfer_report};

use super::cells::Grid;
use crate::recipe::{Recipe, TransferConfig};
use crate::run::Options;
use crate::terminal::{Failure, print_result, say};

/// Trains and evaluates every cell, prints the matrix and writes `report.html` and `transfer.json`.
///
/// # Errors
/// Whatever stops a cell; finished cells stay and are kept by the next start.
pub(crate) fn run(recipe: &Recipe, config: &TransferConfig, options: &Options<'_>) -> Result<(), Failure> {
    let grid = Grid::open(recipe, options)?;
    let mut rows = Vec::new();
    for train in &config.train {
        let mut of_seeds = Vec::new();
        for &seed in &config.seeds {
            let cell = grid.cell(&format!("{train}-seed{seed}"), |cell| {
                cell.seed = seed;
                cell.data.tasks = if train == ALL { Vec::new() } else { vec![train.clone()] };
            });
            // Cells that are trained on the same tasks share their rendered clips.
            let questions = grid.dir.questions().join(train);
            let title = format!("transfer  trained on {train}, seed {seed}");
            of_seeds.push(grid.results(&title, &cell, questions)?);
        }
        rows.push((train.clone(), of_seeds));
    }
    let transfer = Transfer::collect(&rows, &config.seeds);
    let path = grid.dir.root.join(TRANSFER_FILE);
    write_transfer_report(&grid.dir.root, &transfer)?;
    write_json(&path, &transfer)?;
    print_result(options.json, &transfer, || transfer.matrix())?;
    say(&format!("results   {}", path.display()));
    say(&format!("report    {}", report_file(&grid.dir.root).display()));
    Ok(())
}
