//! Dealing: what must be balanced exactly is laid out as a full deck and shuffled, never drawn.

use std::collections::BTreeMap;

use idk_common::seed::Rng;

use crate::dials::{Difficulty, GENERIC_EVERY, OPTIONS};

/// What one question of a family is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Card {
    /// Which of the family's answers is right.
    pub(crate) answer: usize,
    pub(crate) difficulty: Difficulty,
    /// Where the right option stands.
    pub(crate) place: usize,
    /// Whether the question is worded as any other family's are, and a number that chooses the wording.
    pub(crate) generic: bool,
    pub(crate) wording: usize,
}

/// Deals `count` cards. Each answer comes up in proportion to its weight, each difficulty, place and kind of wording
/// equally often, to within one; `offset` is the number of cards that other families were dealt before, so that the
/// places are equal over all of them too.
pub(crate) fn deal(count: usize, answer_weights: &[f64], offset: usize, rng: &mut Rng) -> Vec<Card> {
    let answers = answer_counts(count, answer_weights, rng);
    let sorted_deck: Vec<usize> =
        answers.iter().enumerate().flat_map(|(answer, times)| std::iter::repeat_n(answer, *times)).collect();
    let answer_deck = shuffled(count, |i| sorted_deck[i], rng);
    let difficulty_deck = shuffled(count, |i| Difficulty::ALL[(i + offset) % Difficulty::ALL.len()], rng);
    let place_deck = shuffled(count, |i| (i + offset) % OPTIONS, rng);
    let wording_deck = shuffled(count, |i| i, rng);
    (0..count)
        .map(|i| Card {
            answer: answer_deck[i],
            difficulty: difficulty_deck[i],
            place: place_deck[i],
            generic: wording_deck[i].is_multiple_of(GENERIC_EVERY),
            wording: wording_deck[i] / GENERIC_EVERY,
        })
        .collect()
}

/// How often each answer comes up: its share rounded down, and one more for as many random ones as are missing.
fn answer_counts(count: usize, weights: &[f64], rng: &mut Rng) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let share = |weight: &f64| (count as f64 * weight / total).floor() as usize;
    let mut counts: Vec<usize> = weights.iter().map(share).collect();
    let missing = count.saturating_sub(counts.iter().sum());
    for answer in rng.permutation(weights.len()).into_iter().cycle().take(missing) {
        counts[answer] += 1;
    }
    counts
}

fn shuffled<T>(count: usize, card: impl Fn(usize) -> T, rng: &mut Rng) -> Vec<T> {
    let mut deck: Vec<T> = (0..count).map(card).collect();
    rng.shuffle(&mut deck);
    deck
}

/// How often each label of a class has stood among the options of a set without being right. Choosing the least
/// offered label keeps "right if offered" near one in four for every label.
#[derive(Debug, Default)]
pub(crate) struct Offers(BTreeMap<(usize, usize), usize>);

impl Offers {
    /// The least offered of `candidates` (labels of `class`), a random one of several; counts it.
    pub(crate) fn take(&mut self, class: usize, candidates: &[usize], rng: &mut Rng) -> Option<usize> {
        let offered = |label: &usize| self.0.get(&(class, *label)).copied().unwrap_or(0);
        let least = candidates.iter().map(offered).min()?;
        let equal: Vec<usize> = candidates.iter().copied().filter(|label| offered(label) == least).collect();
        let label = *rng.choose(&equal)?;
        *self.0.entry((class, label)).or_default() += 1;
        Some(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<T: Ord>(values: impl Iterator<Item = T>) -> Vec<usize> {
        let mut counts = BTreeMap::new();
        values.for_each(|value| *counts.entry(value).or_insert(0) += 1);
        counts.into_values().collect()
    }

    #[test]
    fn answers_places_and_wordings_are_equal_to_within_one() {
        for (count, answers) in [(50, 4), (50, 23), (100, 34), (7, 3)] {
            let cards = deal(count, &vec![1.0; answers], 3, &mut Rng::new(1));
            for counted in [
                counts(cards.iter().map(|card| card.answer)),
                counts(cards.iter().map(|card| card.place)),
                counts(cards.iter().map(|card| card.difficulty as usize)),
                counts(cards.iter().map(|card| usize::from(card.generic))),
            ] {
                assert!(counted.iter().max().unwrap() - counted.iter().min().unwrap() <= 1, "{counted:?}");
            }
        }
    }

    #[test]
    fn frequent_answers_come_up_by_their_weight() {
        let cards = deal(60, &[3.0, 2.0, 1.0], 0, &mut Rng::new(4));
        assert_eq!(counts(cards.iter().map(|card| card.answer)), [30, 20, 10]);
    }

    #[test]
    fn places_are_equal_over_families_together() {
        let mut rng = Rng::new(2);
        let cards: Vec<Card> = (0..6).flat_map(|family| deal(50, &[1.0; 5], family * 50, &mut rng)).collect();
        assert_eq!(counts(cards.iter().map(|card| card.place)), [75, 75, 75, 75]);
        assert_eq!(counts(cards.iter().map(|card| card.difficulty as usize)), [100, 100, 100]);
    }

    #[test]
    fn labels_are_offered_in_turn() {
        let (mut offers, mut rng) = (Offers::default(), Rng::new(3));
        let taken: Vec<usize> = (0..12).filter_map(|_| offers.take(0, &[1, 2, 3], &mut rng)).collect();
        assert_eq!(counts(taken.into_iter()), [4, 4, 4]);
        assert_eq!(offers.take(0, &[], &mut rng), None);
    }
}
