//! Which questions are trained on, which validate, and which are left out to keep the share of unknown ones low.

use std::collections::BTreeMap;

use idk_common::seed::derive_seed;
use idk_questions::rows::Label;

use crate::config::BuildConfig;
use crate::format::question_row::QuestionRow;

/// Where the rows of a question go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DatasetSplit {
    /// `sft.jsonl`, `dpo.jsonl`, `calibrated.jsonl`.
    Train,
    /// `sft-val.jsonl`, `dpo-val.jsonl`, `calibrated-val.jsonl`.
    Val,
    /// Nowhere: one unknown question, or one without a right answer, too many.
    LeftOut,
}

/// All that the choice needs to know of a question; a few bytes, as there may be a million of them.
struct SplitRow {
    unknown: bool,
    /// It is unknown because it has no right answer.
    unanswerable: bool,
    stratum: usize,
    /// Equal for the questions of one group, and their place in the draw for validation.
    group: u64,
    /// The question's place in the draw among its stratum's unknown ones.
    draw: u64,
}

/// Gathers the labelled questions and sorts them into splits.
pub(crate) struct Splitter {
    seed: u64,
    val_share: f64,
    max_idk_share: Option<f64>,
    unanswerable_share: Option<f64>,
    /// By task, sub-category, and the kind of questions without a right answer.
    strata: BTreeMap<(String, String, Option<String>), usize>,
    items: Vec<SplitRow>,
}

impl Splitter {
    /// `seed` is the run's.
    pub(crate) fn new(config: &BuildConfig, seed: u64) -> Self {
        Self {
            seed,
            val_share: config.val_share,
            max_idk_share: config.max_idk_share,
            unanswerable_share: config.unanswerable_share,
            strata: BTreeMap::new(),
            items: Vec::new(),
        }
    }

    /// Whether every question is trained on, so that nothing has to be remembered.
    fn takes_all(&self) -> bool {
        self.val_share == 0.0 && self.max_idk_share.is_none() && self.unanswerable_share.is_none()
    }

    /// Adds the next question.
    pub(crate) fn push(&mut self, question: &QuestionRow, label: Label) {
        if self.takes_all() {
            return;
        }
        let next = self.strata.len();
        let kind = question.unanswerable.clone();
        let unknown = label == Label::Unknown;
        let unanswerable = unknown && kind.is_some();
        let key = (question.task.clone(), question.sub_category.clone(), kind);
        self.items.push(SplitRow {
            unknown,
            unanswerable,
            stratum: *self.strata.entry(key).or_insert(next),
            group: derive_seed(self.seed, "val", &[&question.group]),
            draw: derive_seed(self.seed, "balance", &[&question.id]),
        });
    }

    /// The split of every question in its order. `None` stands for "all are trained on".
    pub(crate) fn splits(self) -> Option<Vec<DatasetSplit>> {
        if self.takes_all() {
            return None;
        }
        let mut splits = vec![DatasetSplit::Train; self.items.len()];
        self.validate(&mut splits);
        self.balance(&mut splits);
        Some(splits)
    }

    /// Takes groups in the order of their draw, each that still fits, up to the share of the questions.
    fn validate(&self, splits: &mut [DatasetSplit]) {
        let wanted = (self.val_share * splits.len() as f64).round() as usize;
        let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
        for item in &self.items {
            *sizes.entry(item.group).or_default() += 1;
        }
        let mut taken = 0;
        sizes.retain(|_, size| {
            let fits = taken + *size <= wanted;
            taken += if fits { *size } else { 0 };
            fits
        });
        for (split, item) in splits.iter_mut().zip(&self.items) {
            if sizes.contains_key(&item.group) {
                *split = DatasetSplit::Val;
            }
        }
    }

    /// Leaves unknown questions out of training until no kind of them has more than its share of it. Each stratum gives its
    /// share. Those without a right answer are a kind of their own if they have a cap of their own.
    fn balance(&self, splits: &mut [DatasetSplit]) {
        let apart = self.unanswerable_share.is_some();
        let (mut known, mut unknown, mut unanswerable) = (0, Vec::new(), Vec::new());
        for place in (0..splits.len()).filter(|&place| splits[place] == DatasetSplit::Train) {
            let item = &self.items[place];
            match () {
                () if !item.unknown => known += 1,
                () if apart && item.unanswerable => unanswerable.push(place),
                () => unknown.push(place),
            }
        }
        let caps = [self.max_idk_share, self.unanswerable_share];
        let found = [unknown.len(), unanswerable.len()];
        for (places, allowed) in [unknown, unanswerable].into_iter().zip(allowed(known, found, caps)) {
            self.leave_out(places, allowed, splits);
        }
    }

