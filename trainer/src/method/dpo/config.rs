//! The `[dpo]` section: the loss, its strength, and what training starts from.

use std::path::PathBuf;

use idk_common::identity::OnResume;
use idk_common::{Identity, Problem, Problems};
use serde::{Deserialize, Serialize};

/// The loss of a preference pair; the formulas are with [`pair_losses`](crate::testing::pair_losses).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DpoLoss {
    /// DPO (Rafailov et al. 2023, <https://arxiv.org/abs/2305.18290>).
    #[default]
    Sigmoid,
    /// IPO (Azar et al. 2023, <https://arxiv.org/abs/2310.12036>), on log-probabilities per token as in TRL.
    Ipo,
    /// The hinge loss of SLiC (Zhao et al. 2023, <https://arxiv.org/abs/2305.10425>) on DPO's reward margin.
    Hinge,
}

/// `[dpo]`: read when `method` in `[train]` is "dpo".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DpoConfig {
    /// How closely the policy is held to the reference model: the factor of the reward, and IPO's tau. Default 0.1.
    pub beta: f64,
    /// The loss of a pair: "sigmoid", "ipo" or "hinge". Default "sigmoid".
    pub loss: DpoLoss,
    /// Share of the pairs that are taken to be the wrong way round, 0 to below 0.5 (conservative DPO); for "sigmoid"
    /// alone. Default 0.
    pub label_smoothing: f64,
    /// Weight of the SFT loss (mean `-log p` of the chosen answers' tokens) that is added, TRL's `rpo_alpha`. Default 0.
    pub sft_weight: f64,
    /// Folder of an adapter to start from, such as the `adapter` of an SFT run; it then is the reference, too. It must be
    /// of the shape that `[lora]` says. Default: a new adapter, with the base model as the reference.
    pub init: PathBuf,
}

impl Default for DpoConfig {
    fn default() -> Self {
        Self {
            beta: 0.1,
            loss: DpoLoss::default(),
            label_smoothing: 0.0,
            sft_weight: 0.0,
            init: PathBuf::new(),
        }
    }
}

impl DpoConfig {
    /// What another value of a key means for a run that resumes.
    pub const ON_RESUME: [(&'static str, OnResume); 5] = [
        ("dpo.beta", OnResume::Later),
        ("dpo.loss", OnResume::Never("the steps so far followed another loss")),
        ("dpo.label_smoothing", OnResume::Never("the steps so far followed another loss")),
        ("dpo.sft_weight", OnResume::Later),
        ("dpo.init", OnResume::Never("the run started from it")),
    ];

    /// What is wrong with the values of `[dpo]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("dpo");
        problems.positive([("beta", self.beta)]);
        let smooth = (0.0..0.5).contains(&self.label_smoothing);
        problems.require(smooth, "label_smoothing", "must be at least 0 and below 0.5");
        let used = self.label_smoothing == 0.0 || self.loss == DpoLoss::Sigmoid;
        problems.require(used, "label_smoothing", "is for the loss \"sigmoid\" alone");
        problems.not_negative([("sft_weight", self.sft_weight)]);
        problems.into_vec()
    }

    /// What a resumed run must agree on. The adapter in the folder of `init` is compared by its content, not here.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::default().with_section("dpo", &Self { init: PathBuf::new(), ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::MethodConfig;

    #[test]
    fn all_bad_values_are_reported_at_once_and_the_defaults_are_good() {
        assert_eq!(DpoConfig::default().problems(), Vec::new());
        let config = DpoConfig {
            beta: 0.0,
            loss: DpoLoss::Hinge,
            label_smoothing: 0.2,
            sft_weight: f64::INFINITY,
            ..DpoConfig::default()
        };
        let keys: Vec<_> = config.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["dpo.beta", "dpo.label_smoothing", "dpo.sft_weight"]);
        let message = MethodConfig::Dpo(&config).validate().unwrap_err().to_string();
        assert!(message.contains("[dpo]") && message.contains("`beta`"), "{message}");
        assert!(serde_json::from_str::<DpoConfig>(r#"{"loss": "kto"}"#).is_err());
    }
}
