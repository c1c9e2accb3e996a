//! Checks that every fused operation goes through.

use burn::tensor::{Device, Tensor, TensorData};
use idk_common::seed::Rng;

/// Input tensors of one case, handed out by index.
pub(super) struct Inputs(Vec<(Tensor<1>, Vec<usize>)>);

impl Inputs {
    /// An input in its own shape.
    pub(super) fn take<const D: usize>(&mut self, index: usize) -> Tensor<D> {
        let (tensor, shape) = &self.0[index];
        let shape: [usize; D] = shape.as_slice().try_into().unwrap();
        tensor.clone().reshape(shape)
    }
}

/// Normal values times `scale`, in a flat tensor.
pub(super) fn random(shape: &[usize], scale: f64, seed: u64) -> Tensor<1> {
    let mut rng = Rng::new(seed);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| (rng.normal() * scale) as f32).collect();
    Tensor::from_data(TensorData::new(values, [count]), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The output, and the gradient of a randomly weighted sum of it for every input.
fn run<const D: usize>(
    leaves: &[(Tensor<1>, Vec<usize>)],
    f: impl Fn(&mut Inputs) -> Tensor<D>,
) -> Vec<Vec<f32>> {
    let leaves: Vec<_> =
        leaves.iter().map(|(leaf, shape)| (leaf.clone().autodiff().require_grad(), shape.clone())).collect();
    let out = f(&mut Inputs(leaves.clone()));
    let weights = random(&out.dims(), 1.0, 99).reshape(out.dims());
    let mut gradients = (out.clone() * weights).sum().backward();
    let mut results = vec![values(out)];
    results.extend(leaves.into_iter().map(|(leaf, _)| values(leaf.grad_remove(&mut gradients).unwrap())));
    results
}

fn leaves(shapes: &[&[usize]], scale: f64) -> Vec<(Tensor<1>, Vec<usize>)> {
    shapes
        .iter()
        .enumerate()
        .map(|(seed, shape)| (random(shape, scale, seed as u64), shape.to_vec()))
        .collect()
}

/// Output and all gradients within 1e-5 of the graph's, relative to their size. Returns them.
pub(super) fn check_close<const D: usize>(
    shapes: &[&[usize]],
    scale: f64,
    fused: &impl Fn(&mut Inputs) -> Tensor<D>,
    graph: &impl Fn(&mut Inputs) -> Tensor<D>,
) -> Vec<Vec<f32>> {
    let leaves = leaves(shapes, scale);
    let (found, expected) = (run(&leaves, fused), run(&leaves, graph));
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let size = expected.iter().fold(0.0_f32, |size, value| size.max(value.abs()));
        let norm = expected.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        assert_eq!(found.len(), expected.len());
        let mut difference = 0.0;
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-5 * size, "result {index}: {found} {expected} of {size}");
            difference += f64::from(found - expected).powi(2);
        }
        assert!(
            norm > 0.0 && difference.sqrt() < 1e-5 * norm,
            "result {index}: {} of {norm}",
            difference.sqrt()
        );
    }
    found
}

/// As [`check_close`], recorded and not; and with only one of the inputs tracked, the same gradient for it.
pub(super) fn check_with_graph<const D: usize>(
    shapes: &[&[usize]],
    scale: f64,
    fused: impl Fn(&mut Inputs) -> Tensor<D>,
    graph: impl Fn(&mut Inputs) -> Tensor<D>,
) {
    let found = check_close(shapes, scale, &fused, &graph);
    let leaves = leaves(shapes, scale);
    let plain = fused(&mut Inputs(leaves.clone()));
    assert!(!plain.is_autodiff());
    assert_eq!(values(plain), found[0]);
    for tracked in 0..leaves.len() {
        let mut inputs = leaves.clone();
        inputs[tracked].0 = inputs[tracked].0.clone().autodiff().require_grad();
        let leaf = inputs[tracked].0.clone();
        let out = fused(&mut Inputs(inputs));
        let weights = random(&out.dims(), 1.0, 99).reshape(out.dims());
        let mut gradients = (out * weights).sum().backward();
        assert_eq!(values(leaf.grad_remove(&mut gradients).unwrap()), found[tracked + 1]);
    }
}

/// Every gradient against central differences of the fused values themselves.
pub(super) fn check_finite_differences<const D: usize>(
    shapes: &[&[usize]],
    scale: f64,
    f: impl Fn(&mut Inputs) -> Tensor<D>,
) {
    const STEP: f32 = 1e-2;
    let leaves = leaves(shapes, scale);
    let gradients = run(&leaves, &f);
    let loss = |leaves: &[(Tensor<1>, Vec<usize>)]| -> f64 {
        let out = f(&mut Inputs(leaves.to_vec()));
        let weights = values(random(&out.dims(), 1.0, 99));
        values(out).iter().zip(weights).map(|(value, weight)| f64::from(*value) * f64::from(weight)).sum()
    };
    for input in 0..leaves.len() {
        let start = values(leaves[input].0.clone());
        for index in 0..start.len() {
            let at = |offset: f32| {
                let mut moved = start.clone();
                moved[index] += offset;
                let mut leaves = leaves.clone();
                leaves[input].0 = Tensor::from_floats(moved.as_slice(), &Device::flex());
                loss(&leaves)
            };
            // Fourth-order central difference: the step can be large enough for float32.
            let slope =
                (8.0 * (at(STEP) - at(-STEP)) - (at(2.0 * STEP) - at(-2.0 * STEP))) / f64::from(12.0 * STEP);
            let found = f64::from(gradients[input + 1][index]);
            assert!(
                (slope - found).abs() < 1e-3 * (1.0 + slope.abs()),
                "input {input}, {index}: {found} {slope}"
            );
        }
    }
}

/// Output and gradients bit by bit the same in pools of one, two and five threads.
pub(super) fn check_same_bytes<const D: usize>(
    shapes: &[&[usize]],
    f: impl Fn(&mut Inputs) -> Tensor<D> + Sync,
) {
    let results: Vec<Vec<Vec<u32>>> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let results = pool.install(|| run(&leaves(shapes, 2.0), &f));
            results.into_iter().map(|result| result.into_iter().map(f32::to_bits).collect()).collect()
        })
        .collect();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}
