//! What an adapter adds to the weights: `s B A`, row by row.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::error::ModelError;
use crate::lora::Adapters;

/// The updates of an adapter, by the name of the tensor that each changes.
#[derive(Debug)]
pub(super) struct Updates(BTreeMap<String, Update>);

#[derive(Debug)]
struct Update {
    /// `[rank, in]`.
    a: Vec<f32>,
    /// `[out, rank]`.
    b: Vec<f32>,
    rank: usize,
    in_features: usize,
    scale: f32,
}

impl Updates {
    pub(super) fn of(adapters: &Adapters) -> Result<Self, ModelError> {
        let mut updates = BTreeMap::new();
        for (module, pair) in &adapters.modules {
            let [rank, in_features] = pair.a.dims();
            let read = |tensor: &Tensor<2>| {
                tensor.try_to_vec_as::<f32>().map_err(|error| ModelError::Compute {
                    what: format!("reading the adapter of {module}: {error}"),
                })
            };
            let update =
                Update { a: read(&pair.a)?, b: read(&pair.b)?, rank, in_features, scale: pair.scale };
            updates.insert(format!("{module}.weight"), update);
        }
        Ok(Self(updates))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds the update of a tensor to its elements from `first` on, which are whole rows; says whether there is one.
    pub(super) fn add(&self, tensor: &str, first: usize, values: &mut [f32]) -> bool {
        let Some(update) = self.0.get(tensor) else { return false };
        let first_row = first / update.in_features;
        values
            .par_chunks_exact_mut(update.in_features)
            .enumerate()
            .for_each(|(index, row)| update.add_row(first_row + index, row));
        true
    }
}

impl Update {
    /// `row += s * sum_r B[out, r] A[r]`, the sum first, as in the branch that it replaces.
    fn add_row(&self, out: usize, row: &mut [f32]) {
        let mut sum = vec![0.0_f32; row.len()];
        for (b, a) in self.b[out * self.rank..][..self.rank].iter().zip(self.a.chunks_exact(self.in_features))
        {
            for (sum, a) in sum.iter_mut().zip(a) {
                *sum += b * a;
            }
        }
        for (value, sum) in row.iter_mut().zip(sum) {
            *value += self.scale * sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_rows_gets_its_rows_of_the_update() {
        // W is [3, 2]; s B A with A = [[1, 2]] and B = [[1], [10], [100]] and s = 0.5.
        let update =
            Update { a: vec![1.0, 2.0], b: vec![1.0, 10.0, 100.0], rank: 1, in_features: 2, scale: 0.5 };
        let updates = Updates(BTreeMap::from([("m.weight".to_owned(), update)]));
        let mut last_two = [1.0, 1.0, -1.0, -1.0];
        assert!(updates.add("m.weight", 2, &mut last_two));
        assert_eq!(last_two, [6.0, 11.0, 49.0, 99.0]);
        assert!(!updates.add("m.bias", 0, &mut last_two));
        assert_eq!(last_two, [6.0, 11.0, 49.0, 99.0]);
    }
}
