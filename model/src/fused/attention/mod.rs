//! Scaled dot-product attention with grouped queries, block by block of queries.
mod backward;
mod heads;
mod mask;

use std::ops::Range;
use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Tensor};

use self::backward::AttentionBackward;
use self::heads::{Arrangement, Heads, Sizes};
use super::buffer::tensor;
use super::math::{LANES, exp, max, replace_and_sum, vectorised};
use super::raw::{Matrix, build, product};
use super::record::{fusable, operand, record};
use crate::fused::recompute;

pub(super) use self::heads::swap;
pub use self::mask::AttentionMask;

/// Queries whose scores are held at a time on the other path: enough to keep a GPU busy.
const GRAPH_BLOCK: usize = 256;

/// Queries whose scores are held at a time: few enough to stay in a core's cache, enough for a fast matrix product.
const BLOCK: usize = 48;

/// `softmax(scale q k^T + mask) v` (Vaswani et al. 2017, eq. 1), with the softmax in float32. Query head `h` reads key
/// head `h / (heads / kv_heads)`.
///
/// A query whose keys are all hidden gets finite values without a meaning: zeros on the fused path, the mean of `v` on
/// the other. The fused path saves no weights for the backward pass, it computes them again.
///
/// # Shapes
/// - `q` and output: `[batch, heads, seq, head_dim]`, in the output with the heads side by side in memory
/// - `k`, `v`: `[batch, kv_heads, keys, head_dim]`, `keys >= seq`; the queries are the last of the keys
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f64, mask: &AttentionMask) -> Tensor<4> {
    let (sizes, dims) = (Sizes::new(q.dims(), k.dims()), k.dims());
    assert!(dims == v.dims() && sizes.valid(dims), "queries, keys and values do not fit");
    assert!(mask.fits(sizes.batch, sizes.keys), "the mask does not fit the keys");
    if !fusable(&q) || !fusable(&k) || !fusable(&v) {
        return attention_graph(q, k, v, scale, mask, GRAPH_BLOCK);
    }
    let recorded = q.is_tracked() || k.is_tracked() || v.is_tracked();
    let ((q, q_node), (k, k_node)) = (operand(q, recorded), operand(k, recorded));
    let (v, v_node) = operand(v, recorded);
    let (q, k, v) = (with_dense_rows(q), with_dense_rows(k), with_dense_rows(v));
    let pass = AttentionPass { sizes, scale: scale as f32, mask: mask.clone() };
    let out = pass.forward(&q, &k, &v);
    record(AttentionBackward, [q_node, k_node, v_node], out, || (pass, [q, k, v]))
}

/// The same as burn operations, `block` queries at a time. Of several blocks none keeps its scores for the backward pass,
/// which computes them again: no `[seq, keys]` matrix of all heads is ever whole.
fn attention_graph(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scale: f64,
    mask: &AttentionMask,
    block: usize,
) -> Tensor<4> {
    let (seq, keys) = (q.dims()[2], k.dims()[2]);
    let device = q.device().inner();
    // [batch or 1, 1, 1, seq or 1, keys]
    let bias = mask.bias(seq, keys, &device).map(|bias| bias.clone().unsqueeze_dim::<5>(2));
    if seq <= block {
        return attend_block(q, k, v, scale, bias);
    }
    let blocks = (0..seq).step_by(block).map(|start| {
        let queries = start..(start + block).min(seq);
        // Keys after the last query of the block are hidden from all of it.
        let seen = if mask.is_causal() { keys - seq + queries.end } else { keys };
        let bias = bias.clone().map(|bias| {
            let bias = bias.narrow(4, 0, seen);
            if bias.dims()[3] == 1 { bias } else { bias.narrow(3, queries.start, queries.len()) }
        });
        let parents = [
            q.clone().narrow(2, queries.start, queries.len()),
            k.clone().narrow(2, 0, seen),
            v.clone().narrow(2, 0, seen),
        ];
        let part = move |inputs: &[Tensor<4>]| {
            let [q, k, v] = [0, 1, 2].map(|index| inputs[index].clone());
            attend_block(q, k, v, scale, bias.clone())
        };
        recompute(parents, Vec::new(), Arc::new(part))
    });
    Tensor::cat(blocks.collect(), 2)
}

/// Attention of some queries. The query heads of one key head are laid one after the other, so that keys and values are
/// never copied.
fn attend_block(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, scale: f64, bias: Option<Tensor<5>>) -> Tensor<4> {
    let [batch, heads, seq, head_dim] = q.dims();
    let [_, kv_heads, keys, _] = k.dims();
    let (dtype, group) = (q.dtype(), heads / kv_heads);
    let q = q.reshape([batch, kv_heads, group * seq, head_dim]);
    let scores = q.matmul(k.transpose()).reshape([batch, kv_heads, group, seq, keys]);
    let scores = if dtype == DType::F32 { scores } else { scores.cast(DType::F32) };
    let scores = scores * scale;
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    let weights = softmax(scores, 4).reshape([batch, kv_heads, group * seq, keys]);
    let weights = if dtype == DType::F32 { weights } else { weights.cast(dtype) };
    weights.matmul(v).reshape([batch, heads, seq, head_dim])
}

