//! A mutable view of one model tensor, whatever its rank: how trainers and savers walk a model.

use burn::tensor::{Tensor, TensorData};

/// One tensor of a model or of an adapter, to be read or replaced in place.
#[derive(Debug)]
pub enum TensorMut<'a> {
    /// A vector: biases and norm weights.
    R1(&'a mut Tensor<1>),
    /// A matrix: linear layers and embeddings.
    R2(&'a mut Tensor<2>),
    /// A convolution kernel `[out, in, width]`.
    R3(&'a mut Tensor<3>),
}

impl TensorMut<'_> {
    /// The tensor's shape.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::R1(tensor) => tensor.dims().to_vec(),
            Self::R2(tensor) => tensor.dims().to_vec(),
            Self::R3(tensor) => tensor.dims().to_vec(),
        }
    }

    /// The values, read from the device; autodiff makes no difference.
    pub fn to_data(&self) -> TensorData {
        match self {
            Self::R1(tensor) => tensor.to_data(),
            Self::R2(tensor) => tensor.to_data(),
            Self::R3(tensor) => tensor.to_data(),
        }
    }

    /// Makes the tensor a trainable autodiff leaf, with its present values.
    pub fn make_trainable(&mut self) {
        match self {
            Self::R1(tensor) => **tensor = tensor.clone().inner().autodiff().require_grad(),
            Self::R2(tensor) => **tensor = tensor.clone().inner().autodiff().require_grad(),
            Self::R3(tensor) => **tensor = tensor.clone().inner().autodiff().require_grad(),
        }
    }

    /// Makes the tensor plain (frozen, outside autodiff), with its present values.
    pub fn make_plain(&mut self) {
        match self {
            Self::R1(tensor) => **tensor = tensor.clone().inner(),
            Self::R2(tensor) => **tensor = tensor.clone().inner(),
            Self::R3(tensor) => **tensor = tensor.clone().inner(),
        }
    }
}