    /// Leaves out all but `allowed` of the questions at `places`.
    fn leave_out(&self, places: Vec<usize>, allowed: usize, splits: &mut [DatasetSplit]) {
        let mut of_stratum: Vec<Vec<usize>> = vec![Vec::new(); self.strata.len()];
        for place in places {
            of_stratum[self.items[place].stratum].push(place);
        }
        // In the order of the names, so that ties do not depend on the order of the questions.
        let mut strata: Vec<Vec<usize>> =
            self.strata.values().map(|&stratum| std::mem::take(&mut of_stratum[stratum])).collect();
        let counts: Vec<usize> = strata.iter().map(Vec::len).collect();
        for (places, quota) in strata.iter_mut().zip(quotas(&counts, allowed)) {
            places.sort_by_key(|&place| (self.items[place].draw, place));
            for &place in &places[quota..] {
                splits[place] = DatasetSplit::LeftOut;
            }
        }
    }
}

/// The most questions of two kinds, of `found` each, of which neither is more than its cap of all, with `others` others.
fn allowed(others: usize, found: [usize; 2], caps: [Option<f64>; 2]) -> [usize; 2] {
    let mut allowed = found;
    loop {
        // Fewer of one kind allow fewer of the other, until both fit.
        let most = |kind: usize| match caps[kind] {
            Some(cap) => most_capped(cap, others + allowed[1 - kind]).min(allowed[kind]),
            None => allowed[kind],
        };
        let next = [most(0), most(1)];
        if next == allowed {
            return allowed;
        }
        allowed = next;
    }
}

/// The largest number of capped questions that is at most `share` of all, with `others` others.
fn most_capped(share: f64, others: usize) -> usize {
    if share >= 1.0 {
        return usize::MAX;
    }
    // Rounding must not cost a question where the quotient is whole.
    (share * others as f64 / (1.0 - share) * (1.0 + 1e-12)).floor() as usize
}

