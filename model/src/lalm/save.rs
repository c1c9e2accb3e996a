//! Writing a model as a Hugging Face folder that transformers reads.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::DType;
use half::bf16;
use idk_common::{fs, json};
use safetensors::{Dtype, View};

use crate::error::ModelError;
use crate::lalm::Lalm;

/// Type of the weights on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveDtype {
    /// 32-bit floats: exact.
    F32,
    /// bfloat16, rounded to nearest even: half the size.
    Bf16,
}

impl SaveDtype {
    fn torch_name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::Bf16 => "bfloat16",
        }
    }
}

impl Lalm {
    /// Writes `config.json`, `generation_config.json`, `preprocessor_config.json`, the tokenizer's own files and
    /// `model.safetensors` with transformers-4 names. Each file is written atomically, the weights last.
    ///
    /// # Errors
    /// [`ModelError::Input`] for a model of a family that is only trained by adapters, or one whose weights are quantised;
    /// [`ModelError::NonFinite`] if a tensor holds NaN or infinity (nothing has been written then),
    /// [`ModelError::Common`] if a file cannot be written.
    pub fn save(&self, dir: &Path, dtype: SaveDtype) -> Result<(), ModelError> {
        if let Some(quantisation) = self.quantisation() {
            let name = quantisation.name();
            return Err(ModelError::Input {
                what: format!("a model whose weights are held in {name} is not written; merge an adapter"),
            });
        }
        let Some(config) = self.config.to_json(dtype.torch_name()) else {
            let name = self.config.architecture.name;
            return Err(ModelError::Input {
                what: format!("a whole model of {name} is not written; merge an adapter"),
            });
        };
        let weights = self.weights_bytes(&dir.join("model.safetensors"), dtype)?;
        fs::create_dir_all(dir)?;
        json::write_json(&dir.join("config.json"), &config)?;
        json::write_json(&dir.join("generation_config.json"), &self.generation.to_json())?;
        json::write_json(&dir.join("preprocessor_config.json"), &self.mel.config().to_json())?;
        for (name, bytes) in self.tokenizer.files() {
            fs::write_atomic(&dir.join(name), bytes)?;
        }
        fs::write_atomic(&dir.join("model.safetensors"), &weights)?;
        Ok(())
    }

    fn weights_bytes(&self, path: &Path, dtype: SaveDtype) -> Result<Vec<u8>, ModelError> {
        let mut tensors: BTreeMap<String, StoredTensor> = BTreeMap::new();
        let mut failure = None;
        // A clone shares the tensors' memory: only handles are copied.
        self.clone().for_each_tensor(&mut |name, slot| {
            let data = slot.to_data().convert_dtype(DType::F32);
            let values: Vec<f32> = data.iter::<f32>().collect();
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                failure.get_or_insert(ModelError::NonFinite {
                    path: path.to_owned(),
                    tensor: name.to_owned(),
                    index,
                });
            }
            tensors.insert(name.to_owned(), StoredTensor::new(&values, slot.dims(), dtype));
        });
        match failure {
            Some(failure) => Err(failure),
            None => serialize(path, &tensors),
        }
    }
}

/// A tensor as it lies in a safetensors file.
#[derive(Debug)]
pub(crate) struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl StoredTensor {
    pub(crate) fn new(values: &[f32], shape: Vec<usize>, dtype: SaveDtype) -> Self {
        match dtype {
            SaveDtype::F32 => {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Self { dtype: Dtype::F32, shape, bytes }
            }
            SaveDtype::Bf16 => {
                let bytes = values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect();
                Self { dtype: Dtype::BF16, shape, bytes }
            }
        }
    }
}

impl View for &StoredTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The bytes of a safetensors file, with the metadata that transformers asks for.
pub(crate) fn serialize(
    path: &Path,
    tensors: &BTreeMap<String, StoredTensor>,
) -> Result<Vec<u8>, ModelError> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(tensors.iter(), Some(metadata))
        .map_err(|error| ModelError::Weights { path: path.to_owned(), what: error.to_string() })
}
