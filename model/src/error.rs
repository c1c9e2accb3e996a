//! The one error type of this crate: what is wrong, where, and what to do about it.

use std::path::PathBuf;

use idk_common::CommonError;
use idk_common::diagnose::{Diagnose, ExitKind};

/// Everything that can go wrong while a model is loaded, run or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read or written.
    #[error(transparent)]
    Common(#[from] CommonError),

    /// The folder's audio settings could not be read.
    #[error(transparent)]
    Audio(#[from] idk_audio::AudioError),

    /// A recording is not the one that was read before.
    #[error("the recording {} was changed during the run", path.display())]
    RecordingChanged {
        /// The file.
        path: PathBuf,
    },

    /// A folder that holds no model at all.
    #[error("`{}` is no model folder: {what}", path.display())]
    NoModel {
        /// The folder as it was named.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },

    /// The folder has neither `model.safetensors` nor `model.safetensors.index.json`.
    #[error("{}: no weights: neither model.safetensors nor model.safetensors.index.json is there", path.display())]
    NoWeights {
        /// The model folder.
        path: PathBuf,
    },

    /// The folder has not both files of an adapter.
    #[error("`{}` holds no adapter: {missing} is not there", path.display())]
    NoAdapter {
        /// The folder.
        path: PathBuf,
        /// The first file that is missing.
        missing: &'static str,
        /// What to do.
        hint: String,
    },

    /// A weights file is not valid safetensors, or the index does not fit its shards.
    #[error("{}: {what}", path.display())]
    Weights {
        /// The weights or index file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },

    /// A tensor that the configuration asks for is not on disk.
    #[error("{}: tensor `{tensor}` is missing", path.display())]
    MissingTensor {
        /// The weights or index file.
        path: PathBuf,
        /// Canonical (transformers 4) name.
        tensor: String,
    },

    /// A tensor on disk has no place in the model.
    #[error("{}: tensor `{tensor}` is not used by this model", path.display())]
    UnusedTensor {
        /// The weights file.
        path: PathBuf,
        /// The name as it stands in the file.
        tensor: String,
    },

    /// A tensor is on disk twice, perhaps under both namings.
    #[error("{}: tensor `{tensor}` appears twice", path.display())]
    DuplicateTensor {
        /// The weights file.
        path: PathBuf,
        /// Canonical (transformers 4) name.
        tensor: String,
    },

    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor `{tensor}` has shape {found:?} where config.json asks for {expected:?}", path.display())]
    TensorShape {
        /// The weights file.
        path: PathBuf,
        /// Canonical (transformers 4) name.
        tensor: String,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
        /// The shape on disk.
        found: Vec<usize>,
    },

    /// A tensor is stored in a type that is not read here.
    #[error("{}: tensor `{tensor}` is stored as {dtype}; only F32, F16 and BF16 are read", path.display())]
    TensorDtype {
        /// The weights file.
        path: PathBuf,
        /// Canonical (transformers 4) name.
        tensor: String,
        /// The stored type.
        dtype: String,
    },

    /// A tensor holds NaN or infinity.
    #[error("{}: tensor `{tensor}` holds a value that is not finite (element {index})", path.display())]
    NonFinite {
        /// The weights file.
        path: PathBuf,
        /// Canonical (transformers 4) name.
        tensor: String,
        /// Row-major index of the first such element.
        index: usize,
    },

    /// A key of `config.json` or `generation_config.json` is missing, malformed or asks for something unsupported.
    #[error("{}: `{key}`: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, with its section (`text_config.use_sliding_window`).
        key: String,
        /// What is wrong with it.
        what: String,
    },

    /// The audio placeholders of a prompt and the audio rows given for it differ in number.
    #[error("row {row}: the prompt has {placeholders} audio tokens but its audio has {rows}")]
    AudioTokenCount {
        /// Index of the prompt in the batch.
        row: usize,
        /// Placeholder tokens in the prompt.
        placeholders: usize,
        /// Projected audio rows given.
        rows: usize,
    },

    /// A call was given inputs that cannot be run.
    #[error("{what}")]
    Input {
        /// What is wrong with them.
        what: String,
    },

    /// A spectrogram does not have the number of mel bands that the encoder reads.
    #[error("the spectrogram has {found} mel bands, the encoder reads {expected}")]
    MelBands {
        /// Bands of the encoder.
        expected: usize,
        /// Bands of the spectrogram.
        found: usize,
    },

    /// The compute device does not exist or does not work.
    #[error("device `{device}`: {what}")]
    Device {
        /// The device as it was asked for.
        device: String,
        /// What is wrong with it.
        what: String,
    },

    /// The compute device cannot be used because something is not there: support in this build, a GPU, a part of CUDA.
    #[error("device `{device}`: {what}")]
    DeviceMissing {
        /// The device as it was asked for.
        device: String,
        /// What is missing.
        what: String,
        /// How to get it.
        hint: String,
    },

    /// A GPU does not compute what it is asked to.
    #[error("this GPU cannot be used: {what}")]
    DeviceCheck {
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },

    /// The backend failed while computing.
    #[error("computing on the device failed: {what}")]
    Compute {
        /// The backend's message.
        what: String,
    },

    /// A LoRA adapter cannot be used.
    #[error("{}: {what}", path.display())]
    Adapter {
        /// The adapter folder or file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },

    /// A folder that is to be written already holds something.
    #[error("{}: the folder is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },

    /// The hidden folder that a merge writes in holds what no merge has written.
    #[error("{}: the folder holds `{found}`, which no merge has left there", path.display())]
    NotOfMerge {
        /// The folder.
        path: PathBuf,
        /// A file or folder in it.
        found: String,
    },

    /// The tokenizer cannot be used, or a text cannot be encoded by it.
    #[error("{}: {what}", path.display())]
    Tokenizer {
        /// The tokenizer's folder or file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },

    /// The folder's chat template cannot be used, or rejects a chat.
    #[error("{}: {what}", path.display())]
    ChatTemplate {
        /// The model folder.
        path: PathBuf,
        /// Where the template is, and what is wrong with it.
        what: String,
    },
}

impl Diagnose for ModelError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Common(error) => error.exit_kind(),
            Self::Audio(error) => error.exit_kind(),
            Self::NoModel { .. }
            | Self::NoWeights { .. }
            | Self::NoAdapter { .. }
            | Self::DeviceMissing { .. }
            | Self::DeviceCheck { .. } => ExitKind::MissingInput,
            Self::Device { .. } | Self::NotEmpty { .. } | Self::NotOfMerge { .. } => ExitKind::Usage,
            Self::Compute { .. } => ExitKind::Io,
            Self::RecordingChanged { .. }
            | Self::NonFinite { .. }
            | Self::Weights { .. }
            | Self::MissingTensor { .. }
            | Self::UnusedTensor { .. }
            | Self::DuplicateTensor { .. }
            | Self::TensorShape { .. }
            | Self::TensorDtype { .. }
            | Self::Config { .. }
            | Self::AudioTokenCount { .. }
            | Self::Input { .. }
            | Self::MelBands { .. }
            | Self::Adapter { .. }
            | Self::Tokenizer { .. }
            | Self::ChatTemplate { .. } => ExitKind::BadData,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Common(error) => return error.hint(),
            Self::Audio(error) => return error.hint(),
            Self::NoAdapter { hint, .. } => hint,
            Self::RecordingChanged { .. } => "restore the recording, then rerun the same command to resume",
            Self::NoModel { .. } => {
                "give the folder of a model as Hugging Face has it: config.json, preprocessor_config.json, tokenizer.json, \
                 tokenizer_config.json and model.safetensors or its shards (docs/tutorial/own-model.md; the families are in \
                 docs/guide/models.md)"
            }
            Self::NoWeights { .. } => "give a Hugging Face folder of a model",
            Self::Weights { .. } => "the file may be cut short: copy or download it again",
            Self::MissingTensor { .. } | Self::UnusedTensor { .. } | Self::TensorShape { .. } => {
                "config.json and the weights may come from different models"
            }
            Self::TensorDtype { .. } => "save the model as float32, float16 or bfloat16",
            Self::NonFinite { .. } => "the model diverged or the file is damaged: use another checkpoint",
            Self::NotEmpty { .. } => {
                "nothing is overwritten: name a folder that does not exist, or remove this one"
            }
            Self::NotOfMerge { .. } => {
                "a merge writes in this folder first: move it away, or give another --out"
            }
            Self::MelBands { .. } => "compute the spectrogram with the model's own preprocessor_config.json",
            Self::ChatTemplate { .. } => {
                "it is rendered as transformers renders it; see docs/tutorial/own-model.md for what it must do"
            }
            Self::Device { .. } => "use `cpu`, or `cuda`, `cuda:N` or `wgpu` on a machine with a GPU",
            Self::DeviceMissing { hint, .. } => hint,
            Self::DeviceCheck { hint, .. } => hint,
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
