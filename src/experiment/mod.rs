//! Experiments: several runs of one recipe, or one run answered with several settings. Each ends as a [`Grid`].

mod cells;
pub(crate) mod k_sweep;
pub(crate) mod offset;
pub(crate) mod sweep;
pub(crate) mod transfer;

use std::path::Path;

use idk_evaluator::{Grid, grid_table};

use crate::terminal::{Failure, print_result, say};

/// Writes a grid into the folder of a run or an experiment and prints it.
fn publish(grid: &Grid, root: &Path, json: bool) -> Result<(), Failure> {
    let path = grid.write(root)?;
    print_result(json, grid, || grid_table(grid))?;
    say(&format!("results   {}", path.display()));
    Ok(())
}
