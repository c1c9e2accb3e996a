//! Semantic entropy: how many different things the samples mean (Kuhn et al. 2023, arXiv 2302.09664; Farquhar et al.
//! 2024, <https://doi.org/10.1038/s41586-024-07421-0>).

use std::collections::BTreeMap;

use crate::doubt::meaning::Meaning;
use crate::doubt::samples::SampledAnswer;

/// `-sum P(c) log P(c)` over the meanings c of the samples, in nats: 0 if all mean the same. P(c) is the sum of the
/// probabilities of the distinct answers that mean c, normalised over all distinct answers that were sampled.
/// `None` without samples, or if the probability of one is not known.
pub fn semantic_entropy(samples: &[SampledAnswer]) -> Option<f64> {
    // The same text twice is one answer; its tokens may differ, and then the likelier way to write it counts.
    let mut distinct: BTreeMap<(&Meaning, &str), f64> = BTreeMap::new();
    for sample in samples {
        let log_prob = sample.log_prob?;
        let of_text = distinct.entry((&sample.meaning, &sample.text)).or_insert(log_prob);
        *of_text = of_text.max(log_prob);
    }
    let likeliest = distinct.values().copied().reduce(f64::max)?;
    let mut of_meaning: BTreeMap<&Meaning, f64> = BTreeMap::new();
    for ((meaning, _), log_prob) in distinct {
        *of_meaning.entry(meaning).or_default() += (log_prob - likeliest).exp();
    }
    Some(entropy(of_meaning.into_values().collect()))
}

/// The same with P(c) the share of the samples that mean c: it needs no probabilities. `None` without samples.
pub fn discrete_semantic_entropy(samples: &[SampledAnswer]) -> Option<f64> {
    let mut of_meaning: BTreeMap<&Meaning, f64> = BTreeMap::new();
    for sample in samples {
        *of_meaning.entry(&sample.meaning).or_default() += 1.0;
    }
    (!of_meaning.is_empty()).then(|| entropy(of_meaning.into_values().collect()))
}

/// The entropy of weights that are normalised here, in nats.
fn entropy(mut weights: Vec<f64>) -> f64 {
    // Which option is called what must not change the last digit.
    weights.sort_by(f64::total_cmp);
    let all: f64 = weights.iter().sum();
    let shares = weights.into_iter().map(|weight| weight / all).filter(|share| *share > 0.0);
    0.0 - shares.map(|share| share * share.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use idk_common::seed::Rng;

    use super::*;
    use crate::doubt::predictive_entropy::{length_normalised_entropy, predictive_entropy};
    use crate::doubt::samples::tests::sample;

    /// Five samples: "dog" twice, "a dog" and "cat" once, and one that cannot be read.
    fn samples() -> Vec<SampledAnswer> {
        vec![
            sample("dog", "dog", 0.3, 2),
            sample("dog", "dog", 0.3, 2),
            sample("a dog", "dog", 0.1, 3),
            sample("cat", "cat", 0.08, 2),
            sample("what", "?what", 0.02, 2),
        ]
    }

    #[test]
    fn meanings_are_weighed_by_the_probability_of_their_distinct_answers() {
        // Distinct: 0.3 + 0.1 for dog, 0.08 for cat, 0.02 for what; of 0.5 these are 0.8, 0.16 and 0.04.
        let expected = -[0.8_f64, 0.16, 0.04].iter().map(|share| share * share.ln()).sum::<f64>();
        assert!((expected - 0.600_48).abs() < 1e-5, "{expected}");
        assert!((semantic_entropy(&samples()).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn the_discrete_one_counts_samples() {
        // 3, 1 and 1 of 5.
        let expected = -[0.6_f64, 0.2, 0.2].iter().map(|share| share * share.ln()).sum::<f64>();
        assert!((expected - 0.950_27).abs() < 1e-5, "{expected}");
        assert!((discrete_semantic_entropy(&samples()).unwrap() - expected).abs() < 1e-12);
        let unscored = samples().into_iter().map(|sample| SampledAnswer { log_prob: None, ..sample });
        let unscored: Vec<SampledAnswer> = unscored.collect();
        assert_eq!(discrete_semantic_entropy(&unscored), discrete_semantic_entropy(&samples()));
        assert_eq!(semantic_entropy(&unscored), None);
    }

    #[test]
    fn samples_of_one_meaning_have_no_entropy_however_they_are_worded() {
        let one = [sample("dog", "dog", 0.2, 2), sample("a dog", "dog", 1e-300, 3)];
        let refusals = [sample("no idea", "refused", 0.2, 2), sample("I don't know", "refused", 0.1, 3)];
        for samples in [&one, &refusals] {
            let found = [semantic_entropy(samples), discrete_semantic_entropy(samples)];
            assert_eq!(found, [Some(0.0); 2]);
            assert!(found.iter().flatten().all(|value| value.is_sign_positive()), "not printed as -0");
        }
        assert_eq!((semantic_entropy(&[]), discrete_semantic_entropy(&[])), (None, None));
    }

    #[test]
    fn answers_too_unlikely_for_a_number_are_still_weighed_against_each_other() {
        let far = |text: &str, log_prob: f64| SampledAnswer {
            log_prob: Some(log_prob),
            ..sample(text, text, 1.0, 2)
        };
        let found = semantic_entropy(&[far("dog", -2000.0), far("cat", -2000.0)]).unwrap();
        assert!((found - std::f64::consts::LN_2).abs() < 1e-12, "{found}");
    }

    #[test]
    fn no_measure_depends_on_the_order_of_the_samples_and_each_keeps_to_its_range() {
        let mut rng = Rng::new(11);
        for _ in 0..200 {
            let n = 1 + rng.below(10);
            let drawn: Vec<SampledAnswer> = (0..n)
                .map(|_| {
                    let (text, meaning) = (rng.below(6), rng.below(4));
                    sample(&format!("text {text}"), &format!("option {meaning}"), rng.uniform(), 1 + text)
                })
                .collect();
            let shuffled: Vec<SampledAnswer> =
                rng.permutation(n).into_iter().map(|at| drawn[at].clone()).collect();
            let all = |samples: &[SampledAnswer]| {
                [
                    predictive_entropy(samples),
                    length_normalised_entropy(samples),
                    semantic_entropy(samples),
                    discrete_semantic_entropy(samples),
                ]
                .map(Option::unwrap)
            };
            let found = all(&drawn);
            assert_eq!(all(&shuffled).map(f64::to_bits), found.map(f64::to_bits), "{drawn:?}");
            assert!(found.iter().all(|value| *value >= 0.0), "{found:?}");
            let meanings = (n.min(4) as f64).ln() + 1e-12;
            assert!(found[2] <= meanings && found[3] <= meanings, "{found:?}");
        }
    }
}
