//! How the next token is chosen from its logits, as `transformers` does it: repetition penalty, then temperature,
//! then top-k, then top-p; on the host in a fixed order, so that the same seed gives the same token everywhere.
use idk_common::Problems;
use idk_common::problem::joined;
use idk_common::seed::Rng;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// How answers are produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Logits are divided by it; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only the `top_k` likeliest tokens stay (and those that tie with the last of them); 0 keeps all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability stay; 1 keeps all.
    pub top_p: f64,
    /// Divides the positive and multiplies the negative logits of every id seen before, those of the prompt included
    /// (Keskar et al. 2019, <https://arxiv.org/abs/1909.05858>); 1 changes nothing.
    pub repetition_penalty: f64,
    /// Most tokens of an answer, its end token included.
    pub max_new_tokens: usize,
}

impl Default for SamplingConfig {
    /// Greedy, 32 tokens.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, max_new_tokens: 32 }
    }
}

impl SamplingConfig {
    /// Whether the likeliest token is always taken.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }

    /// Notes the keys whose values are out of range.
    pub fn check(&self, problems: &mut Problems) {
        problems.not_negative([("temperature", self.temperature)]);
        problems.require(self.top_p > 0.0 && self.top_p <= 1.0, "top_p", "must be above 0 and at most 1");
        problems.positive([("repetition_penalty", self.repetition_penalty)]);
        problems.at_least_one([("max_new_tokens", self.max_new_tokens)]);
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ModelError::Input`] names every key that is out of range and what it may be.
    pub fn validate(&self) -> Result<(), ModelError> {
        let mut problems = Problems::of_section("");
        self.check(&mut problems);
        match problems.into_vec() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ModelError::Input { what: joined(&problems) }),
        }
    }
}

/// The next token's id: the likeliest after the repetition penalty if greedy (the lowest id on ties), else drawn from
/// [`probs`] with one number of `rng`.
///
/// # Shapes
/// `logits` `[vocab]`; `seen`: the ids so far in any order, prompt, audio and padding ids included.
///
/// # Errors
/// [`ModelError::Compute`] if a logit is NaN or infinite, or there is none.
pub fn next_token(
    logits: &[f32],
    seen: &[u32],
    config: &SamplingConfig,
    rng: &mut Rng,
) -> Result<u32, ModelError> {
    if let Some(index) = logits.iter().position(|logit| !logit.is_finite()) {
        return Err(ModelError::Compute { what: format!("the logit of token {index} is {}", logits[index]) });
    }
    if logits.is_empty() {
        return Err(ModelError::Compute { what: "there are no logits".to_owned() });
    }
    if config.is_greedy() {
        return Ok(argmax(&penalized(logits, seen, config.repetition_penalty)));
    }
    let probs = probs(logits, seen, config);
    let total: f64 = probs.iter().map(|&prob| f64::from(prob)).sum();
    let mut left = rng.uniform() * total;
    let mut last = argmax(&probs);
    for (id, &prob) in probs.iter().enumerate().filter(|&(_, &prob)| prob > 0.0) {
        last = id as u32;
        left -= f64::from(prob);
        if left < 0.0 {
            break;
        }
    }
    Ok(last)
}

/// The distribution from which the next token is drawn (one token has all of it if greedy).
///
/// # Shapes
/// `logits` `[vocab]` -> `[vocab]`, summing to 1.
#[must_use]
pub fn probs(logits: &[f32], seen: &[u32], config: &SamplingConfig) -> Vec<f32> {
    let mut scores = penalized(logits, seen, config.repetition_penalty);
    if config.is_greedy() {
        let best = argmax(&scores) as usize;
        return (0..scores.len()).map(|id| if id == best { 1.0 } else { 0.0 }).collect();
    }
    let temperature = config.temperature as f32;
    scores.iter_mut().for_each(|score| *score /= temperature);
    keep_top_k(&mut scores, config.top_k);
    keep_top_p(&mut scores, config.top_p);
    softmax(&scores).into_iter().map(|prob| prob as f32).collect()
}

/// Logits after the repetition penalty: each id in `seen` once, however often it was seen; ids beyond the vocabulary
/// are ignored.
///
/// # Shapes
/// `[vocab]` -> `[vocab]`.
#[must_use]
pub fn penalized(logits: &[f32], seen: &[u32], penalty: f64) -> Vec<f32> {
    let mut scores = logits.to_vec();
    if penalty != 1.0 {
        let penalty = penalty as f32;
        for &id in seen {
            // From the untouched logits, so that a second visit changes nothing.
            if let (Some(score), Some(&logit)) = (scores.get_mut(id as usize), logits.get(id as usize)) {
                *score = if logit < 0.0 { logit * penalty } else { logit / penalty };
            }
        }
    }
    scores
}

fn keep_top_k(scores: &mut [f32], top_k: usize) {
    if top_k == 0 || top_k >= scores.len() {
        return;
    }
    let mut sorted = scores.to_vec();
    let (_, &mut kth, _) = sorted.select_nth_unstable_by(top_k - 1, |a, b| b.total_cmp(a));
    for score in scores.iter_mut().filter(|score| **score < kth) {
        *score = f32::NEG_INFINITY;
    }
}

/// Drops the unlikeliest tokens whose probabilities together stay within `1 - top_p`, but never the likeliest; of
/// equal ones the lower id goes first (as a stable ascending sort has it).
fn keep_top_p(scores: &mut [f32], top_p: f64) {
    if top_p >= 1.0 {
        return;
    }
    let probs = softmax(scores);
    let mut ascending: Vec<usize> = (0..scores.len()).collect();
    ascending.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    ascending.pop();
    let mut cumulative = 0.0;
    for id in ascending {
        cumulative += probs[id];
        if cumulative > 1.0 - top_p {
            break;
        }
        scores[id] = f32::NEG_INFINITY;
    }
}

/// Index of the greatest value, the lowest on ties; 0 if there is none.
///
/// # Shapes
/// `[vocab]` -> id.
#[must_use]
pub fn argmax(values: &[f32]) -> u32 {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best as u32
}

/// Log-probabilities of logits, summed in f64.
///
/// # Shapes
/// `[vocab]` -> `[vocab]`.
#[must_use]
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let norm = log_sum_exp(logits);
    logits.iter().map(|&logit| f64::from(logit) - norm).collect()
}

/// `ln sum exp(logits)`, so that `logits[id] - log_sum_exp(logits)` is one token's log-probability.
///
/// # Shapes
/// `[vocab]` -> scalar.
#[must_use]
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum::<f64>().ln()
}

fn softmax(scores: &[f32]) -> Vec<f64> {
    let max = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let mut probs: Vec<f64> = scores.iter().map(|&score| (f64::from(score) - max).exp()).collect();
    let total: f64 = probs.iter().sum();
    probs.iter_mut().for_each(|prob| *prob /= total);
    probs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(temperature: f64, top_k: usize, top_p: f64, repetition_penalty: f64) -> SamplingConfig {
        SamplingConfig { temperature, top_k, top_p, repetition_penalty, max_new_tokens: 1 }
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn the_penalty_hits_every_seen_id_once_by_sign() {
        close(&penalized(&[2.0, -2.0, 1.0], &[0, 1, 1, 0, 99], 1.25), &[1.6, -2.5, 1.0]);
    }

    #[test]
    fn the_distribution_is_what_a_hand_computation_gives() {
        // Probabilities .1 .2 .3 .4; top-p .65 drops .1 and .2 (together .3 <= .35) and keeps .3 and .4.
        let logits: Vec<f32> = [0.1_f32, 0.2, 0.3, 0.4].iter().map(|prob| prob.ln()).collect();
        close(&probs(&logits, &[], &config(1.0, 0, 1.0, 1.0)), &[0.1, 0.2, 0.3, 0.4]);
        close(&probs(&logits, &[], &config(1.0, 0, 0.65, 1.0)), &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
        close(&probs(&logits, &[], &config(1.0, 3, 1.0, 1.0)), &[0.0, 2.0 / 9.0, 3.0 / 9.0, 4.0 / 9.0]);
        // Temperature 1/2 squares the probabilities before they are normalised.
        close(
            &probs(&logits, &[], &config(0.5, 0, 1.0, 1.0)),
            &[1.0 / 30.0, 4.0 / 30.0, 9.0 / 30.0, 16.0 / 30.0],
        );
        // The top-p cut sees the distribution that top-k left: .2/.9 <= .3 goes, .5/.9 would not.
        close(&probs(&logits, &[], &config(1.0, 3, 0.7, 1.0)), &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
    }

    #[test]
    fn ties_go_as_in_transformers() {
        let equal = [1.0_f32; 4];
        close(&probs(&equal, &[], &config(1.0, 1, 1.0, 1.0)), &[0.25; 4]);
        close(&probs(&equal, &[], &config(1.0, 0, 0.5, 1.0)), &[0.0, 0.0, 0.5, 0.5]);
        close(&probs(&equal, &[], &config(1.0, 0, 1e-9, 1.0)), &[0.0, 0.0, 0.0, 1.0]);
        assert_eq!(argmax(&[0.0, 3.0, 3.0]), 1);
    }

    #[test]
    fn draws_follow_the_distribution_and_the_seed() {
        let logits: Vec<f32> = [0.1_f32, 0.2, 0.3, 0.4].iter().map(|prob| prob.ln()).collect();
        let config = config(1.0, 0, 1.0, 1.0);
        let draw = |seed| -> Vec<u32> {
            let mut rng = Rng::new(seed);
            (0..20_000).map(|_| next_token(&logits, &[], &config, &mut rng).unwrap()).collect()
        };
        let drawn = draw(1);
        for (id, prob) in [(0, 0.1), (1, 0.2), (2, 0.3), (3, 0.4)] {
            let share = drawn.iter().filter(|&&token| token == id).count() as f64 / drawn.len() as f64;
            assert!((share - prob).abs() < 0.015, "token {id}: {share}");
        }
        assert_eq!(drawn, draw(1));
        assert_ne!(drawn, draw(2));
    }

    #[test]
    fn greedy_takes_the_likeliest_after_the_penalty() {
        let greedy = |seen: &[u32], penalty| {
            next_token(&[1.0, 2.0, 1.5], seen, &config(0.0, 0, 1.0, penalty), &mut Rng::new(0)).unwrap()
        };
        assert_eq!(greedy(&[], 1.5), 1);
        assert_eq!(greedy(&[1], 1.5), 2);
        assert_eq!(greedy(&[1], 1.0), 1);
    }

    #[test]
    fn broken_logits_are_an_error_and_broken_settings_are_named() {
        for bad in [f32::NAN, f32::INFINITY] {
            let error =
                next_token(&[0.0, bad], &[], &SamplingConfig::default(), &mut Rng::new(0)).unwrap_err();
            assert!(error.to_string().contains("token 1"), "{error}");
        }
        assert!(config(1.0, 0, 1.0, 1.0).validate().is_ok());
        for (config, key) in [
            (config(-1.0, 0, 1.0, 1.0), "temperature"),
            (config(f64::NAN, 0, 1.0, 1.0), "temperature"),
            (config(1.0, 0, 0.0, 1.0), "top_p"),
            (config(1.0, 0, 1.5, 1.0), "top_p"),
            (config(1.0, 0, 1.0, 0.0), "repetition_penalty"),
        ] {
            assert!(config.validate().unwrap_err().to_string().contains(key));
        }
    }

    #[test]
    fn log_probabilities_hold_for_large_logits() {
        let log_probs = log_softmax(&[1000.0, 1000.0 + 3.0_f32.ln()]);
        assert!((log_probs[0] - 0.25_f64.ln()).abs() < 1e-4 && (log_probs[1] - 0.75_f64.ln()).abs() < 1e-4);
    }
}
