//! Compares answers with those of the base model and with simple rules at the same refusal rate.

pub(crate) mod abstention;
pub(crate) mod answerable;
pub(crate) mod companions;
pub(crate) mod groups;
pub(crate) mod judge_agreement;
pub(crate) mod measures;
pub(crate) mod methods;
pub(crate) mod pairs;
pub(crate) mod results;
pub(crate) mod rules;
pub(crate) mod score;
pub(crate) mod yardsticks;
