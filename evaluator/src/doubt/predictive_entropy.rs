//! Predictive entropy: how unlikely the model finds its own samples (Malinin and Gales 2021, arXiv 2002.07650).

use crate::doubt::samples::SampledAnswer;

/// `-(1/N) sum log p(y_i)` over the N samples, in nats: the Monte-Carlo estimate of the entropy of the model's answers.
/// `None` without samples, or if the probability of one is not known.
pub fn predictive_entropy(samples: &[SampledAnswer]) -> Option<f64> {
    let surprise = |sample: &SampledAnswer| Some(-sample.log_prob?);
    mean(samples.iter().map(surprise).collect::<Option<Vec<f64>>>()?)
}

/// `-(1/N) sum log p(y_i) / len(y_i)`, in nats per token: long answers are less likely, but not for that less sure.
/// `None` without samples, or if probability or length of one is not known.
pub fn length_normalised_entropy(samples: &[SampledAnswer]) -> Option<f64> {
    let surprise = |sample: &SampledAnswer| {
        let tokens = sample.tokens.filter(|&tokens| tokens > 0)?;
        Some(-sample.log_prob? / tokens as f64)
    };
    mean(samples.iter().map(surprise).collect::<Option<Vec<f64>>>()?)
}

/// Added up in rising order, so that the order of the samples does not change the last digit.
fn mean(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    // A sample that is certain has a surprise of -0.
    (!values.is_empty()).then(|| 0.0 + values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::samples::tests::sample;

    #[test]
    fn both_entropies_are_those_computed_by_hand() {
        // Probabilities 1/2, 1/4, 1/4 and lengths 1, 2, 1: (1 + 2 + 2) / 3 ln 2, and (1 + 1 + 2) / 3 ln 2.
        let samples = [sample("a", "dog", 0.5, 1), sample("b", "dog", 0.25, 2), sample("c", "cat", 0.25, 1)];
        let bits = std::f64::consts::LN_2;
        assert!((predictive_entropy(&samples).unwrap() - 5.0 / 3.0 * bits).abs() < 1e-12);
        assert!((length_normalised_entropy(&samples).unwrap() - 4.0 / 3.0 * bits).abs() < 1e-12);
    }

    #[test]
    fn what_is_certain_has_no_entropy_and_what_is_not_known_no_value() {
        let certain = vec![sample("a", "dog", 1.0, 2); 5];
        assert_eq!(predictive_entropy(&certain), Some(0.0));
        assert!(predictive_entropy(&certain).unwrap().is_sign_positive(), "not printed as -0");
        assert_eq!(length_normalised_entropy(&certain), Some(0.0));
        assert_eq!((predictive_entropy(&[]), length_normalised_entropy(&[])), (None, None));
        let uncounted = [SampledAnswer { tokens: None, ..sample("a", "dog", 0.5, 2) }];
        assert!(predictive_entropy(&uncounted).is_some());
        assert_eq!(length_normalised_entropy(&uncounted), None);
        let unscored = [SampledAnswer { log_prob: None, ..sample("a", "dog", 0.5, 2) }];
        assert_eq!((predictive_entropy(&unscored), length_normalised_entropy(&unscored)), (None, None));
    }
}
