//! The base model of a run, as it is loaded and named.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use idk_audio::MelConfig;
use idk_common::CommonError;
use idk_common::hash::{sha256_file, sha256_hex};
use idk_common::paths::regular_files;
use idk_dataset_builder::SampledModel;
use idk_evaluator::{Backend, Served};
use idk_model::{Answerer, AudioRule, FeatureExtractor, FeatureStore, Lalm, Pooling, Quantisation, Windows};
use idk_server::Server;
use rayon::prelude::*;

use super::RunError;
use crate::recipe::Recipe;
use crate::terminal::{Failure, kernels, say};

/// A base model, with what stored samples and answers say of it.
pub(crate) struct BaseModel {
    pub(crate) lalm: Lalm,
    /// The recordings of every stage and their features.
    pub(crate) features: FeatureStore,
    /// See [`model_sha256`].
    pub(crate) sha256: String,
    /// Where answers are computed: the device, and the types of the weights unless it is float32.
    pub(crate) device: String,
}

impl BaseModel {
    /// Loads the model as the recipe says, with a GPU's kernels from its cache.
    ///
    /// # Errors
    /// A device that is not there; a model that cannot be read.
    pub(crate) fn load(recipe: &Recipe) -> Result<Self, Failure> {
        let section = &recipe.model;
        if !section.has_folder() {
            return Err(needs_folder().into());
        }
        kernels::open_cache(&section.kernel_cache_dir, &section.device);
        let device = idk_model::device(&section.device)?;
        // Gigabytes are hashed while they are loaded. Where loading fails, nobody waits for it.
        let folder = section.path.clone();
        let sha256 = thread::spawn(move || model_sha256(&folder));
        let mut lalm = Lalm::load_with(&section.path, &device, recipe.run_settings())?;
        if let Some(seconds) = recipe.data.max_audio_s {
            lalm.mel = lalm.mel.limited_to(seconds);
        }
        let quantised = lalm.quantisation().map(Quantisation::name);
        if section.device != "cpu" {
            let dtype = if lalm.is_bf16() { "bf16" } else { "f32" };
            let quantised = quantised.map_or_else(String::new, |name| format!(" and {name}"));
            say(&format!("device    {}, weights in {dtype}{quantised}", section.device));
        }
        let half = lalm.is_bf16().then_some("bf16");
        let types = [Some(section.device.as_str()), half, quantised];
        let device = types.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let sha256 = sha256.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        let features = recipe.train.feature_store(&sha256);
        Ok(Self { lalm, features, sha256, device })
    }

    /// As an evaluation sees it.
    pub(crate) fn evaluated(&self) -> EvaluatedModel<'_> {
        EvaluatedModel {
            backend: self.answerer().into(),
            sha256: &self.sha256,
            device: &self.device,
            folder: Some(self),
        }
    }

    /// The base model as it answers, without an adapter.
    pub(crate) fn answerer(&self) -> Answerer<'_> {
        Answerer::base(&self.lalm, &self.features)
    }
}

/// A model that answers or is sampled: in this program, or at a server whose folder may be at hand.
pub(crate) struct AnsweringModel {
    folder: Option<BaseModel>,
    server: Option<Server>,
    /// How recordings are sent to a server whose folder is not at hand.
    whole_audio: FeatureExtractor,
}

/// A base model as an evaluation sees it, wherever it is.
#[derive(Clone)]
pub(crate) struct EvaluatedModel<'a> {
    pub(crate) backend: Backend<'a>,
    /// [`model_sha256`] of its folder, empty without one.
    pub(crate) sha256: &'a str,
    /// Where answers are computed.
    pub(crate) device: &'a str,
    /// The model in this program, or the folder that a server serves.
    pub(crate) folder: Option<&'a BaseModel>,
}

impl AnsweringModel {
    /// Loads the folder that the recipe names, and opens its server. Nothing is sent yet.
    ///
    /// # Errors
    /// As [`BaseModel::load`]; a setting of the server that cannot be used.
    pub(crate) fn load(recipe: &Recipe) -> Result<Self, Failure> {
        let server = recipe.model.server().map(|settings| Server::open(&settings)).transpose()?;
        let folder = match server.is_some() && !recipe.model.has_folder() {
            true => None,
            false => Some(BaseModel::load(recipe)?),
        };
        let rule = AudioRule { pool: 1, pooling: Pooling::Mean, windows: Windows::Filled };
        let mut whole_audio = FeatureExtractor::new(MelConfig::default(), rule);
        if let Some(seconds) = recipe.data.max_audio_s {
            whole_audio = whole_audio.limited_to(seconds);
        }
        Ok(Self { folder, server, whole_audio })
    }

    /// The model in this program, for what no server does.
    ///
    /// # Errors
    /// [`RunError::Usage`] for a model that only a server has.
    pub(crate) fn folder(&self) -> Result<&BaseModel, RunError> {
        self.folder.as_ref().ok_or_else(needs_folder)
    }

    /// The server that has the model.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// [`model_sha256`] of its folder, empty without one.
    pub(crate) fn sha256(&self) -> &str {
        self.folder.as_ref().map_or("", |folder| &folder.sha256)
    }

    /// Gives `job` the model as a build samples it.
    pub(crate) fn sampled<T>(&self, job: impl FnOnce(SampledModel<'_>) -> T) -> T {
        match &self.folder {
            Some(folder) => job(SampledModel::Folder(&folder.answerer())),
            None => job(SampledModel::Server(&self.whole_audio)),
        }
    }

    /// As an evaluation sees it.
    ///
    /// # Errors
    /// None: it has a folder or a server.
    pub(crate) fn evaluated(&self) -> Result<EvaluatedModel<'_>, Failure> {
        let Some(server) = &self.server else {
            let folder = self.folder.as_ref().ok_or_else(|| RunError::usage("no model is given"))?;
            return Ok(folder.evaluated());
        };
        let folder = self.folder.as_ref();
        let served = Served {
            server,
            audio: folder.map_or(&self.whole_audio, |folder| &folder.lalm.mel),
            folder: folder.map(|folder| &folder.lalm),
            adapter: None,
        };
        Ok(EvaluatedModel {
            backend: Backend::Served(served),
            sha256: self.sha256(),
            device: "server",
            folder,
        })
    }
}

/// What is said of a model that only a server has where its weights or tokens are needed.
fn needs_folder() -> RunError {
    RunError::usage("this needs the folder of the model that the server has: give `path` in [model]")
}

/// SHA-256 over the files that make a model: weights, configuration, tokenizer, chat template. Its README may change.
///
/// # Errors
/// A folder or file that cannot be read.
pub(crate) fn model_sha256(dir: &Path) -> Result<String, CommonError> {
    let of_model = |name: &str| {
        // Mistral's own copy of the weights is never read.
        [".safetensors", ".json", ".jinja", ".txt"].iter().any(|ending| name.ends_with(ending))
            && !name.contains('/')
            && !name.starts_with("consolidated")
    };
    let files: Vec<_> = regular_files(dir)?.into_iter().filter(|(name, _)| of_model(name)).collect();
    let line = |(name, path): &(String, PathBuf)| Ok(format!("{name}\0{}\n", sha256_file(path)?));
    // Shards side by side; the first file that cannot be read is named.
    let lines: Vec<Result<String, CommonError>> = files.par_iter().map(line).collect();
    let listing = lines.into_iter().collect::<Result<String, _>>()?;
    Ok(sha256_hex(listing.as_bytes()))
}

/// The last part of a path: what names a folder in files that must not hold absolute paths.
pub(crate) fn folder_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