/// The tensor with the values of every head's row one after the other.
fn with_dense_rows(tensor: FlexTensor) -> FlexTensor {
    let strides = tensor.layout().strides();
    let positive = strides.iter().all(|&stride| stride >= 0);
    if positive && strides.last() == Some(&1) { tensor } else { tensor.to_contiguous() }
}

/// What the forward and the backward pass share besides the tensors.
#[derive(Clone, Debug)]
struct AttentionPass {
    sizes: Sizes,
    scale: f32,
    mask: AttentionMask,
}

/// A block of queries of one head and the keys that any of them sees.
struct Block {
    row: usize, // of the batch
    queries: Range<usize>,
    keys: Range<usize>,
    stride: usize, // of the scores: the keys, rounded up to whole vectors
}

impl AttentionPass {
    fn forward(&self, q: &FlexTensor, k: &FlexTensor, v: &FlexTensor) -> FlexTensor {
        let sizes = &self.sizes;
        let (q, k, v) = (Heads::of(q), Heads::of(k), Heads::of(v));
        let arrangement = Arrangement::of(sizes);
        if sizes.seq == 1 && sizes.group() > 1 {
            // The query heads of a key head are then like so many queries that all see the same keys.
            let folded = Sizes { heads: sizes.kv_heads, seq: sizes.group(), ..*sizes };
            let pass = Self { sizes: folded, scale: self.scale, mask: self.mask.without_causality() };
            let out = pass.attend(&q.fold(sizes.group()), &k, &v, Arrangement::HeadsOutside);
            return tensor(out, [sizes.batch, sizes.heads, 1, sizes.head_dim]);
        }
        let out = self.attend(&q, &k, &v, arrangement);
        arrangement.tensor(tensor(out, arrangement.shape(sizes.heads, sizes.seq, sizes)))
    }

    fn attend(&self, q: &Heads, k: &Heads, v: &Heads, arrangement: Arrangement) -> Vec<f32> {
        let sizes = &self.sizes;
        let place = arrangement.place(sizes.heads, sizes.seq, sizes);
        let tasks = arrangement.tasks_at_once(sizes);
        let len = sizes.batch * sizes.heads * sizes.seq * sizes.head_dim;
        build(len, place.chunk * tasks, |index, part| {
            let mut scores = vec![0.0; BLOCK * padded(sizes.keys)];
            for (offset, out) in part.chunks_mut(place.chunk).enumerate() {
                let (row, kv_heads) = arrangement.task(index * tasks + offset, sizes);
                let first_head = kv_heads.start * sizes.group();
                for head in first_head..kv_heads.end * sizes.group() {
                    let out = &mut out[place.offset(head - first_head, 0)..];
                    self.attend_head([q, k, v], (row, head), &mut scores, out, place.row_stride);
                }
            }
        })
    }

    /// The output of one head of one batch row, written to `out` in rows that are `stride` apart.
    fn attend_head(
        &self,
        [q, k, v]: [&Heads; 3],
        (row, head): (usize, usize),
        scores: &mut [f32],
        out: &mut [f32],
        stride: usize,
    ) {
        let (kv_head, width) = (head / self.sizes.group(), self.sizes.head_dim);
        let mut inverse = [0.0; BLOCK];
        for block in self.blocks(row) {
            let queries = q.rows(row, head, &block.queries, width);
            let keys = k.rows(row, kv_head, &block.keys, width);
            let weights = self.weights(&block, queries, keys, scores, &mut inverse);
            let values = v.rows(row, kv_head, &block.keys, width);
            let out = &mut out[block.queries.start * stride..];
            product(1.0, weights, values, false, out, stride);
            for (line, inverse) in out.chunks_mut(stride).zip(&inverse[..block.queries.len()]) {
                line[..width].iter_mut().for_each(|value| *value *= inverse);
            }
        }
    }

    /// The blocks of queries of a batch row that see any key.
    fn blocks(&self, row: usize) -> impl Iterator<Item = Block> {
        let Sizes { seq, keys, .. } = self.sizes;
        (0..seq).step_by(BLOCK).filter_map(move |start| {
            let queries = start..(start + BLOCK).min(seq);
            let first = self.mask.first(row);
            let end = self.mask.end(row, keys - seq + queries.end - 1, keys);
            let keys = first..end.max(first);
            (!keys.is_empty()).then(|| Block { row, queries, stride: padded(keys.len()), keys })
        })
    }

