//! The files of a dataset: their names, rows and manifests, written whole or not at all, and read back.

pub(crate) mod calibrated;
pub(crate) mod chats;
pub(crate) mod files;
pub(crate) mod manifest;
pub(crate) mod pairs;
pub(crate) mod question_row;
pub(crate) mod questions_with_samples;
pub(crate) mod recordings;
pub(crate) mod sampled;
pub(crate) mod shares;
