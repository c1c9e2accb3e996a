//! Looks at a run before it starts: every problem at once, and what would be done. Nothing is written.

pub(crate) mod check;
mod memory;
pub(crate) mod plan;
mod preview;
mod questions;
