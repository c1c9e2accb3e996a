//! The exact (erf) GELU of the audio encoder.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, activation};

use super::buffer::{CHUNK, dense, for_chunks, map, values, values_mut};
use super::math::{normal, vectorised};
use super::record::{fusable, in_float32, operand, record};

/// `x P(X <= x)` for a standard normal `X` (Hendrycks and Gimpel 2016, eq. 1), not its tanh approximation.
///
/// # Shapes
/// - `x` and output: any one shape
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !fusable(&x) {
        return gelu_graph(x);
    }
    let recorded = x.is_tracked();
    let (x, node) = operand(x, recorded);
    let mut x = dense(x);
    if !recorded {
        for_chunks(values_mut(&mut x), CHUNK, |_, x| {
            vectorised(
                #[inline(always)]
                || x.iter_mut().for_each(|x| *x *= normal(*x).0),
            );
        });
        return record(GeluBackward, [node], x, || unreachable!("not recorded"));
    }
    let out = map(&x, CHUNK, |start, out| {
        let x = &values(&x)[start..];
        vectorised(
            #[inline(always)]
            || out.iter_mut().zip(x).for_each(|(out, &x)| *out = x * normal(x).0),
        );
    });
    record(GeluBackward, [node], out, || x)
}

/// The same as burn operations, in float32 whatever the type of `x`.
fn gelu_graph<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    in_float32(x, activation::gelu)
}

#[derive(Debug)]
struct GeluBackward;

impl Backward<Flex, 1> for GeluBackward {
    type State = FlexTensor;

    /// `dx = dy (P(X <= x) + x p(x))` with the normal density `p`, in the buffer of `dy`.
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        const DENSITY: f32 = 0.398_942_3; // 1 / sqrt(2 pi)
        let mut d_out = dense(grads.consume::<Flex>(&ops.node));
        let x = ops.state;
        for_chunks(values_mut(&mut d_out), CHUNK, |start, d_out| {
            let x = &values(&x)[start..];
            vectorised(
                #[inline(always)]
                || {
                    for (d, &x) in d_out.iter_mut().zip(x) {
                        let (below, density) = normal(x);
                        *d *= below + x * (DENSITY * density);
                    }
                },
            );
        });
        if let [Some(node)] = ops.parents {
            grads.register::<Flex>(node.id, d_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{check_finite_differences, check_same_bytes, check_with_graph};
    use super::*;

    #[test]
    fn values_and_gradients_are_those_of_the_graph() {
        check_with_graph(&[&[97, 384]], 3.0, |t| gelu::<2>(t.take(0)), |t| gelu_graph::<2>(t.take(0)));
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        check_finite_differences(&[&[2, 7]], 2.0, |t| gelu::<2>(t.take(0)));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        check_same_bytes(&[&[97, 384]], |t| gelu::<2>(t.take(0)));
    }
}
