//! Reading safetensors weights: one file or many shards, both transformers namings, tensor by tensor.
//!
//! The header is parsed and checked here, and each tensor is read on its own: the host never holds more than one
//! tensor besides the model, and a damaged file is an error, never a fault.

mod header;
mod number;
mod quantised;
mod ranges;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::bf16;
use idk_common::CommonError;
use idk_common::limits::MAX_SHARDS;
use serde_json::Value;

use crate::arch::names::Names;
use crate::arch::specs::TensorSpec;
use crate::error::ModelError;
use crate::weights::header::{Entry, read_header};
use crate::weights::number::{Number, convert, first_not_finite, stored_bytes};

pub(crate) use self::quantised::{BLOCK, NF4, TILE, int8_value};
pub use self::quantised::{Quantisation, QuantisedWeight, dequantised_bytes};
pub(crate) use self::ranges::StoredShape;

/// Bytes of a tensor that are read at a time; a multiple of every type's size.
const PIECE_BYTES: usize = 8 << 20;

/// The tensors of one safetensors file or of one sharded checkpoint, by canonical name.
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    /// How names are spelt; as they are if there is none.
    names: Option<&'static Names>,
    files: Vec<(PathBuf, File)>,
    entries: BTreeMap<String, Entry>,
    taken: BTreeSet<String>,
}

