//! Self-consistency: how many of the base model's samples give the answer that it gives (Wang et al. 2022,
//! arXiv 2203.11171, taken as a measure of doubt).

use crate::doubt::meaning::Meaning;
use crate::doubt::samples::SampledAnswer;

/// The share of the samples that mean what the answer means, 0 to 1. It is 0 for an answer that refuses or names no
/// option, and for a question without samples.
pub fn self_consistency(answer: &Meaning, samples: &[SampledAnswer]) -> f64 {
    if samples.is_empty() || !matches!(answer, Meaning::Said(_)) {
        return 0.0;
    }
    let same = samples.iter().filter(|sample| sample.meaning == *answer).count();
    same as f64 / samples.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doubt::samples::tests::sample;

    #[test]
    fn self_consistency_is_the_share_of_samples_that_say_the_same() {
        let said = |option: &str| Meaning::Said(option.to_owned());
        let samples = ["cat", "dog", "cat", "?what", "cat"].map(|option| sample("x", option, 0.5, 1));
        assert_eq!(self_consistency(&said("cat"), &samples), 0.6);
        assert_eq!(self_consistency(&said("dog"), &samples), 0.2);
        assert_eq!(self_consistency(&said("rain"), &samples), 0.0);
        assert_eq!(self_consistency(&Meaning::Unreadable("what".to_owned()), &samples), 0.0);
        let refused = vec![sample("x", "refused", 0.5, 1); 5];
        assert_eq!(self_consistency(&Meaning::Refused, &refused), 0.0);
        assert_eq!(self_consistency(&said("cat"), &[]), 0.0);
    }
}
