//! The norm of the audio encoder.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Tensor, module};

use crate::fused::buffer::{chunk_of_rows, dense, for_chunks, map, sum_vectors, tensor, values, values_mut};
use crate::fused::math::{sum, sum_pairs, vectorised};
use crate::fused::record::{fusable, in_float32, operand, record};

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the last dimension (Ba et al. 2016), with the variance
/// of the population.
///
/// # Shapes
/// - `x` and output: `[rows, width]`
/// - `weight`, `bias`: `[width]`
pub fn layer_norm(x: Tensor<2>, weight: &Tensor<1>, bias: &Tensor<1>, epsilon: f64) -> Tensor<2> {
    if !fusable(&x) || !fusable(weight) || !fusable(bias) {
        return layer_norm_graph(x, weight, bias, epsilon);
    }
    let [_, width] = x.dims();
    assert!([width] == weight.dims() && [width] == bias.dims(), "the norm has another width than its input");
    let recorded = x.is_tracked() || weight.is_tracked() || bias.is_tracked();
    let (x, x_node) = operand(x, recorded);
    let (weight, weight_node) = operand(weight.clone(), recorded);
    let (bias, bias_node) = operand(bias.clone(), recorded);
    let (x, weight, bias) = (dense(x), dense(weight), dense(bias));
    let epsilon = epsilon as f32;
    let out = map(&x, chunk_of_rows(width), |start, out| {
        let (x, weight, bias) = (&values(&x)[start..start + out.len()], values(&weight), values(&bias));
        vectorised(
            #[inline(always)]
            || {
                for (out, x) in out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let (mean, inverse) = moments(x, epsilon);
                    for (((out, &x), &w), &b) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                        *out = (x - mean) * inverse * w + b;
                    }
                }
            },
        );
    });
    record(LayerNormBackward { epsilon }, [x_node, weight_node, bias_node], out, || (x, weight))
}

/// The mean, and one over the standard deviation.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let mean = sum(x, |x| x) / x.len() as f32;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// The same as burn operations, in float32 whatever the type of `x`.
fn layer_norm_graph(x: Tensor<2>, weight: &Tensor<1>, bias: &Tensor<1>, epsilon: f64) -> Tensor<2> {
    let (weight, bias) = (weight.clone().cast(DType::F32), bias.clone().cast(DType::F32));
    in_float32(x, |x| module::layer_norm(x, weight, Some(bias), epsilon))
}

#[derive(Debug)]
struct LayerNormBackward {
    epsilon: f32,
}

impl Backward<Flex, 3> for LayerNormBackward {
    type State = (FlexTensor, FlexTensor);

    /// With `n = (x - mean) / deviation` and `g = dy weight`: `dx = (g - mean(g) - n mean(g n)) / deviation`, in the
    /// buffer of `dy`; `d_weight = sum of dy n` and `d_bias = sum of dy` over rows.
    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut d_out = dense(grads.consume::<Flex>(&ops.node));
        let (x, weight) = ops.state;
        let weight = values(&weight);
        let width = weight.len();
        let [x_node, weight_node, bias_node] = ops.parents;
        let affine_tracked = weight_node.is_some() || bias_node.is_some();
        let parts = for_chunks(values_mut(&mut d_out), chunk_of_rows(width), |start, d_out| {
            let x = &values(&x)[start..start + d_out.len()];
            // Weight and bias gradients one after the other.
            let mut d_affine = vec![0.0; if affine_tracked { 2 * width } else { 0 }];
            let half = d_affine.len() / 2;
            let (d_weight, d_bias) = d_affine.split_at_mut(half);
            vectorised(
                #[inline(always)]
                || {
                    for (d_row, x) in d_out.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                        let (mean, inverse) = moments(x, self.epsilon);
                        for (((d_w, d_b), &d), &x) in
                            d_weight.iter_mut().zip(&mut *d_bias).zip(&*d_row).zip(x)
                        {
                            *d_w += d * ((x - mean) * inverse);
                            *d_b += d;
                        }
                        for (d, &w) in d_row.iter_mut().zip(weight) {
                            *d *= w;
                        }
                        let mean_g = sum(d_row, |g| g) / width as f32;
                        let mean_gn = sum_pairs(d_row, x, |g, x| g * ((x - mean) * inverse)) / width as f32;
                        for (d, &x) in d_row.iter_mut().zip(x) {
                            *d = inverse * (*d - mean_g - (x - mean) * inverse * mean_gn);
                        }
                    }
                },
            );
            d_affine
        });
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, d_out);
        }
        let mut d_affine = sum_vectors(parts);
        if let Some(node) = bias_node {
            grads.register::<Flex>(node.id, tensor(d_affine.split_off(width), [width]));
        }
        if let Some(node) = weight_node {
            d_affine.truncate(width);
            grads.register::<Flex>(node.id, tensor(d_affine, [width]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::test_support::{check_finite_differences, check_same_bytes, check_with_graph};

    const SHAPES: [&[usize]; 3] = [&[301, 128], &[128], &[128]];

    #[test]
    fn values_and_gradients_are_those_of_the_graph() {
        check_with_graph(
            &SHAPES,
            2.0,
            |t| layer_norm(t.take(0), &t.take(1), &t.take(2), 1e-5),
            |t| layer_norm_graph(t.take(0), &t.take(1), &t.take(2), 1e-5),
        );
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let shapes: [&[usize]; 3] = [&[2, 5], &[5], &[5]];
        check_finite_differences(&shapes, 2.0, |t| layer_norm(t.take(0), &t.take(1), &t.take(2), 0.1));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        check_same_bytes(&SHAPES, |t| layer_norm(t.take(0), &t.take(1), &t.take(2), 1e-5));
    }
}
