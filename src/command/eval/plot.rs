//! `idk-eval plot`: the plots of stored results, no model.

use std::path::PathBuf;

use clap::Args;
use idk_common::text::display_path;
use idk_evaluator::plot_folder;
use serde_json::json;

use crate::terminal::{Failure, print_result};

/// Options of `idk-eval plot`.
#[derive(Args)]
pub(super) struct PlotArguments {
    /// Run folder, its eval/, or the folder of a transfer experiment
    folder: PathBuf,
    /// Folder for the plots [default: plots/ next to the results]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl PlotArguments {
    /// Writes every plot and prints the files.
    ///
    /// # Errors
    /// A folder without results, files that cannot be read or written.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let written = plot_folder(&self.folder, self.out.as_deref())?;
        let files: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        let lines = || written.iter().map(|path| display_path(path)).collect::<Vec<_>>().join("\n");
        Ok(print_result(json, &json!({ "files": files }), lines)?)
    }
}
