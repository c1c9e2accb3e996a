//! Questions without a right answer, all replies to a test set taken together: who refuses what ought to be refused?

use std::collections::BTreeMap;

use idk_questions::metrics::{Abstention, Clusters, Comparison, Proportion, compare, refusals_as_right};
use idk_questions::score::clusters;
use idk_questions::{Judgement, Question, QuestionError, Verdict};
use serde::{Deserialize, Serialize};

use crate::compare::companions::is_conditional;

/// Everything about the questions of a set that have no right answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AbstentionResults {
    /// How many there are.
    pub n: usize,
    /// How many of each kind; the name is empty where the set names none.
    pub kinds: BTreeMap<String, usize>,
    /// The base model, then every method.
    pub replies: Vec<AbstentionResult>,
}

/// The replies of the base model or of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AbstentionResult {
    /// `base`, a method or an adapter.
    pub name: String,
    /// The metrics.
    #[serde(flatten)]
    pub metrics: Abstention,
    /// The share of each kind that is refused.
    pub kinds: BTreeMap<String, Proportion>,
    /// Conditional accuracy of AQUA-Bench (arXiv 2601.12248): refused, of the questions about a clip whose questions with a
    /// right answer are all answered correctly.
    #[serde(default)]
    pub conditional: Proportion,
    /// The same for each kind.
    #[serde(default)]
    pub conditional_kinds: BTreeMap<String, Proportion>,
    /// Compared with the base model over all questions, where a refusal is a right answer if there is none. `None` for the
    /// base model.
    pub all: Option<Comparison>,
}

/// Measures `replies`, of which the first are those of the base model, all in the order of `questions`. `None` if every
/// question has a right answer.
///
/// # Errors
/// As [`abstention_by_kind`].
pub(crate) fn abstention_results(
    questions: &[Question],
    replies: &[(&str, Vec<Judgement>)],
    seed: u64,
    draws: usize,
) -> Result<Option<AbstentionResults>, QuestionError> {
    let kinds: Vec<Option<&str>> =
        questions.iter().map(|question| question.unanswerable.as_deref()).collect();
    abstention_by_kind(&kinds, &clusters(questions), replies, seed, draws)
}

/// The same for questions of which only the kind (`None` with a right answer) and the clusters are known.
///
/// # Errors
/// [`QuestionError::LengthMismatch`] for replies that are not as many as the questions.
pub(crate) fn abstention_by_kind(
    kind_of: &[Option<&str>],
    clusters: &Clusters,
    replies: &[(&str, Vec<Judgement>)],
    seed: u64,
    draws: usize,
) -> Result<Option<AbstentionResults>, QuestionError> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for kind in kind_of.iter().flatten() {
        match kinds.get_mut(*kind) {
            Some(count) => *count += 1,
            None => drop(kinds.insert((*kind).to_owned(), 1)),
        }
    }
    if kinds.is_empty() {
        return Ok(None);
    }
    let is_answerable: Vec<bool> = kind_of.iter().map(Option::is_none).collect();
    let as_right = |judgements: &[Judgement]| refusals_as_right(&is_answerable, judgements);
    let mut results = Vec::new();
    for (place, (name, judgements)) in replies.iter().enumerate() {
        let metrics = Abstention::of(&is_answerable, judgements, Some(clusters), seed, draws)?;
        let all = match replies.first() {
            Some((_, base)) if place > 0 => {
                Some(compare(&as_right(base), &as_right(judgements), Some(clusters), seed, draws)?)
            }
            _ => None,
        };
        let counts = is_conditional(kind_of, clusters, judgements);
        let of_kinds = |counts: &dyn Fn(usize) -> bool| -> BTreeMap<String, Proportion> {
            let of_kind = |kind: &String| (kind.clone(), refused(kind_of, judgements, Some(kind), counts));
            kinds.keys().map(of_kind).collect()
        };
        results.push(AbstentionResult {
            name: (*name).to_owned(),
            metrics,
            kinds: of_kinds(&|_| true),
            conditional: refused(kind_of, judgements, None, &|place| counts[place]),
            conditional_kinds: of_kinds(&|place| counts[place]),
            all,
        });
    }
    Ok(Some(AbstentionResults { n: kinds.values().sum(), kinds, replies: results }))
}

