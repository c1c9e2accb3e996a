//! The programs' edge: what is printed, how a failure ends a program, progress, and signals.

mod failure;
pub(crate) mod kernels;
mod print;
mod progress;
mod signals;

pub(crate) use failure::{Failure, run};
pub(crate) use print::{grouped, print_line, print_result, say};
pub(crate) use progress::progress;
pub(crate) use signals::StopSignals;
