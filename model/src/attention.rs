//! Scaled dot-product attention and the two masks that it is run with.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};

/// Added to the score of a masked key. Large enough that its weight is exactly zero in float32, yet finite: a query
/// with no key at all (left padding) gets uniform weights and not NaN.
const MASKED: f32 = -1e9;

/// `softmax(q k^T + bias) v`, with the softmax in float32.
///
/// Grouped-query attention is run by laying the query heads of one key head one after the other in `rows`
/// (`rows = group * seq`), so keys and values are never copied.
///
/// # Shapes
/// - `q`: `[batch, kv_heads, rows, head_dim]`, already scaled
/// - `k`, `v`: `[batch, kv_heads, keys, head_dim]`
/// - `bias`: `[batch or 1, 1, rows or 1, keys]`
/// - output: as `q`
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, bias: Option<&Tensor<4>>) -> Tensor<4> {
    let dtype = q.dtype();
    let scores = q.matmul(k.transpose()); // [batch, kv_heads, rows, keys]
    let scores = if dtype == DType::F32 { scores } else { scores.cast(DType::F32) };
    let scores = match bias {
        Some(bias) => scores + bias.clone(),
        None => scores,
    };
    let weights = softmax(scores, 3);
    let weights = if dtype == DType::F32 { weights } else { weights.cast(dtype) };
    weights.matmul(v)
}

/// The bias that hides future and padding keys, or `None` if no query has any to hide.
///
/// The queries are the last `seq` of the keys.
///
/// # Shapes
/// - `key_mask`: `batch` rows of `keys` flags, true = a real token
/// - output: `[batch or 1, 1, group * seq or 1, keys]`
pub fn causal_bias(key_mask: &[Vec<bool>], seq: usize, group: usize, device: &Device) -> Option<Tensor<4>> {
    let keys = key_mask.first().map_or(0, Vec::len);
    let padded = key_mask.iter().flatten().any(|&real| !real);
    if !padded && seq == 1 {
        return None;
    }
    // Without padding all rows have the same mask; one query position is the same for the whole group.
    let batch = if padded { key_mask.len() } else { 1 };
    let group = if seq == 1 { 1 } else { group };
    let past = keys - seq;
    let mut bias = vec![0.0_f32; batch * group * seq * keys];
    for (row, mask) in bias.chunks_exact_mut(group * seq * keys).zip(key_mask) {
        let (first, others) = row.split_at_mut(seq * keys);
        for (query, line) in first.chunks_exact_mut(keys).enumerate() {
            for (key, cell) in line.iter_mut().enumerate() {
                if key > past + query || !mask[key] {
                    *cell = MASKED;
                }
            }
        }
        for copy in others.chunks_exact_mut(seq * keys) {
            copy.copy_from_slice(first);
        }
    }
    let data = TensorData::new(bias, [batch, 1, group * seq, keys]);
    Some(Tensor::from_data(data, (device, DType::F32)))
}

/// The bias that hides keys beyond each row's length, or `None` if every row fills all `keys`.
///
/// # Shapes
/// - `lengths`: one per row
/// - output: `[batch, 1, 1, keys]`
pub fn length_bias(lengths: &[usize], keys: usize, device: &Device) -> Option<Tensor<4>> {
    if lengths.iter().all(|&length| length == keys) {
        return None;
    }
    let bias: Vec<f32> = lengths
        .iter()
        .flat_map(|&length| (0..keys).map(move |key| if key < length { 0.0 } else { MASKED }))
        .collect();
    Some(Tensor::from_data(TensorData::new(bias, [lengths.len(), 1, 1, keys]), (device, DType::F32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(bias: Option<Tensor<4>>) -> Vec<f32> {
        bias.map(|bias| bias.into_data().iter::<f32>().collect()).unwrap_or_default()
    }

    #[test]
    fn a_causal_mask_hides_the_future_and_the_padding_of_each_row_for_every_head_of_the_group() {
        let device = Device::flex();
        let mask = vec![vec![false, true, true], vec![true, true, true]];
        let (x, o) = (MASKED, 0.0);
        let one = [x, o, x, x, o, o];
        let two = [o, o, x, o, o, o];
        let expected: Vec<f32> = [one, one, two, two].concat();
        assert_eq!(rows(causal_bias(&mask, 2, 2, &device)), expected);
        assert_eq!(causal_bias(&mask, 2, 2, &device).unwrap().dims(), [2, 1, 4, 3]);
    }

    #[test]
    fn a_single_query_without_padding_needs_no_mask() {
        assert!(causal_bias(&[vec![true; 5], vec![true; 5]], 1, 2, &Device::flex()).is_none());
    }

    #[test]
    fn masked_keys_have_no_weight_at_all() {
        let device = Device::flex();
        let q = Tensor::<4>::ones([1, 1, 1, 2], &device);
        let k = Tensor::<4>::ones([1, 1, 2, 2], &device);
        let v = Tensor::<1>::from_floats([1.0, 2.0, 1e30, 1e30], &device).reshape([1, 1, 2, 2]);
        let bias = length_bias(&[1], 2, &device);
        let out = attention(q, k, v, bias.as_ref());
        assert_eq!(out.into_data().iter::<f32>().collect::<Vec<_>>(), [1.0, 2.0]);
    }

    #[test]
    fn a_query_without_any_key_gives_finite_values() {
        let device = Device::flex();
        let q = Tensor::<4>::ones([1, 1, 1, 2], &device);
        let v = Tensor::<4>::ones([1, 1, 2, 2], &device);
        let out = attention(q, v.clone(), v, length_bias(&[0], 2, &device).as_ref());
        assert!(out.into_data().iter::<f32>().all(f32::is_finite));
    }
}
