//! What the rules of an evaluation refuse by: thresholds fitted on val, known groups, a number of refusals.

use std::collections::BTreeMap;

use idk_questions::Verdict;

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::answer::subject::Evaluation;
use crate::compare::measures::self_consistencies;
use crate::compare::rules::{Rule, fit_on_val, fit_one_pass, fit_self_consistency, group_rule};
use crate::error::EvalError;
use crate::method::Method;

/// What a rule refuses by. `like`: name and answers of the first method that runs a model.
pub(super) fn fit_rule(
    run: &Evaluation<'_>,
    method: Method,
    prepared: &Prepared,
    like: Option<(&str, &[Answer])>,
) -> Result<Rule, EvalError> {
    match (method, run.subject.val) {
        (Method::Threshold, Some(val)) => {
            fit_on_val(&run.answers(&Method::Base.into(), val)?, run.config.threshold_by)
        }
        (Method::OnePass, Some(val)) => {
            fit_one_pass(&run.answers(&Method::Base.into(), val)?, run.config.threshold_by)
        }
        (Method::SelfConsistency, Some(val)) => {
            let base = run.answers(&Method::Base.into(), val)?;
            let none = BTreeMap::new();
            let samples = run.subject.samples.map_or(&none, |samples| &samples.val);
            fit_self_consistency(&base, &self_consistencies(val, &base, samples), run.config.threshold_by)
        }
        (Method::Group, _) => Ok(group_rule(prepared, run.subject.known_share, run.config.group_known_share)),
        _ => {
            let refused = |answers: &[Answer]| {
                answers.iter().filter(|answer| answer.judgement.verdict == Verdict::Refused).count()
            };
            let (refusals, like) = match (run.config.random_rate, like) {
                (Some(rate), _) => ((rate * prepared.questions.len() as f64).round() as usize, None),
                (None, Some((name, answers))) => (refused(answers), Some(name.to_owned())),
                (None, None) => (0, None),
            };
            Ok(Rule::Random { refusals, like })
        }
    }
}
