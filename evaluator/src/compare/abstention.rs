//! Questions without a right answer, all replies to a test set taken together: who refuses what ought to be refused?

use std::collections::BTreeMap;

use idk_questions::metrics::{Abstention, Clusters, Comparison, Proportion, compare, refusals_as_right};
use idk_questions::score::clusters;
use idk_questions::{Judgement, Question, QuestionError, Verdict};
use serde::{Deserialize, Serialize};

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
        results.push(AbstentionResult {
            name: (*name).to_owned(),
            metrics,
            kinds: kinds
                .iter()
                .map(|(kind, &of)| (kind.clone(), refused(kind_of, judgements, kind, of)))
                .collect(),
            all,
        });
    }
    Ok(Some(AbstentionResults { n: kinds.values().sum(), kinds, replies: results }))
}

/// The refused questions of a kind, of which there are `of`.
fn refused(kind_of: &[Option<&str>], judgements: &[Judgement], kind: &str, of: usize) -> Proportion {
    let pairs = kind_of.iter().zip(judgements);
    let of_kind = pairs.filter(|(of, _)| **of == Some(kind));
    Proportion::new(of_kind.filter(|(_, judgement)| judgement.verdict == Verdict::Refused).count(), of)
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

    #[test]
    fn a_set_whose_questions_all_have_an_answer_has_no_such_results() {
        let replies = [("base", vec![Judgement::REFUSED; 2])];
        assert_eq!(abstention_results(&questions(&[None, None]), &replies, 0, 10).unwrap(), None);
        assert!(abstention_results(&questions(&[Some("")]), &replies, 0, 10).is_err());
    }
}
