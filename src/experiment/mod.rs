//! Experiments: several runs of one recipe, or one run answered with several settings.

mod cells;
pub(crate) mod k_sweep;
pub(crate) mod sweep;
pub(crate) mod transfer;
