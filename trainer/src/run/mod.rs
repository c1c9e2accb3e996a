//! A run from its first step to its last: position, logs, checkpoints, and what it may resume with.

pub(crate) mod adapters;
pub(crate) mod checkpoint;
pub(crate) mod estimate;
pub(crate) mod full;
pub(crate) mod logs;
pub(crate) mod on_resume;
pub(crate) mod report;
pub(crate) mod schedule;
pub(crate) mod selection;
pub(crate) mod session;
pub(crate) mod state;
pub(crate) mod tensorboard;
pub(crate) mod validation;
