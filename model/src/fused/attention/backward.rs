//! The backward pass of attention: computes the weights of a block again and works in the buffers of `q`, `k` and `v`.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::super::buffer::values_mut;
use super::super::math::{sum_pairs, vectorised};
use super::super::raw::{Matrix, product};
use super::heads::{Arrangement, HeadPlace, Heads, Sizes};
use super::{AttentionPass, BLOCK, Block, padded, with_dense_rows};

/// Backward of [`attention`](super::attention()).
#[derive(Debug)]
pub(super) struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = (AttentionPass, [FlexTensor; 3]);

    /// With `P` the weights: `dv = P^T dy`, `dP = dy v^T`, `dS = P (dP - rowsum(P dP))`, `dq = scale dS k` and
    /// `dk = scale dS^T q`, the last two summed over the query heads of a key head.
    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = with_dense_rows(grads.consume::<Flex>(&ops.node));
        let (pass, tensors) = ops.state;
        let sizes = pass.sizes;
        let arrangement = Arrangement::of(&sizes);
        let [mut q, mut k, mut v] = tensors.map(|tensor| arrangement.arrange(tensor));
        let q_place = arrangement.place(sizes.heads, sizes.seq, &sizes);
        let kv_place = arrangement.place(sizes.kv_heads, sizes.keys, &sizes);
        let heads = Heads::of(&d_out);
        let work = |index: usize, [q, k, v]: [&mut [f32]; 3]| {
            let (row, kv_heads) = arrangement.task(index, &sizes);
            let mut scratch = Scratch::new(&sizes);
            for (index, kv_head) in kv_heads.enumerate() {
                let task = HeadTask { row, kv_head, index, q: q_place, kv: kv_place };
                pass.backward_head(&heads, &task, [&mut *q, &mut *k, &mut *v], &mut scratch);
            }
        };
        let q_chunks = values_mut(&mut q).par_chunks_mut(q_place.chunk);
        let k_chunks = values_mut(&mut k).par_chunks_mut(kv_place.chunk);
        let v_chunks = values_mut(&mut v).par_chunks_mut(kv_place.chunk);
        let chunks = q_chunks.zip(k_chunks).zip(v_chunks).enumerate();
        chunks
            .with_min_len(arrangement.tasks_at_once(&sizes))
            .for_each(|(index, ((q, k), v))| work(index, [q, k, v]));
        for (node, gradient) in ops.parents.into_iter().zip([q, k, v]) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, arrangement.tensor(gradient));
            }
        }
    }
}

/// One key head of one batch row, and where it lies in the buffers.
struct HeadTask {
    row: usize,
    kv_head: usize,
    index: usize, // of the key head within the chunk
    q: HeadPlace,
    kv: HeadPlace,
}

/// Buffers that one task needs, used again for every block.
struct Scratch {
    weights: Vec<f32>,  // [BLOCK, keys]
    d_scores: Vec<f32>, // [BLOCK, keys]
    inverse: [f32; BLOCK],
    d_keys: Vec<f32>,   // [keys, head_dim]
    d_values: Vec<f32>, // [keys, head_dim]
}

impl Scratch {
    fn new(sizes: &Sizes) -> Self {
        let (scores, head) = (BLOCK * padded(sizes.keys), sizes.keys * sizes.head_dim);
        Self {
            weights: vec![0.0; scores],
            d_scores: vec![0.0; scores],
            inverse: [0.0; BLOCK],
            d_keys: vec![0.0; head],
            d_values: vec![0.0; head],
        }
    }

    /// Normalises the weights and turns their gradients, in `d_scores`, into those of the scores.
    fn softmax_backward(&mut self, block: &Block) {
        let (stride, width) = (block.stride, block.keys.len());
        let lines = self.weights.chunks_exact_mut(stride).zip(self.d_scores.chunks_exact_mut(stride));
        vectorised(
            #[inline(always)]
            || {
                for ((weights, d_scores), &inverse) in lines.zip(&self.inverse[..block.queries.len()]) {
                    let (weights, d_scores) = (&mut weights[..width], &mut d_scores[..width]);
                    weights.iter_mut().for_each(|weight| *weight *= inverse);
                    let shared = sum_pairs(weights, d_scores, |weight, d| weight * d);
                    for (d, &weight) in d_scores.iter_mut().zip(&*weights) {
                        *d = weight * (*d - shared);
                    }
                }
            },
        );
    }
}

impl AttentionPass {
    /// The gradients of one key head and of its query heads, which replace the queries, keys and values in `q`, `k`, `v`.
    fn backward_head(
        &self,
        d_out: &Heads,
        task: &HeadTask,
        [q, k, v]: [&mut [f32]; 3],
        scratch: &mut Scratch,
    ) {
        let (sizes, width) = (&self.sizes, self.sizes.head_dim);
        scratch.d_keys.fill(0.0);
        scratch.d_values.fill(0.0);
        let row_strides = [task.q.row_stride, task.kv.row_stride];
        for member in 0..sizes.group() {
            let head = task.kv_head * sizes.group() + member;
            for block in self.blocks(task.row) {
                let (rows, first) = (block.queries.len(), block.keys.start);
                let q_block =
                    &mut q[task.q.offset(task.index * sizes.group() + member, block.queries.start)..];
                let at = task.kv.offset(task.index, first);
                let keys = Matrix::new(&k[at..], block.keys.len(), width, row_strides[1]);
                let values = Matrix::new(&v[at..], block.keys.len(), width, row_strides[1]);
                let d_rows = d_out.rows(task.row, head, &block.queries, width);
                let queries = Matrix::new(q_block, rows, width, row_strides[0]);
                self.weights(&block, queries, keys, &mut scratch.weights, &mut scratch.inverse);
                product(1.0, d_rows, values.t(), false, &mut scratch.d_scores, block.stride);
                scratch.softmax_backward(&block);
                let weights = Matrix::new(&scratch.weights, rows, block.keys.len(), block.stride);
                let d_scores = Matrix::new(&scratch.d_scores, rows, block.keys.len(), block.stride);
                product(1.0, weights.t(), d_rows, true, &mut scratch.d_values[first * width..], width);
                product(self.scale, d_scores.t(), queries, true, &mut scratch.d_keys[first * width..], width);
                product(self.scale, d_scores, keys, false, q_block, row_strides[0]);
            }
            self.clear_blind_queries(task, member, q);
        }
        let at = task.kv.offset(task.index, 0);
        for (target, source) in [(k, &scratch.d_keys), (v, &scratch.d_values)] {
            for (line, gradient) in target[at..].chunks_mut(row_strides[1]).zip(source.chunks_exact(width)) {
                line[..width].copy_from_slice(gradient);
            }
        }
    }

    /// Zeroes the gradients of the blocks of queries that see no key and so were never visited.
    fn clear_blind_queries(&self, task: &HeadTask, member: usize, q: &mut [f32]) {
        let seen = self.blocks(task.row).next().map_or(self.sizes.seq, |block| block.queries.start);
        for query in 0..seen {
            let at = task.q.offset(task.index * self.sizes.group() + member, query);
            q[at..at + self.sizes.head_dim].fill(0.0);
        }
    }
}
