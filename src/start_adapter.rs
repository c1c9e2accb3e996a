//! Checks the adapter that DPO starts from before the dataset is built.

use std::path::Path;

use idk_model::{Adapters, Linears, ModelError};
use idk_trainer::{Method, check_start_adapter};

use crate::error::Failure;
use crate::recipe::Recipe;

/// The folder of the adapter, if the recipe names one that will be read.
fn dir(recipe: &Recipe) -> Option<&Path> {
    let dir = recipe.dpo.init.as_path();
    (recipe.train.method == Method::Dpo && !dir.as_os_str().is_empty()).then_some(dir)
}

/// Whether its files are there.
///
/// # Errors
/// A file that cannot be opened.
pub(crate) fn check_files(recipe: &Recipe) -> Result<(), Failure> {
    let Some(dir) = dir(recipe) else { return Ok(()) };
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        drop(idk_common::fs::open(&dir.join(name))?);
    }
    Ok(())
}

/// Whether the run can go on from it: its layers, rank and scale are those of [lora]. `linears` are the linear layers
/// of the base model, for which `load` reads an adapter.
///
/// # Errors
/// An adapter that cannot be read, or that is of another shape.
pub(crate) fn check_shape(
    recipe: &Recipe,
    linears: &Linears,
    load: impl FnOnce(&Path) -> Result<Adapters, ModelError>,
) -> Result<(), Failure> {
    let Some(dir) = dir(recipe) else { return Ok(()) };
    Ok(check_start_adapter(dir, &load(dir)?, &recipe.lora, linears)?)
}
