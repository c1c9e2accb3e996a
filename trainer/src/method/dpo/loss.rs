//! The loss of preference pairs, and what is logged about them, with TRL's formulas and names.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, relu};

use crate::method::dpo::config::{DpoConfig, DpoLoss};
use crate::step::Metrics;

/// Log-probabilities of the answers of some pairs, under the policy or under the reference.
#[derive(Debug, Clone)]
pub struct PairLogProbs {
    /// Of the chosen answers, `[pairs]`.
    pub chosen: Tensor<1>,
    /// Of the rejected answers, `[pairs]`.
    pub rejected: Tensor<1>,
}

/// The loss of every pair. With the margin
/// `h = (log p(chosen) - log p(rejected)) - (log p_ref(chosen) - log p_ref(rejected))`:
///
/// ```text
/// sigmoid   -(1 - s) log sigmoid(beta h) - s log sigmoid(-beta h)      s = label_smoothing
/// hinge     max(0, 1 - beta h)
/// ipo       (h - 1 / (2 beta))^2
/// ```
///
/// The log-probabilities are sums over the answer's tokens, for IPO means (see [`per_token`]).
///
/// # Shapes
/// - output: `[pairs]`
pub fn pair_losses(config: &DpoConfig, policy: &PairLogProbs, reference: &PairLogProbs) -> Tensor<1> {
    let margin = policy.chosen.clone() - policy.rejected.clone();
    let margin = margin - (reference.chosen.clone() - reference.rejected.clone());
    match config.loss {
        DpoLoss::Sigmoid => {
            let smoothing = config.label_smoothing;
            let scaled = margin.mul_scalar(config.beta);
            let losses = log_sigmoid(scaled.clone()).mul_scalar(smoothing - 1.0);
            if smoothing == 0.0 { losses } else { losses - log_sigmoid(scaled.neg()).mul_scalar(smoothing) }
        }
        DpoLoss::Hinge => relu(margin.mul_scalar(-config.beta).add_scalar(1.0)),
        DpoLoss::Ipo => {
            let distance = margin.sub_scalar(1.0 / (2.0 * config.beta));
            distance.clone() * distance
        }
    }
}

/// Whether log-probabilities are means over the answer's tokens and not sums: TRL does so for IPO, whose squared loss
/// would else grow with the length of the answers.
pub(crate) fn per_token(loss: DpoLoss) -> bool {
    loss == DpoLoss::Ipo
}

/// What TRL logs of a pair, to be added up over pairs: 1, the rewards of the chosen and of the rejected answer, whether
/// the chosen one is higher, and the policy's log-probabilities. `policy` and `reference` are log-probabilities of the
/// `[chosen, rejected]` answers; the reward of an answer is `beta (log p - log p_ref)`.
pub fn pair_sums(beta: f64, policy: [f64; 2], reference: [f64; 2]) -> [f64; 6] {
    let [chosen, rejected] = [0, 1].map(|side| beta * (policy[side] - reference[side]));
    let is_accurate = f64::from(u8::from(chosen > rejected));
    [1.0, chosen, rejected, is_accurate, policy[0], policy[1]]
}

/// Means under TRL's names, from [`pair_sums`] added up over pairs.
pub fn pair_metrics(sums: &[f64]) -> Metrics {
    let &[pairs, chosen, rejected, accurate, log_prob_chosen, log_prob_rejected, ..] = sums else {
        return Vec::new();
    };
    let mean = |sum: f64| sum / pairs.max(1.0);
    vec![
        ("rewards/chosen", mean(chosen)),
        ("rewards/rejected", mean(rejected)),
        ("rewards/accuracies", mean(accurate)),
        ("rewards/margins", mean(chosen - rejected)),
        ("logps/chosen", mean(log_prob_chosen)),
        ("logps/rejected", mean(log_prob_rejected)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    // Two pairs with margins (-1 + 3) - (-2 + 2.5) = 1.5 and (-4 + 1) - (-3 + 1) = -1.
    fn pairs() -> [PairLogProbs; 2] {
        let tensor = |values: [f32; 2]| Tensor::from_data(values, &Device::flex());
        [([-1.0, -4.0], [-3.0, -1.0]), ([-2.0, -3.0], [-2.5, -1.0])]
            .map(|(chosen, rejected)| PairLogProbs { chosen: tensor(chosen), rejected: tensor(rejected) })
    }

    fn losses(config: &DpoConfig) -> Vec<f64> {
        let [policy, reference] = pairs();
        let values: Vec<f32> = pair_losses(config, &policy, &reference).try_into_vec_as().unwrap();
        values.into_iter().map(f64::from).collect()
    }

    fn assert_close(found: &[f64], expected: [f64; 2]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn the_losses_are_the_hand_computed_ones() {
        let config =
            |loss, label_smoothing| DpoConfig { beta: 0.5, loss, label_smoothing, ..DpoConfig::default() };
        let minus_log_sigmoid = |x: f64| (1.0 + (-x).exp()).ln();
        let sigmoid = [0.75, -0.5].map(minus_log_sigmoid);
        assert_close(&losses(&config(DpoLoss::Sigmoid, 0.0)), sigmoid);
        let flipped = [-0.75, 0.5].map(minus_log_sigmoid);
        let smoothed = [0, 1].map(|pair| 0.9 * sigmoid[pair] + 0.1 * flipped[pair]);
        assert_close(&losses(&config(DpoLoss::Sigmoid, 0.1)), smoothed);
        assert_close(&losses(&config(DpoLoss::Hinge, 0.0)), [0.25, 1.5]);
        assert_close(&losses(&config(DpoLoss::Ipo, 0.0)), [0.25, 4.0]);
        let far = DpoConfig { beta: 4.0, loss: DpoLoss::Hinge, ..DpoConfig::default() };
        assert_close(&losses(&far), [0.0, 5.0]);
    }

    #[test]
    fn the_logged_means_are_the_hand_computed_ones() {
        let pairs = [([-1.0, -3.0], [-2.0, -2.5]), ([-4.0, -1.0], [-3.0, -1.0])];
        let mut sums = [0.0; 6];
        for (policy, reference) in pairs {
            for (sum, value) in sums.iter_mut().zip(pair_sums(0.5, policy, reference)) {
                *sum += value;
            }
        }
        let expected = [
            ("rewards/chosen", 0.0),
            ("rewards/rejected", -0.125),
            ("rewards/accuracies", 0.5),
            ("rewards/margins", 0.125),
            ("logps/chosen", -2.5),
            ("logps/rejected", -2.0),
        ];
        assert_eq!(pair_metrics(&sums), expected);
    }
}
