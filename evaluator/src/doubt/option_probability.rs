//! Option probability: the model's probability of the option that it chose, among the options.

/// The softmax over the options' mean log-probabilities per token (nats), of the option `chosen`: above 0, at most 1.
/// `None` if no option was chosen or the options were not scored.
///
/// Unlike the log-probability itself, it compares the option with the others of the same question.
pub fn option_probability(mean_log_probs: &[f64], chosen: Option<usize>) -> Option<f64> {
    let of_chosen = *mean_log_probs.get(chosen?)?;
    let relative: f64 = mean_log_probs.iter().map(|log_prob| (log_prob - of_chosen).exp()).sum();
    Some(1.0 / relative)
}

#[cfg(test)]
mod tests {
    use idk_common::seed::Rng;

    use super::*;

    #[test]
    fn the_probabilities_of_the_options_are_those_computed_by_hand() {
        // exp: 0.5, 0.25, 0.05; their sum 0.8.
        let options = [0.5_f64, 0.25, 0.05].map(f64::ln);
        for (chosen, expected) in [(0, 0.625), (1, 0.3125), (2, 0.0625)] {
            let found = option_probability(&options, Some(chosen)).unwrap();
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(option_probability(&options, None), None);
        assert_eq!(option_probability(&[], Some(0)), None);
        assert_eq!(option_probability(&options, Some(3)), None);
    }

    #[test]
    fn they_sum_to_1_and_do_not_change_if_all_options_become_less_likely() {
        let mut rng = Rng::new(3);
        for _ in 0..100 {
            let options: Vec<f64> = (0..2 + rng.below(5)).map(|_| -30.0 * rng.uniform()).collect();
            let all = |options: &[f64]| -> Vec<f64> {
                (0..options.len()).map(|at| option_probability(options, Some(at)).unwrap()).collect()
            };
            let found = all(&options);
            assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{found:?}");
            let lower: Vec<f64> = options.iter().map(|value| value - 700.0).collect();
            assert!(all(&lower).iter().zip(&found).all(|(one, other)| (one - other).abs() < 1e-9));
        }
    }
}
