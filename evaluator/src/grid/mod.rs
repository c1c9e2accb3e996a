//! Experiments of many adapters or thresholds as one grid: what was turned, each value's results, and which to take.

pub(crate) mod cell;
pub(crate) mod file;
pub(crate) mod kind;
pub(crate) mod offset;
pub(crate) mod pick;
pub(crate) mod run;
pub(crate) mod spread;
