//! Cross-entropy at the label positions.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::buffer::{chunk_of_rows, dense, for_chunks, tensor, values, values_mut};
use super::math::{exp, max, replace_and_sum, sum, vectorised};
use super::record::{fusable, operand, record};

/// The sum of [`label_nll`] over the labels.
///
/// # Shapes
/// - `logits`: `[labels, vocab]`; `targets`: `[labels]`
/// - output: `[1]`
///
/// # Panics
/// As [`label_nll`].
pub fn cross_entropy_sum(logits: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    label_nll(logits, targets).sum()
}

/// `-log p(target)` of each label, in nats and in float32 whatever the logits are.
///
/// `log p = (x_t - m) - log sum_j exp(x_j - m)` with `m = max_j x_j`. On the fused path the buffer of tracked logits
/// becomes that of their gradient, so pass them without keeping another tensor that shares it.
///
/// # Shapes
/// - `logits`: `[labels, vocab]`, one row per label position
/// - `targets`: `[labels]`
/// - output: `[labels]`
///
/// # Panics
/// If there is not one target for each row, or a target is not below `vocab`.
pub fn label_nll(logits: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let [labels, vocab] = logits.dims();
    let valid = targets.len() == labels && targets.iter().all(|&target| (target as usize) < vocab);
    assert!(valid, "targets do not fit the logits");
    if !fusable(&logits) {
        return label_nll_graph(logits, targets);
    }
    let recorded = logits.is_tracked();
    let (logits, node) = operand(logits, recorded);
    let mut logits = dense(logits);
    let nll: Vec<f32> = if recorded {
        let rows = values_mut(&mut logits).par_chunks_mut(vocab.max(1)).zip(targets);
        rows.map(|(row, &target)| {
            vectorised(
                #[inline(always)]
                || nll_and_gradient(row, target as usize),
            )
        })
        .collect()
    } else {
        let rows = values(&logits).par_chunks(vocab.max(1)).zip(targets);
        rows.map(|(row, &target)| {
            vectorised(
                #[inline(always)]
                || nll(row, target as usize),
            )
        })
        .collect()
    };
    record(LabelNllBackward, [node], tensor(nll, [labels]), || logits)
}

#[inline(always)]
fn nll(row: &[f32], target: usize) -> f32 {
    let largest = max(row);
    sum(row, |logit| exp(logit - largest)).ln() - (row[target] - largest)
}

/// As [`nll`]; leaves the gradient `softmax(row) - onehot(target)` in the row.
#[inline(always)]
fn nll_and_gradient(row: &mut [f32], target: usize) -> f32 {
    let largest = max(row);
    let shifted = row[target] - largest;
    let total = replace_and_sum(row, |logit| exp(logit - largest));
    let inverse = 1.0 / total;
    row.iter_mut().for_each(|value| *value *= inverse);
    row[target] -= 1.0;
    total.ln() - shifted
}

/// The same as burn operations. The maximum is a constant for the gradient: it cancels, and a tracked maximum would only
/// add rounding.
fn label_nll_graph(logits: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let [labels, _vocab] = logits.dims();
    let logits = if logits.dtype() == DType::F32 { logits } else { logits.cast(DType::F32) };
    let index: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
    let index = Tensor::<2, Int>::from_data(TensorData::new(index, [labels, 1]), &logits.device());
    let max = logits.clone().inner().max_dim(1); // [labels, 1]
    let shifted = logits - max; // [labels, vocab]
    let log_sum = shifted.clone().exp().sum_dim(1).log(); // [labels, 1]
    let picked = shifted.gather(1, index); // [labels, 1]
    (log_sum - picked).reshape([labels])
}

#[derive(Debug)]
struct LabelNllBackward;

impl Backward<Flex, 1> for LabelNllBackward {
    type State = FlexTensor;

    /// The gradient of each row is there; only the factor from above is missing.
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let d_out = dense(grads.consume::<Flex>(&ops.node));
        let mut gradient = ops.state;
        let factors = values(&d_out);
        let width = gradient.layout().num_elements() / factors.len().max(1);
        if width > 0 {
            for_chunks(values_mut(&mut gradient), chunk_of_rows(width), |start, part| {
                for (row, factor) in part.chunks_exact_mut(width).zip(&factors[start / width..]) {
                    vectorised(
                        #[inline(always)]
                        || row.iter_mut().for_each(|value| *value *= factor),
                    );
                }
            });
        }
        if let [Some(node)] = ops.parents {
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::test_support::{check_finite_differences, check_same_bytes, check_with_graph};
    use super::*;

    fn targets(rows: usize, vocab: usize) -> Vec<u32> {
        (0..rows).map(|row| (row * 7919 % vocab) as u32).collect()
    }

    #[test]
    fn values_and_gradients_are_those_of_the_graph() {
        let targets = targets(65, 1001);
        let shapes: [&[usize]; 1] = [&[65, 1001]];
        check_with_graph(
            &shapes,
            5.0,
            |t| label_nll(t.take(0), &targets),
            |t| label_nll_graph(t.take(0), &targets),
        );
    }

    #[test]
    fn gradients_are_the_slopes_of_the_values() {
        check_finite_differences(&[&[3, 5]], 2.0, |t| cross_entropy_sum(t.take(0), &[4, 0, 2]));
    }

    #[test]
    fn bytes_do_not_depend_on_the_number_of_threads() {
        let targets = targets(65, 1001);
        check_same_bytes(&[&[65, 1001]], |t| label_nll(t.take(0), &targets));
    }

    #[test]
    fn the_loss_is_the_hand_computed_one_also_for_huge_logits_and_without_a_graph() {
        let logits: Tensor<2> = Tensor::from_data([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]], &Device::flex());
        let tracked = logits.clone().autodiff().require_grad();
        let expected = (1_f64.exp() + 2_f64.exp() + 3_f64.exp()).ln() - 2.0;
        for logits in [logits, tracked] {
            let nll: Vec<f32> = label_nll(logits.clone(), &[1, 2]).into_data().iter::<f32>().collect();
            assert!((f64::from(nll[0]) - expected).abs() < 1e-6, "{nll:?}");
            assert_eq!(nll[1], 2000.0);
        }
    }

    #[test]
    fn logits_that_another_tensor_shares_are_left_as_they_are() {
        let logits: Tensor<2> = Tensor::from_data([[1.0, 2.0, 3.0]], &Device::flex());
        let leaf = logits.clone().autodiff().require_grad();
        label_nll(leaf, &[0]).sum().backward();
        assert_eq!(logits.into_data().iter::<f32>().collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
    }
}
