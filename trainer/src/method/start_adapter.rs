//! Whether training can start from an adapter.

use std::path::Path;

use idk_model::{Adapters, Lalm, Linears, LoraConfig};

use crate::error::TrainError;

/// The adapter in `init` that training starts from; `None` if no folder is named.
///
/// # Errors
/// As [`check_start_adapter`].
pub(crate) fn start_adapter(
    init: &Path,
    lalm: &Lalm,
    lora: &LoraConfig,
) -> Result<Option<Adapters>, TrainError> {
    if init.as_os_str().is_empty() {
        return Ok(None);
    }
    let mut adapters = Adapters::load(init, lalm)?;
    check_start_adapter(init, &adapters, lora, &lalm.config.linears())?;
    adapters.config = lora.clone();
    Ok(Some(adapters))
}

/// Rejects the adapter `found` in `dir` if training could not start from it as `lora` says. `linears` are the model's
/// linear layers.
///
/// # Errors
/// [`TrainError::InitAdapter`] if layers, ranks or scales differ; as [`LoraConfig::adapted`].
pub fn check_start_adapter(
    dir: &Path,
    found: &Adapters,
    lora: &LoraConfig,
    linears: &Linears,
) -> Result<(), TrainError> {
    match difference(found, lora, &lora.adapted(linears)?) {
        Some(reason) => Err(TrainError::InitAdapter { path: dir.to_owned(), reason }),
        None => Ok(()),
    }
}

/// What keeps `found` from being trained as `lora` says on the layers `wanted`, if anything does.
fn difference(found: &Adapters, lora: &LoraConfig, wanted: &[String]) -> Option<String> {
    if let Some(name) = found.modules.keys().find(|name| !wanted.contains(name)) {
        return Some(format!("it adapts {name}, [lora] does not"));
    }
    if let Some(name) = wanted.iter().find(|name| !found.modules.contains_key(*name)) {
        return Some(format!("[lora] adapts {name}, it does not"));
    }
    let (rank, scale) = (lora.rank, lora.scale() as f32);
    found.modules.iter().find_map(|(name, pair)| {
        let its_rank = pair.a.dims()[0];
        if its_rank != rank {
            return Some(format!("{name} has rank {its_rank}, [lora] says {rank}"));
        }
        let differs = (pair.scale - scale).abs() > 1e-6 * scale.abs();
        differs.then(|| format!("{name} is scaled by {}, [lora] says {scale}", pair.scale))
    })
}
