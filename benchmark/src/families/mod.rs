//! How a question of each skill is drawn up: which recordings are placed where, and which options are given.

pub(crate) mod count;
pub(crate) mod identify;
pub(crate) mod odd;
pub(crate) mod order;
pub(crate) mod shape;
mod tools;
