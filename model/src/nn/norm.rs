//! The two normalisations: LayerNorm of the encoder and RMSNorm of the language model.

use burn::tensor::Tensor;

use crate::fused;
use crate::nn::tensor_mut::TensorMut;

/// `epsilon` of every LayerNorm of the encoder (PyTorch's default).
pub(crate) const LAYER_NORM_EPSILON: f64 = 1e-5;

/// `(x - mean) / sqrt(var + 1e-5) * weight + bias` over the last dimension.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Canonical module path.
    pub name: String,
    /// `[width]`.
    pub weight: Tensor<1>,
    /// `[width]`.
    pub bias: Tensor<1>,
}

impl LayerNorm {
    /// # Shapes
    /// - `x` and output: `[rows, width]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        fused::layer_norm(x, &self.weight, &self.bias, LAYER_NORM_EPSILON)
    }

    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        f(&format!("{}.weight", self.name), TensorMut::R1(&mut self.weight));
        f(&format!("{}.bias", self.name), TensorMut::R1(&mut self.bias));
    }
}

/// `x / sqrt(mean(x^2) + epsilon) * weight` over the last dimension (Zhang and Sennrich 2019, eq. 4).
#[derive(Clone, Debug)]
pub struct RmsNorm {
    /// Canonical module path.
    pub name: String,
    /// `[width]`.
    pub weight: Tensor<1>,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl RmsNorm {
    /// The mean square and the division are in float32 whatever the type of `x`, as in transformers.
    ///
    /// # Shapes
    /// - `x` and output: `[rows, width]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        fused::rms_norm(x, &self.weight, self.epsilon)
    }

    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        f(&format!("{}.weight", self.name), TensorMut::R1(&mut self.weight));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn rms_norm_equals_the_formula_by_hand() {
        let device = Device::flex();
        let norm =
            RmsNorm { name: String::new(), weight: Tensor::from_floats([2.0, 0.5], &device), epsilon: 0.5 };
        let out = norm.forward(Tensor::from_floats([[3.0, -4.0]], &device));
        // mean square 12.5, plus 0.5 = 13
        let expected = [3.0 / 13.0_f32.sqrt() * 2.0, -4.0 / 13.0_f32.sqrt() * 0.5];
        for (found, expected) in out.into_data().iter::<f32>().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn layer_norm_equals_the_formula_by_hand() {
        let device = Device::flex();
        let norm = LayerNorm {
            name: String::new(),
            weight: Tensor::from_floats([2.0, 1.0], &device),
            bias: Tensor::from_floats([0.0, 10.0], &device),
        };
        let out = norm.forward(Tensor::from_floats([[0.01, 0.03]], &device));
        // mean 0.02, variance 1e-4, so epsilon 1e-5 counts for a tenth
        let unit = 0.01 / (1e-4_f32 + 1e-5).sqrt();
        for (found, expected) in out.into_data().iter::<f32>().zip([-2.0 * unit, unit + 10.0]) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }
}
