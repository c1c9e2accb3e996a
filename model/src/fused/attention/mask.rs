//! Which keys a query may attend to.

use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Added to the score of a hidden key. Large enough that its weight is exactly zero in float32, yet finite: a query
/// without any key then has uniform weights and not NaN.
const HIDDEN: f32 = -1e9;

/// The keys that the queries of one pass may attend to. Made once per pass and shared by its layers.
#[derive(Clone, Debug)]
pub struct AttentionMask {
    causal: bool,
    rows: Arc<[VisibleKeys]>, // empty: every key of every row
    bias: Arc<OnceLock<Option<Tensor<4>>>>,
}

/// The keys of one batch row that are not padding.
#[derive(Clone, Debug)]
struct VisibleKeys {
    first: usize,
    end: usize,
    holes: Option<Vec<f32>>, // [keys], HIDDEN at the hidden ones between `first` and `end`
}

impl AttentionMask {
    /// Hides future and padding keys. The queries are the last positions of the keys.
    ///
    /// # Shapes
    /// - `key_mask`: `batch` rows of `keys` flags, true = a real token
    pub fn causal(key_mask: &[Vec<bool>]) -> Self {
        Self::new(
            true,
            key_mask.iter().all(|row| row.iter().all(|&real| real)),
            key_mask.iter().map(|row| visible(row)),
        )
    }

    /// Hides the keys beyond each row's length.
    ///
    /// # Shapes
    /// - `lengths`: one per batch row, at most `keys`
    pub fn lengths(lengths: &[usize], keys: usize) -> Self {
        let full = lengths.iter().all(|&length| length >= keys);
        Self::new(
            false,
            full,
            lengths.iter().map(|&end| VisibleKeys { first: 0, end: end.min(keys), holes: None }),
        )
    }

    fn new(causal: bool, full: bool, rows: impl Iterator<Item = VisibleKeys>) -> Self {
        Self { causal, rows: if full { Arc::from([]) } else { rows.collect() }, bias: Arc::default() }
    }

    /// Whether queries are kept from later keys.
    pub(super) fn is_causal(&self) -> bool {
        self.causal
    }

    /// Whether the mask fits a batch of this size.
    pub(super) fn fits(&self, batch: usize, keys: usize) -> bool {
        self.rows.is_empty() || self.rows.len() == batch && self.rows.iter().all(|row| row.end <= keys)
    }

    /// The same for queries that are not ordered.
    pub(super) fn without_causality(&self) -> Self {
        Self { causal: false, rows: self.rows.clone(), bias: Arc::default() }
    }

    /// The same for another number of queries at the end of the keys.
    pub(crate) fn for_fewer_queries(&self) -> Self {
        Self { bias: Arc::default(), ..self.clone() }
    }

    /// First key that any query of a batch row sees.
    pub(super) fn first(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |row| row.first)
    }

    /// One past the last key that the query at `position` sees, positions counted as keys are.
    pub(super) fn end(&self, row: usize, position: usize, keys: usize) -> usize {
        let end = self.rows.get(row).map_or(keys, |row| row.end);
        if self.causal { end.min(position + 1) } else { end }
    }

    /// What to add to the scores of a row, if it has hidden keys between visible ones.
    pub(super) fn holes(&self, row: usize) -> Option<&[f32]> {
        self.rows.get(row)?.holes.as_deref()
    }

    /// The mask as a bias on the scores, or `None` if no query has any key to hide. Built on first use: a mask
    /// belongs to one pass, whose shapes and device are always the same.
    ///
    /// # Shapes
    /// - output: `[batch or 1, 1, seq or 1, keys]`
    pub(super) fn bias(&self, seq: usize, keys: usize, device: &Device) -> Option<&Tensor<4>> {
        self.bias.get_or_init(|| self.build_bias(seq, keys, device)).as_ref()
    }

    fn build_bias(&self, seq: usize, keys: usize, device: &Device) -> Option<Tensor<4>> {
        let causal = self.causal && seq > 1;
        if self.rows.is_empty() && !causal {
            return None;
        }
        // Without padding all rows have the same mask, without causality all queries of a row.
        let (batch, queries) = (self.rows.len().max(1), if causal { seq } else { 1 });
        let mut bias = vec![0.0_f32; batch * queries * keys];
        for (index, line) in bias.chunks_exact_mut(keys.max(1)).enumerate() {
            let (row, query) = (index / queries, index % queries);
            let position = if causal { keys - seq + query } else { keys };
            let (first, end, holes) = (self.first(row), self.end(row, position, keys), self.holes(row));
            for (key, cell) in line.iter_mut().enumerate() {
                if key < first || key >= end || holes.is_some_and(|holes| holes[key] != 0.0) {
                    *cell = HIDDEN;
                }
            }
        }
        let data = TensorData::new(bias, [batch, 1, queries, keys]);
        Some(Tensor::from_data(data, (device, DType::F32)))
    }
}

fn visible(mask: &[bool]) -> VisibleKeys {
    let first = mask.iter().position(|&real| real).unwrap_or(0);
    let end = mask.iter().rposition(|&real| real).map_or(0, |last| last + 1);
    let holes = mask.get(first..end).is_some_and(|run| run.iter().any(|&real| !real));
    let holes = holes.then(|| mask.iter().map(|&real| if real { 0.0 } else { HIDDEN }).collect());
    VisibleKeys { first, end, holes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: f32 = HIDDEN;

    fn bias(mask: &AttentionMask, seq: usize, keys: usize) -> (Vec<usize>, Vec<f32>) {
        let bias = mask.bias(seq, keys, &Device::flex()).unwrap().clone();
        (bias.dims().to_vec(), bias.into_data().iter::<f32>().collect())
    }

    #[test]
    fn a_causal_mask_hides_the_future_and_the_padding_of_each_row() {
        let mask = AttentionMask::causal(&[vec![false, true, true], vec![true, true, true]]);
        let one = [X, 0.0, X, X, 0.0, 0.0];
        let two = [0.0, 0.0, X, 0.0, 0.0, 0.0];
        assert_eq!(bias(&mask, 2, 3), (vec![2, 1, 2, 3], [one, two].concat()));
    }

    #[test]
    fn a_length_hides_the_keys_beyond_it() {
        let mask = AttentionMask::lengths(&[1, 3, 0], 3);
        let expected = vec![0.0, X, X, 0.0, 0.0, 0.0, X, X, X];
        assert_eq!(bias(&mask, 5, 3), (vec![3, 1, 1, 3], expected));
    }

    #[test]
    fn a_hidden_key_between_visible_ones_stays_hidden() {
        let mask = AttentionMask::causal(&[vec![true, false, true]]);
        assert_eq!(bias(&mask, 1, 3), (vec![1, 1, 1, 3], vec![0.0, X, 0.0]));
    }

    #[test]
    fn nothing_to_hide_needs_no_bias() {
        let device = Device::flex();
        assert!(AttentionMask::causal(&[vec![true; 5], vec![true; 5]]).bias(1, 5, &device).is_none());
        assert!(AttentionMask::lengths(&[4, 4], 4).bias(4, 4, &device).is_none());
    }
}
