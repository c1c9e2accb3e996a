//! Merges an adapter into its base model: `W` becomes `W + s B A`, in a Hugging Face folder that needs no PEFT.
//!
//! The base is read and written in blocks of rows, so that the host holds the adapter and one block whatever the size of
//! the model. The folder appears when it is complete: it is written next to its destination and renamed.
mod folder;
mod update;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use burn::tensor::Device;
use half::{bf16, f16};
use idk_common::fs::{AtomicFile, write_atomic};
use idk_common::json::{read_json, write_json};
use serde_json::{Map, Value, json};

use self::folder::{PendingFolder, copy_settings};
use self::update::Updates;
use crate::arch::config::LalmConfig;
use crate::error::ModelError;
use crate::lora::Adapters;
use crate::weights::{StoredShape, Weights};

/// Values that are held at once (16 MiB in float32).
const BLOCK_ELEMENTS: usize = 1 << 22;

/// Type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// bfloat16.
    Bf16,
}

impl StoredDtype {
    fn element_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Safetensors' word for it.
    fn word(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "BF16" => Self::Bf16,
            "F16" => Self::F16,
            _ => Self::F32,
        }
    }

    /// PyTorch's word for it.
    fn torch_word(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
        }
    }

    /// The values rounded to nearest even.
    fn narrow(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
        }
    }

    /// The greatest number that does not become infinite.
    fn max(self) -> f32 {
        match self {
            Self::F32 => f32::MAX,
            Self::F16 => f16::MAX.to_f32(),
            Self::Bf16 => bf16::MAX.to_f32(),
        }
    }
}

impl FromStr for StoredDtype {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        // The words of recipes.
        let all = [("f32", Self::F32), ("f16", Self::F16), ("bf16", Self::Bf16)];
        let found = all.into_iter().find(|(name, _)| *name == word);
        found.map(|(_, dtype)| dtype).ok_or_else(|| format!("`{word}` is not f32, f16 or bf16"))
    }
}

/// A merge that has been found possible.
#[derive(Debug)]
pub struct Merge {
    base: PathBuf,
    weights: Weights,
    tensors: Vec<Planned>,
    updates: Updates,
    dtype: Option<StoredDtype>,
    other_files: &'static [&'static str],
}

/// One tensor of the merged model.
#[derive(Debug)]
struct Planned {
    stored: StoredShape,
    from: StoredDtype,
    to: StoredDtype,
}

impl Planned {
    fn bytes(&self) -> u64 {
        (self.stored.elements() * self.to.element_bytes()) as u64
    }
}

/// What a merge wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Tensors in the folder.
    pub tensors: usize,
    /// Those of them that the adapter changed.
    pub changed: usize,
    /// Weight files.
    pub shards: usize,
    /// Bytes of all tensors together.
    pub bytes: u64,
}

impl Merge {
    /// Opens the base and the adapter and checks that they fit; writes nothing. Tensors keep the types that they have in
    /// the base unless `dtype` names one for all.
    ///
    /// # Errors
    /// Those of [`LalmConfig::from_dir`], of [`Adapters::load`] and of opening weights; a layer that the adapter changes
    /// and the base does not have in the right shape is named.
    pub fn open(base: &Path, adapter: &Path, dtype: Option<StoredDtype>) -> Result<Self, ModelError> {
        let config = LalmConfig::from_dir(base)?;
        let linears = config.linears();
        let weights = Weights::open_dir(base, Some(&config.architecture.names))?;
        let adapters = Adapters::load_for(adapter, &linears, &Device::flex())?;
        let stored = weights.stored()?;
        for module in adapters.modules.keys() {
            check_shape(&stored, base, &format!("{module}.weight"), linears[module])?;
        }
        let tensors = stored.into_iter().map(|stored| {
            let from = StoredDtype::of_word(&stored.dtype);
            // What is not run is copied as it is.
            let to = dtype.filter(|_| !stored.passed_over).unwrap_or(from);
            Planned { from, to, stored }
        });
        let tensors = tensors.collect();
        let (updates, other_files) = (Updates::of(&adapters)?, config.architecture.other_files);
        Ok(Self { base: base.to_owned(), weights, tensors, updates, dtype, other_files })
    }

