//! What a reply says: options first, then refusals, never a guess.

mod denial;
mod language;
mod matching;
mod mentions;
mod open;
mod option_match;
mod reading;
mod refusal;
mod scorer;
mod text;
mod verdict;

#[cfg(test)]
mod tests;

pub use matching::judge;
pub use refusal::{REFUSAL, is_refusal};
pub use scorer::{Scorer, judge_with};
pub use text::normalise;
pub use verdict::{Judgement, Verdict};
