//! Text as words: what two texts must share to be the same answer, and what around an answer is only markup.

pub(crate) mod forms;
mod markup;
mod numbers;
mod scripts;
mod words;
mod wrapping;

pub(crate) use markup::answer_part;
pub(crate) use scripts::{is_bounded, is_unspaced};
pub(crate) use words::{Word, words};

pub use words::normalise;
