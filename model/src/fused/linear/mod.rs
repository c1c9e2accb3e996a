//! The linear layer, in Hugging Face's weight layout.

mod adapted;
mod quantised;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{Tensor, module};

use super::buffer::{chunk_of_rows, dense, map_chunks, sum_vectors, tensor, values};
use super::math::vectorised;
use super::raw::{Matrix, build, new_product, parallel_product};
use super::record::{fusable, operand, record};

pub(crate) use self::adapted::adapted_linear;
pub(crate) use self::quantised::quantised_linear;

/// `y = W x + b`.
///
/// The CPU backend's own product zeroes its output and copies it once on one thread; here the output starts as the
/// bias and the product is added to it. The weight's gradient has the weight's layout. What is not tracked gets no
/// gradient, and what only its gradient needs is not kept.
///
/// # Shapes
/// - `x`: `[rows, in]`
/// - `weight`: `[out, in]`; `bias`: `[out]`
/// - output: `[rows, out]`
pub fn linear(x: Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Tensor<2> {
    if !fusable(&x) || !fusable(weight) || !bias.is_none_or(fusable) {
        return linear_graph(x, weight, bias);
    }
    let ([rows, width], [out_width, weight_width]) = (x.dims(), weight.dims());
    let bias_fits = bias.is_none_or(|bias| bias.dims() == [out_width]);
    assert!(width == weight_width && bias_fits, "the layer has other sizes than its input");
    let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
    let recorded = x_tracked || weight_tracked || bias.is_some_and(Tensor::is_tracked);
    let (x, x_node) = operand(x, recorded);
    let (weight, weight_node) = operand(weight.clone(), recorded);
    let (x, weight) = (dense(x), dense(weight));
    let bias = bias.map(|bias| operand(bias.clone(), recorded));
    let out = forward(&x, &weight, bias.as_ref().map(|(bias, _)| bias), [rows, width, out_width]);
    let out = tensor(out, [rows, out_width]);
    let backward = LinearBackward { rows, width, out_width };
    // What a gradient needs is the other factor of its product.
    let state = || (weight_tracked.then_some(x), x_tracked.then_some(weight));
    match bias {
        Some((_, bias_node)) => record(backward, [x_node, weight_node, bias_node], out, state),
        None => record(backward, [x_node, weight_node], out, state),
    }
}

fn forward(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    [rows, width, out_width]: [usize; 3],
) -> Vec<f32> {
    let bias = bias.map(|bias| dense(bias.clone()));
    let x = Matrix::new(values(x), rows, width, width);
    let weight = Matrix::new(values(weight), out_width, width, width).t();
    let Some(bias) = bias else { return new_product(1.0, x, weight) };
    let mut out = build(rows * out_width, chunk_of_rows(out_width), |_, part| {
        part.chunks_exact_mut(out_width).for_each(|row| row.copy_from_slice(values(&bias)));
    });
    parallel_product(x, weight, &mut out);
    out
}

/// The same as burn operations.
fn linear_graph(x: Tensor<2>, weight: &Tensor<2>, bias: Option<&Tensor<1>>) -> Tensor<2> {
    module::linear(x, weight.clone().transpose(), bias.cloned())
}

/// `a b` of plain tensors.
fn matmul(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    if !fusable(&a) || !fusable(&b) {
        return a.matmul(b);
    }
    let ([rows, inner], [_, cols]) = (a.dims(), b.dims());
    let (a, b) = (dense(operand(a, false).0), dense(operand(b, false).0));
    let (a, b) = (Matrix::new(values(&a), rows, inner, inner), Matrix::new(values(&b), inner, cols, cols));
    Tensor::from_primitive::<Flex>(product(a, b))
}

fn product(a: Matrix, b: Matrix) -> FlexTensor {
    tensor(new_product(1.0, a, b), [a.rows, b.cols])
}

/// Sizes of the layer; the parents are the input, the weight and, if there is one, the bias.
#[derive(Debug)]
struct LinearBackward {
    rows: usize,
    width: usize,
    out_width: usize,
}

impl<const N: usize> Backward<Flex, N> for LinearBackward {
    type State = (Option<FlexTensor>, Option<FlexTensor>);

    /// `dx = dy W`, `dW = dy^T x`, `db = sum over rows of dy`.
    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Self { rows, width, out_width } = self;
        let d_out = dense(grads.consume::<Flex>(&ops.node));
        let d_rows = Matrix::new(values(&d_out), rows, out_width, out_width);
        let (x, weight) = ops.state;
        let mut nodes = ops.parents.into_iter();
        if let (Some(Some(node)), Some(weight)) = (nodes.next(), weight) {
            let weight = Matrix::new(values(&weight), out_width, width, width);
            grads.register::<Flex>(node.id, product(d_rows, weight));
        }
        if let (Some(Some(node)), Some(x)) = (nodes.next(), x) {
            let x = Matrix::new(values(&x), rows, width, width);
            grads.register::<Flex>(node.id, product(d_rows.t(), x));
        }
        if let Some(Some(node)) = nodes.next() {
            grads.register::<Flex>(node.id, tensor(column_sums(values(&d_out), out_width), [out_width]));
        }
    }
}

fn column_sums(data: &[f32], width: usize) -> Vec<f32> {
    let parts = map_chunks(data, chunk_of_rows(width), |part| {
        let mut sums = vec![0.0; width];
        vectorised(
            #[inline(always)]
            || {
                for row in part.chunks_exact(width) {
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
            },
        );
        sums
    });
    sum_vectors(parts)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{check_finite_differences, check_same_bytes, check_with_graph};
    use super::*;

    const SHAPES: [&[usize]; 3] = [&[700, 96], &[130, 96], &[130]];

    #[test]
    fn values_and_gradients_are_those_of_the_graph_with_and_without_a_bias() {
        let graph = linear_graph;
        check_with_graph(
            &SHAPES,
            1.0,
            |t| linear(t.take(0), &t.take(1), Some(&t.take(2))),
            |t| graph(t.take(0), &t.take(1), Some(&t.take(2))),
        );
        check_with_graph(
            &SHAPES[..2],
            1.0,
            |t| linear(t.take(0), &t.take(1), None),
            |t| graph(t.take(0), &t.take(1), None),
        );
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let shapes: [&[usize]; 3] = [&[3, 4], &[2, 4], &[2]];
        check_finite_differences(&shapes, 1.0, |t| linear(t.take(0), &t.take(1), Some(&t.take(2))));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        check_same_bytes(&SHAPES, |t| linear(t.take(0), &t.take(1), Some(&t.take(2))));
    }

    #[test]
    fn gradients_have_the_layout_of_the_weights() {
        let device = burn::tensor::Device::flex().autodiff();
        let weight: Tensor<2> =
            Tensor::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &device).require_grad();
        let x: Tensor<2> = Tensor::from_floats([[1.0, 0.5, -1.0]], &device);
        let mut gradients = linear(x, &weight, None).sum().backward();
        let gradient = weight.grad_remove(&mut gradients).unwrap();
        let data = gradient.clone().try_into_primitive::<Flex>().unwrap();
        assert!(data.is_contiguous());
        assert_eq!(gradient.into_data().iter::<f32>().collect::<Vec<_>>(), [1.0, 0.5, -1.0, 1.0, 0.5, -1.0]);
    }
}