/// The refused ones of the questions without a right answer, of one kind or of all, as far as their place `counts`.
fn refused(
    kind_of: &[Option<&str>],
    judgements: &[Judgement],
    kind: Option<&str>,
    counts: &dyn Fn(usize) -> bool,
) -> Proportion {
    let is_asked = |(place, found): (usize, &Option<&str>)| {
        found.is_some_and(|found| kind.is_none_or(|kind| kind == found)) && counts(place)
    };
    let asked: Vec<bool> = kind_of.iter().enumerate().map(is_asked).collect();
    let of_those = || judgements.iter().zip(&asked).filter(|(_, is_asked)| **is_asked);
    let is_refused = |(judgement, _): &(&Judgement, &bool)| judgement.verdict == Verdict::Refused;
    Proportion::new(of_those().filter(is_refused).count(), of_those().count())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use Verdict::{Correct as C, Refused as R, Wrong as W};

    fn questions(kinds: &[Option<&str>]) -> Vec<Question> {
        let question = |(place, kind): (usize, &Option<&str>)| Question {
            id: format!("q{place}"),
            audio: vec![format!("{place}.wav").into()],
            unanswerable: kind.map(str::to_owned),
            ..Question::default()
        };
        kinds.iter().enumerate().map(question).collect()
    }

    /// Four questions with a right answer, three of the kind `absent` and one of `kind`; a base model and a method.
    pub(crate) fn case(kind: &str, method: &str) -> AbstentionResults {
        let absent = Some("absent");
        let questions = questions(&[None, None, None, None, absent, absent, absent, Some(kind)]);
        let base = [C, C, W, W, W, W, R, W].map(Judgement::from).to_vec();
        let after = [C, R, W, R, R, R, W, R].map(Judgement::from).to_vec();
        abstention_results(&questions, &[("base", base), (method, after)], 0, 50).unwrap().unwrap()
    }

    #[test]
    fn replies_are_measured_by_kind_and_over_all_questions_as_by_hand() {
        let found = case("audio", "adapter");
        assert_eq!((found.n, found.kinds["absent"], found.kinds["audio"]), (4, 3, 1));
        let [base, method] = [&found.replies[0], &found.replies[1]];
        assert_eq!((base.metrics.correct_abstain.count, base.all.is_some()), (1, false));
        assert_eq!(
            (method.kinds["absent"].count, method.kinds["absent"].of, method.kinds["audio"].count),
            (2, 3, 1)
        );
        assert_eq!((method.metrics.precision.count, method.metrics.precision.of), (3, 5));
        // Right before: q0, q1, q6. After: q0, q4, q5, q7. Lost q1 and q6; of the wrong ones q3, q4, q5, q7 are gone.
        let all = method.all.as_ref().unwrap();
        assert_eq!((all.n, all.acc.before, all.acc.after), (8, Some(37.5), Some(50.0)));
        assert_eq!((all.transition.lost(), all.transition.gained()), (2, 4));
        assert_eq!(all.rgi, Some(2.0_f64.log10()));
    }

    /// Groups of four as in AQUA-Bench about the clips a to d; the last clip has no question with an answer.
    pub(crate) fn conditional_case() -> AbstentionResults {
        let kinds = [None, Some("AAD"), Some("IASD"), Some("IAQD")];
        let question = |(place, kind): (usize, Option<&str>)| Question {
            id: format!("q{place}"),
            audio: vec![format!("{}.wav", place / 4).into()],
            unanswerable: kind.map(str::to_owned),
            ..Question::default()
        };
        let questions: Vec<Question> = [kinds, kinds, kinds, kinds, [Some("AAD"); 4]]
            .concat()
            .into_iter()
            .enumerate()
            .map(question)
            .collect();
        // a and b are understood, c is not, d is refused.
        let base = [[C, R, R, W], [C, W, R, R], [W, R, W, R], [R, R, W, W], [R; 4]].concat();
        let base: Vec<Judgement> = base.into_iter().map(Judgement::from).collect();
        let unsure = vec![Judgement::REFUSED; questions.len()];
        abstention_results(&questions, &[("base", base), ("adapter", unsure)], 0, 20).unwrap().unwrap()
    }

    #[test]
    fn conditional_accuracy_counts_only_clips_that_are_understood_as_by_hand() {
        let found = conditional_case();
        let [base, unsure] = [&found.replies[0], &found.replies[1]];
        let shares = |of: &BTreeMap<String, Proportion>| {
            ["AAD", "IASD", "IAQD"].map(|kind| (of[kind].count, of[kind].of))
        };
        assert_eq!(shares(&base.kinds), [(7, 8), (2, 4), (2, 4)]);
        // Of a and b: AAD refused and answered, IASD refused twice, IAQD answered and refused.
        assert_eq!(shares(&base.conditional_kinds), [(1, 2), (2, 2), (1, 2)]);
        assert_eq!((base.conditional.count, base.conditional.of), (4, 6));
        // Who refuses everything understands nothing: no question counts.
        assert_eq!(
            (unsure.conditional, shares(&unsure.conditional_kinds)),
            (Proportion::default(), [(0, 0); 3])
        );
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["replies"][0]["conditional"]["of"], 6);
        assert_eq!(serde_json::from_value::<AbstentionResults>(json).unwrap(), found);
    }

    #[test]
    fn a_set_whose_questions_all_have_an_answer_has_no_such_results() {
        let replies = [("base", vec![Judgement::REFUSED; 2])];
        assert_eq!(abstention_results(&questions(&[None, None]), &replies, 0, 10).unwrap(), None);
        assert!(abstention_results(&questions(&[Some("")]), &replies, 0, 10).is_err());
    }
}
