//! Cross-modal transfer: one adapter per training set and seed, each evaluated on every task of the test set.

use idk_evaluator::{ALL, GridKind, report_file, write_transfer_report};

use super::cells::{Experiment, TrainedCell};
use super::publish;
use crate::recipe::{Recipe, TransferConfig};
use crate::run::Options;
use crate::terminal::{Failure, say};

/// Trains and evaluates every cell, prints the matrix and writes `report.html` and `transfer.json`.
///
/// # Errors
/// Whatever stops a cell; finished cells stay and are kept by the next start.
pub(crate) fn run(recipe: &Recipe, config: &TransferConfig, options: &Options<'_>) -> Result<(), Failure> {
    let experiment = Experiment::open(recipe, options)?;
    let cell = |train: &String, seed: u64| TrainedCell {
        value: train.as_str().into(),
        seed: Some(seed),
        title: format!("transfer  trained on {train}, seed {seed}"),
        recipe: experiment.cell(&format!("{train}-seed{seed}"), |cell| {
            cell.seed = seed;
            cell.data.tasks = if train == ALL { Vec::new() } else { vec![train.clone()] };
        }),
        // Cells that are trained on the same tasks share their rendered clips.
        questions: experiment.dir.questions().join(train),
    };
    let of_train = |train| config.seeds.iter().map(move |&seed| (train, seed));
    let cells = config.train.iter().flat_map(of_train).map(|(train, seed)| cell(train, seed)).collect();
    let grid = experiment.train(GridKind::Transfer, cells)?;
    let root = &experiment.dir.root;
    write_transfer_report(root, &grid)?;
    publish(&grid, root, options.json)?;
    say(&format!("report    {}", report_file(root).display()));
    Ok(())
}
