//! Reading stored tensors in parts, as they lie in their files.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use idk_common::CommonError;

use super::Weights;
use crate::error::ModelError;
use crate::weights::number::{convert, stored_bytes};

/// One tensor as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredShape {
    /// Canonical (transformers 4) name.
    pub(crate) name: String,
    /// The name in the file.
    pub(crate) disk_name: String,
    /// Safetensors' word for its type: `F32`, `F16` or `BF16`.
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// The file that it lies in.
    pub(crate) path: PathBuf,
    /// Whether it belongs to a part of the model that is not run.
    pub(crate) passed_over: bool,
}

impl StoredShape {
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Weights {
    /// Every tensor, in the order of the files and of their places in them.
    ///
    /// # Errors
    /// [`ModelError::TensorDtype`] for a type that is not read.
    pub(crate) fn stored(&self) -> Result<Vec<StoredShape>, ModelError> {
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(name, entry)| (entry.file, entry.start, name.as_str()));
        let stored = entries.into_iter().map(|(name, entry)| {
            let path = self.files[entry.file].0.clone();
            if stored_bytes(&entry.dtype).is_none() {
                let (tensor, dtype) = (name.clone(), entry.dtype.clone());
                return Err(ModelError::TensorDtype { path, tensor, dtype });
            }
            Ok(StoredShape {
                name: name.clone(),
                disk_name: entry.disk_name.clone(),
                dtype: entry.dtype.clone(),
                shape: entry.shape.clone(),
                path,
                passed_over: self.is_passed_over(&entry.disk_name),
            })
        });
        stored.collect()
    }

    /// The stored bytes of a tensor's elements `first..first + count`, and their values; `element_bytes` is the size of
    /// one. A tensor that is not run may hold anything.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], [`ModelError::NonFinite`], or an error of reading.
    pub(crate) fn read_elements(
        &mut self,
        name: &str,
        first: usize,
        count: usize,
        element_bytes: usize,
    ) -> Result<(Vec<u8>, Vec<f32>), ModelError> {
        let missing = || ModelError::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let entry = self.entries.get(name).ok_or_else(missing)?;
        let passed_over = self.is_passed_over(&entry.disk_name);
        let (path, file) = &mut self.files[entry.file];
        let io = |source| CommonError::Io { path: path.clone(), doing: "read", source };
        let mut raw = vec![0_u8; count * element_bytes];
        file.seek(SeekFrom::Start(entry.start + (first * element_bytes) as u64)).map_err(io)?;
        file.read_exact(&mut raw).map_err(io)?;
        let mut values = vec![0.0; count];
        convert(&raw, &entry.dtype, &mut values);
        match values.iter().position(|value| !value.is_finite() && !passed_over) {
            None => Ok((raw, values)),
            Some(index) => {
                let (path, tensor) = (path.clone(), name.to_owned());
                Err(ModelError::NonFinite { path, tensor, index: first + index })
            }
        }
    }
}
