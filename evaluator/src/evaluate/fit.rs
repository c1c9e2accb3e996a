//! What the rules of an evaluation refuse by: thresholds fitted on val, known groups, a number of refusals.

use idk_questions::Verdict;

use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::answer::subject::Evaluation;
use crate::compare::measures::Measured;
use crate::compare::rules::{Rule, group_rule};
use crate::doubt::samples::SampledAnswers;
use crate::error::EvalError;
use crate::method::Method;

/// A set of questions with the base model's answers and samples.
#[derive(Clone, Copy)]
pub(super) struct BaseAnswers<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) answers: &'a [Answer],
    pub(super) samples: Option<&'a SampledAnswers>,
}

impl BaseAnswers<'_> {
    /// Measures the doubt of every answer.
    pub(super) fn measured(&self, method: Method) -> Measured {
        Measured::new(method, self.prepared, self.answers, self.samples)
    }
}

/// What a rule refuses by. `val`: what thresholds are fitted on; `like`: name and answers of the first method that runs a model.
pub(super) fn fit_rule(
    run: &Evaluation<'_>,
    method: Method,
    prepared: &Prepared,
    val: Option<BaseAnswers<'_>>,
    like: Option<(&str, &[Answer])>,
) -> Result<Rule, EvalError> {
    match (method, val) {
        (Method::Group, _) => Ok(group_rule(prepared, run.subject.known_share, run.config.group_known_share)),
        (method, Some(val)) if method.is_measure() => {
            Rule::fitted(&val.measured(method), val.answers, run.config.threshold_by)
        }
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
