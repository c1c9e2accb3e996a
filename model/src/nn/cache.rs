//! Keys and values of the tokens seen so far, for decoding token by token.

use std::borrow::Cow;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::arch::config::TextConfig;

/// Keys and values of every layer, in buffers of a fixed capacity.
///
/// One cached prefill can be shared by many continuations: [`KvCache::gather_rows`] repeats or drops rows.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    mask: Vec<Vec<bool>>,
    len: usize,
    capacity: usize,
    pad_to: usize,
}

#[derive(Clone, Debug)]
struct LayerCache {
    keys: Tensor<4>,   // [rows, kv_heads, capacity, head_dim]
    values: Tensor<4>, // [rows, kv_heads, capacity, head_dim]
}

impl KvCache {
    /// An empty cache for `rows` sequences of at most `capacity` tokens, padding included.
    pub fn new(config: &TextConfig, rows: usize, capacity: usize, device: &Device, dtype: DType) -> Self {
        let shape = [rows, config.num_key_value_heads, capacity, config.head_dim];
        // Zeros and not empty: unused slots are read with weight zero, and zero times NaN is NaN.
        let layer = || LayerCache {
            keys: Tensor::zeros(shape, (device, dtype)),
            values: Tensor::zeros(shape, (device, dtype)),
        };
        let layers = (0..config.num_hidden_layers).map(|_| layer()).collect();
        Self { layers, mask: vec![Vec::with_capacity(capacity); rows], len: 0, capacity, pad_to: 1 }
    }

    /// Shows a single new token keys up to a multiple of `pad_to`, those behind it masked: so the shapes of decoding
    /// repeat, and with them a GPU's kernels. The capacity must allow a prompt padded to a multiple of `pad_to`.
    #[must_use]
    pub(crate) fn padded_to(mut self, pad_to: usize) -> Self {
        self.pad_to = pad_to.max(1);
        self
    }

    /// Whether a prompt may be padded to a multiple of `pad_to`.
    pub(crate) fn has_room_for_padding(&self) -> bool {
        self.pad_to > 1
    }

    /// Keys that `seq` new tokens are shown when the cache holds `end`.
    fn shown(&self, seq: usize, end: usize) -> usize {
        if seq == 1 { end.next_multiple_of(self.pad_to).min(self.capacity) } else { end }
    }

    /// Sequences in the cache.
    pub fn rows(&self) -> usize {
        self.mask.len()
    }

    /// Tokens per sequence so far, padding included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token has been cached.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Real tokens of each row so far: the position of the row's next token.
    pub(crate) fn next_positions(&self) -> Vec<usize> {
        self.mask.iter().map(|row| row.iter().filter(|&&real| real).count()).collect()
    }

    /// Adds the mask of the tokens that are about to be cached and returns the mask of all keys that they are shown.
    ///
    /// # Panics
    /// If the rows differ in number or the capacity is exceeded.
    pub(crate) fn extend_mask(&mut self, mask: &[Vec<bool>]) -> Cow<'_, [Vec<bool>]> {
        assert_eq!(self.mask.len(), mask.len(), "the cache has another number of rows than the batch");
        for (row, new) in self.mask.iter_mut().zip(mask) {
            row.extend_from_slice(new);
            assert!(row.len() <= self.capacity, "the cache holds at most {} tokens", self.capacity);
        }
        let (seq, end) = (mask.first().map_or(0, Vec::len), self.mask.first().map_or(0, Vec::len));
        let hidden = self.shown(seq, end) - end;
        if hidden == 0 {
            return Cow::Borrowed(&self.mask);
        }
        Cow::Owned(self.mask.iter().map(|row| [row.as_slice(), &vec![false; hidden]].concat()).collect())
    }

    /// Stores the keys and values of new tokens in one layer and returns all that the layer has.
    ///
    /// # Shapes
    /// - `keys`, `values`: `[rows, kv_heads, seq, head_dim]`
    /// - output: `[rows, kv_heads, len + seq, head_dim]` each, more of them when padded
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: Tensor<4>,
        values: Tensor<4>,
    ) -> (Tensor<4>, Tensor<4>) {
        let [rows, heads, seq, width] = keys.dims();
        let (start, end) = (self.len, self.len + seq);
        let shown = self.shown(seq, end);
        let place = [0..rows, 0..heads, start..end, 0..width];
        let cached = &mut self.layers[layer];
        // `inplace` hands the only reference over, so that the buffer is written and not copied.
        cached.keys.inplace(|all| all.slice_assign(place.clone(), keys));
        cached.values.inplace(|all| all.slice_assign(place, values));
        (cached.keys.clone().narrow(2, 0, shown), cached.values.clone().narrow(2, 0, shown))
    }

    /// Counts the tokens that all layers have appended.
    pub(crate) fn advance(&mut self, seq: usize) {
        self.len += seq;
    }

    /// Makes row `i` of the cache a copy of the present row `rows[i]`: repeats a prefill for its samples, or drops the
    /// rows that are done.
    pub fn gather_rows(&mut self, rows: &[usize]) {
        if rows.iter().copied().eq(0..self.mask.len()) {
            return;
        }
        self.mask = rows.iter().map(|&row| self.mask[row].clone()).collect();
        for layer in &mut self.layers {
            let device = layer.keys.device();
            let index: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
            let index = Tensor::<1, Int>::from_data(TensorData::new(index, [rows.len()]), &device);
            layer.keys.inplace(|all| all.select(0, index.clone()));
            layer.values.inplace(|all| all.select(0, index));
        }
    }
}
