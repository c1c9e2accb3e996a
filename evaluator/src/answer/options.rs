//! Fixed texts as answers: the options of a question and the refusals, each with its log-probability.

/// Log-probability of one text as the whole answer, its end included.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScoredText {
    pub(crate) text: String,
    /// In nats.
    pub(crate) log_prob: f64,
    tokens: usize,
}

impl ScoredText {
    /// `token_log_probs`: of each token of the text and of its end.
    pub(crate) fn new(text: &str, token_log_probs: &[f32]) -> Self {
        let log_prob = token_log_probs.iter().map(|&value| f64::from(value)).sum();
        Self { text: text.to_owned(), log_prob, tokens: token_log_probs.len() }
    }

    /// Normalised by length, else long options lose: how sure the model is of an option that it chose.
    pub(crate) fn mean_log_prob(&self) -> f64 {
        self.log_prob / self.tokens.max(1) as f64
    }
}

/// The likeliest text, of equals the first: what the model answers if it can say nothing else. By its whole
/// log-probability, as decoding constrained to these texts would choose.
pub(crate) fn likeliest(texts: &[ScoredText]) -> Option<&ScoredText> {
    texts
        .iter()
        .reduce(|best, next| if next.log_prob.total_cmp(&best.log_prob).is_gt() { next } else { best })
}

/// By how much the likeliest of `texts` is likelier than the likeliest of `others`, in nats.
pub(crate) fn margin(texts: &[ScoredText], others: &[ScoredText]) -> Option<f64> {
    Some(likeliest(texts)?.log_prob - likeliest(others)?.log_prob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_text_is_so_as_a_whole_and_of_equals_the_first() {
        let short = ScoredText::new("dog", &[-1.0]);
        let long = ScoredText::new("I don't know", &[-0.5, -0.25, -0.5]);
        assert_eq!((long.log_prob, long.mean_log_prob()), (-1.25, -1.25 / 3.0));
        assert_eq!(
            likeliest(&[long.clone(), short.clone()]),
            Some(&short),
            "though its mean is the lower one"
        );
        let twin = ScoredText::new("cat", &[-0.5, -0.5]);
        assert_eq!(likeliest(&[twin.clone(), short]), Some(&twin));
        assert_eq!(likeliest(&[]), None);
    }

    #[test]
    fn a_margin_is_between_the_likeliest_of_each_side_as_whole_texts() {
        let options = [ScoredText::new("dog", &[-1.0]), ScoredText::new("cat", &[-0.5, -0.25])];
        let refusals = [ScoredText::new("I don't know", &[-1.5, -0.5]), ScoredText::new("no idea", &[-3.0])];
        assert_eq!(margin(&refusals, &options), Some(-2.0 + 0.75));
        assert_eq!((margin(&[], &options), margin(&refusals, &[])), (None, None));
    }
}
