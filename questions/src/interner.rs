//! Texts kept once each, under numbers from 0.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// Every text that was added, once, in one piece of memory. A million ids of ten bytes take 30 MB; as many `String`s in a set
/// of the standard library take 100 MB.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    text: String,
    /// Where each text ends.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Interner {
    /// The number of `text`, and whether it is new. The first text has the number 0, the next one 1, and so on.
    ///
    /// It holds at most 2^32 texts.
    pub fn add(&mut self, text: &str) -> (u32, bool) {
        let hash = self.hasher.hash_one(text);
        let (all, ends) = (&self.text, &self.ends);
        if let Some(&number) = self.numbers.find(hash, |&number| at(all, ends, number) == text) {
            return (number, false);
        }
        let number = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        let (all, ends, hasher) = (&self.text, &self.ends, &self.hasher);
        self.numbers.insert_unique(hash, number, |&number| hasher.hash_one(at(all, ends, number)));
        (number, true)
    }

    /// The number of `text`; `None` if it was never added.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.numbers.find(hash, |&number| self.get(number) == text).copied()
    }

    /// The text with this number; empty if there is none.
    #[must_use]
    pub fn get(&self, number: u32) -> &str {
        at(&self.text, &self.ends, number)
    }

    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

fn at<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(number).and_then(|&end| text.get(start..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_however_often_it_is_added() {
        let mut texts = Interner::default();
        let added = ["b", "", "a", "b", "", "bé"].map(|text| texts.add(text));
        assert_eq!(added, [(0, true), (1, true), (2, true), (0, false), (1, false), (3, true)]);
        assert_eq!(["a", "b", "é"].map(|text| texts.find(text)), [Some(2), Some(0), None]);
        assert_eq!(
            (texts.len(), [0, 1, 2, 3, 4].map(|number| texts.get(number))),
            (4, ["b", "", "a", "bé", ""])
        );
    }

    #[test]
    fn many_texts_stay_apart() {
        let mut texts = Interner::default();
        for number in 0..10_000 {
            assert_eq!(texts.add(&format!("q{number}")), (number, true));
        }
        assert!((0..10_000).all(|number| texts.find(&format!("q{number}")) == Some(number)));
    }
}
