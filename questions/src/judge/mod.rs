//! What a reply says: options first, then refusals, never a guess.

mod announced;
mod hedge;
mod matching;
mod mentions;
mod open;
mod refusal;
mod scorer;
mod statement;
mod verdict;
mod words;

pub use matching::judge;
pub use refusal::{REFUSAL, is_refusal};
pub use scorer::{Scorer, judge_with};
pub use verdict::{Judgement, Verdict};
pub use words::normalise;
