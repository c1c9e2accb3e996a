//! The `[rl]` section: rewards, groups of samples, advantages, and what training starts from.

use std::path::PathBuf;

use idk_common::identity::OnResume;
use idk_common::{Identity, Problem, Problems};
use serde::{Deserialize, Serialize};

/// Most samples of a question per step.
const MAX_GROUP_SIZE: usize = 256;

/// How the rewards of a group become advantages, and what the loss is a mean of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvantageKind {
    /// GRPO (Shao et al. 2024, <https://arxiv.org/abs/2402.03300>): less the group's mean, divided by its standard
    /// deviation; each answer's loss is the mean over its tokens.
    #[default]
    Grpo,
    /// Dr. GRPO (Liu et al. 2025, <https://arxiv.org/abs/2503.20783>): less the group's mean; each answer's loss is the sum
    /// over its tokens, divided by `max_new_tokens`.
    DrGrpo,
    /// REINFORCE leave-one-out (Ahmadian et al. 2024, <https://arxiv.org/abs/2402.14740>): less the mean of the group's
    /// other rewards; the ratio is that of whole answers, and the KL penalty is part of the reward.
    Rloo,
}

/// `[rl]`: read when `method` in `[train]` is "rl".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RlConfig {
    /// Without sampling: the expected reward over the question's options and the refusals, each with its probability among
    /// them. Default false.
    pub exact: bool,
    /// Reward of a right answer. Default 1.
    pub correct_reward: f64,
    /// Reward of a refusal. Default 0.
    pub refusal_reward: f64,
    /// Reward of a wrong answer. Default -1.
    pub wrong_reward: f64,
    /// Samples of each question per step, at temperature 1; TRL's `num_generations`. Default 8.
    pub group_size: usize,
    /// Longest sample, in tokens. Default 32.
    pub max_new_tokens: usize,
    /// How rewards become advantages: "grpo", "dr_grpo" or "rloo". Default "grpo".
    pub advantage: AdvantageKind,
    /// Updates with the samples of a step; TRL's `num_iterations`. Default 1.
    pub num_iterations: usize,
    /// How far the probability ratio to the policy that sampled may be from 1 before it has no gradient. Default 0.2.
    pub epsilon: f64,
    /// Factor of the KL divergence from the reference: the base model, or the adapter in `init`. Default 0.04.
    pub beta: f64,
    /// Folder of an adapter to start from, such as the `adapter` of an SFT run; it then is the reference, too. It must be
    /// of the shape that `[lora]` says. Default: a new adapter, with the base model as the reference.
    pub init: PathBuf,
}

impl Default for RlConfig {
    fn default() -> Self {
        Self {
            exact: false,
            correct_reward: 1.0,
            refusal_reward: 0.0,
            wrong_reward: -1.0,
            group_size: 8,
            max_new_tokens: 32,
            advantage: AdvantageKind::default(),
            num_iterations: 1,
            epsilon: 0.2,
            beta: 0.04,
            init: PathBuf::new(),
        }
    }
}

impl RlConfig {
    /// What another value of a key means for a run that resumes.
    pub const ON_RESUME: [(&'static str, OnResume); 11] = [
        ("rl.exact", OnResume::Never("the steps so far followed another loss")),
        ("rl.correct_reward", OnResume::Later),
        ("rl.refusal_reward", OnResume::Later),
        ("rl.wrong_reward", OnResume::Later),
        ("rl.group_size", OnResume::Later),
        ("rl.max_new_tokens", OnResume::Later),
        ("rl.advantage", OnResume::Never("the steps so far followed another loss")),
        ("rl.num_iterations", OnResume::Later),
        ("rl.epsilon", OnResume::Later),
        ("rl.beta", OnResume::Later),
        ("rl.init", OnResume::Never("the run started from it")),
    ];

    /// What is wrong with the values of `[rl]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("rl");
        let rewards = [self.wrong_reward, self.refusal_reward, self.correct_reward];
        let is_finite = rewards.iter().all(|reward| reward.is_finite());
        problems.require(
            is_finite && rewards.is_sorted(),
            "correct_reward",
            "must be at least `refusal_reward`, and that at least `wrong_reward`",
        );
        problems.require(
            is_finite && rewards[0] < rewards[2],
            "wrong_reward",
            "must be below `correct_reward`",
        );
        let is_group = (2..=MAX_GROUP_SIZE).contains(&self.group_size);
        problems.require(is_group, "group_size", format!("must be between 2 and {MAX_GROUP_SIZE}"));
        problems.require(self.max_new_tokens > 0, "max_new_tokens", "must be at least 1");
        problems.require(
            (1..=64).contains(&self.num_iterations),
            "num_iterations",
            "must be between 1 and 64",
        );
        problems.positive([("epsilon", self.epsilon)]);
        problems.not_negative([("beta", self.beta)]);
        problems.into_vec()
    }

    /// What a resumed run must agree on. The adapter in the folder of `init` is compared by its content, not here.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::default().with_section("rl", &Self { init: PathBuf::new(), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bad_values_are_reported_at_once_and_the_defaults_are_good() {
        assert_eq!(RlConfig::default().problems(), Vec::new());
        let config = RlConfig {
            refusal_reward: 2.0,
            wrong_reward: 1.0,
            group_size: 1,
            max_new_tokens: 0,
            num_iterations: 0,
            epsilon: 0.0,
            beta: f64::NAN,
            ..RlConfig::default()
        };
        let keys: Vec<_> = config.problems().into_iter().map(|problem| problem.key).collect();
        let expected = [
            "correct_reward",
            "wrong_reward",
            "group_size",
            "max_new_tokens",
            "num_iterations",
            "epsilon",
            "beta",
        ];
        assert_eq!(keys, expected.map(|key| format!("rl.{key}")));
        assert!(serde_json::from_str::<RlConfig>(r#"{"advantage": "ppo"}"#).is_err());
    }
}