    /// Bytes of all merged tensors together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(Planned::bytes).sum()
    }

    /// Writes the folder `out`, which must not exist or be empty: the merged weights in files of at most `shard_bytes`
    /// (a larger tensor gets one of its own), the base's tokenizer and settings byte for byte (but `config.json` names
    /// the new type if there is one), and `readme`. `advanced` is told of every so many bytes.
    ///
    /// A process that is killed leaves a hidden folder next to `out`, which the next merge into `out` removes.
    ///
    /// # Errors
    /// [`ModelError::NotEmpty`], [`ModelError::NonFinite`], or an error of reading or writing; `out` is then as it was.
    pub fn write(
        mut self,
        out: &Path,
        shard_bytes: u64,
        readme: &str,
        advanced: &mut dyn FnMut(u64),
    ) -> Result<Merged, ModelError> {
        let pending = PendingFolder::create(out)?;
        copy_settings(&self.base, pending.path(), self.other_files)?;
        if let Some(dtype) = self.dtype {
            rename_dtype(&pending.path().join("config.json"), dtype)?;
        }
        write_atomic(&pending.path().join("README.md"), readme.as_bytes())?;
        let merged = Merged {
            tensors: self.tensors.len(),
            changed: self.updates.len(),
            shards: 0,
            bytes: self.bytes(),
        };
        let shards = shards(std::mem::take(&mut self.tensors), shard_bytes);
        let count = shards.len();
        let mut weight_map = Map::new();
        for (index, tensors) in shards.iter().enumerate() {
            let name = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
            };
            self.write_shard(&pending.path().join(&name), tensors, advanced)?;
            weight_map.extend(tensors.iter().map(|it| (it.stored.disk_name.clone(), json!(name))));
        }
        if count > 1 {
            weight_map.sort_keys();
            let index = json!({"metadata": {"total_size": merged.bytes}, "weight_map": weight_map});
            write_json(&pending.path().join("model.safetensors.index.json"), &index)?;
        }
        Weights::open_dir(pending.path(), None)?;
        pending.publish()?;
        Ok(Merged { shards: count, ..merged })
    }

    fn write_shard(
        &mut self,
        path: &Path,
        tensors: &[Planned],
        advanced: &mut dyn FnMut(u64),
    ) -> Result<(), ModelError> {
        let mut file = AtomicFile::create(path)?;
        file.put(&header(tensors))?;
        for tensor in tensors {
            let StoredShape { name, shape, .. } = &tensor.stored;
            let row = shape.iter().skip(1).product::<usize>().max(1);
            let block = (BLOCK_ELEMENTS / row).max(1) * row;
            let elements = tensor.stored.elements();
            for first in (0..elements).step_by(block) {
                let count = block.min(elements - first);
                let (raw, mut values) =
                    self.weights.read_elements(name, first, count, tensor.from.element_bytes())?;
                let changed = self.updates.add(name, first, &mut values);
                let bytes = if changed || tensor.from != tensor.to {
                    check_range(tensor, first, &values)?;
                    tensor.to.narrow(&values)
                } else {
                    raw
                };
                file.put(&bytes)?;
                advanced(bytes.len() as u64);
            }
        }
        Ok(file.commit()?)
    }
}

fn check_shape(
    stored: &[StoredShape],
    base: &Path,
    tensor: &str,
    expected: [usize; 2],
) -> Result<(), ModelError> {
    let Some(found) = stored.iter().find(|stored| stored.name == tensor) else {
        return Err(ModelError::MissingTensor { path: base.to_owned(), tensor: tensor.to_owned() });
    };
    if found.shape == expected {
        return Ok(());
    }
    Err(ModelError::TensorShape {
        path: found.path.clone(),
        tensor: tensor.to_owned(),
        expected: expected.to_vec(),
        found: found.shape.clone(),
    })
}

fn check_range(tensor: &Planned, first: usize, values: &[f32]) -> Result<(), ModelError> {
    match values.iter().position(|value| value.is_nan() || value.abs() > tensor.to.max()) {
        None => Ok(()),
        Some(index) => Err(ModelError::NonFinite {
            path: tensor.stored.path.clone(),
            tensor: tensor.stored.name.clone(),
            index: first + index,
        }),
    }
}

/// The tensors of each file. Within a file wide types come first, which keeps every tensor aligned.
fn shards(tensors: Vec<Planned>, shard_bytes: u64) -> Vec<Vec<Planned>> {
    let mut shards: Vec<Vec<Planned>> = vec![Vec::new()];
    let mut filled = 0;
    for tensor in tensors {
        let bytes = tensor.bytes();
        if filled > 0 && filled + bytes > shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += bytes;
        if let Some(shard) = shards.last_mut() {
            shard.push(tensor);
        }
    }
    for shard in &mut shards {
        shard.sort_by_key(|tensor| std::cmp::Reverse(tensor.to.element_bytes()));
    }
    shards
}

/// A safetensors header with its length before it, padded with spaces to a multiple of eight bytes.
fn header(tensors: &[Planned]) -> Vec<u8> {
    let mut map = Map::new();
    map.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.bytes();
        map.insert(
            tensor.stored.disk_name.clone(),
            json!({"dtype": tensor.to.word(), "shape": tensor.stored.shape, "data_offsets": [start, end]}),
        );
        start = end;
    }
    let mut text = Value::Object(map).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Writes the new type into a section and into those in it that are about tensors that were converted.
fn rename_in(section: &mut Value, dtype: StoredDtype) {
    for key in ["torch_dtype", "dtype"] {
        if let Some(value) = section.get_mut(key) {
            *value = json!(dtype.torch_word());
        }
    }
    for key in ["text_config", "audio_config", "thinker_config"] {
        if let Some(inner) = section.get_mut(key) {
            rename_in(inner, dtype);
        }
    }
}

/// Writes the new type wherever `config.json` names one.
fn rename_dtype(path: &Path, dtype: StoredDtype) -> Result<(), ModelError> {
    let mut config: Value = read_json(path)?;
    rename_in(&mut config, dtype);
    if config.get("torch_dtype").is_none() && config.get("dtype").is_none() {
        config["torch_dtype"] = json!(dtype.torch_word());
    }
    Ok(write_json(path, &config)?)
}
