//! Rotary position embedding in the half-split (NeoX, `rotate_half`) layout.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::fused::rotate_half;

/// Cosines and sines of every position, kept on the device in float32.
#[derive(Clone, Debug)]
pub struct Rope {
    cos: Tensor<2>, // [positions, head_dim / 2]
    sin: Tensor<2>,
}

/// Cosines and sines of the positions of one batch.
#[derive(Clone, Debug)]
pub struct Angles {
    cos: Tensor<4>, // [batch or 1, 1, seq, head_dim / 2]
    sin: Tensor<4>,
}

impl Rope {
    /// Tables for `positions` positions: angle of pair `j` at position `p` is `p * theta^(-2j / head_dim)` (Su et al. 2021, eq. 15).
    pub fn new(head_dim: usize, theta: f64, positions: usize, device: &Device) -> Self {
        let half = head_dim / 2;
        // transformers computes the frequencies and the angles in float32; so do we, to agree far from the origin.
        let frequencies: Vec<f32> =
            (0..half).map(|j| (1.0 / theta.powf(2.0 * j as f64 / head_dim as f64)) as f32).collect();
        let (mut cos, mut sin) = (Vec::with_capacity(positions * half), Vec::with_capacity(positions * half));
        for position in 0..positions {
            for frequency in &frequencies {
                let angle = f64::from(position as f32 * frequency);
                cos.push(angle.cos() as f32);
                sin.push(angle.sin() as f32);
            }
        }
        Self {
            cos: Tensor::from_data(TensorData::new(cos, [positions, half]), (device, DType::F32)),
            sin: Tensor::from_data(TensorData::new(sin, [positions, half]), (device, DType::F32)),
        }
    }

    /// The angles of a batch, in the given type.
    ///
    /// # Shapes
    /// - `positions`: `batch` rows of `seq` positions
    ///
    /// # Panics
    /// If a position is beyond the tables, that is beyond `max_position_embeddings`.
    pub fn angles(&self, positions: &[Vec<i32>], dtype: DType) -> Angles {
        let seq = positions.first().map_or(0, Vec::len);
        // Rows without padding share their positions: one row then serves all by broadcasting.
        let shared = positions.windows(2).all(|pair| pair[0] == pair[1]);
        let rows = if shared { &positions[..positions.len().min(1)] } else { positions };
        let flat: Vec<i32> = rows.concat();
        let device = self.cos.device();
        let count = flat.len();
        let index = Tensor::<1, Int>::from_data(TensorData::new(flat, [count]), &device);
        let take = |table: &Tensor<2>| {
            let half = table.dims()[1];
            table.clone().select(0, index.clone()).cast(dtype).reshape([rows.len(), 1, seq, half])
        };
        Angles { cos: take(&self.cos), sin: take(&self.sin) }
    }
}

impl Angles {
    /// Rotates the pairs `(x[j], x[j + head_dim / 2])` of every head.
    ///
    /// # Shapes
    /// - `x` and output: `[batch, heads, seq, head_dim]`
    pub fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        rotate_half(x, &self.cos, &self.sin)
    }

    /// The angles of the last `count` tokens of each row.
    pub(crate) fn at_end(&self, count: usize) -> Self {
        let end = |table: &Tensor<4>| {
            let seq = table.dims()[2];
            table.clone().narrow(2, seq - count, count)
        };
        Self { cos: end(&self.cos), sin: end(&self.sin) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_turn_maps_the_first_half_onto_the_second() {
        let device = Device::flex();
        // theta 1 makes every frequency 1: position p turns each pair by p radians.
        let rope = Rope::new(4, 1.0, 3, &device);
        let x = Tensor::<1>::from_floats([1.0, 0.0, 0.0, 2.0], &device).reshape([1, 1, 1, 4]);
        let out = rope.angles(&[vec![2]], DType::F32).rotate(x);
        let (c, s) = (2.0_f32.cos(), 2.0_f32.sin());
        for (found, expected) in out.into_data().iter::<f32>().zip([c, -2.0 * s, s, 2.0 * c]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn rows_with_their_own_positions_are_rotated_each_by_its_own() {
        let device = Device::flex();
        let rope = Rope::new(2, 10.0, 8, &device);
        let x = Tensor::<1>::from_floats([1.0, 0.0, 1.0, 0.0], &device).reshape([2, 1, 1, 2]);
        let both = rope.angles(&[vec![5], vec![1]], DType::F32).rotate(x);
        for (found, expected) in
            both.into_data().iter::<f32>().zip([5.0_f32.cos(), 5.0_f32.sin(), 1.0_f32.cos(), 1.0_f32.sin()])
        {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
