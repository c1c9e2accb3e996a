//! Building the model's parts from named values, whether they come from disk or from a random initialisation.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use crate::arch::specs::TensorSpec;
use crate::error::ModelError;
use crate::nn::linear::{Linear, LinearWeight};
use crate::nn::norm::{LayerNorm, RmsNorm};
use crate::weights::{Quantisation, QuantisedWeight};

/// Supplies the values of a tensor.
pub(crate) type Values<'a> = dyn FnMut(&TensorSpec) -> Result<TensorData, ModelError> + 'a;

/// Uploads tensors one by one as the model's constructors ask for them by name; shapes are those of the table.
pub(crate) struct TensorSource<'a> {
    pub(crate) device: &'a Device,
    specs: BTreeMap<String, TensorSpec>,
    /// How the weights that can be quantised are held, if not as they come.
    quantisation: Option<Quantisation>,
    values: &'a mut Values<'a>,
}

impl<'a> TensorSource<'a> {
    /// A source of the tensors of `specs`.
    pub(crate) fn new(
        device: &'a Device,
        specs: Vec<TensorSpec>,
        quantisation: Option<Quantisation>,
        values: &'a mut Values<'a>,
    ) -> Self {
        let specs = specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        Self { device, specs, quantisation, values }
    }

    fn spec(&self, name: &str) -> &TensorSpec {
        // Table and constructors are of one crate, and a test holds them together.
        let Some(spec) = self.specs.get(name) else {
            unreachable!("`{name}` is not in the table of tensors")
        };
        spec
    }

    pub(crate) fn tensor<const D: usize>(&mut self, name: &str) -> Result<Tensor<D>, ModelError> {
        let spec = self.spec(name).clone();
        let values = (self.values)(&spec)?;
        let dtype = values.dtype();
        Ok(Tensor::from_data(values, (self.device, dtype)))
    }

    /// A linear layer, with a bias if the table has one.
    pub(crate) fn linear(&mut self, name: String) -> Result<Linear, ModelError> {
        let weight = self.linear_weight(&format!("{name}.weight"))?;
        let bias = format!("{name}.bias");
        let bias = if self.specs.contains_key(&bias) { Some(self.tensor(&bias)?) } else { None };
        Ok(Linear { name, weight, bias })
    }

    fn linear_weight(&mut self, name: &str) -> Result<LinearWeight, ModelError> {
        let spec = self.spec(name).clone();
        let (Some(quantisation), &[out, input]) = (spec.quantised(self.quantisation), spec.shape.as_slice())
        else {
            return Ok(LinearWeight::Plain(self.tensor(name)?));
        };
        let values = (self.values)(&spec)?;
        let Ok(values) = values.as_slice::<f32>() else { unreachable!("what is quantised comes in float32") };
        let weight = QuantisedWeight::new(values, [out, input], quantisation, self.device);
        Ok(LinearWeight::Quantised(Box::new(weight)))
    }

    pub(crate) fn layer_norm(&mut self, name: String) -> Result<LayerNorm, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"))?;
        let bias = self.tensor(&format!("{name}.bias"))?;
        Ok(LayerNorm { name, weight, bias })
    }

    pub(crate) fn rms_norm(&mut self, name: String, epsilon: f64) -> Result<RmsNorm, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"))?;
        Ok(RmsNorm { name, weight, epsilon })
    }
}