    /// `e^(score - largest)` of a block in `scores`, zero where hidden, and one over the sum of each row in `inverse`.
    fn weights<'a>(
        &self,
        block: &Block,
        queries: Matrix,
        keys: Matrix,
        scores: &'a mut [f32],
        inverse: &mut [f32; BLOCK],
    ) -> Matrix<'a> {
        let (stride, width, first) = (block.stride, block.keys.len(), block.keys.start);
        product(self.scale, queries, keys.t(), false, scores, stride);
        let holes = self.mask.holes(block.row).map(|holes| &holes[block.keys.clone()]);
        let past = self.sizes.keys - self.sizes.seq;
        vectorised(
            #[inline(always)]
            || {
                for (index, query) in block.queries.clone().enumerate() {
                    let line = &mut scores[index * stride..(index + 1) * stride];
                    let visible =
                        self.mask.end(block.row, past + query, self.sizes.keys).saturating_sub(first);
                    if visible == 0 {
                        line.fill(0.0);
                        inverse[index] = 0.0;
                        continue;
                    }
                    let (seen, unseen) = line.split_at_mut(padded(visible));
                    seen[visible..].fill(f32::NEG_INFINITY);
                    unseen.fill(0.0);
                    if let Some(holes) = holes {
                        seen.iter_mut().zip(holes).for_each(|(score, hole)| *score += hole);
                    }
                    let largest = max(seen);
                    inverse[index] = 1.0 / replace_and_sum(seen, |score| exp(score - largest));
                }
            },
        );
        Matrix::new(scores, block.queries.len(), width, stride)
    }
}

