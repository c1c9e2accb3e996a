//! Building the model's parts from named values, whether they come from disk or from a random initialisation.

use burn::tensor::{Device, Tensor, TensorData};

use crate::error::ModelError;
use crate::nn::linear::Linear;
use crate::nn::norm::{LayerNorm, RmsNorm};

/// Supplies the values of a tensor, given its canonical name and shape.
pub(crate) type Values<'a> = dyn FnMut(&str, &[usize]) -> Result<TensorData, ModelError> + 'a;

/// Uploads tensors one by one as the model's constructors ask for them.
pub(crate) struct TensorSource<'a> {
    pub(crate) device: &'a Device,
    pub(crate) values: &'a mut Values<'a>,
}

impl TensorSource<'_> {
    pub(crate) fn tensor<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
    ) -> Result<Tensor<D>, ModelError> {
        let values = (self.values)(name, &shape)?;
        let dtype = values.dtype();
        Ok(Tensor::from_data(values, (self.device, dtype)))
    }

    pub(crate) fn linear(
        &mut self,
        name: String,
        [out, input]: [usize; 2],
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"), [out, input])?;
        let bias = if bias { Some(self.tensor(&format!("{name}.bias"), [out])?) } else { None };
        Ok(Linear { name, weight, bias })
    }

    pub(crate) fn layer_norm(&mut self, name: String, width: usize) -> Result<LayerNorm, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"), [width])?;
        let bias = self.tensor(&format!("{name}.bias"), [width])?;
        Ok(LayerNorm { name, weight, bias })
    }

    pub(crate) fn rms_norm(
        &mut self,
        name: String,
        width: usize,
        epsilon: f64,
    ) -> Result<RmsNorm, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"), [width])?;
        Ok(RmsNorm { name, weight, epsilon })
    }
}
