//! Which questions belong together: those about the same clips.

use crate::interner::Interner;

/// The cluster of each question, as a number. What the numbers are does not matter, only which of them are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clusters {
    of_question: Vec<u32>,
    /// Every number is below it.
    count: usize,
}

impl Clusters {
    /// The clusters of questions by their names, one per question.
    pub fn of<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let mut known = Interner::default();
        Self::of_numbers(names.into_iter().map(|name| known.add(name.as_ref()).0).collect())
    }

    /// The same by the numbers of their names in an [`Interner`].
    #[must_use]
    pub fn of_numbers(of_question: Vec<u32>) -> Self {
        let count = of_question.iter().max().map_or(0, |&last| last as usize + 1);
        Self { of_question, count }
    }

    /// The clusters of the questions at `places`.
    #[must_use]
    pub fn of_places(&self, places: impl Iterator<Item = usize>) -> Self {
        let of_question = places.filter_map(|place| self.of_question.get(place).copied()).collect();
        Self { of_question, count: self.count }
    }

    /// The number of the cluster of each question.
    #[must_use]
    pub fn numbers(&self) -> &[u32] {
        &self.of_question
    }

    /// How many questions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.of_question.len()
    }

    /// Whether there are no questions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of_question.is_empty()
    }

    /// What the questions of each cluster contribute together, one sum per cluster that has a question.
    pub(super) fn sums<const K: usize>(&self, items: impl Iterator<Item = [u64; K]>) -> Vec<[u64; K]> {
        let mut sums: Vec<Option<[u64; K]>> = vec![None; self.count];
        for (item, &cluster) in items.zip(&self.of_question) {
            if let Some(sum) = sums.get_mut(cluster as usize) {
                let sum = sum.get_or_insert([0; K]);
                sum.iter_mut().zip(item).for_each(|(sum, part)| *sum += part);
            }
        }
        sums.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_sums_its_questions_and_one_without_questions_is_none() {
        let clusters = Clusters::of(["b", "a", "b", "c"]);
        let items = [[1, 0], [0, 1], [2, 0], [0, 5]];
        assert_eq!(clusters.sums(items.into_iter()), [[3, 0], [0, 1], [0, 5]]);
        let part = clusters.of_places([0, 3].into_iter());
        assert_eq!((part.len(), part.sums([[7], [8]].into_iter())), (2, vec![[7], [8]]));
        assert!(part.of_places([9].into_iter()).is_empty());
    }
}
