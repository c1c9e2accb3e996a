//! What a run reads and writes besides its questions, looked at before hours are spent: the adapter that DPO starts
//! from, the folder for audio features, prompts and adapters of the evaluation.

use std::path::Path;

use idk_common::fs::AtomicFile;
use idk_model::{Adapters, Linears, ModelError, check_adapter_files};
use idk_trainer::check_start_adapter;

use super::RunError;
use super::questions::{self, Set};
use crate::recipe::{Recipe, same_questions};
use crate::terminal::Failure;

/// Whether its files are there.
///
/// # Errors
/// A file that cannot be opened.
pub(crate) fn check_start_files(recipe: &Recipe) -> Result<(), Failure> {
    let Some(dir) = recipe.method().start_adapter() else { return Ok(()) };
    Ok(check_adapter_files(dir)?)
}

/// Whether the run can start from it: its layers, rank and scale are those of [lora]. `linears` are the linear layers
/// of the base model, for which `load` reads an adapter.
///
/// # Errors
/// An adapter that cannot be read, or that is of another shape.
pub(crate) fn check_start_shape(
    recipe: &Recipe,
    linears: &Linears,
    load: impl FnOnce(&Path) -> Result<Adapters, ModelError>,
) -> Result<(), Failure> {
    let Some(dir) = recipe.method().start_adapter() else { return Ok(()) };
    Ok(check_start_adapter(dir, &load(dir)?, &recipe.lora, linears)?)
}

/// Looks whether the folder for audio features can be written, before hours are spent on the dataset.
///
/// # Errors
/// [`idk_common::CommonError::Io`].
pub(crate) fn check_feature_cache(recipe: &Recipe) -> Result<(), Failure> {
    let dir = &recipe.train.feature_cache_dir;
    if dir.as_os_str().is_empty() { Ok(()) } else { try_writing(dir) }
}

/// Refuses a recipe whose evaluation names files that cannot be used, before hours are spent on what comes first.
///
/// # Errors
/// Prompts and adapters that are not there, and what [`check_val`] finds.
pub(crate) fn check_evaluation(recipe: &Recipe) -> Result<(), Failure> {
    recipe.eval.check_prompts()?;
    for (_, dir) in recipe.eval.named_adapters()? {
        check_adapter_files(&dir)?;
    }
    check_val(recipe)
}

/// Refuses a `val` that cannot be loaded, or that is the test set.
fn check_val(recipe: &Recipe) -> Result<(), Failure> {
    if !recipe.eval.fits_on_val() {
        return Ok(());
    }
    // `--questions` may have put another test set in the recipe's place.
    if same_questions(&recipe.data.val, &recipe.data.test) {
        return Err(val_is_test().into());
    }
    questions::check(&recipe.data, &[Set::Val])
}

/// Rejects a recipe that tests an adapter on the questions that it was trained on.
///
/// # Errors
/// [`RunError::Usage`].
pub(crate) fn check_test(recipe: &Recipe) -> Result<(), RunError> {
    if !same_questions(&recipe.data.train, &recipe.data.test) {
        return Ok(());
    }
    let what = format!(
        "`test` in [data] must be other questions than `train`, not `{}` too: an adapter looks better on what it was trained on \
         than it is",
        recipe.data.test
    );
    Err(RunError::usage(what))
}

pub(crate) fn val_is_test() -> RunError {
    let what = "`val` in [data] is the test set: a threshold must not be fitted on what it is judged by";
    RunError::Usage { what: what.to_owned() }
}

/// Whether a folder can be written, or made: tried with an empty file in the nearest folder that is there, removed at
/// once.
pub(crate) fn try_writing(dir: &Path) -> Result<(), Failure> {
    let there = dir.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    let there = there.unwrap_or(Path::new("."));
    drop(AtomicFile::create(&there.join(".idk-check"))?);
    Ok(())
}
