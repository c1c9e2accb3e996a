//! `idk-eval sweep` and `idk-eval pick`: the scale of a finished run's adapter, without training.

use std::path::PathBuf;

use clap::Args;
use idk_evaluator::AccuracyFloor;

use crate::command::args::RunArgs;
use crate::experiment::sweep::{PickRequest, Request, pick_adapter_scale, sweep};
use crate::run::RunError;
use crate::terminal::Failure;

/// Options of `idk-eval sweep`.
#[derive(Args)]
pub(super) struct SweepArguments {
    #[command(flatten)]
    run: RunArgs,
    /// Answers the test set too; nothing is picked on it
    #[arg(long)]
    test: bool,
}

impl SweepArguments {
    /// See [`sweep`].
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        sweep(&self.run.load()?, Request { test: self.test, json })
    }
}

/// Options of `idk-eval pick`.
#[derive(Args)]
pub(super) struct PickArguments {
    #[command(flatten)]
    run: RunArgs,
    /// The least accuracy on val, in percent [default: 80 % of the base model's; `min_accuracy` in [sweep]]
    #[arg(long, value_name = "PERCENT")]
    min_accuracy: Option<f64>,
    /// Writes an adapter with the picked scale, which PEFT loads, into a new folder
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

impl PickArguments {
    /// See [`pick_adapter_scale`].
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let recipe = self.run.load()?;
        if let Some(percent) = self.min_accuracy.filter(|percent| !(0.0..=100.0).contains(percent)) {
            let what = format!("`--min-accuracy {percent}`: give percent, between 0 and 100");
            return Err(RunError::Usage { what }.into());
        }
        let floor = self.min_accuracy.map(AccuracyFloor::Percent);
        pick_adapter_scale(&recipe, &PickRequest { floor, write: self.write.as_deref(), json })
    }
}
