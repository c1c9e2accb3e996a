//! Numbers of a weight in few bits: blocks of a row share a scale, their largest magnitude (block-wise absmax).

use rayon::prelude::*;

/// Numbers of a row that share a scale, as in QLoRA. The last block of a row may be shorter.
pub(crate) const BLOCK: usize = 64;

/// The values of NF4, the 4-bit NormalFloat: quantiles of the normal distribution between -1 and 1, with an exact zero.
///
/// Dettmers et al. 2023, "QLoRA", appendix E, <https://arxiv.org/abs/2305.14314>, as bitsandbytes has them.
pub(crate) const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// The code of zero in 8 bits.
const INT8_ZERO: i32 = 128;

/// How the frozen weights of the language model's layers are held in fewer bits than they are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantisation {
    /// 255 evenly spaced values between minus and plus the block's largest magnitude.
    Int8,
    /// The 16 values of the 4-bit NormalFloat, times the block's largest magnitude.
    Nf4,
}

impl Quantisation {
    /// As it is called in a recipe.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Nf4 => "nf4",
        }
    }

    /// Bytes of a matrix `[out, in]`: its codes and a float32 per block.
    #[must_use]
    pub fn bytes(self, [out, input]: [usize; 2]) -> usize {
        4 * out * input.div_ceil(BLOCK) * (self.words_per_block() + 1)
    }

    /// Bits of a code.
    pub(crate) fn bits(self) -> usize {
        match self {
            Self::Int8 => 8,
            Self::Nf4 => 4,
        }
    }

    /// Codes in a word of 32 bits; the first is in the lowest bits.
    pub(crate) fn codes_per_word(self) -> usize {
        32 / self.bits()
    }

    pub(crate) fn words_per_block(self) -> usize {
        BLOCK / self.codes_per_word()
    }

    /// What every code stands for, relative to the block's scale.
    pub(crate) fn table(self) -> Vec<f32> {
        match self {
            Self::Int8 => (0..256).map(int8_value).collect(),
            Self::Nf4 => NF4.to_vec(),
        }
    }

    /// The code nearest to `x`, which lies between -1 and 1.
    fn code(self, x: f32) -> i32 {
        match self {
            Self::Int8 => (x * 127.0).round_ties_even() as i32 + INT8_ZERO,
            // As bitsandbytes: a value in the middle of two takes the lower.
            Self::Nf4 => NF4.windows(2).map(|pair| i32::from(x > 0.5 * (pair[0] + pair[1]))).sum(),
        }
    }
}

/// What an 8-bit code stands for, relative to the block's scale.
#[inline(always)]
pub(crate) fn int8_value(code: i32) -> f32 {
    (code - INT8_ZERO) as f32 / 127.0
}

/// A quantised matrix in host memory.
#[derive(Debug)]
pub(super) struct PackedCodes {
    /// `[out, blocks * words per block]`
    pub(super) words: Vec<i32>,
    /// `[out, blocks]`
    pub(super) absmax: Vec<f32>,
}

/// Quantises the finite values of a matrix `[out, in]`.
pub(super) fn quantise(values: &[f32], [out, input]: [usize; 2], quantisation: Quantisation) -> PackedCodes {
    let blocks = input.div_ceil(BLOCK);
    let per_row = blocks * quantisation.words_per_block();
    let (mut words, mut absmax) = (vec![0; out * per_row], vec![0.0; out * blocks]);
    words
        .par_chunks_mut(per_row.max(1))
        .zip(absmax.par_chunks_mut(blocks.max(1)))
        .zip(values.par_chunks(input.max(1)))
        .for_each(|((words, absmax), row)| {
            let words = words.chunks_mut(quantisation.words_per_block());
            for ((words, absmax), block) in words.zip(absmax).zip(row.chunks(BLOCK)) {
                *absmax = block.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                quantise_block(block, *absmax, quantisation, words);
            }
        });
    PackedCodes { words, absmax }
}

fn quantise_block(block: &[f32], absmax: f32, quantisation: Quantisation, words: &mut [i32]) {
    let per_word = quantisation.codes_per_word();
    for (word, values) in words.iter_mut().zip(block.chunks(per_word)) {
        for (place, &value) in values.iter().enumerate() {
            // Divided and not multiplied by the inverse, which overflows for the smallest numbers.
            let relative = if absmax > 0.0 { value / absmax } else { 0.0 };
            *word |= quantisation.code(relative) << (place * quantisation.bits());
        }
    }
}