/// Shares `total` out in proportion to `counts` by the largest remainder (Hamilton's method): everyone gets the whole
/// part of its share, and what is left goes to the largest fractions, the first of equals. `total` is at most the sum.
fn quotas(counts: &[usize], total: usize) -> Vec<usize> {
    let sum: usize = counts.iter().sum::<usize>().max(1);
    let scaled = |count: usize| total as u128 * count as u128;
    let mut quotas: Vec<usize> = counts.iter().map(|&count| (scaled(count) / sum as u128) as usize).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&place| (std::cmp::Reverse(scaled(counts[place]) % sum as u128), place));
    let left = total - quotas.iter().sum::<usize>();
    for &place in order.iter().take(left) {
        quotas[place] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn quotas_are_those_of_the_largest_remainder_by_hand() {
        // 10 of 30: 5.667, 3.0, 1.333 -> 5, 3, 1 and the last to the largest fraction.
        assert_eq!(quotas(&[17, 9, 4], 10), [6, 3, 1]);
        // A textbook case with 10 seats: 4.7, 1.6, 1.58, 1.2, 0.61, 0.31.
        let votes = [47_000, 16_000, 15_800, 12_000, 6_100, 3_100];
        assert_eq!(quotas(&votes, 10), [5, 2, 1, 1, 1, 0]);
        // Equal fractions: the first.
        assert_eq!(quotas(&[1, 1, 1], 2), [1, 1, 0]);
        assert_eq!(quotas(&[3, 0, 2], 5), [3, 0, 2]);
        assert_eq!(quotas(&[3, 0, 2], 0), [0, 0, 0]);
        assert_eq!(quotas(&[], 0), Vec::<usize>::new());
    }

    #[test]
    fn the_cap_is_met_exactly_where_it_can_be() {
        assert_eq!(most_capped(0.5, 10), 10);
        assert_eq!(most_capped(0.6, 10), 15);
        assert_eq!(most_capped(0.3, 7), 3);
        assert_eq!(most_capped(0.3, 8), 3); // 4 of 12 would be a third
        assert_eq!(most_capped(0.0, 8), 0);
        assert_eq!(most_capped(1.0, 0), usize::MAX);
    }

    /// `count` questions of a stratum, two to a group.
    fn push(splitter: &mut Splitter, task: &str, sub_category: &str, label: Label, count: usize) {
        for number in 0..count {
            let question = QuestionRow {
                id: format!("{task}-{sub_category}-{label:?}-{number}"),
                task: task.to_owned(),
                sub_category: sub_category.to_owned(),
                group: format!("{task}-{sub_category}-{}.wav", number / 2),
                ..QuestionRow::default()
            };
            splitter.push(&question, label);
        }
    }

    /// 20 known questions, and 17 + 9 + 4 unknown ones in three strata.
    fn fifty(config: &BuildConfig, seed: u64) -> Vec<DatasetSplit> {
        let mut splitter = Splitter::new(config, seed);
        push(&mut splitter, "sound", "event", Label::Known, 20);
        push(&mut splitter, "sound", "event", Label::Unknown, 17);
        push(&mut splitter, "sound", "count", Label::Unknown, 4);
        push(&mut splitter, "music", "event", Label::Unknown, 9);
        splitter.splits().unwrap()
    }

    fn left_out(splits: &[DatasetSplit]) -> usize {
        splits.iter().filter(|&&split| split == DatasetSplit::LeftOut).count()
    }

    #[test]
    fn a_third_of_unknown_questions_is_left_and_every_stratum_keeps_its_share() {
        let config = BuildConfig { max_idk_share: Some(1.0 / 3.0), ..BuildConfig::default() };
        let splits = fifty(&config, 1);
        // 20 known allow 10 unknown, of which the three strata get 6, 1 and 3 (see the quotas above).
        assert_eq!(left_out(&splits[..20]), 0);
        assert_eq!(
            [left_out(&splits[20..37]), left_out(&splits[37..41]), left_out(&splits[41..])],
            [11, 3, 6]
        );
        assert_eq!(splits, fifty(&config, 1));
        assert_ne!(splits, fifty(&config, 2), "the seed chooses");
        let loose = BuildConfig { max_idk_share: Some(0.6), ..BuildConfig::default() };
        assert_eq!(left_out(&fifty(&loose, 1)), 0, "30 of 50 are 60 %");
    }

    #[test]
    fn a_group_is_never_on_both_sides_and_the_share_is_kept() {
        let config = BuildConfig { val_share: 0.3, ..BuildConfig::default() };
        let mut splitter = Splitter::new(&config, 5);
        push(&mut splitter, "sound", "event", Label::Known, 100);
        let splits = splitter.splits().unwrap();
        assert_eq!(splits.iter().filter(|&&split| split == DatasetSplit::Val).count(), 30);
        assert!(splits.chunks(2).all(|group| group[0] == group[1]));
        let runs: BTreeSet<Vec<bool>> = (0..5)
            .map(|seed| fifty(&config, seed).iter().map(|&split| split == DatasetSplit::Val).collect())
            .collect();
        assert!(runs.len() > 1, "the seed chooses");
    }

    #[test]
    fn validation_keeps_its_unknown_questions_and_the_cap_holds_for_what_is_left() {
        let config = BuildConfig { val_share: 0.4, max_idk_share: Some(0.25), ..BuildConfig::default() };
        let splits = fifty(&config, 3);
        let trained = |range: std::ops::Range<usize>| {
            splits[range].iter().filter(|&&split| split == DatasetSplit::Train).count()
        };
        assert_eq!(trained(20..50), trained(0..20) / 3);
        assert!(splits[20..].contains(&DatasetSplit::Val));
    }

    /// 20 known questions, 10 unknown ones, and 12 + 8 without a right answer, of two kinds.
    fn with_unanswerable(config: &BuildConfig, seed: u64) -> Vec<DatasetSplit> {
        let mut splitter = Splitter::new(config, seed);
        push(&mut splitter, "sound", "event", Label::Known, 20);
        push(&mut splitter, "sound", "event", Label::Unknown, 10);
        for (kind, count) in [("absent", 12), ("audio", 8)] {
            for number in 0..count {
                let question = QuestionRow {
                    id: format!("{kind}-{number}"),
                    task: "sound".to_owned(),
                    sub_category: "event".to_owned(),
                    unanswerable: Some(kind.to_owned()),
                    group: format!("{kind}-{number}.wav"),
                    ..QuestionRow::default()
                };
                splitter.push(&question, Label::Unknown);
            }
        }
        splitter.splits().unwrap()
    }

    #[test]
    fn questions_without_an_answer_have_a_cap_of_their_own_that_takes_from_every_kind() {
        let config = BuildConfig { unanswerable_share: Some(0.25), ..BuildConfig::default() };
        let splits = with_unanswerable(&config, 1);
        // 30 others allow 10 of 40, of which the kinds keep 6 and 4.
        assert_eq!([left_out(&splits[..30]), left_out(&splits[30..42]), left_out(&splits[42..])], [0, 6, 4]);
        let both = BuildConfig { max_idk_share: Some(0.15), ..config.clone() };
        let splits = with_unanswerable(&both, 1);
        // Of 32 rows 4 are 12.5 % (5 would be over 15 %) and 8 are 25 %, to which 12 and 8 give 5 and 3.
        let trained = |from: usize, to: usize| to - from - left_out(&splits[from..to]);
        assert_eq!([trained(0, 20), trained(20, 30), trained(30, 42), trained(42, 50)], [20, 4, 5, 3]);
        let together = BuildConfig { max_idk_share: Some(1.0 / 3.0), ..BuildConfig::default() };
        let splits = with_unanswerable(&together, 1);
        // Without a cap of their own they are unknown as the others: 20 known allow 10 of 10 + 12 + 8.
        let trained = |from: usize, to: usize| to - from - left_out(&splits[from..to]);
        assert_eq!([trained(0, 20), trained(20, 30), trained(30, 42), trained(42, 50)], [20, 3, 4, 3]);
        let none = BuildConfig { unanswerable_share: Some(0.0), ..BuildConfig::default() };
        assert_eq!(left_out(&with_unanswerable(&none, 1)), 20);
    }

    #[test]
    fn without_a_cap_or_a_split_nothing_is_remembered() {
        let mut splitter = Splitter::new(&BuildConfig::default(), 0);
        push(&mut splitter, "sound", "event", Label::Unknown, 3);
        assert!(splitter.items.is_empty() && splitter.splits().is_none());
    }
}
