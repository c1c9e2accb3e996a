//! What a method must beat on the questions that it answered: luck and simple rules that refuse as many of the base
//! model's answers, and rankings of these answers.

use std::collections::BTreeMap;

use idk_questions::metrics::{Counts, auroc, compare, group_refuser, threshold_refuser, within_group_auroc};
use idk_questions::{Judgement, Question, Verdict};
use serde::{Deserialize, Serialize};

use crate::answer::record::Answer;
use crate::compare::groups::sub_category_name;
use crate::error::EvalError;
use crate::method::Method;

/// What a simple rule gives when it refuses as many questions as the method did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleResult {
    /// Accuracy, in percent.
    pub acc: Option<f64>,
    /// Correct answers lost, in percent of all questions.
    pub dcon: Option<f64>,
    /// Wrong answers that went away, in percent of all questions.
    pub dhum: Option<f64>,
    /// `log10(dhum / dcon)`.
    pub rgi: Option<f64>,
    /// Why `rgi` is `null`.
    pub rgi_reason: Option<String>,
}

/// How well a score finds what the base model gets wrong: areas under the ROC curve, 0.5 = not at all. `within` compares
/// questions of one sub-category only, so that knowing which are hard is no help.
///
/// `refusal` is that of a yes or no, which depends on how much is refused; the others rank the questions. A yes or no of
/// the same ranking has a lower area, so the two kinds cannot be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Auroc {
    /// Yes or no: of refusing.
    pub refusal: Option<f64>,
    /// Yes or no: of refusing, within sub-categories.
    pub refusal_within: Option<f64>,
    /// Ranking of the method: its measure of doubt, or log P(refusal) - log P(likeliest option) of an adapter. `None` for
    /// prompts, `group` and `random`.
    pub ranking: Option<f64>,
    /// The same within sub-categories.
    pub ranking_within: Option<f64>,
    /// Ranking: the base model's lack of probability of its whole answer.
    pub one_pass: Option<f64>,
    /// The same within sub-categories.
    pub one_pass_within: Option<f64>,
    /// Ranking: the base model's lack of confidence in the option that it chose.
    pub doubt: Option<f64>,
    /// The same within sub-categories.
    pub doubt_within: Option<f64>,
}

/// What a method is compared with on some questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Yardsticks {
    /// Refuses the questions whose whole answer the base model finds least likely. `None` if a model made none of them.
    #[serde(default)]
    pub one_pass: Option<RuleResult>,
    /// Refuses the questions whose chosen option the base model finds least likely. `None` without options.
    pub threshold: Option<RuleResult>,
    /// Refuses the questions whose answer the fewest samples of the base model agree with. `None` if nothing was sampled.
    #[serde(default)]
    pub self_consistency: Option<RuleResult>,
    /// Refuses whole sub-categories, those that the base model knows least first. `None` if none of these
    /// sub-categories was labelled.
    pub group: Option<RuleResult>,
    /// For each other measure of doubt that was computed: refuses the questions that it finds most doubtful. Empty for methods
    /// that are rules themselves; not written then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measures: BTreeMap<Method, RuleResult>,
    /// Which questions are refused.
    pub auroc: Auroc,
}

/// What the simple rules refuse by, besides the base model's answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleInputs<'a> {
    /// That of [`known_shares`](crate::known_shares); none if no labelled set is at hand.
    pub known_share: Option<&'a BTreeMap<String, f64>>,
    /// For each measure of doubt that was computed, how sure the base model is of each question; higher is surer. None if
    /// none was.
    pub measures: Option<&'a BTreeMap<Method, Vec<f64>>>,
    /// The same by the measure of doubt that is compared; none for other methods.
    pub sureness: Option<&'a [f64]>,
}

/// One question with its answers.
#[derive(Clone, Copy)]
pub(crate) struct Answered<'a> {
    pub(crate) question: &'a Question,
    pub(crate) shown: &'a Question,
    pub(crate) before: &'a Answer,
    pub(crate) after: &'a Answer,
    /// What the method is ranked by; higher is more doubtful.
    pub(crate) ranking: Option<f64>,
    /// How sure a measure of doubt is.
    pub(crate) sureness: Option<f64>,
    /// Its place in the lists of [`RuleInputs`].
    pub(crate) place: usize,
}

/// The base model's answers as the rules see them.
struct RuleData {
    verdicts: Vec<Verdict>,
    ids: Vec<String>,
    groups: Vec<String>,
    /// Refused by the method in all.
    refusals: usize,
    /// Orders ties.
    seed: u64,
}

impl Yardsticks {
    /// What refusing by a measure of doubt gives. `None` if it was not computed.
    pub fn of_measure(&self, measure: Method) -> Option<&RuleResult> {
        match measure {
            Method::OnePass => self.one_pass.as_ref(),
            Method::Threshold => self.threshold.as_ref(),
            Method::SelfConsistency => self.self_consistency.as_ref(),
            other => self.measures.get(&other),
        }
    }

