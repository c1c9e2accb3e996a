//! Rotary time embedding: rows of the encoder are rotated by when they sound.
//!
//! As Music Flamingo and Audio Flamingo Next have it (reference code `MusicFlamingoRotaryEmbedding` of transformers), after
//! Goel et al. 2024, <https://arxiv.org/abs/2410.12109>.

use std::f32::consts::TAU;

use burn::tensor::{DType, Tensor, TensorData};

use crate::arch::config::RotaryTime;

/// Rotates neighbouring pairs of each row's first `2 * dim` numbers. The angles of the first half follow from the window
/// of the clip, those of the second from the row in the window; both grow with the time since the clip's beginning.
///
/// `indices` are the places of the windows in their clips, and a whole window has `per_window` rows.
///
/// # Shapes
/// - `x` and output: `[windows * rows, width]`
pub(crate) fn rotate_by_time(
    x: Tensor<2>,
    rotary: &RotaryTime,
    indices: &[usize],
    per_window: usize,
) -> Tensor<2> {
    let [count, width] = x.dims();
    let (pairs, rows, dtype) = (rotary.dim, count / indices.len().max(1), x.dtype());
    let mut angles = Vec::with_capacity(count * pairs);
    for &index in indices {
        (0..rows).for_each(|row| push_angles(&mut angles, rotary, index, row, per_window));
    }
    let device = x.device().inner();
    let table = |of: fn(f64) -> f64| {
        let values: Vec<f32> = angles.iter().map(|&angle| of(f64::from(angle)) as f32).collect();
        Tensor::<3>::from_data(TensorData::new(values, [count, pairs, 1]), (&device, DType::F32))
    };
    let (cos, sin) = (table(f64::cos), table(f64::sin));
    let paired = x.clone().narrow(1, 0, 2 * pairs).cast(DType::F32).reshape([count, pairs, 2]);
    let (even, odd) = (paired.clone().narrow(2, 0, 1), paired.narrow(2, 1, 1));
    let turned = vec![even.clone() * cos.clone() - odd.clone() * sin.clone(), odd * cos + even * sin];
    let turned = Tensor::cat(turned, 2).reshape([count, 2 * pairs]).cast(dtype);
    if width == 2 * pairs {
        return turned;
    }
    Tensor::cat(vec![turned, x.narrow(1, 2 * pairs, width - 2 * pairs)], 1)
}

/// The angles of one row. In float32 and in the reference's order of operations: after 20 minutes they are so large that
/// another order gives other angles.
fn push_angles(angles: &mut Vec<f32>, rotary: &RotaryTime, index: usize, row: usize, per_window: usize) {
    let (theta, dim) = (rotary.theta as f32, rotary.dim as f32);
    let start = (index * per_window) as f32 * rotary.step_s as f32;
    let time = -(start + row as f32 * rotary.step_s as f32) * TAU;
    for axis in [index as f32 / theta, row as f32 / theta * TAU] {
        let frequency = |j: usize| 1.0 / theta.powf(2.0 * j as f32 / dim);
        angles.extend((0..rotary.dim / 2).map(|j| axis * frequency(j) * time));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn rows_turn_by_their_window_and_their_place_and_the_rest_stays() {
        // One pair for each axis: frequency 1, so the angles are -2 pi t index / theta and -4 pi^2 t row / theta.
        let rotary = RotaryTime { theta: 100.0, dim: 2, step_s: 0.5 };
        let row = [1.0_f32, 0.0, 0.0, 1.0, 7.0];
        let x = Tensor::<2>::from_data(TensorData::new(row.repeat(4), [4, 5]), &Device::flex());
        let out: Vec<f32> = rotate_by_time(x, &rotary, &[0, 3], 10).into_data().iter::<f32>().collect();
        for (place, found) in out.chunks(5).enumerate() {
            let (index, row) = ([0.0, 3.0][place / 2], (place % 2) as f64);
            let time = -std::f64::consts::TAU * 0.5 * (index * 10.0 + row);
            let window = time * index / 100.0;
            let within = time * row / 100.0 * std::f64::consts::TAU;
            let expected = [window.cos(), window.sin(), -within.sin(), within.cos(), 7.0];
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "row {place}: {found} {expected}");
            }
        }
    }
}
