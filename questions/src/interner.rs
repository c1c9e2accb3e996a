//! Texts kept once each, under numbers from 0.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

/// Every text that was added, once, in one piece of memory. A million ids of ten bytes take 40 MB; as many `String`s in a set
/// of the standard library take 100 MB.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    text: String,
    /// Where each text ends.
    ends: Vec<usize>,
    /// The number of each text with 32 bits of its hash: the table grows, and most texts are told apart, without a look at
    /// the texts.
    numbers: HashTable<(u32, u32)>,
    hasher: RandomState,
}

impl Interner {
    /// The number of `text`, and whether it is new. The first text has the number 0, the next one 1, and so on.
    ///
    /// It holds at most 2^32 texts.
    pub fn add(&mut self, text: &str) -> (u32, bool) {
        let hash = self.hash(text);
        if let Some(number) = self.find_hashed(text, hash) {
            return (number, false);
        }
        let number = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.numbers.insert_unique(spread(hash), (hash, number), |&(hash, _)| spread(hash));
        (number, true)
    }

    /// The number of `text`; `None` if it was never added.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<u32> {
        self.find_hashed(text, self.hash(text))
    }

    #[inline]
    fn find_hashed(&self, text: &str, hash: u32) -> Option<u32> {
        let is_it = |&(other, number): &(u32, u32)| other == hash && self.get(number) == text;
        self.numbers.find(spread(hash), is_it).map(|&(_, number)| number)
    }

    #[inline]
    fn hash(&self, text: &str) -> u32 {
        (self.hasher.hash_one(text) >> 32) as u32
    }

    /// The text with this number; empty if there is none.
    #[must_use]
    #[inline]
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

/// A hash of 32 bits as one of 64: the table uses the lowest and the highest.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[inline]
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
