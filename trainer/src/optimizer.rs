//! AdamW with decoupled weight decay.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use idk_common::atomic;
use idk_model::Slot;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::parameters::{Gradients, Parameters, flat};

/// Running moments of one tensor.
#[derive(Debug, Clone)]
struct Moments {
    /// Updates that the tensor has had; it sets the bias correction.
    step: u64,
    /// Decayed mean of the gradient, `[elements]`.
    exp_avg: Tensor<1>,
    /// Decayed mean of the squared gradient, `[elements]`.
    exp_avg_sq: Tensor<1>,
}

/// AdamW (Loshchilov and Hutter 2019, <https://arxiv.org/abs/1711.05101>), with the arithmetic of
/// `torch.optim.AdamW`:
///
/// ```text
/// w <- w (1 - lr decay)
/// m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
/// w <- w - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
/// ```
///
/// The state is kept by tensor name and not in burn's `ModuleOptimizer`, which keys it by parameter ids that are
/// drawn afresh in every process: with names, the same training gives the same bytes on disk, which is what lets a
/// resumed run be compared with an uninterrupted one byte by byte.
#[derive(Debug, Clone)]
pub struct AdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decay_vectors: bool,
    moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// An optimiser without state. `decay_vectors` says whether weight decay also pulls on vectors (biases and norm
    /// weights), as torch does with plain `parameters()`; full-parameter training decays matrices alone.
    pub fn new(config: &TrainConfig, decay_vectors: bool) -> Self {
        let [beta1, beta2] = config.betas;
        Self {
            beta1,
            beta2,
            eps: config.eps,
            weight_decay: config.weight_decay,
            decay_vectors,
            moments: BTreeMap::new(),
        }
    }

    /// Updates every tensor that has a gradient. The tensors are plain afterwards.
    pub fn step(&mut self, parameters: &mut impl Parameters, mut gradients: Gradients, lr: f64) {
        parameters.for_each_tensor(&mut |name, slot| {
            let Some(gradient) = gradients.by_name.remove(name) else { return };
            match slot {
                Slot::R1(tensor) => self.update(name, tensor, gradient, lr),
                Slot::R2(tensor) => self.update(name, tensor, gradient, lr),
                Slot::R3(tensor) => self.update(name, tensor, gradient, lr),
            }
        });
    }

    fn update<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>, gradient: Tensor<1>, lr: f64) {
        let (beta1, beta2) = (self.beta1, self.beta2);
        let Moments { step, exp_avg, exp_avg_sq } = self.moments.remove(name).unwrap_or_else(|| Moments {
            step: 0,
            exp_avg: gradient.zeros_like(),
            exp_avg_sq: gradient.zeros_like(),
        });
        let step = step + 1;
        let exp_avg = exp_avg.mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1);
        let exp_avg_sq = exp_avg_sq.mul_scalar(beta2) + (gradient.clone() * gradient).mul_scalar(1.0 - beta2);
        // Scalars in f64, as torch computes them.
        let exponent = step as f64;
        let step_size = lr / (1.0 - beta1.powf(exponent));
        let correction = (1.0 - beta2.powf(exponent)).sqrt();
        let denominator = exp_avg_sq.clone().sqrt().div_scalar(correction).add_scalar(self.eps);
        let update = (exp_avg.clone() / denominator).mul_scalar(step_size);
        let decay = if D > 1 || self.decay_vectors { lr * self.weight_decay } else { 0.0 };
        tensor.inplace(|tensor| {
            let dims = tensor.dims();
            let mut weights = flat(tensor.inner());
            if decay != 0.0 {
                weights = weights.mul_scalar(1.0 - decay);
            }
            (weights - update).reshape(dims)
        });
        self.moments.insert(name.to_owned(), Moments { step, exp_avg, exp_avg_sq });
    }

    /// Writes the state as safetensors: `<name>.exp_avg` and `<name>.exp_avg_sq` (F32) and `<name>.step` (I64).
    ///
    /// # Errors
    /// A state that cannot be read from the device, or a file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let mut tensors: Vec<(String, Dtype, Vec<u8>)> = Vec::with_capacity(3 * self.moments.len());
        for (name, moments) in &self.moments {
            for (suffix, tensor) in [("exp_avg", &moments.exp_avg), ("exp_avg_sq", &moments.exp_avg_sq)] {
                let key = format!("{name}.{suffix}");
                let values: Vec<f32> = tensor.try_to_vec_as().map_err(TrainError::device(&key))?;
                tensors.push((
                    key,
                    Dtype::F32,
                    values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                ));
            }
            tensors.push((format!("{name}.step"), Dtype::I64, moments.step.to_le_bytes().to_vec()));
        }
        let failed = |error: safetensors::SafeTensorError| TrainError::Checkpoint {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        let mut views = Vec::with_capacity(tensors.len());
        for (key, dtype, bytes) in &tensors {
            let elements = bytes.len() * 8 / dtype.bitsize();
            views.push((key.as_str(), TensorView::new(*dtype, vec![elements], bytes).map_err(failed)?));
        }
        let bytes = safetensors::serialize(views, None).map_err(failed)?;
        Ok(atomic::write_atomic(path, &bytes)?)
    }

    /// Reads a state that [`AdamW::save`] wrote; the hyper-parameters stay as they are.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] if the file is not such a state.
    pub fn load(&mut self, path: &Path, device: &Device) -> Result<(), TrainError> {
        let bytes = atomic::read(path)?;
        let damaged = |reason: String| TrainError::Checkpoint { path: path.to_path_buf(), reason };
        let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut moments = BTreeMap::new();
        for key in file.names() {
            let Some(name) = key.strip_suffix(".step") else { continue };
            let moment = |suffix: &str| {
                let key = format!("{name}.{suffix}");
                let view = file.tensor(&key).map_err(|error| damaged(format!("`{key}`: {error}")))?;
                if view.dtype() != Dtype::F32 {
                    return Err(damaged(format!("`{key}` is not F32")));
                }
                let values: Vec<f32> =
                    view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                let elements = values.len();
                Ok(Tensor::<1>::from_data(TensorData::new(values, [elements]), device))
            };
            let step = file.tensor(key).map_err(|error| damaged(error.to_string()))?;
            let step: [u8; 8] =
                step.data().try_into().map_err(|_| damaged(format!("`{key}` is not one number")))?;
            let moments_of_name = Moments {
                step: u64::from_le_bytes(step),
                exp_avg: moment("exp_avg")?,
                exp_avg_sq: moment("exp_avg_sq")?,
            };
            moments.insert(name.to_owned(), moments_of_name);
        }
        if file.len() != 3 * moments.len() {
            return Err(damaged(format!("{} tensors for {} parameters", file.len(), moments.len())));
        }
        self.moments = moments;
        Ok(())
    }

    /// Checks that the state fits the tensors that it will update.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] names the first tensor that has a state of another size, or a state without tensor.
    pub fn check_fits(&self, parameters: &mut impl Parameters, path: &Path) -> Result<(), TrainError> {
        let mut sizes = BTreeMap::new();
        parameters.for_each_tensor(&mut |name, slot| {
            sizes.insert(name.to_owned(), slot.dims().iter().product::<usize>());
        });
        for (name, moments) in &self.moments {
            let (found, square) = (moments.exp_avg.dims()[0], moments.exp_avg_sq.dims()[0]);
            if sizes.get(name) != Some(&found) || found != square {
                let reason = format!("the optimiser state of `{name}` has {found} elements");
                return Err(TrainError::Checkpoint { path: path.to_path_buf(), reason });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix and a vector.
    struct Toy {
        matrix: Tensor<2>,
        vector: Tensor<1>,
    }

    impl Parameters for Toy {
        fn for_each_tensor(&mut self, visit: &mut dyn FnMut(&str, Slot<'_>)) {
            visit("matrix", Slot::R2(&mut self.matrix));
            visit("vector", Slot::R1(&mut self.vector));
        }
    }

    fn toy() -> Toy {
        let device = Device::flex();
        Toy {
            matrix: Tensor::from_data([[0.5_f32, -1.25], [2.0, 0.125]], &device),
            vector: Tensor::from_data([1.0_f32, -0.75], &device),
        }
    }

    /// Gradients of step `step`: the same closed form as in tests/adamw_reference.py.
    fn gradients(step: usize) -> Gradients {
        let value = |i: usize| ((i + 1) as f32 * 0.7 + step as f32 * 1.3).sin() * 0.5_f32.powi(i as i32 % 3);
        let tensor = |from: usize, n: usize| {
            let values: Vec<f32> = (from..from + n).map(value).collect();
            Tensor::from_data(TensorData::new(values, [n]), &Device::flex())
        };
        let by_name = [("matrix".to_owned(), tensor(0, 4)), ("vector".to_owned(), tensor(4, 2))];
        Gradients { by_name: by_name.into_iter().collect() }
    }

    fn values(toy: &Toy) -> Vec<f32> {
        let mut values: Vec<f32> = toy.matrix.try_to_vec_as().unwrap();
        values.extend(toy.vector.try_to_vec_as::<f32>().unwrap());
        values
    }

    fn config() -> TrainConfig {
        TrainConfig { betas: [0.9, 0.98], eps: 1e-6, weight_decay: 0.1, ..TrainConfig::default() }
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    // Printed by tests/adamw_reference.py.
    const TORCH_DECAY_ALL: [f64; 6] =
        [0.39607537, -1.26379418, 1.93889558, 0.1726156, 1.07148767, -0.65708089];
    const TORCH_DECAY_MATRICES: [f64; 6] =
        [0.39607537, -1.26379418, 1.93889558, 0.1726156, 1.10356426, -0.67741513];

    #[test]
    fn five_steps_give_the_numbers_of_torch() {
        let (mut toy, mut optimizer) = (toy(), AdamW::new(&config(), true));
        for step in 0..5 {
            optimizer.step(&mut toy, gradients(step), 0.02 * (step + 1) as f64);
        }
        assert_close(&values(&toy), &TORCH_DECAY_ALL);
    }

    #[test]
    fn decay_on_matrices_alone_gives_the_numbers_of_torch_with_two_groups() {
        let (mut toy, mut optimizer) = (toy(), AdamW::new(&config(), false));
        for step in 0..5 {
            optimizer.step(&mut toy, gradients(step), 0.02 * (step + 1) as f64);
        }
        assert_close(&values(&toy), &TORCH_DECAY_MATRICES);
    }

    #[test]
    fn a_tensor_without_gradient_stays_as_it_is() {
        let (mut toy, mut optimizer) = (toy(), AdamW::new(&config(), true));
        let mut gradients = gradients(0);
        gradients.by_name.remove("vector");
        optimizer.step(&mut toy, gradients, 0.1);
        assert_eq!(values(&toy)[4..], [1.0, -0.75]);
        assert_ne!(values(&toy)[0], 0.5);
    }

    #[test]
    fn a_saved_state_goes_on_bit_for_bit_and_is_byte_stable() {
        let dir = tempfile::tempdir().unwrap();
        let (path, again) = (dir.path().join("optimizer.safetensors"), dir.path().join("again.safetensors"));
        let (mut whole, mut optimizer) = (toy(), AdamW::new(&config(), true));
        for step in 0..3 {
            optimizer.step(&mut whole, gradients(step), 0.01);
        }
        optimizer.save(&path).unwrap();
        let mut resumed = Toy { matrix: whole.matrix.clone(), vector: whole.vector.clone() };
        let mut loaded = AdamW::new(&config(), true);
        loaded.load(&path, &Device::flex()).unwrap();
        loaded.check_fits(&mut resumed, &path).unwrap();
        loaded.save(&again).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
        for step in 3..6 {
            optimizer.step(&mut whole, gradients(step), 0.01);
            loaded.step(&mut resumed, gradients(step), 0.01);
        }
        assert_eq!(values(&whole), values(&resumed));
    }

    #[test]
    fn a_state_of_other_tensors_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (mut toy, mut optimizer) = (toy(), AdamW::new(&config(), true));
        optimizer.step(&mut toy, gradients(0), 0.01);
        toy.vector = Tensor::zeros([3], &Device::flex());
        assert!(optimizer.check_fits(&mut toy, dir.path()).is_err());
    }
}
