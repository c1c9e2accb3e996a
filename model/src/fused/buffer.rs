//! Reading and writing the CPU backend's buffers as slices of float32, chunk by chunk.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType};
use rayon::prelude::*;

use super::raw::build;

/// Values that one task works on. A constant, so that sums over chunks do not depend on the number of threads, and small
/// enough for a core's own cache.
pub(super) const CHUNK: usize = 1 << 14;

/// Whole rows of `width` values that make up about [`CHUNK`], in values.
pub(super) fn chunk_of_rows(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1) * width.max(1)
}

/// The tensor with its values one after the other; a copy only if they are not.
pub(super) fn dense(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The values of a [`dense`] tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    let Some(values) = tensor.as_slice() else { unreachable!("the tensor was made dense") };
    values
}

/// The values of a [`dense`] tensor for writing; copied first if another tensor shares them.
pub(super) fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let Some((start, end)) = tensor.layout().contiguous_offsets() else {
        unreachable!("the tensor was made dense")
    };
    &mut tensor.storage_mut()[start..end]
}

/// A tensor of these values.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// A new tensor of the shape of `like`, its chunks filled by `fill(start, part)`.
pub(super) fn map(like: &FlexTensor, chunk: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> FlexTensor {
    let shape = like.layout().shape().clone();
    tensor(build(shape.num_elements(), chunk, |index, part| fill(index * chunk, part)), shape)
}

/// Runs `work(start, part)` on all chunks of a buffer and returns the results in order.
pub(super) fn for_chunks<R: Send>(
    buffer: &mut [f32],
    chunk: usize,
    work: impl Fn(usize, &mut [f32]) -> R + Sync,
) -> Vec<R> {
    if buffer.len() <= chunk {
        // Through rayon even a single chunk would be handed to another thread.
        return vec![work(0, buffer)];
    }
    buffer.par_chunks_mut(chunk).enumerate().map(|(index, part)| work(index * chunk, part)).collect()
}

/// Runs `work(part)` on all chunks of a buffer and returns the results in order.
pub(super) fn map_chunks<R: Send>(
    buffer: &[f32],
    chunk: usize,
    work: impl Fn(&[f32]) -> R + Sync + Send,
) -> Vec<R> {
    if buffer.len() <= chunk {
        return vec![work(buffer)];
    }
    buffer.par_chunks(chunk).map(work).collect()
}

/// Runs `work(start, part of a, part of b)` on all chunks of two buffers of one length.
pub(super) fn for_chunk_pairs(
    a: &mut [f32],
    b: &mut [f32],
    chunk: usize,
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    if a.len() <= chunk {
        return work(0, a, b);
    }
    a.par_chunks_mut(chunk)
        .zip(b.par_chunks_mut(chunk))
        .enumerate()
        .for_each(|(index, (a, b))| work(index * chunk, a, b));
}

/// Element-wise sum of equally long vectors, in order.
pub(super) fn sum_vectors(parts: Vec<Vec<f32>>) -> Vec<f32> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_default();
    for part in parts {
        for (sum, value) in total.iter_mut().zip(part) {
            *sum += value;
        }
    }
    total
}
