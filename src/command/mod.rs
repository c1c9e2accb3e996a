//! The command lines of the programs: one folder for each, one file for each verb with its options and its body.

mod args;
pub(crate) mod build;
pub(crate) mod eval;
mod shell;
pub(crate) mod train;
