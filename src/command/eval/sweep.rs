//! `idk-eval sweep` and `idk-eval pick`: the scale of a finished run's adapter, without training.

use std::path::PathBuf;

use clap::Args;
use idk_evaluator::AccuracyFloor;

use crate::command::args::{RunArgs, number};
use crate::experiment::offset::{OffsetRequest, pick_refusal_offset};
use crate::experiment::sweep::{PickRequest, Request, pick_adapter_scale, sweep};
use crate::run::RunError;
use crate::terminal::Failure;

/// Options of `idk-eval sweep`.
#[derive(Args)]
pub(super) struct SweepArguments {
    #[command(flatten)]
    run: RunArgs,
    /// Answer the test set too; nothing is picked on it
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
    /// Minimum accuracy on val, in percent [default: 80 % of the base model's; `min_accuracy` in [sweep]]
    #[arg(long, value_name = "PERCENT", value_parser = number)]
    min_accuracy: Option<f64>,
    /// Write an adapter with the picked scale, which PEFT loads, into a new folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["offset", "refuse"])]
    write: Option<PathBuf>,
    /// Pick `refusal_offset` of [eval] instead of the scale; `answer_by` in [eval] must be `guided` or `options`
    #[arg(long)]
    offset: bool,
    /// Pick the `refusal_offset` that refuses this share of val (0 to 1) instead of the one with the best RGI
    #[arg(long, value_name = "SHARE", conflicts_with = "min_accuracy", value_parser = number)]
    refuse: Option<f64>,
}

impl PickArguments {
    /// See [`pick_adapter_scale`].
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let recipe = self.run.load()?;
        if let Some(percent) = self.min_accuracy.filter(|percent| !(0.0..=100.0).contains(percent)) {
            let what = format!("`--min-accuracy {percent}`: give percent, between 0 and 100");
            return Err(RunError::Usage { what }.into());
        }
        if let Some(share) = self.refuse.filter(|share| !(0.0..=1.0).contains(share)) {
            let what = format!("`--refuse {share}`: give a share, between 0 and 1");
            return Err(RunError::Usage { what }.into());
        }
        let floor = self.min_accuracy.map(AccuracyFloor::Percent);
        if self.offset || self.refuse.is_some() {
            return pick_refusal_offset(&recipe, OffsetRequest { refuse: self.refuse, floor, json });
        }
        pick_adapter_scale(&recipe, &PickRequest { floor, write: self.write.as_deref(), json })
    }
}
