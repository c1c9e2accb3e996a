//! A frozen linear layer with a LoRA pair, as one operation.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::super::buffer::{dense, tensor, values};
use super::super::raw::{Matrix, new_product, parallel_product};
use super::super::record::{fusable, operand, record};
use super::{forward, linear};

/// `y = W x + b + scale B A x` (Hu et al. 2021, eq. 3).
///
/// On the CPU the adapter's products are added to those of the layer where they lie, forward and backward; apart, each
/// would be a pass over the output or over the input's gradient of its own.
///
/// # Shapes
/// - `x`: `[rows, in]`
/// - `weight`: `[out, in]`; `bias`: `[out]`
/// - `a`: `[rank, in]`; `b`: `[out, rank]`
/// - output: `[rows, out]`
pub(crate) fn adapted_linear(
    x: Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    [a, b]: [&Tensor<2>; 2],
    scale: f32,
) -> Tensor<2> {
    let frozen = !weight.is_tracked() && !bias.is_some_and(Tensor::is_tracked);
    let fits = [&x, weight, a, b].into_iter().all(fusable) && bias.is_none_or(fusable);
    if !frozen || !fits {
        return adapted_graph(x, weight, bias, [a, b], scale);
    }
    let sizes =
        LayerSizes { rows: x.dims()[0], width: x.dims()[1], out: weight.dims()[0], rank: a.dims()[0] };
    assert!(sizes.fit([weight.dims(), a.dims(), b.dims()]), "the adapter has other sizes than its layer");
    let (x_tracked, a_tracked, b_tracked) = (x.is_tracked(), a.is_tracked(), b.is_tracked());
    let recorded = x_tracked || a_tracked || b_tracked;
    let ((x, x_node), (a, a_node)) = (operand(x, recorded), operand(a.clone(), recorded));
    let (b, b_node) = operand(b.clone(), recorded);
    let weight = dense(operand(weight.clone(), false).0);
    let bias = bias.map(|bias| operand(bias.clone(), false).0);
    let (x, a, b) = (dense(x), dense(a), dense(b));
    let LayerSizes { rows, width, out, rank } = sizes;
    let low = new_product(scale, matrix(&x, rows, width), matrix(&a, rank, width).t()); // [rows, rank]
    let mut sum = forward(&x, &weight, bias.as_ref(), [rows, width, out]);
    parallel_product(Matrix::new(&low, rows, rank, rank), matrix(&b, out, rank).t(), &mut sum);
    let backward = AdaptedBackward { sizes, scale };
    let state = || Kept {
        x: a_tracked.then_some(x),
        low: b_tracked.then_some(low),
        weight: x_tracked.then_some((weight, a)),
        b: (x_tracked || a_tracked).then_some(b),
    };
    record(backward, [x_node, a_node, b_node], tensor(sum, [rows, out]), state)
}

/// The same as operations of their own.
fn adapted_graph(
    x: Tensor<2>,
    weight: &Tensor<2>,
    bias: Option<&Tensor<1>>,
    [a, b]: [&Tensor<2>; 2],
    scale: f32,
) -> Tensor<2> {
    let low = linear(x.clone(), a, None) * scale;
    linear(x, weight, bias) + linear(low, b, None)
}

fn matrix(tensor: &FlexTensor, rows: usize, cols: usize) -> Matrix<'_> {
    Matrix::new(values(tensor), rows, cols, cols)
}

#[derive(Clone, Copy, Debug)]
struct LayerSizes {
    rows: usize,
    width: usize,
    out: usize,
    rank: usize,
}

impl LayerSizes {
    fn fit(&self, [weight, a, b]: [[usize; 2]; 3]) -> bool {
        weight == [self.out, self.width] && a == [self.rank, self.width] && b == [self.out, self.rank]
    }
}

/// The parents are the input, `a` and `b`.
#[derive(Debug)]
struct AdaptedBackward {
    sizes: LayerSizes,
    scale: f32,
}

/// What the gradients need; what only an untracked one would need is not kept.
#[derive(Clone, Debug)]
struct Kept {
    x: Option<FlexTensor>,
    /// `scale A x`, `[rows, rank]`.
    low: Option<Vec<f32>>,
    /// The weight, and `a`.
    weight: Option<(FlexTensor, FlexTensor)>,
    b: Option<FlexTensor>,
}

impl Backward<Flex, 3> for AdaptedBackward {
    type State = Kept;

    /// With `g = scale dy B`: `dx = dy W + g A`, `dA = g^T x`, `dB = dy^T (scale A x)`.
    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let LayerSizes { rows, width, out, rank } = self.sizes;
        let d_out = dense(grads.consume::<Flex>(&ops.node));
        let d_out = matrix(&d_out, rows, out);
        let Kept { x, low, weight, b } = ops.state;
        let [x_node, a_node, b_node] = ops.parents;
        let d_low = b.map(|b| new_product(self.scale, d_out, matrix(&b, out, rank)));
        let d_low = d_low.as_ref().map(|d_low| Matrix::new(d_low, rows, rank, rank));
        if let (Some(node), Some((weight, a)), Some(d_low)) = (x_node, weight, d_low) {
            let mut d_x = new_product(1.0, d_out, matrix(&weight, out, width));
            parallel_product(d_low, matrix(&a, rank, width), &mut d_x);
            grads.register::<Flex>(node.id, tensor(d_x, [rows, width]));
        }
        if let (Some(node), Some(x), Some(d_low)) = (a_node, x, d_low) {
            let d_a = new_product(1.0, d_low.t(), matrix(&x, rows, width));
            grads.register::<Flex>(node.id, tensor(d_a, [rank, width]));
        }
        if let (Some(node), Some(low)) = (b_node, low) {
            let d_b = new_product(1.0, d_out.t(), Matrix::new(&low, rows, rank, rank));
            grads.register::<Flex>(node.id, tensor(d_b, [out, rank]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::test_support::{
        Inputs, check_finite_differences, check_same_bytes, check_with_graph, random,
    };
    use super::*;

    type Layer = fn(Tensor<2>, &Tensor<2>, Option<&Tensor<1>>, [&Tensor<2>; 2], f32) -> Tensor<2>;

    /// Input, `a` and `b` of 700 rows through a layer from 96 to 130 wide.
    const SHAPES: [&[usize]; 3] = [&[700, 96], &[4, 96], &[130, 4]];

    /// The layer of a random frozen weight.
    fn of(layer: Layer, [out, width]: [usize; 2], with_bias: bool) -> impl Fn(&mut Inputs) -> Tensor<2> {
        let weight = random(&[out, width], 1.0, 40).reshape([out, width]);
        let bias = with_bias.then(|| random(&[out], 1.0, 41));
        move |inputs| {
            let (a, b) = (inputs.take(1), inputs.take(2));
            layer(inputs.take(0), &weight, bias.as_ref(), [&a, &b], 0.7)
        }
    }

    #[test]
    fn values_and_gradients_are_those_of_the_single_operations() {
        for with_bias in [false, true] {
            let [fused, graph]: [Layer; 2] = [adapted_linear, adapted_graph];
            check_with_graph(&SHAPES, 1.0, of(fused, [130, 96], with_bias), of(graph, [130, 96], with_bias));
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let shapes: [&[usize]; 3] = [&[3, 4], &[2, 4], &[5, 2]];
        check_finite_differences(&shapes, 1.0, of(adapted_linear, [5, 4], true));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        check_same_bytes(&SHAPES, of(adapted_linear, [130, 96], true));
    }
}