impl Weights {
    /// Opens the weights of a model folder: `model.safetensors`, else `model.safetensors.index.json` and its shards.
    /// Tensors get the canonical names of the family, or keep their own if it is not known.
    ///
    /// # Errors
    /// [`ModelError::NoWeights`] if neither is there, [`ModelError::Weights`] if a header is damaged or a shard does
    /// not hold what the index says, [`ModelError::DuplicateTensor`].
    pub fn open_dir(dir: &Path, names: Option<&'static Names>) -> Result<Self, ModelError> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        if single.is_file() {
            Self::open(&single, names)
        } else if index.is_file() {
            Self::open_index(dir, &index, names)
        } else {
            Err(ModelError::NoWeights { path: dir.to_owned() })
        }
    }

    /// Opens one safetensors file; names are kept as they are.
    ///
    /// # Errors
    /// [`ModelError::Weights`] if the header is damaged, [`ModelError::DuplicateTensor`].
    pub fn open_file(path: &Path) -> Result<Self, ModelError> {
        Self::open(path, None)
    }

    fn open(path: &Path, names: Option<&'static Names>) -> Result<Self, ModelError> {
        let mut weights = Self::empty(path, names);
        weights.add_file(path)?;
        Ok(weights)
    }

    fn empty(path: &Path, names: Option<&'static Names>) -> Self {
        let (entries, taken) = (BTreeMap::new(), BTreeSet::new());
        Self { path: path.to_owned(), names, files: Vec::new(), entries, taken }
    }

    fn canonical(&self, disk_name: &str) -> String {
        self.names.map_or_else(|| disk_name.to_owned(), |names| names.canonical(disk_name))
    }

    fn open_index(dir: &Path, path: &Path, names: Option<&'static Names>) -> Result<Self, ModelError> {
        let damaged = |what: String| ModelError::Weights { path: path.to_owned(), what };
        let index: Value = idk_common::json::read_json(path)?;
        let map = index.get("weight_map").and_then(Value::as_object);
        let map = map.ok_or_else(|| damaged("there is no object `weight_map`".to_owned()))?;
        let mut weights = Self::empty(path, names);
        let mut promised: BTreeMap<String, &str> = BTreeMap::new();
        for (name, shard) in map {
            let shard = shard.as_str().filter(|shard| is_plain_file_name(shard));
            let shard =
                shard.ok_or_else(|| damaged(format!("the shard of `{name}` is not a plain file name")))?;
            promised.insert(weights.canonical(name), shard);
        }
        let shards: BTreeSet<&str> = promised.values().copied().collect();
        if shards.len() > MAX_SHARDS {
            return Err(damaged(format!("{} shards, at most {MAX_SHARDS} are read", shards.len())));
        }
        for shard in shards {
            weights.add_file(&dir.join(shard))?;
        }
        for (name, shard) in promised {
            let place = weights.entries.get(&name).map(|entry| weights.files[entry.file].0.as_path());
            if place != Some(dir.join(shard).as_path()) {
                return Err(damaged(format!("tensor `{name}` is not in {shard} as the index says")));
            }
        }
        Ok(weights)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ModelError> {
        let (mut file, file_bytes) = idk_common::fs::open(path)?;
        for (disk_name, mut entry) in read_header(path, &mut file, file_bytes)? {
            entry.file = self.files.len();
            let name = self.canonical(&disk_name);
            if self.entries.insert(name.clone(), entry).is_some() {
                return Err(ModelError::DuplicateTensor { path: path.to_owned(), tensor: name });
            }
        }
        self.files.push((path.to_owned(), file));
        Ok(())
    }

    /// Checks that the tensors are those of `specs`, each with its shape, before any of them is read.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], [`ModelError::TensorShape`], [`ModelError::UnusedTensor`].
    pub(crate) fn check(&self, specs: &[TensorSpec]) -> Result<(), ModelError> {
        for spec in specs {
            self.entry(&spec.name, &spec.shape)?;
        }
        let known: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let is_unknown = |(name, entry): &(&String, &Entry)| {
            !known.contains(name.as_str()) && !self.is_passed_over(&entry.disk_name)
        };
        match self.entries.iter().find(is_unknown) {
            None => Ok(()),
            Some((_, entry)) => Err(self.unused(entry)),
        }
    }

    /// The tensor of a name, if it has this shape.
    fn entry(&self, name: &str, shape: &[usize]) -> Result<&Entry, ModelError> {
        let missing = || ModelError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let entry = self.entries.get(name).ok_or_else(missing)?;
        if entry.shape == shape {
            return Ok(entry);
        }
        Err(ModelError::TensorShape {
            path: self.files[entry.file].0.clone(),
            tensor: name.to_owned(),
            expected: shape.to_vec(),
            found: entry.shape.clone(),
        })
    }

    fn unused(&self, entry: &Entry) -> ModelError {
        ModelError::UnusedTensor { path: self.files[entry.file].0.clone(), tensor: entry.disk_name.clone() }
    }

    /// Canonical names and shapes of all tensors that are run, sorted by name.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let run = self.entries.iter().filter(|(_, entry)| !self.is_passed_over(&entry.disk_name));
        run.map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// Whether a tensor, as it is called in its file, belongs to a part of the model that is not run.
    fn is_passed_over(&self, disk_name: &str) -> bool {
        self.names.is_some_and(|names| names.is_passed_over(disk_name))
    }

    /// Whether the tensor is stored in 16 bits.
    pub fn is_half(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| matches!(entry.dtype.as_str(), "F16" | "BF16"))
    }

    /// The values of one tensor, widened to `f32` (exact for every type that is read), in row-major order.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], [`ModelError::TensorShape`], [`ModelError::TensorDtype`],
    /// [`ModelError::NonFinite`], or an error of reading.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        self.read(name, shape)
    }

    /// The values of one tensor in bfloat16: as they are if they are stored so, else rounded to the nearest.
    ///
    /// # Errors
    /// As [`Weights::take`].
    pub fn take_bf16(&mut self, name: &str, shape: &[usize]) -> Result<Vec<bf16>, ModelError> {
        self.read(name, shape)
    }

    /// Reads a tensor piece by piece, so that no more than the result and a piece are in memory at once; straight into the
    /// result where nothing is converted.
    fn read<T: Number>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>, ModelError> {
        let entry = self.entry(name, shape)?.clone();
        let (path, file) = &mut self.files[entry.file];
        let Some(stored) = stored_bytes(&entry.dtype) else {
            return Err(ModelError::TensorDtype {
                path: path.clone(),
                tensor: name.to_owned(),
                dtype: entry.dtype,
            });
        };
        let io = |source| CommonError::Io { path: path.clone(), doing: "read", source };
        let bytes = usize::try_from(entry.bytes).unwrap_or(usize::MAX);
        let mut values = T::zeros(bytes / stored);
        let is_converted = entry.dtype != T::STORED;
        let mut buffer = vec![0_u8; if is_converted { bytes.min(PIECE_BYTES) } else { 0 }];
        file.seek(SeekFrom::Start(entry.start)).map_err(io)?;
        for (number, piece) in values.chunks_mut(PIECE_BYTES / stored).enumerate() {
            if is_converted {
                let raw = &mut buffer[..piece.len() * stored];
                file.read_exact(raw).map_err(io)?;
                convert(raw, &entry.dtype, piece);
            } else {
                file.read_exact(bytemuck::cast_slice_mut(piece)).map_err(io)?;
            }
            if let Some(index) = first_not_finite(piece) {
                let index = number * (PIECE_BYTES / stored) + index;
                return Err(ModelError::NonFinite { path: path.clone(), tensor: name.to_owned(), index });
            }
        }
        self.taken.insert(name.to_owned());
        Ok(values)
    }

    /// Checks that every tensor on disk that belongs to the model has been taken.
    ///
    /// # Errors
    /// [`ModelError::UnusedTensor`] naming the first that was not.
    pub fn finish(&self) -> Result<(), ModelError> {
        let is_left = |(name, entry): &(&String, &Entry)| {
            !self.taken.contains(*name) && !self.is_passed_over(&entry.disk_name)
        };
        match self.entries.iter().find(is_left) {
            None => Ok(()),
            Some((_, entry)) => Err(self.unused(entry)),
        }
    }
}

fn is_plain_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(_)), None))
}

#[cfg(test)]
mod tests {
    use idk_common::limits::MAX_TENSORS;

    use super::*;

    fn write(dir: &Path, header: &str, data: &[u8]) -> PathBuf {
        let path = dir.join("model.safetensors");
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(data);
        idk_common::fs::write_atomic(&path, &bytes).unwrap();
        path
    }

