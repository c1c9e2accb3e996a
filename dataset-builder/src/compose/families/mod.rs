//! How a question of each skill is drawn up: which recordings are placed where, and which options are given.

pub(super) mod count;
pub(super) mod identify;
pub(super) mod odd;
pub(super) mod order;
pub(super) mod shape;
mod tools;
