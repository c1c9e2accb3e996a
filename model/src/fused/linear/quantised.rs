//! The linear layer of a quantised weight, which is never trained.
//!
//! The weight is turned into numbers where it is multiplied with, in the forward and again in the backward pass, and
//! dropped at once: kept are its codes alone. On the CPU in float32 that is the whole matrix in one pass over its codes,
//! elsewhere a tile at a time by burn operations, so that the numbers of a tile are all that a GPU holds besides.

use std::ops::Range;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{
    Backend, DispatchDevice, DispatchKindConversion, DispatchTensor, Flex, GradientCheckpointingStrategy,
};
use burn::tensor::Tensor;

use super::super::buffer::{chunk_of_rows, dense, tensor, values};
use super::super::math::vectorised;
use super::super::raw::build;
use super::super::recompute::{Graph, primitive};
use super::super::record::fusable;
use super::{linear, matmul};
use crate::weights::{BLOCK, NF4, Quantisation, QuantisedWeight, TILE, int8_value};

/// `y = W x + b` for a weight of codes. The bias is not trained either.
///
/// # Shapes
/// - `x`: `[rows, in]`
/// - `weight`: `[out, in]`; `bias`: `[out]`
/// - output: `[rows, out]`
pub(crate) fn quantised_linear(
    x: Tensor<2>,
    weight: &QuantisedWeight,
    bias: Option<&Tensor<1>>,
) -> Tensor<2> {
    if !x.is_tracked() {
        return product(x.inner(), weight, bias);
    }
    let strategy = x.gradient_checkpointing_strategy();
    if !matches!(strategy, None | Some(GradientCheckpointingStrategy::Disabled)) {
        return product(x, weight, bias);
    }
    match x.device().inner().as_dispatch() {
        DispatchDevice::Flex(_) => record::<Flex>(x, weight, bias),
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        DispatchDevice::Cube(_) => record::<burn::backend::Cube>(x, weight, bias),
        // Without `inner` it would be the device of autodiff.
        DispatchDevice::Autodiff(_) => unreachable!("a plain device"),
    }
}

fn record<B: Backend>(x: Tensor<2>, weight: &QuantisedWeight, bias: Option<&Tensor<1>>) -> Tensor<2>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Graph<B>>,
{
    let out = primitive::<B, 2>(product(x.clone().inner(), weight, bias));
    let guard = match x.try_into_primitive::<Graph<B>>() {
        Ok(x) => [x.into_parts().1],
        Err(error) => unreachable!("a tracked tensor of this backend: {error:?}"),
    };
    let prepared =
        <QuantisedBackward as Backward<B, 1>>::prepare::<NoCheckpointing>(QuantisedBackward, guard);
    let out = match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(weight.clone(), out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    };
    Tensor::from_primitive::<Graph<B>>(out)
}

#[derive(Debug)]
struct QuantisedBackward;

impl<B: Backend> Backward<B, 1> for QuantisedBackward
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = QuantisedWeight;

    /// `dx = dy W`.
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = Tensor::<2>::from_primitive::<B>(grads.consume::<B>(&ops.node));
        let [parent] = ops.parents;
        if let Some(node) = parent {
            grads.register::<B>(node.id, primitive::<B, 2>(input_gradient(d_out, &ops.state)));
        }
    }
}

fn product(x: Tensor<2>, weight: &QuantisedWeight, bias: Option<&Tensor<1>>) -> Tensor<2> {
    let bias = bias.map(|bias| bias.clone().inner());
    if fusable(&x) {
        return linear(x, &dequantised(weight), bias.as_ref());
    }
    let [out, input] = weight.dims();
    let of_rows = |rows: Range<usize>| {
        let bias = bias.clone().map(|bias| bias.slice([rows.clone()]));
        let tile = weight.part(rows, 0..weight.blocks()).cast(x.dtype());
        linear(x.clone(), &tile, bias.as_ref())
    };
    joined(tiles(out, input).map(of_rows).collect())
}

fn input_gradient(d_out: Tensor<2>, weight: &QuantisedWeight) -> Tensor<2> {
    if fusable(&d_out) {
        return matmul(d_out, dequantised(weight));
    }
    // Columns and not rows: no gradient is a sum of rounded ones.
    let of_blocks = |blocks: Range<usize>| {
        let tile = weight.part(0..weight.dims()[0], blocks).cast(d_out.dtype());
        matmul(d_out.clone(), tile)
    };
    joined(tiles(weight.blocks(), weight.dims()[0] * BLOCK).map(of_blocks).collect())
}

/// `count` pieces of `size` numbers each, in equal ranges of at most [`TILE`] numbers.
fn tiles(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let most = (TILE / size.max(1)).max(1);
    let step = count.div_ceil(count.div_ceil(most).max(1)).max(1);
    (0..count).step_by(step).map(move |start| start..(start + step).min(count))
}

fn joined(mut parts: Vec<Tensor<2>>) -> Tensor<2> {
    match (parts.len(), parts.pop()) {
        (1, Some(whole)) => whole,
        (_, last) => Tensor::cat(parts.into_iter().chain(last).collect(), 1),
    }
}

