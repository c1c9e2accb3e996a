//! What luck and simple rules give at the same refusal rate: what a method must beat.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use idk_common::seed::derive_seed;

use super::counts::Counts;
use crate::error::QuestionError;
use crate::judge::Verdict;

/// The RGI that refusing random items is expected to have: `log10(Nw / Nc)` of the base model, `log10((1 - Acc) /
/// Acc)` if it never refuses. It does not depend on how many items are refused. `None` if all or none are correct.
#[must_use]
pub fn random_refuser_rgi(before: &Counts) -> Option<f64> {
    (before.wrong > 0 && before.correct > 0).then(|| (before.wrong as f64 / before.correct as f64).log10())
}

/// The verdicts of a rule that refuses items at random until `refusals` are refused in all: a pure function of the seed
/// and the ids. What `before` refuses stays refused.
///
/// # Errors
/// [`QuestionError::LengthMismatch`].
pub fn random_refuser(
    before: &[Verdict],
    ids: &[String],
    refusals: usize,
    seed: u64,
) -> Result<Vec<Verdict>, QuestionError> {
    check_length("ids", ids.len(), before.len())?;
    let lots = Lots::new(seed, "random-refuser", ids);
    Ok(refuse_first(before, refusals, |a, b| lots.order(a, b)))
}

/// The verdicts of a rule that refuses the items of lowest confidence until `refusals` are refused in all.
///
/// `confidence`: one number an item, higher is surer; NaN is the lowest. A measure of few values makes many ties: they are
/// refused in an order at random, a pure function of the seed and the ids. What `before` refuses stays refused.
///
/// # Errors
/// [`QuestionError::LengthMismatch`].
pub fn threshold_refuser(
    before: &[Verdict],
    confidence: &[f64],
    ids: &[String],
    refusals: usize,
    seed: u64,
) -> Result<Vec<Verdict>, QuestionError> {
    check_length("confidence", confidence.len(), before.len())?;
    check_length("ids", ids.len(), before.len())?;
    let rank = |i: usize| if confidence[i].is_nan() { f64::NEG_INFINITY } else { confidence[i] };
    let lots = Lots::new(seed, "tied-refuser", ids);
    // 0 and -0 are a tie, which the order of bits would hide.
    let by_rank = |a: usize, b: usize| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal);
    Ok(refuse_first(before, refusals, |a, b| by_rank(a, b).then_with(|| lots.order(a, b))))
}

/// The verdicts of a rule that refuses whole groups, those of the lowest known share first, until `refusals` are
/// refused in all; of the last group only as many as that takes, in an order that depends on the ids alone.
///
/// `known_share`: for each group the share of its questions that the base model knows, from the split that was
/// trained on. Groups that are not in it come last, by name. What `before` refuses stays refused.
///
/// # Errors
/// [`QuestionError::LengthMismatch`].
pub fn group_refuser(
    before: &[Verdict],
    groups: &[String],
    ids: &[String],
    known_share: &BTreeMap<String, f64>,
    refusals: usize,
) -> Result<Vec<Verdict>, QuestionError> {
    check_length("groups", groups.len(), before.len())?;
    check_length("ids", ids.len(), before.len())?;
    let share = |i: usize| known_share.get(&groups[i]).copied().unwrap_or(f64::INFINITY);
    let lots = Lots::new(0, "group-refuser", ids);
    Ok(refuse_first(before, refusals, |a, b| {
        let by_group = share(a).total_cmp(&share(b)).then_with(|| groups[a].cmp(&groups[b]));
        by_group.then_with(|| lots.order(a, b))
    }))
}

/// An order at random that does not depend on where an item is in the list.
struct Lots<'a> {
    drawn: Vec<u64>,
    ids: &'a [String],
}

impl<'a> Lots<'a> {
    fn new(seed: u64, stream: &str, ids: &'a [String]) -> Self {
        Self { drawn: ids.iter().map(|id| derive_seed(seed, stream, &[id])).collect(), ids }
    }

