//! AdamW with decoupled weight decay.

mod state_file;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use idk_model::TensorMut;

use crate::config::TrainConfig;
use crate::step::parameters::{Gradients, Parameters, flat};

/// Most elements of a group: besides the moments, the old and the new weights, an update holds a few times this.
const MAX_GROUP: usize = 1 << 22;

/// Running moments of some tensors, one after the other.
#[derive(Debug, Clone)]
struct Moments {
    /// Name and elements of each tensor, in order.
    tensors: Vec<(String, usize)>,
    /// Updates that each of the tensors has had; it sets the bias correction.
    step: u64,
    /// Decayed mean of the gradients, `[elements]`.
    exp_avg: Tensor<1>,
    /// Decayed mean of the squared gradients, `[elements]`.
    exp_avg_sq: Tensor<1>,
}

impl Moments {
    /// Those of each of its tensors.
    fn split(self) -> impl Iterator<Item = (String, Self)> {
        let Self { tensors, step, exp_avg, exp_avg_sq } = self;
        let mut start = 0;
        tensors.into_iter().map(move |(name, elements)| {
            let part = |all: &Tensor<1>| all.clone().narrow(0, start, elements);
            let (exp_avg, exp_avg_sq) = (part(&exp_avg), part(&exp_avg_sq));
            start += elements;
            (name.clone(), Self { tensors: vec![(name, elements)], step, exp_avg, exp_avg_sq })
        })
    }
}

/// A tensor that has a gradient.
struct Updated {
    name: String,
    decays: bool,
    /// `[elements]`
    weights: Tensor<1>,
    /// `[elements]`
    gradient: Tensor<1>,
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
///
/// Tensors are updated in groups, joined end to end: a GPU then runs a few large kernels and not a dozen small ones for each
/// of some hundred tensors. Every element has the arithmetic that it would have alone.
#[derive(Debug, Clone)]
pub struct AdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decay_vectors: bool,
    /// In groups of the last step.
    moments: Vec<Moments>,
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
            moments: Vec::new(),
        }
    }

    /// Updates every tensor that has a gradient. The tensors are plain afterwards.
    pub fn step(&mut self, parameters: &mut impl Parameters, mut gradients: Gradients, lr: f64) {
        let mut updated: Vec<Updated> = Vec::new();
        parameters.for_each_tensor(&mut |name, slot| {
            let Some(gradient) = gradients.by_name.remove(name) else { return };
            let decays = slot.dims().len() > 1 || self.decay_vectors;
            let weights = match slot {
                TensorMut::R1(tensor) => tensor.clone().inner(),
                TensorMut::R2(tensor) => flat(tensor.clone().inner()),
                TensorMut::R3(tensor) => flat(tensor.clone().inner()),
            };
            updated.push(Updated { name: name.to_owned(), decays, weights, gradient });
        });
        let mut moved = self.update(updated, lr);
        parameters.for_each_tensor(&mut |name, slot| {
            let Some(weights) = moved.remove(name) else { return };
            match slot {
                TensorMut::R1(tensor) => *tensor = weights,
                TensorMut::R2(tensor) => *tensor = weights.reshape(tensor.dims()),
                TensorMut::R3(tensor) => *tensor = weights.reshape(tensor.dims()),
            }
        });
    }

    /// The new weights of each tensor, `[elements]`.
    fn update(&mut self, updated: Vec<Updated>, lr: f64) -> BTreeMap<String, Tensor<1>> {
        let mut moved = BTreeMap::new();
        for (group, moments) in self.groups(updated) {
            let decay = if group[0].decays { lr * self.weight_decay } else { 0.0 };
            let (weights, gradients): (Vec<_>, Vec<_>) =
                group.into_iter().map(|tensor| (tensor.weights, tensor.gradient)).unzip();
            let (weights, moments) = self.move_group(join(weights), join(gradients), moments, lr, decay);
            let mut start = 0;
            for (name, elements) in &moments.tensors {
                moved.insert(name.clone(), weights.clone().narrow(0, start, *elements));
                start += elements;
            }
            self.moments.push(moments);
        }
        moved
    }

    /// Takes the state apart into groups of tensors that share decay and number of updates; what no tensor of `updated`
    /// belongs to stays.
    fn groups(&mut self, updated: Vec<Updated>) -> Vec<(Vec<Updated>, Moments)> {
        let mut known: BTreeMap<String, u64> = BTreeMap::new();
        for moments in &self.moments {
            known.extend(moments.tensors.iter().map(|(name, _)| (name.clone(), moments.step)));
        }
        let mut groups: Vec<(u64, usize, Vec<Updated>)> = Vec::new(); // (updates so far, elements, tensors)
        for tensor in updated {
            let (step, elements) = (known.get(&tensor.name).copied().unwrap_or(0), tensor.gradient.dims()[0]);
            let fits = groups.iter_mut().find(|(of_group, size, tensors)| {
                *of_group == step && tensors[0].decays == tensor.decays && size + elements <= MAX_GROUP
            });
            match fits {
                Some((_, size, tensors)) => {
                    *size += elements;
                    tensors.push(tensor);
                }
                None => groups.push((step, elements, vec![tensor])),
            }
        }
        groups
            .into_iter()
            .map(|(step, _, tensors)| {
                let moments = self.take_moments(&tensors, step);
                (tensors, moments)
            })
            .collect()
    }

    /// The moments of `tensors`, end to end; zeros for those that have none. As a rule they are one group already.
    fn take_moments(&mut self, tensors: &[Updated], step: u64) -> Moments {
        let is_whole = |moments: &Moments| {
            let names = moments.tensors.iter().map(|(name, _)| name);
            names.eq(tensors.iter().map(|tensor| &tensor.name))
        };
        if let Some(at) = self.moments.iter().position(is_whole) {
            return self.moments.swap_remove(at);
        }
        let wanted = |name: &str| tensors.iter().any(|tensor| tensor.name == name);
        let mut found = BTreeMap::new();
        let mut others = Vec::new();
        for moments in std::mem::take(&mut self.moments) {
            if !moments.tensors.iter().any(|(name, _)| wanted(name)) {
                others.push(moments);
                continue;
            }
            for (name, moments) in moments.split() {
                if wanted(&name) {
                    found.insert(name, moments);
                } else {
                    others.push(moments);
                }
            }
        }
        self.moments = others;
        let (mut exp_avg, mut exp_avg_sq) = (Vec::new(), Vec::new());
        for tensor in tensors {
            let zeros = || tensor.gradient.zeros_like();
            let (mean, square) = match found.remove(&tensor.name) {
                Some(moments) => (moments.exp_avg, moments.exp_avg_sq),
                None => (zeros(), zeros()),
            };
            exp_avg.push(mean);
            exp_avg_sq.push(square);
        }
        let tensors = tensors.iter().map(|tensor| (tensor.name.clone(), tensor.gradient.dims()[0])).collect();
        Moments { tensors, step, exp_avg: join(exp_avg), exp_avg_sq: join(exp_avg_sq) }
    }

    /// One update of a group, all `[elements]`.
    fn move_group(
        &self,
        mut weights: Tensor<1>,
        gradient: Tensor<1>,
        moments: Moments,
        lr: f64,
        decay: f64,
    ) -> (Tensor<1>, Moments) {
        let (beta1, beta2) = (self.beta1, self.beta2);
        let Moments { tensors, step, exp_avg, exp_avg_sq } = moments;
        let step = step + 1;
        let exp_avg = exp_avg.mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1);
        let exp_avg_sq = exp_avg_sq.mul_scalar(beta2) + (gradient.clone() * gradient).mul_scalar(1.0 - beta2);
        // Scalars in f64, as torch computes them.
        let exponent = step as f64;
        let step_size = lr / (1.0 - beta1.powf(exponent));
        let correction = (1.0 - beta2.powf(exponent)).sqrt();
        let denominator = exp_avg_sq.clone().sqrt().div_scalar(correction).add_scalar(self.eps);
        let update = (exp_avg.clone() / denominator).mul_scalar(step_size);
        if decay != 0.0 {
            weights = weights.mul_scalar(1.0 - decay);
        }
        (weights - update, Moments { tensors, step, exp_avg, exp_avg_sq })
    }
}

