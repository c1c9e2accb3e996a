//! Cross-entropy at the label positions.

use burn::tensor::Tensor;
pub use idk_model::fused::label_nll;

use crate::error::TrainError;

/// How many labels are the most probable token of their row: the numerator of `mean_token_accuracy`.
///
/// # Shapes
/// - `logits`: `[labels, vocab]`; `targets`: `[labels]`
///
/// # Errors
/// [`TrainError::Device`] if the result cannot be read back.
pub fn correct_labels(logits: Tensor<2>, targets: &[u32]) -> Result<usize, TrainError> {
    let best = logits.inner().argmax(1); // [labels, 1]
    let best: Vec<i64> = best.try_into_vec_as().map_err(TrainError::device("the predicted tokens"))?;
    Ok(best.iter().zip(targets).filter(|(best, target)| **best == i64::from(**target)).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn logits() -> Tensor<2> {
        Tensor::from_data([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]], &Device::flex())
    }

    #[test]
    fn the_loss_is_the_hand_computed_one_also_for_huge_logits() {
        let nll: Vec<f32> = label_nll(logits(), &[1, 0]).try_into_vec_as().unwrap();
        // ln(e^1 + e^2 + e^3) - 2
        let expected = (1_f64.exp() + 2_f64.exp() + 3_f64.exp()).ln() - 2.0;
        assert!((f64::from(nll[0]) - expected).abs() < 1e-6, "{nll:?}");
        assert_eq!(nll[1], 0.0);
        let far: Vec<f32> = label_nll(logits(), &[0, 2]).try_into_vec_as().unwrap();
        assert_eq!(far[1], 2000.0);
    }

    #[test]
    fn the_gradient_is_softmax_minus_one_hot() {
        let leaf = logits().autodiff().require_grad();
        let mut gradients = label_nll(leaf.clone(), &[1, 0]).sum().backward();
        let gradient: Vec<f32> = leaf.grad_remove(&mut gradients).unwrap().try_into_vec_as().unwrap();
        let total = 1_f64.exp() + 2_f64.exp() + 3_f64.exp();
        let expected = [1_f64.exp() / total, 2_f64.exp() / total - 1.0, 3_f64.exp() / total, 0.0, 0.0, 0.0];
        for (found, expected) in gradient.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{gradient:?}");
        }
    }

    #[test]
    fn a_label_counts_as_correct_only_where_it_is_the_most_probable_token() {
        assert_eq!(correct_labels(logits(), &[2, 0]).unwrap(), 2);
        assert_eq!(correct_labels(logits(), &[1, 0]).unwrap(), 1);
    }
}
