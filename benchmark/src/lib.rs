#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! A bank is a folder of short clips and a `manifest.jsonl`. [`Bank::load`] decodes it and deals its recordings over
//! four splits; [`compose`] makes a question set of a split, balanced exactly; [`Stream`] gives endless items for
//! training. Each clip is three seconds at 16 kHz, each question has four options.
//!
//! - `bank`: what the labels of a bank are, and which recording serves which split
//! - `family`, `wording`: the kinds of question
//! - `dials`: every number that sets how hard they are
//! - `deck`: exact balance
//! - `scene`, `mix`: sound

mod bank;
mod deck;
mod dials;
mod error;
mod family;
mod item;
mod mix;
mod scene;
mod set;
#[cfg(test)]
mod tests;
mod vocabulary;
mod wording;
mod write;

pub use bank::{Bank, MANIFEST_FILE, Split, default_bank_dir};
pub use dials::Difficulty;
pub use error::ComposeError;
pub use item::{ComposedItem, DATASET, Stream, family_names};
pub use mix::SAMPLE_RATE_HZ;
pub use set::{ComposeConfig, compose};
pub use vocabulary::vocabulary;
pub use write::{QUESTIONS_FILE, check, write};
