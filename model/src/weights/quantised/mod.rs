//! Weights that are held in 4 or 8 bits a number and computed with in the model's own type.

mod blocks;
#[cfg(test)]
mod tests;

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

pub use self::blocks::Quantisation;
use self::blocks::quantise;
pub(crate) use self::blocks::{BLOCK, NF4, int8_value};

/// Numbers of a weight that are computed at a time, except on the CPU.
pub(crate) const TILE: usize = 1 << 23;

/// Bytes that a matrix of `elements` numbers takes while it is multiplied with: on the CPU (`fused`) the numbers in
/// float32; elsewhere those of a tile, their codes, the values of the codes, and the product with the scales twice.
#[must_use]
pub fn dequantised_bytes(elements: usize, fused: bool) -> usize {
    if fused { 4 * elements } else { elements.min(TILE) * (4 + 4 + 4 + 4) }
}

/// A frozen matrix of a linear layer: packed codes and a scale for every block of 64 numbers of a row.
///
/// Codes are packed into 32-bit integers, the only ones that every backend computes with.
#[derive(Clone, Debug)]
pub struct QuantisedWeight {
    quantisation: Quantisation,
    /// `[out, in]`.
    shape: [usize; 2],
    /// `[out, blocks * words per block]`.
    codes: Tensor<2, Int>,
    /// `[out, blocks]`, float32.
    absmax: Tensor<2>,
    /// What each code stands for, float32.
    table: Tensor<1>,
    /// Where each code of a word begins, `[1, 1, codes per word]`.
    shifts: Tensor<3, Int>,
}

impl QuantisedWeight {
    /// Quantises a matrix `[out, in]` of finite values on the host, and uploads codes and scales.
    pub(crate) fn new(
        values: &[f32],
        shape: [usize; 2],
        quantisation: Quantisation,
        device: &Device,
    ) -> Self {
        let blocks = quantise(values, shape, quantisation);
        let [out, input] = shape;
        let count = input.div_ceil(BLOCK);
        let words = [out, count * quantisation.words_per_block()];
        let per_word = quantisation.codes_per_word();
        let shifts: Vec<i32> = (0..per_word).map(|place| (place * quantisation.bits()) as i32).collect();
        let table = quantisation.table();
        let entries = table.len();
        Self {
            quantisation,
            shape,
            codes: Tensor::from_data(TensorData::new(blocks.words, words), (device, DType::I32)),
            absmax: Tensor::from_data(TensorData::new(blocks.absmax, [out, count]), (device, DType::F32)),
            table: Tensor::from_data(TensorData::new(table, [entries]), (device, DType::F32)),
            shifts: Tensor::from_data(TensorData::new(shifts, [1, 1, per_word]), (device, DType::I32)),
        }
    }

    /// `[out, in]`.
    pub fn dims(&self) -> [usize; 2] {
        self.shape
    }

    /// How the numbers are held.
    pub fn quantisation(&self) -> Quantisation {
        self.quantisation
    }

    /// Blocks of a row.
    pub(crate) fn blocks(&self) -> usize {
        self.shape[1].div_ceil(BLOCK)
    }

    pub(crate) fn codes(&self) -> &Tensor<2, Int> {
        &self.codes
    }

    pub(crate) fn absmax(&self) -> &Tensor<2> {
        &self.absmax
    }

    /// The values of some blocks of some rows, by operations that every backend has.
    ///
    /// # Shapes
    /// - output: `[rows, numbers of the blocks]`, float32
    pub(crate) fn part(&self, rows: Range<usize>, blocks: Range<usize>) -> Tensor<2> {
        let per_block = self.quantisation.words_per_block();
        let width = (blocks.end * BLOCK).min(self.shape[1]) - blocks.start * BLOCK;
        let words = blocks.start * per_block..blocks.end * per_block;
        let mask = (1_i32 << self.quantisation.bits()) - 1;
        let codes = self.codes.clone().slice([rows.clone(), words]);
        let codes = codes.unsqueeze_dim::<3>(2).bitwise_right_shift(self.shifts.clone());
        let codes = codes.bitwise_and_scalar(mask); // [rows, words, codes per word]
        let (count, rows_of) = (blocks.len(), rows.len());
        let values = self.table.clone().select(0, codes.reshape([rows_of * count * BLOCK]));
        let absmax = self.absmax.clone().slice([rows, blocks]).unsqueeze_dim::<3>(2);
        let values = values.reshape([rows_of, count, BLOCK]) * absmax;
        values.reshape([rows_of, count * BLOCK]).narrow(1, 0, width)
    }
}
