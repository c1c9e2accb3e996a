//! Stored numbers as those that the model computes with.

use half::vec::HalfBitsVecExt;
use half::{bf16, f16};
use rayon::prelude::*;

/// Numbers that a thread looks through at a time.
const NUMBERS_AT_ONCE: usize = 1 << 16;

/// What tensors are read as.
pub(crate) trait Number: bytemuck::Pod + Send + Sync {
    /// The type's name in a safetensors header. Its bytes on the disk are those in memory, as hosts are little-endian.
    const STORED: &'static str;

    fn of_f32(value: f32) -> Self;
    fn of_f16(value: f16) -> Self;
    fn of_bf16(value: bf16) -> Self;
    fn is_finite_number(&self) -> bool;
    /// `count` zeros, in pages that the system hands out empty.
    fn zeros(count: usize) -> Vec<Self>;
}

impl Number for f32 {
    const STORED: &'static str = "F32";

    fn of_f32(value: f32) -> Self {
        value
    }

    fn of_f16(value: f16) -> Self {
        value.to_f32()
    }

    fn of_bf16(value: bf16) -> Self {
        value.to_f32()
    }

    fn is_finite_number(&self) -> bool {
        self.is_finite()
    }

    fn zeros(count: usize) -> Vec<Self> {
        vec![0.0; count]
    }
}

impl Number for bf16 {
    const STORED: &'static str = "BF16";

    fn of_f32(value: f32) -> Self {
        Self::from_f32(value)
    }

    fn of_f16(value: f16) -> Self {
        Self::from_f32(value.to_f32())
    }

    fn of_bf16(value: bf16) -> Self {
        value
    }

    fn is_finite_number(&self) -> bool {
        self.is_finite()
    }

    fn zeros(count: usize) -> Vec<Self> {
        vec![0_u16; count].reinterpret_into()
    }
}

/// Bytes of one number of a stored type; `None` if the type is not read.
pub(crate) fn stored_bytes(dtype: &str) -> Option<usize> {
    match dtype {
        "F32" => Some(4),
        "F16" | "BF16" => Some(2),
        _ => None,
    }
}

/// Writes the numbers of `raw`, of a stored type that [`stored_bytes`] knows, to `out`.
pub(crate) fn convert<T: Number>(raw: &[u8], dtype: &str, out: &mut [T]) {
    match dtype {
        "F32" => each(raw, out, |bytes| T::of_f32(f32::from_le_bytes(bytes))),
        "F16" => each(raw, out, |bytes| T::of_f16(f16::from_le_bytes(bytes))),
        _ => each(raw, out, |bytes| T::of_bf16(bf16::from_le_bytes(bytes))),
    }
}

fn each<T: Number, const N: usize>(raw: &[u8], out: &mut [T], number: impl Fn([u8; N]) -> T + Sync) {
    let (words, _) = raw.as_chunks::<N>();
    out.par_chunks_mut(NUMBERS_AT_ONCE).zip(words.par_chunks(NUMBERS_AT_ONCE)).for_each(|(out, words)| {
        for (out, word) in out.iter_mut().zip(words) {
            *out = number(*word);
        }
    });
}

/// The index of the first number that is infinite or none.
pub(crate) fn first_not_finite<T: Number>(values: &[T]) -> Option<usize> {
    values.par_chunks(NUMBERS_AT_ONCE).enumerate().find_map_first(|(index, chunk)| {
        // Without an early exit, which would be looked for after every number.
        if chunk.iter().fold(true, |all, value| all & value.is_finite_number()) {
            return None;
        }
        let place = chunk.iter().position(|value| !value.is_finite_number())?;
        Some(index * NUMBERS_AT_ONCE + place)
    })
}
