//! The header of a safetensors file: what it holds and where, read straight into typed entries.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use idk_common::lfs::{LFS_POINTER, is_lfs_pointer_file};
use idk_common::limits::{MAX_SAFETENSORS_HEADER_BYTES, MAX_TENSORS};
use idk_common::{CommonError, plain_types};
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::ModelError;

/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// Where one tensor lies.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) file: usize,
    pub(super) disk_name: String,
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    pub(super) start: u64,
    pub(super) bytes: u64,
}

/// An entry as it is written.
#[derive(Deserialize)]
struct WrittenEntry {
    dtype: String,
    shape: Dimensions,
    data_offsets: [u64; 2],
}

struct Dimensions(Vec<usize>);

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DimensionList;
        impl<'de> Visitor<'de> for DimensionList {
            type Value = Dimensions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX_RANK} sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dimensions, A::Error> {
                let mut sizes = Vec::new();
                while let Some(size) = items.next_element()? {
                    if sizes.len() == MAX_RANK {
                        return Err(A::Error::invalid_length(MAX_RANK + 1, &self));
                    }
                    sizes.push(size);
                }
                Ok(Dimensions(sizes))
            }
        }
        deserializer.deserialize_seq(DimensionList)
    }
}

/// The entries in the order of the file, each name once.
struct TensorHeader(Vec<(String, WrittenEntry)>);

impl<'de> Deserialize<'de> for TensorHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = TensorHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<TensorHeader, A::Error> {
                let (mut tensors, mut names) = (Vec::new(), BTreeSet::new());
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format!("the name `{name}` appears twice")));
                    }
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    if tensors.len() == MAX_TENSORS {
                        return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
                    }
                    tensors.push((name, map.next_value()?));
                }
                Ok(TensorHeader(tensors))
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}

/// Parses and checks the header: every tensor lies inside the file and has as many bytes as its shape and type say.
///
/// # Errors
/// [`ModelError::Weights`] for a header that is damaged, [`CommonError::Io`].
pub(super) fn read_header(
    path: &Path,
    file: &mut File,
    file_bytes: u64,
) -> Result<Vec<(String, Entry)>, ModelError> {
    let damaged = |what: String| ModelError::Weights { path: path.to_owned(), what };
    let io = |source| CommonError::Io { path: path.to_owned(), doing: "read", source };
    let mut length = [0_u8; 8];
    if file_bytes < 8 {
        return Err(damaged(format!("not a safetensors file: it has only {file_bytes} bytes")));
    }
    file.read_exact(&mut length).map_err(io)?;
    if is_lfs_pointer_file(path) {
        return Err(damaged(LFS_POINTER.to_owned()));
    }
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_SAFETENSORS_HEADER_BYTES || header_bytes > file_bytes - 8 {
        return Err(damaged(format!("the header claims {header_bytes} bytes, the file has {file_bytes}")));
    }
    let mut header = vec![0_u8; usize::try_from(header_bytes).unwrap_or(0)];
    file.read_exact(&mut header).map_err(io)?;
    let TensorHeader(tensors) = serde_json::from_slice(&header).map_err(|error| {
        damaged(format!("the header cannot be read: {}", plain_types(&error.to_string())))
    })?;
    let data_bytes = file_bytes - 8 - header_bytes;
    let mut entries = Vec::with_capacity(tensors.len());
    for (name, stored) in tensors {
        let entry = entry(&name, stored, data_bytes)
            .ok_or_else(|| damaged(format!("tensor `{name}` does not fit the file")))?;
        entries.push((name, Entry { start: entry.start + 8 + header_bytes, ..entry }));
    }
    // As the format demands: no gaps, no overlaps, nothing after the last tensor.
    let mut spans: Vec<(u64, u64)> =
        entries.iter().map(|(_, entry)| (entry.start - 8 - header_bytes, entry.bytes)).collect();
    spans.sort_unstable();
    let end = spans.iter().try_fold(0, |at, (start, bytes)| (*start == at).then_some(at + bytes));
    if end != Some(data_bytes) {
        return Err(damaged("the tensors do not cover the file without gaps".to_owned()));
    }
    Ok(entries)
}

fn entry(name: &str, stored: WrittenEntry, data_bytes: u64) -> Option<Entry> {
    let WrittenEntry { dtype, shape: Dimensions(shape), data_offsets: [start, end] } = stored;
    let bytes = end.checked_sub(start).filter(|_| end <= data_bytes)?;
    let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64))?;
    let element_bytes = match dtype.as_str() {
        "F32" => Some(4),
        "F16" | "BF16" => Some(2),
        // Another type is rejected when the tensor is asked for, with a message of its own.
        _ => None,
    };
    let fits = element_bytes.is_none_or(|size| elements.checked_mul(size) == Some(bytes));
    fits.then(|| Entry { file: 0, disk_name: name.to_owned(), dtype, shape, start, bytes })
}
