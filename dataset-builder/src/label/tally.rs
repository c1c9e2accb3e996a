//! Counts the IDK share for every K while questions are labelled.

use std::collections::BTreeMap;

use idk_questions::rows::LabelRow;

use crate::format::question_row::QuestionRow;
use crate::format::shares::{IdkShares, Share};
use crate::label::targets::is_decided;

/// Counts labelled questions one by one; holds a number a group and K, not the questions.
pub(crate) struct ShareTally {
    overall: Histogram,
    task: BTreeMap<String, Histogram>,
    sub_category: BTreeMap<String, Histogram>,
    difficulty: BTreeMap<String, Histogram>,
    /// At `k - 1`: whether every question so far is decided at K.
    decided: Vec<bool>,
}

/// Number of questions by their right answers, from 0.
#[derive(Default)]
struct Histogram(Vec<usize>);

impl Histogram {
    fn add(&mut self, correct: usize) {
        if self.0.len() <= correct {
            self.0.resize(correct + 1, 0);
        }
        self.0[correct] += 1;
    }

    fn share(&self, decided: &[bool]) -> Share {
        let n: usize = self.0.iter().sum();
        let below = |k: usize| self.0.iter().take(k).sum::<usize>() as f64 / n.max(1) as f64;
        let decided = decided.iter().enumerate().filter(|(_, decided)| **decided);
        Share { n, unknown: decided.map(|(place, _)| (place + 1, below(place + 1))).collect() }
    }
}

impl ShareTally {
    /// `n_samples` is N.
    pub(crate) fn new(n_samples: usize) -> Self {
        Self {
            overall: Histogram::default(),
            task: BTreeMap::new(),
            sub_category: BTreeMap::new(),
            difficulty: BTreeMap::new(),
            decided: vec![true; n_samples],
        }
    }

    /// Adds a question. One without a right answer says nothing about what the model knows: it is left out.
    pub(crate) fn add(&mut self, question: &QuestionRow, row: &LabelRow) {
        if row.unanswerable.is_some() {
            return;
        }
        let n_samples = self.decided.len();
        for (place, decided) in self.decided.iter_mut().enumerate() {
            *decided &= is_decided(row, place + 1, n_samples);
        }
        self.overall.add(row.correct);
        self.task.entry(row.task.clone()).or_default().add(row.correct);
        let name = format!("{}/{}", row.task, row.sub_category);
        self.sub_category.entry(name).or_default().add(row.correct);
        self.difficulty.entry(question.difficulty.clone()).or_default().add(row.correct);
    }

    /// The shares of all that were added.
    pub(crate) fn shares(&self) -> IdkShares {
        let shares = |groups: &BTreeMap<String, Histogram>| {
            groups.iter().map(|(name, histogram)| (name.clone(), histogram.share(&self.decided))).collect()
        };
        IdkShares {
            overall: self.overall.share(&self.decided),
            task: shares(&self.task),
            sub_category: shares(&self.sub_category),
            difficulty: shares(&self.difficulty),
        }
    }
}

#[cfg(test)]
mod tests {
    use idk_questions::rows::Label;

    use super::*;

    fn tally(rows: &[(&str, usize, usize)], n_samples: usize) -> IdkShares {
        let mut tally = ShareTally::new(n_samples);
        for &(task, correct, n) in rows {
            let row = LabelRow {
                id: "q".to_owned(),
                n,
                correct,
                refused: 0,
                wrong: n - correct,
                label: Label::Known,
                task: task.to_owned(),
                sub_category: "event".to_owned(),
                unanswerable: None,
            };
            let difficulty = if correct == 0 { "hard" } else { "easy" }.to_owned();
            tally.add(&QuestionRow { difficulty, ..QuestionRow::default() }, &row);
        }
        tally.shares()
    }

    #[test]
    fn the_idk_share_counts_questions_with_fewer_than_k_right_answers() {
        let shares = tally(&[("sound", 0, 3), ("sound", 1, 3), ("music", 3, 3), ("music", 2, 3)], 3);
        assert_eq!(shares.overall.unknown, BTreeMap::from([(1, 0.25), (2, 0.5), (3, 0.75)]));
        assert_eq!(shares.task["sound"].unknown, BTreeMap::from([(1, 0.5), (2, 1.0), (3, 1.0)]));
        assert_eq!(shares.sub_category["music/event"].n, 2);
        assert_eq!(shares.difficulty["hard"].unknown[&1], 1.0);
        assert_eq!(shares.difficulty["easy"].n, 3);
    }

    #[test]
    fn a_sparkline_has_one_level_a_k() {
        let unknown = [0.0, 0.07, 0.08, 0.5, 1.0].into_iter().enumerate().collect();
        assert_eq!(Share { n: 9, unknown }.sparkline(), "▁▁▂▅█");
    }

    #[test]
    fn no_share_is_claimed_for_a_k_that_the_samples_do_not_decide() {
        // Sampled for 3@5 and stopped when decided: 3 right of 3, 0 right of 3, 2 right of 5.
        let shares = tally(&[("sound", 3, 3), ("sound", 0, 3), ("music", 2, 5)], 5);
        assert_eq!(shares.overall.unknown, BTreeMap::from([(3, 2.0 / 3.0)]));
        assert_eq!(shares.task["music"].unknown.keys().collect::<Vec<_>>(), [&3]);
    }
}
