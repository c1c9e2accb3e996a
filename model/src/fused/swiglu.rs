//! The gated activation of the language model's feed-forward block.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use burn::tensor::activation::silu;

use super::buffer::{CHUNK, dense, for_chunk_pairs, for_chunks, map, values, values_mut};
use super::math::{sigmoid, vectorised};
use super::record::{fusable, in_float32, operand, record};

/// `silu(gate) * up` with `silu(x) = x / (1 + e^-x)` (Shazeer 2020, "GLU Variants Improve Transformer").
///
/// # Shapes
/// - `gate`, `up` and output: any one shape
pub fn swiglu<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    if !fusable(&gate) || !fusable(&up) {
        return swiglu_graph(gate, up);
    }
    assert_eq!(gate.dims(), up.dims(), "gate and up differ in shape");
    let recorded = gate.is_tracked() || up.is_tracked();
    let ((gate, gate_node), (up, up_node)) = (operand(gate, recorded), operand(up, recorded));
    let (mut gate, up) = (dense(gate), dense(up));
    if !recorded {
        forward_in_place(&mut gate, &up);
        return record(SwigluBackward, [gate_node, up_node], gate, || unreachable!("not recorded"));
    }
    let out = map(&gate, CHUNK, |start, out| {
        let (gate, up) = (&values(&gate)[start..], &values(&up)[start..]);
        vectorised(
            #[inline(always)]
            || {
                for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                    *out = g * sigmoid(g) * u;
                }
            },
        );
    });
    record(SwigluBackward, [gate_node, up_node], out, || (gate, up))
}

fn forward_in_place(gate: &mut FlexTensor, up: &FlexTensor) {
    for_chunks(values_mut(gate), CHUNK, |start, gate| {
        let up = &values(up)[start..];
        vectorised(
            #[inline(always)]
            || {
                for (g, &u) in gate.iter_mut().zip(up) {
                    *g = *g * sigmoid(*g) * u;
                }
            },
        );
    });
}

/// The same as burn operations, the SiLU in float32 whatever the type of `gate`.
fn swiglu_graph<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    in_float32(gate, silu) * up
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    type State = (FlexTensor, FlexTensor);

    /// `d_up = dy silu(gate)` in the buffer of `dy`, `d_gate = dy up s (1 + gate (1 - s))` in that of `gate`.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut d_out = dense(grads.consume::<Flex>(&ops.node));
        let (mut gate, up) = ops.state;
        for_chunk_pairs(values_mut(&mut gate), values_mut(&mut d_out), CHUNK, |start, gate, d_out| {
            let up = &values(&up)[start..];
            vectorised(
                #[inline(always)]
                || {
                    for ((g, d), &u) in gate.iter_mut().zip(d_out).zip(up) {
                        let s = sigmoid(*g);
                        let silu = *g * s;
                        let d_gate = *d * u * (s + silu * (1.0 - s));
                        *d *= silu;
                        *g = d_gate;
                    }
                },
            );
        });
        let [gate_node, up_node] = ops.parents;
        if let Some(node) = gate_node {
            grads.register::<Flex>(node.id, gate);
        }
        if let Some(node) = up_node {
            grads.register::<Flex>(node.id, d_out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{check_finite_differences, check_same_bytes, check_with_graph};
    use super::*;

    const SHAPES: [&[usize]; 2] = [&[97, 352], &[97, 352]];

    #[test]
    fn values_and_gradients_are_those_of_the_graph() {
        check_with_graph(
            &SHAPES,
            2.0,
            |t| swiglu::<2>(t.take(0), t.take(1)),
            |t| swiglu_graph::<2>(t.take(0), t.take(1)),
        );
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        check_finite_differences(&[&[2, 5], &[2, 5]], 2.0, |t| swiglu::<2>(t.take(0), t.take(1)));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        check_same_bytes(&SHAPES, |t| swiglu::<2>(t.take(0), t.take(1)));
    }
}
