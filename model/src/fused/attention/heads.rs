//! Where the heads of attention lie in memory.

use std::ops::Range;

use burn::backend::flex::FlexTensor;

use super::super::buffer::dense;
use super::super::raw::Matrix;

/// Batch rows from which on each is one task; below, each key head of each row is one.
const ROWS_AS_TASKS: usize = 4;

/// Multiplications that are worth handing to another thread.
const TASK_PRODUCTS: usize = 1 << 18;

/// Sizes of one attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) seq: usize,
    pub(super) keys: usize,
    pub(super) head_dim: usize,
}

impl Sizes {
    /// From the shapes of the queries and of the keys.
    pub(super) fn new([batch, heads, seq, head_dim]: [usize; 4], [_, kv_heads, keys, _]: [usize; 4]) -> Self {
        Self { batch, heads, kv_heads, seq, keys, head_dim }
    }

    /// Whether the keys, of the given shape, fit the queries.
    pub(super) fn valid(&self, keys: [usize; 4]) -> bool {
        keys == [self.batch, self.kv_heads, self.keys, self.head_dim]
            && self.kv_heads > 0
            && self.heads.is_multiple_of(self.kv_heads)
            && self.seq <= self.keys
    }

    /// Query heads of one key head.
    pub(super) fn group(&self) -> usize {
        self.heads / self.kv_heads
    }
}

/// The values of a tensor `[batch, heads, rows, head_dim]` in any layout whose rows are dense.
pub(super) struct Heads<'a> {
    values: &'a [f32],
    strides: [usize; 3],
}

impl<'a> Heads<'a> {
    pub(super) fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let mut strides = [0; 3];
        for (stride, &of_tensor) in strides.iter_mut().zip(layout.strides()) {
            *stride = of_tensor.unsigned_abs();
        }
        Self { values: &tensor.storage()[layout.start_offset()..], strides }
    }

    /// One row of `group` heads as `group` rows of one head.
    pub(super) fn fold(&self, group: usize) -> Self {
        let [batch, head, _] = self.strides;
        Self { values: self.values, strides: [batch, head * group, head] }
    }

    /// Some rows of one head.
    pub(super) fn rows(&self, batch: usize, head: usize, rows: &Range<usize>, width: usize) -> Matrix<'a> {
        let [batch_stride, head_stride, row_stride] = self.strides;
        let start = batch * batch_stride + head * head_stride + rows.start * row_stride;
        Matrix::new(&self.values[start..], rows.len(), width, row_stride)
    }
}

/// How a tensor that attention writes is laid out and split into tasks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrangement {
    /// `[batch, rows, heads, head_dim]`, as projections read and write it; a task is a batch row.
    HeadsInside,
    /// `[batch, heads, rows, head_dim]`, for small batches; a task is a key head.
    HeadsOutside,
}

/// Where the heads of one task lie in its chunk of a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadPlace {
    /// Values of one task.
    pub(super) chunk: usize,
    pub(super) row_stride: usize,
    head_stride: usize,
}

impl HeadPlace {
    /// Offset of a row of a head, counted from the task's first head.
    pub(super) fn offset(&self, head: usize, row: usize) -> usize {
        head * self.head_stride + row * self.row_stride
    }
}

impl Arrangement {
    pub(super) fn of(sizes: &Sizes) -> Self {
        if sizes.batch < ROWS_AS_TASKS { Self::HeadsOutside } else { Self::HeadsInside }
    }

    /// The batch row and the key heads of a task.
    pub(super) fn task(self, index: usize, sizes: &Sizes) -> (usize, Range<usize>) {
        match self {
            Self::HeadsInside => (index, 0..sizes.kv_heads),
            Self::HeadsOutside => {
                let head = index % sizes.kv_heads;
                (index / sizes.kv_heads, head..head + 1)
            }
        }
    }

    /// Tasks that one thread takes at a time, so that handing them out costs less than they do.
    pub(super) fn tasks_at_once(self, sizes: &Sizes) -> usize {
        let heads = if matches!(self, Self::HeadsInside) { sizes.heads } else { sizes.group() };
        (TASK_PRODUCTS / (heads * sizes.seq * sizes.keys * sizes.head_dim).max(1)).max(1)
    }

    pub(super) fn place(self, heads: usize, rows: usize, sizes: &Sizes) -> HeadPlace {
        let width = sizes.head_dim;
        match self {
            Self::HeadsInside => {
                HeadPlace { chunk: rows * heads * width, row_stride: heads * width, head_stride: width }
            }
            Self::HeadsOutside => HeadPlace {
                chunk: heads / sizes.kv_heads * rows * width,
                row_stride: width,
                head_stride: rows * width,
            },
        }
    }

    /// Shape of a buffer in this arrangement.
    pub(super) fn shape(self, heads: usize, rows: usize, sizes: &Sizes) -> [usize; 4] {
        match self {
            Self::HeadsInside => [sizes.batch, rows, heads, sizes.head_dim],
            Self::HeadsOutside => [sizes.batch, heads, rows, sizes.head_dim],
        }
    }

    /// A buffer in this arrangement as a tensor `[batch, heads, rows, head_dim]`.
    pub(super) fn tensor(self, buffer: FlexTensor) -> FlexTensor {
        match self {
            Self::HeadsInside => swap(buffer),
            Self::HeadsOutside => buffer,
        }
    }

    /// A tensor `[batch, heads, rows, head_dim]` as a dense buffer in this arrangement; a copy only if it is in another.
    pub(super) fn arrange(self, tensor: FlexTensor) -> FlexTensor {
        dense(self.tensor(tensor))
    }
}

/// The tensor with its dimensions 1 and 2 exchanged, without a copy.
pub(in crate::fused) fn swap(tensor: FlexTensor) -> FlexTensor {
    let layout = tensor.layout().transpose(1, 2);
    tensor.with_layout(layout)
}
