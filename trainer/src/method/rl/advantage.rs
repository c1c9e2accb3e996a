//! From the rewards of a group of samples to their advantages.

use crate::method::rl::config::AdvantageKind;

/// Added to a standard deviation before it divides, as in TRL.
const EPSILON: f64 = 1e-4;

/// The advantage of every sample of one question.
pub fn advantages(kind: AdvantageKind, rewards: &[f64]) -> Vec<f64> {
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count.max(1.0);
    let factor = match kind {
        AdvantageKind::Grpo => 1.0 / (std(rewards) + EPSILON),
        AdvantageKind::DrGrpo => 1.0,
        // r_i - (sum - r_i) / (n - 1) = (r_i - mean) n / (n - 1)
        AdvantageKind::Rloo => count / (count - 1.0).max(1.0),
    };
    rewards.iter().map(|reward| (reward - mean) * factor).collect()
}

/// The standard deviation of a group's rewards, with n - 1 as `torch.std`; 0 for a single one.
pub(crate) fn std(rewards: &[f64]) -> f64 {
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
    (squares / (count - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn advantages_are_those_of_a_hand_computation() {
        let rewards = [1.0, 0.0, -1.0, 1.0];
        // mean 1/4; squares .5625 + .0625 + 1.5625 + .5625 = 2.75; std = sqrt(2.75 / 3)
        let std = (2.75_f64 / 3.0).sqrt() + 1e-4;
        close(&advantages(AdvantageKind::Grpo, &rewards), &[0.75, -0.25, -1.25, 0.75].map(|gain| gain / std));
        close(&advantages(AdvantageKind::DrGrpo, &rewards), &[0.75, -0.25, -1.25, 0.75]);
        // 1 - (0 - 1 + 1) / 3, 0 - (1 - 1 + 1) / 3, ...
        close(&advantages(AdvantageKind::Rloo, &rewards), &[1.0, -1.0 / 3.0, -5.0 / 3.0, 1.0]);
    }

    #[test]
    fn a_group_of_equal_rewards_teaches_nothing() {
        for kind in [AdvantageKind::Grpo, AdvantageKind::DrGrpo, AdvantageKind::Rloo] {
            close(&advantages(kind, &[-1.0; 5]), &[0.0; 5]);
        }
    }
}
