//! The loss of preference pairs, and what is logged about them, with TRL's formulas and names.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, relu};

use crate::dpo_config::{DpoConfig, DpoLoss};

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
pub fn per_token(loss: DpoLoss) -> bool {
    loss == DpoLoss::Ipo
}

/// Sums over pairs of what TRL logs; add up micro-batches, then [`PairSums::metrics`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairSums {
    pairs: usize,
    reward_chosen: f64,
    reward_rejected: f64,
    accurate: usize,
    log_prob_chosen: f64,
    log_prob_rejected: f64,
}

impl PairSums {
    /// Adds a pair: the log-probabilities of its `[chosen, rejected]` answers under the policy and the reference. The
    /// reward of an answer is `beta (log p - log p_ref)`.
    pub fn add(&mut self, beta: f64, policy: [f64; 2], reference: [f64; 2]) {
        let [chosen, rejected] = [0, 1].map(|side| beta * (policy[side] - reference[side]));
        self.pairs += 1;
        self.reward_chosen += chosen;
        self.reward_rejected += rejected;
        self.accurate += usize::from(chosen > rejected);
        self.log_prob_chosen += policy[0];
        self.log_prob_rejected += policy[1];
    }

    /// Adds the pairs of another micro-batch.
    pub fn join(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.reward_chosen += other.reward_chosen;
        self.reward_rejected += other.reward_rejected;
        self.accurate += other.accurate;
        self.log_prob_chosen += other.log_prob_chosen;
        self.log_prob_rejected += other.log_prob_rejected;
    }

    /// Means over the pairs under TRL's names.
    pub fn metrics(&self) -> Vec<(&'static str, f64)> {
        let mean = |sum: f64| sum / self.pairs.max(1) as f64;
        vec![
            ("rewards/chosen", mean(self.reward_chosen)),
            ("rewards/rejected", mean(self.reward_rejected)),
            ("rewards/accuracies", mean(self.accurate as f64)),
            ("rewards/margins", mean(self.reward_chosen - self.reward_rejected)),
            ("logps/chosen", mean(self.log_prob_chosen)),
            ("logps/rejected", mean(self.log_prob_rejected)),
        ]
    }
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
    fn the_logged_means_are_the_hand_computed_ones_however_the_pairs_are_split() {
        let pairs = [([-1.0, -3.0], [-2.0, -2.5]), ([-4.0, -1.0], [-3.0, -1.0])];
        let mut together = PairSums::default();
        let mut joined = PairSums::default();
        for (policy, reference) in pairs {
            together.add(0.5, policy, reference);
            let mut one = PairSums::default();
            one.add(0.5, policy, reference);
            joined.join(&one);
        }
        let expected = [
            ("rewards/chosen", 0.0),
            ("rewards/rejected", -0.125),
            ("rewards/accuracies", 0.5),
            ("rewards/margins", 0.125),
            ("logps/chosen", -2.5),
            ("logps/rejected", -2.0),
        ];
        assert_eq!(together.metrics(), expected);
        assert_eq!(joined, together);
    }
}
