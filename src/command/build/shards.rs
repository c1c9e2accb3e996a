//! A dataset that several machines sample: `idk-build RECIPE --shard i/n` on each, `idk-build merge RECIPE` at the end.

use std::path::{Path, PathBuf};

use clap::Args;
use idk_common::lock::RunLock;
use idk_common::{CommonError, RunDir};
use idk_dataset_builder::{MANIFEST_FILE, SampledParts, SamplingPart};
use serde_json::json;

use super::complete_and_print;
use crate::command::args::RecipeArgs;
use crate::recipe::Recipe;
use crate::run::{Options, Run, RunError};
use crate::stage::dataset;
use crate::terminal::{Failure, print_result, say};

#[derive(Args)]
pub(super) struct MergeShardsArguments {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Folders of the parts [default: every `shard-i-of-n` in the run folder]
    #[arg(value_name = "SHARD")]
    shards: Vec<PathBuf>,
}

/// Samples one part of the questions into a run folder of its own, `shard-i-of-n` in that of the recipe.
///
/// # Errors
/// As `idk-build RECIPE`.
pub(super) fn sample_part(recipe: &Recipe, part: SamplingPart, options: &Options<'_>) -> Result<(), Failure> {
    let root = recipe.output.dir.join(part.folder_name());
    let run = Run::start(recipe, &root, options)?;
    let report = dataset::sample_part(&run, part)?;
    let folder = root.display().to_string();
    if report.shards == 0 {
        say(&format!(
            "warning: nothing to do for part {part}: the build has {} shards of build.shard_size = {} questions",
            report.shards_of_build, recipe.build.shard_size
        ));
    }
    let found = json!({ "part": part.to_string(), "questions": report.questions, "folder": folder });
    Ok(print_result(options.json, &found, || {
        format!(
            "part {part}   {folder}: {} questions sampled; when all parts are: idk-build merge RECIPE",
            report.questions
        )
    })?)
}

impl MergeShardsArguments {
    /// Makes the dataset of a recipe from its sampled parts, byte for byte what one machine would have made.
    ///
    /// # Errors
    /// Before anything is written: parts that are still being sampled, miss a shard, or differ in what they were sampled
    /// with. Then as `idk-build RECIPE`.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let recipe = self.recipe.load()?;
        let root = &recipe.output.dir;
        let folders = if self.shards.is_empty() { find_parts(root)? } else { self.shards.clone() };
        let locks = folders.iter().map(|folder| lock_existing(folder)).collect::<Result<Vec<_>, _>>()?;
        let datasets: Vec<PathBuf> = folders.iter().map(|folder| RunDir::new(folder).dataset()).collect();
        let parts = SampledParts::find(&datasets)?;
        let run = Run::start(&recipe, root, &Options { json, ..Options::default() })?;
        if !run.dir.dataset().join(MANIFEST_FILE).is_file() {
            parts.copy_into(&run.dir.dataset(), &|line| say(&format!("warning: {line}")))?;
        }
        drop(locks);
        complete_and_print(&run, json)
    }
}

/// The folders of parts in a run folder.
fn find_parts(run: &Path) -> Result<Vec<PathBuf>, Failure> {
    let listing = match std::fs::read_dir(run) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RunError::NoParts { dir: run.to_owned() }.into());
        }
        listing => listing.map_err(CommonError::io("list", run))?,
    };
    let mut folders = Vec::new();
    for entry in listing {
        let path = entry.map_err(CommonError::io("list", run))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.and_then(SamplingPart::of_folder).is_some() {
            folders.push(path);
        }
    }
    folders.sort();
    if folders.is_empty() { Err(RunError::NoParts { dir: run.to_owned() }.into()) } else { Ok(folders) }
}

/// Locking makes a folder that is not there; a wrong name should not.
fn lock_existing(folder: &Path) -> Result<RunLock, CommonError> {
    if folder.is_dir() {
        return RunLock::acquire(folder);
    }
    Err(CommonError::NotFound { path: folder.to_owned() })
}