/// Tensors end to end.
fn join(mut tensors: Vec<Tensor<1>>) -> Tensor<1> {
    if tensors.len() == 1 { tensors.remove(0) } else { Tensor::cat(tensors, 0) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// A matrix and a vector.
    pub(super) struct Toy {
        pub(super) matrix: Tensor<2>,
        pub(super) vector: Tensor<1>,
    }

    impl Parameters for Toy {
        fn for_each_tensor(&mut self, visit: &mut dyn FnMut(&str, TensorMut<'_>)) {
            visit("matrix", TensorMut::R2(&mut self.matrix));
            visit("vector", TensorMut::R1(&mut self.vector));
        }
    }

    pub(super) fn toy() -> Toy {
        let device = Device::flex();
        Toy {
            matrix: Tensor::from_data([[0.5_f32, -1.25], [2.0, 0.125]], &device),
            vector: Tensor::from_data([1.0_f32, -0.75], &device),
        }
    }

    /// Gradients of step `step`: the same closed form as in tests/adamw_reference.py.
    pub(super) fn gradients(step: usize) -> Gradients {
        let value = |i: usize| ((i + 1) as f32 * 0.7 + step as f32 * 1.3).sin() * 0.5_f32.powi(i as i32 % 3);
        let tensor = |from: usize, n: usize| {
            let values: Vec<f32> = (from..from + n).map(value).collect();
            Tensor::from_data(TensorData::new(values, [n]), &Device::flex())
        };
        let by_name = [("matrix".to_owned(), tensor(0, 4)), ("vector".to_owned(), tensor(4, 2))];
        Gradients { by_name: by_name.into_iter().collect() }
    }

    pub(super) fn values(toy: &Toy) -> Vec<f32> {
        let mut values: Vec<f32> = toy.matrix.try_to_vec_as().unwrap();
        values.extend(toy.vector.try_to_vec_as::<f32>().unwrap());
        values
    }

    pub(super) fn config() -> TrainConfig {
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
    fn a_tensor_that_missed_an_update_goes_on_with_its_own_number_of_updates() {
        // The vector misses step 1: its bias corrections lag behind the matrix's from then on, as they do in torch.
        let (mut both, mut optimizer) = (toy(), AdamW::new(&config(), true));
        let (mut alone, mut of_alone) = (toy(), AdamW::new(&config(), true));
        for step in 0..5 {
            let mut some = gradients(step);
            let mut vector_only = gradients(step);
            vector_only.by_name.remove("matrix");
            if step == 1 {
                some.by_name.remove("vector");
            } else {
                of_alone.step(&mut alone, vector_only, 0.02);
            }
            optimizer.step(&mut both, some, 0.02);
        }
        assert_eq!(values(&both)[4..], values(&alone)[4..]);
        let mut matrix_only = (toy(), AdamW::new(&config(), true));
        for step in 0..5 {
            let mut some = gradients(step);
            some.by_name.remove("vector");
            matrix_only.1.step(&mut matrix_only.0, some, 0.02);
        }
        assert_eq!(values(&both)[..4], values(&matrix_only.0)[..4]);
    }
}
