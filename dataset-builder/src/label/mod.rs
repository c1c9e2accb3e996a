//! From samples to rows: K@N labels, the validation split, the balance, SFT rows and preference pairs. No model is needed.

mod card;
pub(crate) mod finish;
mod own_answer;
pub(crate) mod relabel;
mod split;
mod tally;
mod targets;