    #[test]
    fn all_three_stored_types_widen_exactly() {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[1,1],"data_offsets":[4,6]},"c":{"dtype":"F32","shape":[1],"data_offsets":[6,10]}}"#;
        let mut data = Vec::new();
        data.extend_from_slice(&[0x80, 0x3f, 0x00, 0xc0, 0x00, 0x38]);
        data.extend_from_slice(&0.1_f32.to_le_bytes());
        let mut weights = Weights::open_file(&write(dir.path(), header, &data)).unwrap();
        assert_eq!(weights.take("a", &[2]).unwrap(), [1.0, -2.0]);
        assert_eq!(weights.take("b", &[1, 1]).unwrap(), [0.5]);
        assert!(matches!(weights.finish(), Err(ModelError::UnusedTensor { tensor, .. }) if tensor == "c"));
        assert_eq!(weights.take("c", &[1]).unwrap(), [0.1]);
        weights.finish().unwrap();
    }

    #[test]
    fn values_are_rounded_to_bfloat16_where_they_are_stored_in_another_type() {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},"b":{"dtype":"F32","shape":[2],"data_offsets":[2,10]}}"#;
        let mut data = vec![0x80, 0x3f];
        // 1 + 2^-8 lies halfway between 1 and the next bfloat16 and goes to the even one, 1; 1 + 2^-7 is one.
        data.extend_from_slice(&(1.0 + 2.0_f32.powi(-8)).to_le_bytes());
        data.extend_from_slice(&(1.0 + 2.0_f32.powi(-7)).to_le_bytes());
        let mut weights = Weights::open_file(&write(dir.path(), header, &data)).unwrap();
        assert!(weights.is_half("a") && !weights.is_half("b"));
        assert_eq!(weights.take_bf16("a", &[1]).unwrap(), [bf16::ONE]);
        assert_eq!(weights.take_bf16("b", &[2]).unwrap(), [bf16::ONE, bf16::from_bits(0x3f81)]);
    }

    #[test]
    fn a_tensor_of_several_pieces_is_read_whole_and_its_bad_element_found() {
        let dir = tempfile::tempdir().unwrap();
        let count = PIECE_BYTES / 4 + 3;
        let header =
            format!(r#"{{"a":{{"dtype":"F32","shape":[{count}],"data_offsets":[0,{}]}}}}"#, 4 * count);
        let mut data: Vec<u8> = (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let mut weights = Weights::open_file(&write(dir.path(), &header, &data)).unwrap();
        let values = weights.take("a", &[count]).unwrap();
        assert!(values.len() == count && values.iter().enumerate().all(|(i, &value)| value == i as f32));
        data[4 * (count - 1)..].copy_from_slice(&f32::NAN.to_le_bytes());
        let mut weights = Weights::open_file(&write(dir.path(), &header, &data)).unwrap();
        let error = weights.take("a", &[count]).unwrap_err();
        assert!(matches!(error, ModelError::NonFinite { index, .. } if index == count - 1));
    }

    #[test]
    fn damaged_headers_are_errors_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for header in [
            "nonsense",
            "[]",
            r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
            r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32"}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"dtype":"F16","data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#,
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}"#,
        ] {
            let path = write(dir.path(), header, &[0; 4]);
            assert!(matches!(Weights::open_file(&path), Err(ModelError::Weights { .. })), "{header}");
        }
        let path = dir.path().join("model.safetensors");
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
        idk_common::fs::write_atomic(&path, pointer).unwrap();
        assert!(Weights::open_file(&path).unwrap_err().to_string().contains("git lfs pull"));
        for bytes in [vec![], vec![1, 2], u64::MAX.to_le_bytes().to_vec()] {
            idk_common::fs::write_atomic(&path, &bytes).unwrap();
            assert!(matches!(Weights::open_file(&path), Err(ModelError::Weights { .. })), "{bytes:?}");
        }
    }

    #[test]
    fn a_header_of_ninety_megabytes_of_metadata_takes_no_more_memory_than_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let numbers = "0,".repeat(45_000_000);
        let header = format!(
            r#"{{"__metadata__":[{numbers}0],"a":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#
        );
        let path = write(dir.path(), &header, &[0; 4]);
        assert_eq!(Weights::open_file(&path).unwrap().shapes().count(), 1);
        let many: Vec<String> = (0..=MAX_TENSORS)
            .map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
            .collect();
        let error = Weights::open_file(&write(dir.path(), &format!("{{{}}}", many.join(",")), &[]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("more than 100000 tensors"), "{error}");
    }

    #[test]
    fn a_stored_type_that_is_not_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let header = r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#;
        let mut weights = Weights::open_file(&write(dir.path(), header, &[0; 4])).unwrap();
        assert!(
            matches!(weights.take("a", &[4]), Err(ModelError::TensorDtype { dtype, .. }) if dtype == "I8")
        );
    }

    #[test]
    fn an_index_may_not_lead_out_of_its_folder() {
        for name in ["../x.safetensors", "/x", "a/b", "", ".."] {
            assert!(!is_plain_file_name(name), "{name}");
        }
        assert!(is_plain_file_name("model-00001-of-00002.safetensors"));
    }
}
