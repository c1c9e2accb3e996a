//! The norm of the language model.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor};

use crate::fused::buffer::{chunk_of_rows, dense, for_chunks, map, sum_vectors, tensor, values, values_mut};
use crate::fused::math::{sum, sum_pairs, vectorised};
use crate::fused::record::{fusable, operand, record};

/// `x / sqrt(mean(x^2) + epsilon) * weight` over the last dimension (Zhang and Sennrich 2019, eq. 4).
///
/// # Shapes
/// - `x` and output: `[rows, width]`
/// - `weight`: `[width]`
pub fn rms_norm(x: Tensor<2>, weight: &Tensor<1>, epsilon: f64) -> Tensor<2> {
    if !fusable(&x) || !fusable(weight) {
        return rms_norm_graph(x, weight, epsilon);
    }
    let [_, width] = x.dims();
    assert_eq!([width], weight.dims(), "the norm has another width than its input");
    let recorded = x.is_tracked() || weight.is_tracked();
    let ((x, x_node), (weight, weight_node)) = (operand(x, recorded), operand(weight.clone(), recorded));
    let (x, weight) = (dense(x), dense(weight));
    let epsilon = epsilon as f32;
    let out = map(&x, chunk_of_rows(width), |start, out| {
        let (x, weight) = (&values(&x)[start..start + out.len()], values(&weight));
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let inverse = inverse_rms(x, epsilon);
                    for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
                        *out = x * inverse * w;
                    }
                }
            },
        );
    });
    record(RmsNormBackward { epsilon }, [x_node, weight_node], out, || (x, weight))
}

#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (sum(x, |x| x * x) / x.len() as f32 + epsilon).sqrt()
}

/// The same as burn operations. The mean square and the division are in float32 whatever the type of `x`, as in
/// transformers.
fn rms_norm_graph(x: Tensor<2>, weight: &Tensor<1>, epsilon: f64) -> Tensor<2> {
    let dtype = x.dtype();
    let x = if dtype == DType::F32 { x } else { x.cast(DType::F32) };
    let mean_square = x.clone().square().mean_dim(1); // [rows, 1]
    let scaled = x * (mean_square + epsilon).sqrt().recip();
    let scaled = if dtype == DType::F32 { scaled } else { scaled.cast(dtype) };
    scaled * weight.clone().unsqueeze::<2>()
}

#[derive(Debug)]
struct RmsNormBackward {
    epsilon: f32,
}

impl Backward<Flex, 2> for RmsNormBackward {
    type State = (FlexTensor, FlexTensor);

    /// With `r = 1 / rms(x)` and `g = dy weight`: `dx = r (g - x r^2 mean(g x))`, in the buffer of `dy`, and
    /// `d_weight = sum over rows of dy x r`.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut d_out = dense(grads.consume::<Flex>(&ops.node));
        let (x, weight) = ops.state;
        let weight = values(&weight);
        let width = weight.len();
        let [x_node, weight_node] = ops.parents;
        let weight_tracked = weight_node.is_some();
        let parts = for_chunks(values_mut(&mut d_out), chunk_of_rows(width), |start, d_out| {
            let x = &values(&x)[start..start + d_out.len()];
            let mut d_weight = vec![0.0; if weight_tracked { width } else { 0 }];
            vectorised(
                #[inline(always)]
                || {
                    for (d_row, x) in d_out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        let inverse = inverse_rms(x, self.epsilon);
                        for ((sum, &d), &x) in d_weight.iter_mut().zip(&*d_row).zip(x) {
                            *sum += d * x * inverse;
                        }
                        for (d, &w) in d_row.iter_mut().zip(weight) {
                            *d *= w;
                        }
                        let mean = sum_pairs(d_row, x, |g, x| g * x) / width as f32;
                        let pull = inverse * inverse * mean;
                        for (d, &x) in d_row.iter_mut().zip(x) {
                            *d = inverse * (*d - x * pull);
                        }
                    }
                },
            );
            d_weight
        });
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, d_out);
        }
        if let Some(node) = weight_node {
            grads.register::<Flex>(node.id, tensor(sum_vectors(parts), [width]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::test_support::{check_finite_differences, check_same_bytes, check_with_graph};

    const SHAPES: [&[usize]; 2] = [&[301, 128], &[128]];

    #[test]
    fn values_and_gradients_are_those_of_the_graph() {
        check_with_graph(
            &SHAPES,
            2.0,
            |t| rms_norm(t.take(0), &t.take(1), 1e-6),
            |t| rms_norm_graph(t.take(0), &t.take(1), 1e-6),
        );
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        check_finite_differences(&[&[2, 5], &[5]], 2.0, |t| rms_norm(t.take(0), &t.take(1), 0.1));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        check_same_bytes(&SHAPES, |t| rms_norm(t.take(0), &t.take(1), 1e-6));
    }

    #[test]
    fn a_row_of_zeros_stays_zero() {
        let device = burn::tensor::Device::flex();
        let out = rms_norm(Tensor::zeros([1, 4], &device), &Tensor::ones([4], &device), 1e-6);
        assert_eq!(out.into_data().iter::<f32>().collect::<Vec<_>>(), [0.0; 4]);
    }
}