    /// The rules at the refusal rate that the method `who` has on these questions; `seed` orders ties.
    ///
    /// # Errors
    /// [`EvalError::Questions`] (never: all lists come from the same items).
    pub(crate) fn new(
        items: &[Answered<'_>],
        rules: &RuleInputs<'_>,
        who: Method,
        seed: u64,
    ) -> Result<Self, EvalError> {
        let after: Vec<Judgement> = items.iter().map(|item| item.after.judgement).collect();
        let data = RuleData {
            verdicts: items.iter().map(|item| item.before.judgement.verdict).collect(),
            ids: items.iter().map(|item| item.question.id.clone()).collect(),
            groups: items.iter().map(|item| sub_category_name(item.question)).collect(),
            refusals: Counts::of(&after).refused,
            seed,
        };
        let score = |score: fn(&Answer) -> f64| -> Option<Vec<f64>> {
            let scores: Vec<f64> = items.iter().map(|item| score(item.before)).collect();
            scores.iter().any(|value| value.is_finite()).then_some(scores)
        };
        let (whole, confidence) = (score(Answer::one_pass), score(Answer::confidence));
        let mut measures = BTreeMap::new();
        for (&measure, sureness) in rules.measures.into_iter().flatten() {
            let of_items: Option<Vec<f64>> = items.iter().map(|it| sureness.get(it.place).copied()).collect();
            if let Some(sureness) = of_items.filter(|list| list.iter().any(|value| value.is_finite())) {
                measures.insert(measure, data.least_sure(&sureness)?);
            }
        }
        let self_consistency = measures.remove(&Method::SelfConsistency);
        measures
            .retain(|measure, _| !who.is_rule() && !matches!(measure, Method::OnePass | Method::Threshold));
        let none = BTreeMap::new();
        let known_share = rules.known_share.unwrap_or(&none);
        let RuleData { verdicts, ids, groups, refusals, .. } = &data;
        let by_group = || data.rule(&group_refuser(verdicts, groups, ids, known_share, *refusals)?);
        let is_labelled = groups.iter().any(|group| known_share.contains_key(group));
        let refused = after.iter().map(|of| f64::from(u8::from(of.verdict == Verdict::Refused))).collect();
        let ranking: Option<Vec<f64>> = items.iter().map(|item| item.ranking).collect();
        // A measure without a single value ranks nothing.
        let ranking = ranking.filter(|ranking| ranking.iter().any(|value| value.is_finite()));
        let doubt = |sure: &Option<Vec<f64>>| {
            sure.as_ref().map(|sure| sure.iter().map(|value| -value).collect::<Vec<f64>>())
        };
        let [
            (refusal, refusal_within),
            (ranking, ranking_within),
            (one_pass, one_pass_within),
            (doubt, doubt_within),
        ] = [Some(refused), ranking, doubt(&whole), doubt(&confidence)].map(|scores| data.auroc(scores));
        Ok(Self {
            one_pass: whole.as_deref().map(|sure| data.least_sure(sure)).transpose()?,
            threshold: confidence.as_deref().map(|sure| data.least_sure(sure)).transpose()?,
            self_consistency,
            group: is_labelled.then(by_group).transpose()?,
            measures,
            auroc: Auroc {
                refusal,
                refusal_within,
                ranking,
                ranking_within,
                one_pass,
                one_pass_within,
                doubt,
                doubt_within,
            },
        })
    }
}

impl RuleData {
    /// Refuses as many as the method did, the least sure first.
    fn least_sure(&self, sureness: &[f64]) -> Result<RuleResult, EvalError> {
        let Self { verdicts, ids, refusals, seed, .. } = self;
        self.rule(&threshold_refuser(verdicts, sureness, ids, *refusals, *seed)?)
    }

    /// What becomes of the base model's answers.
    fn rule(&self, after: &[Verdict]) -> Result<RuleResult, EvalError> {
        let comparison = compare(&self.verdicts, after, None, 0, 0)?;
        Ok(RuleResult {
            acc: comparison.acc.after,
            dcon: comparison.dcon,
            dhum: comparison.dhum,
            rgi: comparison.rgi,
            rgi_reason: comparison.rgi_reason,
        })
    }

    /// The area of a score over all of them, and within sub-categories.
    fn auroc(&self, scores: Option<Vec<f64>>) -> (Option<f64>, Option<f64>) {
        let wrong: Vec<bool> = self.verdicts.iter().map(|&verdict| verdict == Verdict::Wrong).collect();
        let Some(scores) = scores else { return (None, None) };
        (auroc(&scores, &wrong), within_group_auroc(&scores, &wrong, &self.groups))
    }
}
