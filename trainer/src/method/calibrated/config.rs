//! The `[calibrated]` section: the weights of the loss's three terms.

use idk_common::identity::OnResume;
use idk_common::{Identity, Problem, Problems};
use serde::{Deserialize, Serialize};

/// `[calibrated]`: read when `method` in `[train]` is "calibrated".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CalibratedConfig {
    /// Weight of refusing where the model is wrong, against answering where it is right: sets the refusal rate. With 1
    /// the refusal's probability becomes the probability of being wrong, and greedy answers refuse whenever that is above
    /// the answer's own; less refuses less. Default 0.2.
    pub refusal_weight: f64,
    /// Weight of keeping the model's own answer, given that it does not refuse. Default 0.5.
    pub own_weight: f64,
    /// Weight of the rest of the refusal's text after its first token. Not read with `listwise`. Default 0.3.
    pub phrase_weight: f64,
    /// Over the options and the refusals, for guided answers: the probability of refusing is trained towards whether the
    /// option that the base model finds likeliest is wrong, and the options are kept as the base model ranks them. Needs no
    /// samples; open questions and those of `keep_tasks` are left out. Default false.
    pub listwise: bool,
}

impl Default for CalibratedConfig {
    fn default() -> Self {
        Self { refusal_weight: 0.2, own_weight: 0.5, phrase_weight: 0.3, listwise: false }
    }
}

impl CalibratedConfig {
    /// What another value of a key means for a run that resumes.
    pub const ON_RESUME: [(&'static str, OnResume); 4] = [
        ("calibrated.refusal_weight", OnResume::Later),
        ("calibrated.own_weight", OnResume::Later),
        ("calibrated.phrase_weight", OnResume::Later),
        ("calibrated.listwise", OnResume::Never("the steps so far followed another loss")),
    ];

    /// What is wrong with the values of `[calibrated]`, all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("calibrated");
        problems.not_negative([
            ("refusal_weight", self.refusal_weight),
            ("own_weight", self.own_weight),
            ("phrase_weight", self.phrase_weight),
        ]);
        problems.into_vec()
    }

    /// What a resumed run must agree on.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::default().with_section("calibrated", self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bad_values_are_reported_at_once_and_the_defaults_are_good() {
        assert_eq!(CalibratedConfig::default().problems(), Vec::new());
        let config = CalibratedConfig {
            refusal_weight: -0.1,
            own_weight: f64::NAN,
            phrase_weight: 0.0,
            ..CalibratedConfig::default()
        };
        let keys: Vec<_> = config.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["calibrated.refusal_weight", "calibrated.own_weight"]);
        assert!(serde_json::from_str::<CalibratedConfig>(r#"{"weight": 1}"#).is_err());
    }
}
