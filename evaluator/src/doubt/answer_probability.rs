//! The probability of the whole answer: as it is ("one-pass"), and normalised by its length.

/// The perplexity of an answer: `exp(-log_prob / tokens)`, 1 or more; the inverse of the mean probability of its tokens.
///
/// `log_prob`: of the whole answer and its end, in nats; `tokens`: its tokens, the end included. `None` without tokens.
pub fn perplexity(log_prob: f64, tokens: usize) -> Option<f64> {
    (tokens > 0).then(|| (-log_prob / tokens as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perplexity_is_the_inverse_of_the_geometric_mean_of_the_tokens_probabilities() {
        // Three tokens of probability 1/2, 1/4 and 1/8: their mean is 1/4.
        let found = perplexity((1.0_f64 / 64.0).ln(), 3).unwrap();
        assert!((found - 4.0).abs() < 1e-12, "{found}");
        assert_eq!(perplexity(0.0, 5), Some(1.0));
        assert_eq!(perplexity(-1.0, 0), None);
    }

    #[test]
    fn an_answer_twice_as_long_of_as_likely_tokens_has_the_same_perplexity_and_any_is_1_or_more() {
        for (log_prob, tokens) in [(-3.0, 2), (-0.25, 7), (0.0, 1)] {
            let found = perplexity(log_prob, tokens).unwrap();
            assert_eq!(perplexity(2.0 * log_prob, 2 * tokens), Some(found));
            assert!(found >= 1.0);
        }
    }
}
