//! `idk-eval index`: one page that compares the runs of a folder.

use std::path::PathBuf;

use clap::Args;
use idk_common::text::display_path;
use idk_evaluator::write_index;

use crate::terminal::{Failure, print_result, say};

/// Options of `idk-eval index`.
#[derive(Args)]
pub(super) struct IndexArguments {
    /// Folder of runs; the page is its index.html
    folder: PathBuf,
}

impl IndexArguments {
    /// Writes the page and prints its path.
    ///
    /// # Errors
    /// A folder without results; a page that cannot be written.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let index = write_index(&self.folder)?;
        for problem in &index.problems {
            say(&format!("left out  {problem}"));
        }
        Ok(print_result(json, &index, || display_path(&index.page))?)
    }
}
