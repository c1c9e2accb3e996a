//! Stored numbers as those that the model computes with.

use half::{bf16, f16};
use rayon::prelude::*;

/// What tensors are read as.
pub(crate) trait Number: Copy + Send + Sync {
    fn is_finite_number(&self) -> bool;
}

impl Number for f32 {
    fn is_finite_number(&self) -> bool {
        self.is_finite()
    }
}

impl Number for bf16 {
    fn is_finite_number(&self) -> bool {
        self.is_finite()
    }
}

/// Appends stored values as float32; false if the type is not read.
pub(crate) fn widen(raw: &[u8], dtype: &str, out: &mut Vec<f32>) -> bool {
    append(raw, dtype, out, |value| value, f16::to_f32, bf16::to_f32)
}

/// Appends stored values as bfloat16; false if the type is not read.
pub(crate) fn narrow(raw: &[u8], dtype: &str, out: &mut Vec<bf16>) -> bool {
    append(raw, dtype, out, bf16::from_f32, |value| bf16::from_f32(value.to_f32()), |value| value)
}

fn append<T: Number>(
    raw: &[u8],
    dtype: &str,
    out: &mut Vec<T>,
    of_f32: fn(f32) -> T,
    of_f16: fn(f16) -> T,
    of_bf16: fn(bf16) -> T,
) -> bool {
    let (words, halves) = (raw.par_chunks_exact(4), raw.par_chunks_exact(2));
    match dtype {
        "F32" => out.par_extend(words.map(|b| of_f32(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))),
        "F16" => out.par_extend(halves.map(|b| of_f16(f16::from_le_bytes([b[0], b[1]])))),
        "BF16" => out.par_extend(halves.map(|b| of_bf16(bf16::from_le_bytes([b[0], b[1]])))),
        _ => return false,
    }
    true
}
