//! What is trained: named tensors, as leaves during a step and plain between steps.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients as Tape, Tensor};
use idk_model::{Adapters, TensorMut};

use crate::error::TrainError;

/// Named tensors that a step updates, visited in an order that never changes.
pub trait Parameters {
    /// Visits every trained tensor once under its name on disk.
    fn for_each_tensor(&mut self, visit: &mut dyn FnMut(&str, TensorMut<'_>));
}

impl Parameters for Adapters {
    fn for_each_tensor(&mut self, visit: &mut dyn FnMut(&str, TensorMut<'_>)) {
        Self::for_each_tensor(self, &mut |name, tensor| visit(name, TensorMut::R2(tensor)));
    }
}

/// Makes every trained tensor a leaf of a fresh autodiff graph.
pub fn make_trainable(parameters: &mut impl Parameters) {
    parameters.for_each_tensor(&mut |_, mut slot| slot.make_trainable());
}

/// Gradients by tensor name, each flattened to one dimension in row-major order.
///
/// A tensor that the loss does not depend on (the encoder, in a batch without audio) has no entry.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    /// Gradient of each tensor, `[elements]`.
    pub by_name: BTreeMap<String, Tensor<1>>,
}

impl Gradients {
    /// The gradients of the leaves in `parameters`, taken off the tape of a backward pass.
    pub fn of(parameters: &mut impl Parameters, mut tape: Tape) -> Self {
        let mut by_name = BTreeMap::new();
        parameters.for_each_tensor(&mut |name, slot| {
            if let Some(gradient) = take(&slot, &mut tape) {
                by_name.insert(name.to_owned(), gradient);
            }
        });
        Self { by_name }
    }

    /// Adds the gradients of the leaves in `parameters`, taken off the tape of a backward pass.
    pub fn accumulate(&mut self, parameters: &mut impl Parameters, tape: Tape) {
        self.add(Self::of(parameters, tape));
    }

    /// Adds `other`, tensor by tensor.
    pub fn add(&mut self, other: Self) {
        for (name, gradient) in other.by_name {
            let sum = match self.by_name.remove(&name) {
                Some(sum) => sum + gradient,
                None => gradient,
            };
            self.by_name.insert(name, sum);
        }
    }

    /// L2 norm of all gradients together.
    ///
    /// On the CPU summed in f64, element by element in name order: the same bits on any number of threads.
    /// Not finite if any element is not.
    ///
    /// # Errors
    /// [`TrainError::Device`] if a gradient cannot be read back.
    pub fn norm(&self) -> Result<f64, TrainError> {
        match self.by_name.values().next() {
            Some(gradient) if gradient.device().inner() != Device::flex() => self.norm_on_device(),
            _ => self.norm_on_host(),
        }
    }

    /// Summed in float32 where the gradients are, tensor by tensor; one number each is read back, all at once.
    fn norm_on_device(&self) -> Result<f64, TrainError> {
        let sums = self.by_name.values().map(|gradient| gradient.clone().square().sum());
        let sums = Tensor::cat(sums.collect(), 0); // [tensors]
        let sums: Vec<f32> =
            sums.try_into_vec_as().map_err(TrainError::device("the norm of the gradient"))?;
        Ok(sums.into_iter().map(f64::from).sum::<f64>().sqrt())
    }

    fn norm_on_host(&self) -> Result<f64, TrainError> {
        let mut sum_of_squares = 0.0_f64;
        for (name, gradient) in &self.by_name {
            let values = gradient
                .try_to_data_as::<f32>()
                .map_err(TrainError::device(format!("the gradient of `{name}`")))?;
            let values =
                values.as_slice::<f32>().map_err(|error| TrainError::device(name)(format!("{error:?}")))?;
            sum_of_squares += values.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>();
        }
        Ok(sum_of_squares.sqrt())
    }

    /// Multiplies every gradient by `factor`.
    pub fn scale(&mut self, factor: f64) {
        for gradient in self.by_name.values_mut() {
            gradient.inplace(|gradient| gradient.mul_scalar(factor));
        }
    }

    /// Scales the gradients so that their norm is at most `max_norm`, as `torch.nn.utils.clip_grad_norm_` does;
    /// `max_norm` 0 leaves them. `norm` is the norm that they have.
    pub fn clip(&mut self, norm: f64, max_norm: f64) {
        let factor = max_norm / (norm + 1e-6);
        if max_norm > 0.0 && factor < 1.0 {
            self.scale(factor);
        }
    }
}

fn take(slot: &TensorMut<'_>, tape: &mut Tape) -> Option<Tensor<1>> {
    match slot {
        TensorMut::R1(tensor) => tensor.grad_remove(tape),
        TensorMut::R2(tensor) => tensor.grad_remove(tape).map(flat),
        TensorMut::R3(tensor) => tensor.grad_remove(tape).map(flat),
    }
}

/// The tensor's elements in row-major order.
pub(crate) fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let elements = tensor.shape().num_elements();
    tensor.reshape([elements])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradients() -> Gradients {
        let device = Device::flex();
        let by_name = [("a", [3.0, 0.0]), ("b", [0.0, -4.0])]
            .map(|(name, values)| (name.to_owned(), Tensor::<1>::from_data(values, &device)));
        Gradients { by_name: by_name.into_iter().collect() }
    }

    fn values(gradients: &Gradients) -> Vec<f32> {
        gradients.by_name.values().flat_map(|gradient| gradient.try_to_vec_as::<f32>().unwrap()).collect()
    }

    #[test]
    fn the_norm_is_over_all_tensors_together() {
        assert_eq!(gradients().norm().unwrap(), 5.0);
        assert_eq!(gradients().norm_on_device().unwrap(), 5.0);
    }

    #[test]
    fn clipping_scales_all_tensors_by_one_factor_and_keeps_short_gradients() {
        let mut clipped = gradients();
        clipped.clip(5.0, 1.0);
        assert!((clipped.norm().unwrap() - 1.0).abs() < 1e-6);
        let [a, _, _, b] = values(&clipped)[..] else { panic!("four values") };
        assert!((a - 0.6).abs() < 1e-6 && (b + 0.8).abs() < 1e-6);

        for max_norm in [0.0, 5.1] {
            let mut kept = gradients();
            kept.clip(5.0, max_norm);
            assert_eq!(values(&kept), [3.0, 0.0, 0.0, -4.0]);
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_makes_the_norm_not_finite() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut gradients = gradients();
            gradients.by_name.insert("c".to_owned(), Tensor::from_data([bad], &Device::flex()));
            assert!(!gradients.norm().unwrap().is_finite());
        }
    }
}