/// All numbers of a weight on the CPU, `[out, in]`.
fn dequantised(weight: &QuantisedWeight) -> Tensor<2> {
    let ([out, input], quantisation) = (weight.dims(), weight.quantisation());
    let codes: FlexTensor = match weight.codes().clone().try_into_primitive::<Flex>() {
        Ok(codes) => dense(codes),
        Err(error) => unreachable!("the caller has checked that the model is on the CPU: {error:?}"),
    };
    let absmax = dense(primitive::<Flex, 2>(weight.absmax().clone()));
    let Some(words) = codes.as_slice::<i32>() else { unreachable!("codes are words of 32 bits") };
    let absmax = values(&absmax);
    let (blocks, per_block) = (weight.blocks(), quantisation.words_per_block());
    let chunk = chunk_of_rows(input);
    let rows_per_chunk = chunk / input.max(1);
    let numbers = build(out * input, chunk, |index, part| {
        vectorised(
            #[inline(always)]
            || {
                for (row, part) in part.chunks_exact_mut(input).enumerate() {
                    let first = (index * rows_per_chunk + row) * blocks;
                    let words = words[first * per_block..].chunks_exact(per_block);
                    for ((words, &absmax), part) in words.zip(&absmax[first..]).zip(part.chunks_mut(BLOCK)) {
                        match quantisation {
                            Quantisation::Int8 => int8_block(words, absmax, part),
                            Quantisation::Nf4 => nf4_block(words, absmax, part),
                        }
                    }
                }
            },
        );
    });
    Tensor::from_primitive::<Flex>(tensor(numbers, [out, input]))
}

#[inline(always)]
fn int8_block(words: &[i32], absmax: f32, out: &mut [f32]) {
    for (&word, out) in words.iter().zip(out.chunks_mut(4)) {
        for (place, out) in out.iter_mut().enumerate() {
            *out = int8_value((word >> (8 * place)) & 0xff) * absmax;
        }
    }
}

#[inline(always)]
fn nf4_block(words: &[i32], absmax: f32, out: &mut [f32]) {
    let values = NF4.map(|value| value * absmax);
    for (&word, out) in words.iter().zip(out.chunks_mut(8)) {
        for (place, out) in out.iter_mut().enumerate() {
            *out = values[((word >> (4 * place)) & 0xf) as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::super::super::test_support::{
        check_finite_differences, check_same_bytes, check_with_graph, random,
    };
    use super::*;

    const BOTH: [Quantisation; 2] = [Quantisation::Int8, Quantisation::Nf4];

    fn weight(shape: [usize; 2], quantisation: Quantisation) -> QuantisedWeight {
        let values: Vec<f32> = random(&shape, 0.1, 3).into_data().iter::<f32>().collect();
        QuantisedWeight::new(&values, shape, quantisation, &Device::flex())
    }

    fn whole(weight: &QuantisedWeight) -> Tensor<2> {
        weight.part(0..weight.dims()[0], 0..weight.blocks())
    }

    fn bits(tensor: Tensor<2>) -> Vec<u32> {
        tensor.into_data().iter::<f32>().map(f32::to_bits).collect()
    }

    #[test]
    fn numbers_on_the_cpu_are_those_of_the_burn_operations_to_the_last_bit() {
        for quantisation in BOTH {
            for shape in [[300, 200], [1, 64], [7, 5], [130, 128]] {
                let weight = weight(shape, quantisation);
                assert_eq!(bits(dequantised(&weight)), bits(whole(&weight)), "{quantisation:?} {shape:?}");
            }
        }
    }

    #[test]
    fn values_and_the_gradient_of_the_input_are_those_of_the_numbers() {
        for quantisation in BOTH {
            let (weight, bias) = (weight([130, 200], quantisation), random(&[130], 1.0, 4));
            let numbers = whole(&weight);
            check_with_graph(
                &[&[70, 200]],
                1.0,
                |t| quantised_linear(t.take(0), &weight, Some(&bias)),
                |t| linear(t.take(0), &numbers, Some(&bias)),
            );
            check_finite_differences(&[&[2, 200]], 1.0, |t| quantised_linear(t.take(0), &weight, None));
            check_same_bytes(&[&[70, 200]], |t| quantised_linear(t.take(0), &weight, None));
        }
    }

    #[test]
    fn in_bfloat16_too_and_with_checkpointing_of_burn() {
        let weight = weight([130, 200], Quantisation::Nf4);
        let numbers = whole(&weight);
        let close = |found: Tensor<2>, expected: Tensor<2>| {
            let (found, expected) = (found.cast(DType::F32).inner(), expected.cast(DType::F32).inner());
            let norm = |x: Tensor<2>| x.square().sum().sqrt().into_scalar::<f32>();
            let off = norm(found - expected.clone()) / norm(expected);
            assert!(off < 0.01, "{off}");
        };
        let plain = random(&[70, 200], 1.0, 5).reshape([70, 200]);
        for x in [
            plain.clone().cast(DType::BF16).autodiff(),
            Tensor::from_data(plain.clone().into_data(), &Device::flex().autodiff().gradient_checkpointing()),
        ] {
            let run = |f: &dyn Fn(Tensor<2>) -> Tensor<2>| {
                let x = x.clone().detach().require_grad();
                let out = f(x.clone());
                let mut tape = out.clone().square().sum().backward();
                (out, x.grad_remove(&mut tape).unwrap())
            };
            let dtype = x.dtype();
            let (found, gradient) = run(&|x| quantised_linear(x, &weight, None));
            let (expected, expected_gradient) = run(&|x| linear(x, &numbers.clone().cast(dtype), None));
            close(found, expected);
            close(gradient, expected_gradient);
        }
    }

    #[test]
    fn tiles_cover_every_piece_once_and_hold_at_most_so_many_numbers() {
        for (count, size) in
            [(1, 5), (172, 4096 * 64), (18_944, 3584), (3, TILE), (2, 2 * TILE), (5, 2 * TILE / 5)]
        {
            let tiles: Vec<Range<usize>> = tiles(count, size).collect();
            assert_eq!(
                tiles.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..count).collect::<Vec<_>>()
            );
            assert!(tiles.iter().all(|tile| tile.len() == 1 || tile.len() * size <= TILE), "{count} {size}");
        }
    }
}
