//! What the rules of an evaluation refuse by: thresholds fitted on val, known groups, a number of refusals.

use idk_questions::Verdict;

use crate::answer::ask::own_answer::{OwnAnswer, OwnAnswers};
use crate::answer::prepare::Prepared;
use crate::answer::record::Answer;
use crate::answer::subject::{Evaluation, LabelledQuestions};
use crate::compare::measures::Measured;
use crate::compare::rules::{Rule, group_rule};
use crate::doubt::logistic::LogisticRegression;
use crate::doubt::samples::SampledAnswers;
use crate::error::EvalError;
use crate::method::Method;

/// A set of questions with the base model's answers and samples.
#[derive(Clone, Copy)]
pub(super) struct BaseAnswers<'a> {
    pub(super) prepared: &'a Prepared,
    pub(super) answers: &'a [Answer],
    pub(super) samples: Option<&'a SampledAnswers>,
    /// The fitted probe, for the method of that name.
    pub(super) probe: Option<&'a LogisticRegression>,
}

impl BaseAnswers<'_> {
    /// Measures the doubt of every answer.
    ///
    /// # Errors
    /// As [`Evaluation::about_answers`].
    pub(super) fn measured(&self, run: &Evaluation<'_>, method: Method) -> Result<Measured, EvalError> {
        if let (Method::Probe, Some(probe)) = (method, self.probe) {
            let states = run.states("the questions", self.prepared)?;
            let values = states.iter().map(|row| Some(probe.probability(row))).collect();
            return Ok(Measured { method, values, replies: None });
        }
        if !method.asks_about_answer() {
            return Ok(Measured::new(method, self.prepared, self.answers, self.samples));
        }
        let own_answer = |answer: &Answer| {
            let samples = self.samples.filter(|_| method.needs_samples());
            let samples = samples.and_then(|samples| samples.get(&answer.id));
            let samples = samples.into_iter().flatten().map(|sample| sample.text.clone()).collect();
            (answer.id.clone(), OwnAnswer { answer: answer.text.clone(), samples })
        };
        let own_answers: OwnAnswers = self.answers.iter().map(own_answer).collect();
        let replies = run.about_answers(method, self.prepared, &own_answers)?;
        Ok(Measured::of_replies(method, &replies))
    }
}

/// Fits the probe: from the hidden states at the end of a prompt to the share of samples that are wrong.
///
/// # Errors
/// As [`Evaluation::states`].
pub(super) fn fit_probe(
    run: &Evaluation<'_>,
    labelled: &LabelledQuestions,
) -> Result<LogisticRegression, EvalError> {
    let states = run.states("the IDK split", &labelled.prepared)?;
    Ok(LogisticRegression::fit(&states, &labelled.wrong_share, run.config.probe.l2))
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
            Rule::fitted(&val.measured(run, method)?, val.answers, run.config.threshold_by)
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
