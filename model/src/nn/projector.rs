//! What brings the encoder's output to the language model's width: linear layers with a gelu between neighbours.

use burn::tensor::Tensor;

use crate::arch::config::ProjectorConfig;
use crate::arch::names::projector_layer;
use crate::error::ModelError;
use crate::fused::gelu;
use crate::nn::linear::{ForwardContext, Linear};
use crate::nn::source::TensorSource;
use crate::nn::tensor_mut::TensorMut;

/// The projector.
#[derive(Clone, Debug)]
pub struct Projector {
    layers: Vec<Linear>,
}

impl Projector {
    pub(crate) fn build(config: &ProjectorConfig, source: &mut TensorSource) -> Result<Self, ModelError> {
        let count = config.layers.len();
        let layers = (0..count).map(|index| source.linear(projector_layer(index, count)));
        Ok(Self { layers: layers.collect::<Result<_, _>>()? })
    }

    /// # Shapes
    /// - `x`: `[rows, d_model]`
    /// - output: `[rows, hidden]`
    pub fn forward(&self, x: Tensor<2>, context: &ForwardContext) -> Tensor<2> {
        let layers = self.layers.iter().enumerate();
        layers.fold(x, |x, (index, layer)| layer.forward(if index == 0 { x } else { gelu(x) }, context))
    }

    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        self.layers.iter_mut().for_each(|layer| layer.for_each_tensor(f));
    }
}