    fn order(&self, a: usize, b: usize) -> Ordering {
        self.drawn[a].cmp(&self.drawn[b]).then_with(|| self.ids[a].cmp(&self.ids[b]))
    }
}

/// Refuses items in the given order until `refusals` are refused, those of `before` included.
fn refuse_first(
    before: &[Verdict],
    refusals: usize,
    order: impl Fn(usize, usize) -> Ordering,
) -> Vec<Verdict> {
    let mut open: Vec<usize> = (0..before.len()).filter(|&i| before[i] != Verdict::Refused).collect();
    open.sort_by(|&a, &b| order(a, b));
    let already = before.len() - open.len();
    let mut after = before.to_vec();
    for &i in open.iter().take(refusals.saturating_sub(already)) {
        after[i] = Verdict::Refused;
    }
    after
}

/// An error unless `found` is the number of items.
pub(crate) fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), QuestionError> {
    if found == expected { Ok(()) } else { Err(QuestionError::LengthMismatch { what, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Correct, Refused, Wrong};

    fn ids(n: usize) -> Vec<String> {
        (0..n).map(|i| format!("q{i}")).collect()
    }

    #[test]
    fn random_refusing_scores_by_the_accuracy_alone() {
        let counts = |correct, wrong| Counts { n: correct + wrong, correct, wrong, ..Counts::default() };
        // The prototype's numbers: -.49 at .757, -.21 at .617, +.26 at .357.
        for (acc, expected) in [(757, -0.49), (617, -0.21), (357, 0.26)] {
            let rgi = random_refuser_rgi(&counts(acc, 1000 - acc)).unwrap();
            assert!((rgi - expected).abs() < 0.005, "{rgi}");
        }
        assert_eq!(random_refuser_rgi(&counts(5, 0)), None);
        assert_eq!(random_refuser_rgi(&counts(0, 5)), None);
    }

    #[test]
    fn refusing_at_random_depends_on_seed_and_ids_alone() {
        let before = [vec![Refused; 3], vec![Correct; 20], vec![Wrong; 17]].concat();
        let refused = |seed, names: &[String], before: &[Verdict]| {
            let after = random_refuser(before, names, 13, seed).unwrap();
            let of = names.iter().zip(after).filter(|(_, verdict)| *verdict == Refused);
            of.map(|(id, _)| id.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        let names = ids(40);
        let first = refused(1, &names, &before);
        assert_eq!(first.len(), 13);
        assert!(["q0", "q1", "q2"].iter().all(|&id| first.contains(id)), "refusals of the base model stay");
        let reversed = |list: &[String]| list.iter().rev().cloned().collect::<Vec<_>>();
        let before_reversed: Vec<Verdict> = before.iter().rev().copied().collect();
        assert_eq!(refused(1, &reversed(&names), &before_reversed), first);
        assert_ne!(refused(2, &names, &before), first);
        assert!(random_refuser(&before, &names[1..], 13, 1).is_err());
    }

    #[test]
    fn the_threshold_refuses_the_least_sure() {
        let before = [Correct, Wrong, Correct, Wrong];
        let after = threshold_refuser(&before, &[0.9, 0.2, 0.1, f64::NAN], &ids(4), 2, 0).unwrap();
        assert_eq!(after, [Correct, Wrong, Refused, Refused]);
        assert!(threshold_refuser(&before, &[0.9], &ids(4), 2, 0).is_err());
    }

    /// Ids that a rule refuses of 40 wrong answers.
    fn refused_of(
        names: &[String],
        rule: impl Fn(&[Verdict]) -> Vec<Verdict>,
    ) -> std::collections::BTreeSet<String> {
        let after = rule(&[Wrong; 40]);
        names.iter().zip(after).filter(|(_, it)| *it == Refused).map(|(id, _)| id.clone()).collect()
    }

    #[test]
    fn ties_are_refused_by_the_seed_and_the_ids_and_not_by_their_order_or_their_names() {
        let names = ids(40);
        let reversed: Vec<String> = names.iter().rev().cloned().collect();
        for share in [0.6, 0.0, f64::NEG_INFINITY, f64::NAN] {
            let refused = |names: &[String], seed| {
                refused_of(names, |before| threshold_refuser(before, &[share; 40], names, 13, seed).unwrap())
            };
            assert_eq!(refused(&names, 0), refused(&reversed, 0));
            assert_ne!(refused(&names, 0), refused(&names, 1), "the seed decides");
            let mut by_name = names.clone();
            by_name.sort();
            assert_ne!(refused(&names, 0), by_name[..13].iter().cloned().collect(), "not the first by name");
            assert_ne!(
                refused(&names, 0),
                names[..13].iter().cloned().collect(),
                "not the first of the list"
            );
        }
        // 0 and -0 are one value.
        let zeros: Vec<f64> = (0..40).map(|place| if place < 20 { 0.0 } else { -0.0 }).collect();
        let refused = refused_of(&names, |before| threshold_refuser(before, &zeros, &names, 20, 0).unwrap());
        assert_ne!(refused, names[20..].iter().cloned().collect());
    }

    #[test]
    fn over_many_seeds_every_tied_item_is_refused_as_often_as_any_other() {
        let names = ids(4);
        let mut refused = [0; 4];
        for seed in 0..1000 {
            let after = threshold_refuser(&[Wrong; 4], &[0.4, 0.4, 0.4, 0.9], &names, 1, seed).unwrap();
            (0..4).filter(|&i| after[i] == Refused).for_each(|i| refused[i] += 1);
        }
        // A third of 1000, give or take four standard deviations of 15.
        assert!(
            refused[..3].iter().all(|count| (273..=393).contains(count)) && refused[3] == 0,
            "{refused:?}"
        );
    }

    #[test]
    fn refusals_of_the_base_model_count_towards_the_rate() {
        let before = [Refused, Wrong, Correct];
        assert_eq!(
            threshold_refuser(&before, &[0.9, 0.2, 0.1], &ids(3), 2, 0).unwrap(),
            [Refused, Wrong, Refused]
        );
        assert_eq!(threshold_refuser(&before, &[0.9, 0.2, 0.1], &ids(3), 0, 0).unwrap(), before);
    }

    #[test]
    fn groups_are_refused_whole_from_the_least_known_on() {
        let groups: Vec<String> =
            ["easy", "hard", "mid", "hard", "mid", "mid", "new"].map(str::to_owned).to_vec();
        let known =
            [("easy", 0.9), ("mid", 0.5), ("hard", 0.1)].map(|(name, share)| (name.to_owned(), share)).into();
        let before = [Correct, Wrong, Correct, Correct, Wrong, Correct, Wrong];
        let refused = |refusals| {
            let after = group_refuser(&before, &groups, &ids(7), &known, refusals).unwrap();
            (0..7).filter(|&i| after[i] == Refused).map(|i| groups[i].as_str()).collect::<Vec<_>>()
        };
        assert_eq!(refused(2), ["hard", "hard"]);
        assert_eq!(refused(3).iter().filter(|&&group| group == "mid").count(), 1);
        assert_eq!(refused(5).iter().filter(|&&group| group == "mid").count(), 3);
        assert_eq!(refused(6).iter().filter(|&&group| group == "easy").count(), 1);
        assert_eq!(refused(7).len(), 7);
    }

    #[test]
    fn which_items_are_refused_does_not_depend_on_their_order() {
        let groups = vec!["one".to_owned(); 40];
        let known = BTreeMap::new();
        let names = ids(40);
        let refused = |names: &[String]| {
            let after = group_refuser(&[Wrong; 40], &groups, names, &known, 13).unwrap();
            names
                .iter()
                .zip(after)
                .filter(|(_, v)| *v == Refused)
                .map(|(id, _)| id.clone())
                .collect::<std::collections::BTreeSet<_>>()
        };
        let reversed: Vec<String> = names.iter().rev().cloned().collect();
        assert_eq!(refused(&names), refused(&reversed));
        assert_eq!(refused(&names).len(), 13);
    }
}
