//! Answers a test set: prompts in, judged answers out, each stored by the hash of what it depends on.

pub(crate) mod answers_file;
pub(crate) mod ask;
pub(crate) mod columns;
pub(crate) mod judge;
pub(crate) mod key;
pub(crate) mod options;
pub(crate) mod prepare;
pub(crate) mod prompts;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod store;
pub(crate) mod stored;
pub(crate) mod subject;
