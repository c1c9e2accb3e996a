//! The base model of a run, as it is loaded and named.

use std::path::Path;

use idk_common::CommonError;
use idk_model::{Answerer, FeatureStore, Lalm};

use crate::recipe::Recipe;
use crate::terminal::{Failure, kernels, say};

/// A base model, with what stored samples and answers say of it.
pub(crate) struct BaseModel {
    pub(crate) lalm: Lalm,
    /// The recordings of every stage and their features.
    pub(crate) features: FeatureStore,
    /// See [`model_sha256`].
    pub(crate) sha256: String,
    /// Where answers are computed: the device, and the type of the weights unless it is float32.
    pub(crate) device: String,
}

impl BaseModel {
    /// Loads the model as the recipe says, with a GPU's kernels from its cache.
    ///
    /// # Errors
    /// A device that is not there; a model that cannot be read.
    pub(crate) fn load(recipe: &Recipe) -> Result<Self, Failure> {
        let section = &recipe.model;
        kernels::open_cache(&section.kernel_cache_dir, &section.device);
        let device = idk_model::device(&section.device)?;
        let mut lalm = Lalm::load_with(&section.path, &device, recipe.run_settings())?;
        if let Some(seconds) = recipe.data.max_audio_s {
            lalm.mel = lalm.mel.limited_to(seconds);
        }
        if section.device != "cpu" {
            let dtype = if lalm.is_bf16() { "bf16" } else { "f32" };
            say(&format!("device    {}, weights in {dtype}", section.device));
        }
        let device = if lalm.is_bf16() { format!("{} bf16", section.device) } else { section.device.clone() };
        let sha256 = model_sha256(&section.path)?;
        let features = recipe.train.feature_store(&sha256);
        Ok(Self { lalm, features, sha256, device })
    }

    /// The base model as it answers, without an adapter.
    pub(crate) fn answerer(&self) -> Answerer<'_> {
        Answerer::base(&self.lalm, &self.features)
    }
}

/// SHA-256 over the files that make a model: weights, configuration, tokenizer, chat template. Its README may change.
///
/// # Errors
/// A folder or file that cannot be read.
pub(crate) fn model_sha256(dir: &Path) -> Result<String, CommonError> {
    let mut listing = String::new();
    for (name, path) in idk_common::paths::regular_files(dir)? {
        let of_model =
            [".safetensors", ".json", ".jinja", ".txt"].iter().any(|ending| name.ends_with(ending));
        // Mistral's own copy of the weights is never read.
        if of_model && !name.contains('/') && !name.starts_with("consolidated") {
            listing.push_str(&format!("{name}\0{}\n", idk_common::hash::sha256_file(&path)?));
        }
    }
    Ok(idk_common::hash::sha256_hex(listing.as_bytes()))
}

/// The last part of a path: what names a folder in files that must not hold absolute paths.
pub(crate) fn folder_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
