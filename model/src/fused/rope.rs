//! Rotary position embedding.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::attention::swap;
use super::buffer::{chunk_of_rows, dense, for_chunks, map, values, values_mut};
use super::math::vectorised;
use super::record::{fusable, operand, record};

/// Rotates the pairs `(x[j], x[j + head_dim / 2])` of every head by the angles whose cosines and sines are given
/// (Su et al. 2021, eq. 34, in the half-split layout).
///
/// The angles are constants. The result has its heads side by side in memory, as projections write them.
///
/// # Shapes
/// - `x` and output: `[batch, heads, seq, head_dim]`
/// - `cos`, `sin`: `[batch or 1, 1, seq, head_dim / 2]`
pub fn rotate_half(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    if !fusable(&x) || !fusable(cos) || !fusable(sin) {
        return rotate_half_graph(x, cos, sin);
    }
    let [batch, heads, seq, head_dim] = x.dims();
    let [rows, _, _, half] = cos.dims();
    let right = [rows, 1, seq, half] == cos.dims() && cos.dims() == sin.dims();
    assert!(right && (rows == 1 || rows == batch) && 2 * half == head_dim, "the angles do not fit the heads");
    let recorded = x.is_tracked();
    let (x, node) = operand(x, recorded);
    let (cos, sin) = (dense(operand(cos.clone(), false).0), dense(operand(sin.clone(), false).0));
    let rotation = Rotation { cos, sin, width: heads * head_dim, half };
    let x = heads_inside(x); // [batch, seq, heads, head_dim]
    let out = map(&x, chunk_of_rows(rotation.width), |start, out| {
        out.copy_from_slice(&values(&x)[start..start + out.len()]);
        rotation.apply(start, out, 1.0);
    });
    record(RotateBackward, [node], swap(out), || rotation)
}

/// The same as burn operations.
fn rotate_half_graph(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let rotated_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let rotated_second = second * cos.clone() + first * sin.clone();
    Tensor::cat(vec![rotated_first, rotated_second], 3)
}

fn heads_inside(x: FlexTensor) -> FlexTensor {
    dense(swap(x))
}

/// The angles of every position, and the size of what they turn.
#[derive(Clone, Debug)]
struct Rotation {
    cos: FlexTensor, // [batch or 1, 1, seq, half]
    sin: FlexTensor,
    width: usize, // heads * head_dim
    half: usize,
}

impl Rotation {
    /// Rotates whole positions in place, the first at value `start` of the buffer; `direction` is 1 or -1.
    fn apply(&self, start: usize, part: &mut [f32], direction: f32) {
        let (cos, sin, half) = (values(&self.cos), values(&self.sin), self.half);
        vectorised(
            #[inline(always)]
            || {
                for (index, row) in part.chunks_exact_mut(self.width).enumerate() {
                    // One row of angles serves all clips if they share their positions.
                    let place = (start / self.width + index) * half % cos.len();
                    let (cos, sin) = (&cos[place..place + half], &sin[place..place + half]);
                    for head in row.chunks_exact_mut(2 * half) {
                        let (first, second) = head.split_at_mut(half);
                        for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                            let s = s * direction;
                            (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
                        }
                    }
                }
            },
        );
    }
}

#[derive(Debug)]
struct RotateBackward;

impl Backward<Flex, 1> for RotateBackward {
    type State = Rotation;

    /// The rotation by the opposite angle, in the buffer of `dy`.
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let mut d_out = heads_inside(grads.consume::<Flex>(&ops.node));
        let rotation = ops.state;
        for_chunks(values_mut(&mut d_out), chunk_of_rows(rotation.width), |start, part| {
            rotation.apply(start, part, -1.0);
        });
        if let [Some(node)] = ops.parents {
            grads.register::<Flex>(node.id, swap(d_out));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::super::test_support::{check_finite_differences, check_same_bytes, check_with_graph};
    use super::*;

    const SHAPE: [&[usize]; 1] = [&[3, 4, 77, 32]];

    /// Cosines and sines of angles that differ for every row, position and pair.
    fn angles(rows: usize, seq: usize, half: usize) -> (Tensor<4>, Tensor<4>) {
        let angle: Vec<f32> = (0..rows * seq * half).map(|i| i as f32 * 0.37).collect();
        let table = |f: fn(f32) -> f32| {
            let data: Vec<f32> = angle.iter().map(|&a| f(a)).collect();
            Tensor::from_data(TensorData::new(data, [rows, 1, seq, half]), &Device::flex())
        };
        (table(f32::cos), table(f32::sin))
    }

    #[test]
    fn values_and_gradients_are_those_of_the_graph_with_shared_and_with_own_positions() {
        for rows in [1, 3] {
            let (cos, sin) = angles(rows, 77, 16);
            check_with_graph(
                &SHAPE,
                1.0,
                |t| rotate_half(t.take(0), &cos, &sin),
                |t| rotate_half_graph(t.take(0), &cos, &sin),
            );
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let (cos, sin) = angles(2, 3, 2);
        check_finite_differences(&[&[2, 2, 3, 4]], 1.0, |t| rotate_half(t.take(0), &cos, &sin));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        let (cos, sin) = angles(3, 77, 16);
        check_same_bytes(&SHAPE, |t| rotate_half(t.take(0), &cos, &sin));
    }
}
