//! Experiments of many adapters or thresholds: sweeps over one number, and adapters of some tasks on all of them.

pub(crate) mod file;
pub(crate) mod pick;
pub(crate) mod run;
pub(crate) mod transfer;