fn padded(keys: usize) -> usize {
    keys.next_multiple_of(LANES)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{
        Inputs, check_close, check_finite_differences, check_same_bytes, check_with_graph, random,
    };
    use super::*;

    fn fused(t: &mut Inputs, mask: &AttentionMask) -> Tensor<4> {
        attention(t.take(0), t.take(1), t.take(2), 0.3, mask)
    }

    fn graph(t: &mut Inputs, mask: &AttentionMask) -> Tensor<4> {
        attention_graph(t.take(0), t.take(1), t.take(2), 0.3, mask, usize::MAX)
    }

    /// `rows` of `keys` flags, row `i` with `i * step` padding keys on the left.
    fn left_padded(rows: usize, keys: usize, step: usize) -> Vec<Vec<bool>> {
        (0..rows).map(|row| (0..keys).map(|key| key >= row * step).collect()).collect()
    }

    #[test]
    fn grouped_causal_attention_is_that_of_the_graph() {
        for batch in [2, 5] {
            let shapes: [&[usize]; 3] = [&[batch, 4, 150, 32], &[batch, 2, 150, 32], &[batch, 2, 150, 32]];
            let mask = AttentionMask::causal(&left_padded(batch, 150, 0));
            check_with_graph(&shapes, 2.0, |t| fused(t, &mask), |t| graph(t, &mask));
        }
    }

    #[test]
    fn blocks_of_queries_give_what_all_queries_at_once_give() {
        let blocks = |t: &mut Inputs, mask: &AttentionMask| {
            attention_graph(t.take(0), t.take(1), t.take(2), 0.3, mask, 16)
        };
        let shapes: [&[usize]; 3] = [&[3, 4, 50, 8], &[3, 2, 50, 8], &[3, 2, 50, 8]];
        for step in [0, 5] {
            let flags = left_padded(3, 50, step);
            let mask = AttentionMask::causal(&flags);
            // A query that is padding sees no key: what it gives is not defined, and nothing reads it.
            let read = |out: Tensor<4>| {
                let read: Vec<f32> = flags.iter().flatten().map(|&real| f32::from(u8::from(real))).collect();
                out.clone()
                    * Tensor::from_data(burn::tensor::TensorData::new(read, [3, 1, 50, 1]), &out.device())
            };
            check_close(&shapes, 2.0, &|t: &mut Inputs| read(blocks(t, &mask)), &|t: &mut Inputs| {
                read(graph(t, &mask))
            });
        }
        let mask = AttentionMask::lengths(&[50, 3, 17], 50);
        check_close(&shapes, 2.0, &|t: &mut Inputs| blocks(t, &mask), &|t: &mut Inputs| graph(t, &mask));
        // Queries that follow cached keys.
        let shapes: [&[usize]; 3] = [&[2, 4, 20, 8], &[2, 2, 33, 8], &[2, 2, 33, 8]];
        let mask = AttentionMask::causal(&left_padded(2, 33, 4));
        check_close(&shapes, 2.0, &|t: &mut Inputs| blocks(t, &mask), &|t: &mut Inputs| graph(t, &mask));
    }

    #[test]
    fn encoder_attention_with_and_without_lengths_is_that_of_the_graph() {
        let shapes: [&[usize]; 3] = [&[4, 3, 75, 8]; 3];
        for lengths in [[75; 4], [1, 75, 40, 64]] {
            let mask = AttentionMask::lengths(&lengths, 75);
            check_with_graph(&shapes, 2.0, |t| fused(t, &mask), |t| graph(t, &mask));
        }
    }

    #[test]
    fn queries_after_cached_keys_and_keys_hidden_in_the_middle_are_those_of_the_graph() {
        let shapes: [&[usize]; 3] = [&[4, 4, 3, 8], &[4, 2, 40, 8], &[4, 2, 40, 8]];
        let mut flags = left_padded(4, 40, 9);
        flags[2][30] = false;
        flags[1][38] = false;
        let mask = AttentionMask::causal(&flags);
        check_with_graph(&shapes, 2.0, |t| fused(t, &mask), |t| graph(t, &mask));
    }

    #[test]
    fn a_single_query_with_its_group_of_heads_is_that_of_the_graph() {
        for batch in [2, 5] {
            let shapes: [&[usize]; 3] = [&[batch, 6, 1, 8], &[batch, 2, 33, 8], &[batch, 2, 33, 8]];
            for step in [0, 7] {
                let mask = AttentionMask::causal(&left_padded(batch, 33, step));
                check_with_graph(&shapes, 2.0, |t| fused(t, &mask), |t| graph(t, &mask));
            }
        }
    }

    #[test]
    fn real_queries_of_left_padded_rows_are_those_of_the_graph() {
        let shapes: [&[usize]; 3] = [&[4, 4, 70, 8], &[4, 2, 70, 8], &[4, 2, 70, 8]];
        let mask = AttentionMask::causal(&left_padded(4, 70, 22));
        // What padding queries give has no meaning, so their results are dropped.
        let real: Vec<f32> = (0..4 * 70).map(|i| if i % 70 >= i / 70 * 22 { 1.0 } else { 0.0 }).collect();
        let device = burn::tensor::Device::flex();
        let real = Tensor::<1>::from_floats(real.as_slice(), &device).reshape([4, 1, 70, 1]);
        check_with_graph(
            &shapes,
            2.0,
            |t| fused(t, &mask) * real.clone(),
            |t| graph(t, &mask) * real.clone(),
        );
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        let mask = AttentionMask::causal(&left_padded(2, 3, 1));
        let shapes: [&[usize]; 3] = [&[2, 2, 2, 4], &[2, 1, 3, 4], &[2, 1, 3, 4]];
        check_finite_differences(&shapes, 1.5, |t| fused(t, &mask));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        for batch in [1, 6] {
            let mask = AttentionMask::causal(&left_padded(batch, 90, 5));
            let shapes: [&[usize]; 3] = [&[batch, 4, 90, 16], &[batch, 2, 90, 16], &[batch, 2, 90, 16]];
            check_same_bytes(&shapes, |t| fused(t, &mask));
        }
    }

    #[test]
    fn queries_without_any_key_give_zeros_and_finite_gradients() {
        let shape: &[usize] = &[4, 2, 5, 8];
        for mask in [AttentionMask::lengths(&[0, 5, 0, 2], 5), AttentionMask::causal(&left_padded(4, 5, 2))] {
            let leaves: Vec<Tensor<4>> = (0..3)
                .map(|i| random(shape, 2.0, i).reshape([4, 2, 5, 8]).autodiff().require_grad())
                .collect();
            let out = attention(leaves[0].clone(), leaves[1].clone(), leaves[2].clone(), 0.3, &mask);
            let blind: Vec<f32> =
                out.clone().narrow(0, 2, 1).narrow(2, 0, 2).into_data().iter::<f32>().collect();
            assert!(blind.iter().all(|&value| value == 0.0), "{blind:?}");
            let mut gradients = out.sum().backward();
            for leaf in leaves {
                let gradient = leaf.grad_remove(&mut gradients).unwrap();
                assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
            }
        }
    }

    #[test]
    fn keys_are_read_in_place_from_a_larger_cache() {
        let cache = random(&[4, 2, 60, 8], 1.0, 3).reshape([4, 2, 60, 8]);
        let q = random(&[4, 4, 2, 8], 1.0, 4).reshape([4, 4, 2, 8]);
        let part = cache.clone().narrow(2, 0, 33);
        let copy: Tensor<4> = Tensor::from_data(part.clone().into_data(), &burn::tensor::Device::flex());
        let mask = AttentionMask::causal(&left_padded(4, 33, 0));
        let from_view = attention(q.clone(), part.clone(), part, 0.3, &mask);
        let from_copy = attention(q, copy.clone(), copy, 0.3, &mask);
        assert_eq!(from_view.into_data(), from_copy.into_data());
    }
}
