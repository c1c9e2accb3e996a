//! From questions to samples: screen the set, draw N answers per question, judge each, keep them in shards.

pub(crate) mod answers;
mod early_stop;
pub(crate) mod identity;
pub(crate) mod merge;
pub(crate) mod model;
pub(crate) mod part;
mod sampler;
mod screen;
mod screened;
mod served;
mod shard_file;
pub(crate) mod shards;
pub(crate) mod stage;
