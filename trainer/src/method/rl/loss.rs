//! The loss of sampled answers: a clipped probability ratio, and a KL divergence that keeps the policy near the reference.

use burn::tensor::{Device, Tensor, TensorData};

use crate::data::{Rollout, Totals, TrainingBatch};
use crate::error::TrainError;
use crate::method::given::whole_answers;
use crate::method::rl::config::{AdvantageKind, RlConfig};
use crate::step::{AnswerNll, Metrics, Sums};

/// The clipped objective of PPO (Schulman et al. 2017, <https://arxiv.org/abs/1707.06347>) on the advantages of the batch's
/// rollout, with TRL's KL estimate `exp(d) - d - 1`, `d = log p_reference - log p` (Schulman 2020) per token.
///
/// The mean is over all answers of the step; what an answer's tokens count for is with [`AdvantageKind`].
///
/// # Errors
/// [`TrainError::Device`] if the log-probabilities cannot be read back.
pub fn rl_loss(
    config: &RlConfig,
    nll: &AnswerNll,
    batch: &TrainingBatch,
    totals: Totals,
) -> Result<(Tensor<1>, Sums), TrainError> {
    let rollout = &batch.rollout;
    let device = nll.tokens.device().inner();
    let log_probs = nll.tokens.clone().neg(); // [answer tokens]
    let answers = (totals.rows * config.group_size).max(1) as f64;
    let log_ratio = log_probs.clone() - constant(&rollout.old, &device);
    let weights = token_weights(config, batch, answers);
    let loss = if config.advantage == AdvantageKind::Rloo {
        let whole = whole_answers(log_ratio, batch, &device); // [answers]
        let gains: Vec<f32> = rollout.advantages.iter().map(|&gain| gain as f32).collect();
        surrogate(whole, &gains, config.epsilon, &device).sum().div_scalar(-answers)
    } else {
        let gains = per_token(&rollout.advantages, batch);
        (surrogate(log_ratio, &gains, config.epsilon, &device) * constant(&weights, &device)).sum().neg()
    };
    let read: Vec<f32> =
        log_probs.clone().inner().try_into_vec_as().map_err(TrainError::device("the log-probabilities"))?;
    let sums = measured(config, &read, batch);
    if config.beta == 0.0 || config.advantage == AdvantageKind::Rloo {
        return Ok((loss, sums));
    }
    let distance = constant(&rollout.reference, &device) - log_probs;
    let divergence = distance.clone().exp() - distance - 1.0;
    let penalty = (divergence * constant(&weights, &device)).sum().mul_scalar(config.beta);
    Ok((loss + penalty, sums))
}

/// `min(ratio * gain, clip(ratio) * gain)`, element by element.
fn surrogate(log_ratio: Tensor<1>, gains: &[f32], epsilon: f64, device: &Device) -> Tensor<1> {
    let (ratio, gains) = (log_ratio.exp(), constant(gains, device));
    (ratio.clone() * gains.clone()).min_pair(ratio.clamp(1.0 - epsilon, 1.0 + epsilon) * gains)
}

fn constant(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// A value of each answer, for each of its tokens.
fn per_token(values: &[f64], batch: &TrainingBatch) -> Vec<f32> {
    let of_answer = |(answer, &value): (&Vec<u32>, &f64)| vec![value as f32; answer.len()];
    batch.answers.iter().zip(values).flat_map(of_answer).collect()
}

/// What each token counts for, of `answers` in the step.
fn token_weights(config: &RlConfig, batch: &TrainingBatch, answers: f64) -> Vec<f32> {
    let weight = |answer: &Vec<u32>| match config.advantage {
        AdvantageKind::DrGrpo => 1.0 / (answers * config.max_new_tokens as f64),
        AdvantageKind::Grpo | AdvantageKind::Rloo => 1.0 / (answers * answer.len().max(1) as f64),
    };
    per_token(&batch.answers.iter().map(weight).collect::<Vec<f64>>(), batch)
}

/// Number of sums of a rollout; see [`Rollout::measured`].
const OF_ROLLOUT: usize = 8;

/// What the rollout measured, then: tokens, their KL estimates, their `-log p`, those (or answers) that were clipped, and
/// of how many.
fn measured(config: &RlConfig, log_probs: &[f32], batch: &TrainingBatch) -> Sums {
    let Rollout { advantages, old, reference, measured } = &batch.rollout;
    let mut sums = measured.clone();
    sums.resize(OF_ROLLOUT, 0.0);
    let (mut divergence, mut entropy, mut clipped, mut ratios, mut token) = (0.0, 0.0, 0, 0, 0);
    for (answer, gain) in batch.answers.iter().zip(advantages) {
        let mut of_answer = 0.0;
        for _ in answer {
            let log_prob = f64::from(log_probs[token]);
            let log_ratio = log_prob - f64::from(old[token]);
            if let Some(&reference) = reference.get(token) {
                let distance = f64::from(reference) - log_prob;
                divergence += distance.exp() - distance - 1.0;
            }
            entropy -= log_prob;
            of_answer += log_ratio;
            if config.advantage != AdvantageKind::Rloo {
                clipped += usize::from(is_clipped(log_ratio, *gain, config.epsilon));
                ratios += 1;
            }
            token += 1;
        }
        if config.advantage == AdvantageKind::Rloo {
            clipped += usize::from(is_clipped(of_answer, *gain, config.epsilon));
            ratios += 1;
        }
    }
    sums.extend([token as f64, divergence, entropy, clipped as f64, ratios as f64]);
    sums
}

/// Whether the clip takes the gradient away.
fn is_clipped(log_ratio: f64, gain: f64, epsilon: f64) -> bool {
    let ratio = log_ratio.exp();
    (ratio > 1.0 + epsilon && gain > 0.0) || (ratio < 1.0 - epsilon && gain < 0.0)
}

/// What TRL logs, and the shares of right answers and of refusals among the samples.
pub fn rl_metrics(config: &RlConfig, sums: &[f64]) -> Metrics {
    let [
        answers,
        groups,
        reward,
        std,
        equal,
        unfinished,
        right,
        refused,
        tokens,
        divergence,
        entropy,
        clipped,
        ratios,
    ] = std::array::from_fn(|place| sums.get(place).copied().unwrap_or(0.0));
    let share = |part: f64, whole: f64| part / whole.max(1.0);
    let mut metrics = vec![
        ("reward", share(reward, answers)),
        ("reward_std", share(std, groups)),
        ("frac_reward_zero_std", share(equal, groups)),
        ("right_rate", share(right, answers)),
        ("refused_rate", share(refused, answers)),
        ("completions/mean_length", share(tokens, answers)),
        ("completions/clipped_ratio", share(unfinished, answers)),
        ("entropy", share(entropy, tokens)),
        ("clip_ratio", share(clipped, ratios)),
    ];
    if config.beta > 0.0 {
        metrics.push(("kl", share(divergence, tokens)));
    }
    metrics
}
