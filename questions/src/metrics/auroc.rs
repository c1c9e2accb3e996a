//! How well a score ranks: the area under the ROC curve.

use std::collections::BTreeMap;

/// The chance that a positive item scores above a negative one, ties counting half (Mann and Whitney 1947).
///
/// For "does it refuse what it would get wrong": `scores` = 1 where refused, else 0 (or minus the confidence),
/// `positive` = wrong before. `None` without a pair of a positive and a negative item. NaN scores above everything.
/// Lists of different lengths count as far as the shorter goes.
#[must_use]
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    let items: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    ratio(half_wins(items))
}

/// The same over pairs from one group only, all groups' pairs taken together: 0.5 if a rule knows groups and nothing
/// else.
#[must_use]
pub fn within_group_auroc(scores: &[f64], positive: &[bool], groups: &[String]) -> Option<f64> {
    let mut by_group: BTreeMap<&str, Vec<(f64, bool)>> = BTreeMap::new();
    for ((&score, &positive), group) in scores.iter().zip(positive).zip(groups) {
        by_group.entry(group).or_default().push((score, positive));
    }
    let sums = by_group.into_values().map(half_wins);
    ratio(sums.fold((0, 0), |(wins, pairs), (more_wins, more_pairs)| (wins + more_wins, pairs + more_pairs)))
}

/// Twice the number of pairs that the positive item wins (ties: once), and the number of pairs; integers, so exact.
fn half_wins(mut items: Vec<(f64, bool)>) -> (u64, u64) {
    items.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut wins, mut negatives_below, mut positives) = (0, 0, 0);
    for tied in items.chunk_by(|one, other| one.0 == other.0) {
        let tied_positives = tied.iter().filter(|item| item.1).count() as u64;
        let tied_negatives = tied.len() as u64 - tied_positives;
        wins += tied_positives * (2 * negatives_below + tied_negatives);
        negatives_below += tied_negatives;
        positives += tied_positives;
    }
    (wins, positives * negatives_below)
}

fn ratio((half_wins, pairs): (u64, u64)) -> Option<f64> {
    (pairs > 0).then(|| half_wins as f64 / (2 * pairs) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_is_the_share_of_pairs_won() {
        // Positives .9, .5, .5; negatives .5, .1. Wins 1+1, .5+1, .5+1 of 6.
        let scores = [0.9, 0.5, 0.5, 0.5, 0.1];
        let positive = [true, true, true, false, false];
        assert_eq!(auroc(&scores, &positive), Some(5.0 / 6.0));
        assert_eq!(auroc(&[1.0, 2.0], &[false, true]), Some(1.0));
        assert_eq!(auroc(&[1.0, 2.0], &[true, false]), Some(0.0));
        assert_eq!(auroc(&[1.0, 1.0], &[true, true]), None);
    }

    #[test]
    fn a_rule_that_knows_only_the_group_has_no_skill_within_groups() {
        let groups: Vec<String> =
            ["hard", "hard", "hard", "easy", "easy", "easy"].map(str::to_owned).to_vec();
        let wrong = [true, true, false, true, false, false];
        let refuses_hard = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        assert_eq!(auroc(&refuses_hard, &wrong), Some(6.0 / 9.0));
        assert_eq!(within_group_auroc(&refuses_hard, &wrong, &groups), Some(0.5));
        let refuses_wrong = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        assert_eq!(within_group_auroc(&refuses_wrong, &wrong, &groups), Some(1.0));
    }
}
