//! `idk-build RECIPE`: the IDK dataset, or one machine's part of it; and what can be done with it without a model.

mod compose;
mod dataset;
mod shards;
mod unanswerable;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use idk_dataset_builder::SamplingPart;

use super::args::{RecipeArgs, exit_codes, reject_next_to};
use super::shell::{CompletionsArguments, ManArguments};
use crate::recipe::Recipe;
use crate::run::{Options, Run};
use crate::stage::dataset::{complete, describe};
use crate::terminal::{self, Failure, print_result};
use compose::ComposeArguments;
use dataset::{ExportArguments, InspectArguments, RelabelArguments};
use shards::MergeShardsArguments;
use unanswerable::UnanswerableArguments;

/// Build the IDK dataset: sample the base model, judge its answers, label them K of N
#[derive(Parser)]
#[command(name = "idk-build", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Move an earlier run in the output folder aside and start from scratch
    #[arg(long)]
    fresh: bool,
    /// Resume the run in the output folder; this is the default
    #[arg(long, conflicts_with = "fresh")]
    resume: bool,
    /// Sample only part i of n, into the folder `shard-i-of-n` of the run; `idk-build merge` joins the parts
    #[arg(long, value_name = "I/N")]
    shard: Option<SamplingPart>,
    /// Print counts and errors as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Render questions with their clips from a bank of recordings
    Compose(ComposeArguments),
    /// Label the samples of a run again, without the model: another K, refusal, balance, split
    Relabel(RelabelArguments),
    /// Print counts, the share of unknown questions by K and by group, and a few rows of a dataset
    Inspect(InspectArguments),
    /// Write the rows of a dataset for another trainer
    Export(ExportArguments),
    /// Make questions without a right answer from a question file
    Unanswerable(UnanswerableArguments),
    /// Join the parts that `--shard i/n` has sampled into the dataset
    Merge(MergeShardsArguments),
    /// Print a script that completes this program's command lines in a shell
    Completions(CompletionsArguments),
    /// Write this program's manual pages into a folder
    Man(ManArguments),
}

const AFTER_HELP: &str = concat!(
    "\
Examples:
  idk-build recipes/sound.toml
  idk-build recipes/sound.toml --set build.n_samples=10 --set build.k=8
  idk-build recipes/sound.toml --shard 2/8
  idk-build merge recipes/sound.toml
  idk-build relabel runs/sound --k 3 --out runs/sound-k3
  idk-build inspect runs/sound
  idk-build export runs/sound --format ms-swift --out /tmp/sound-swift
  idk-build compose --split test --out /tmp/test
  idk-build unanswerable /tmp/test/questions.json --kind absent --kind audio

To resume a build that was stopped, rerun the same command.

",
    exit_codes!()
);

/// `idk-build`.
#[must_use]
pub fn main() -> ExitCode {
    idk_model::tune_allocator();
    let arguments = Arguments::parse();
    terminal::run(|| arguments.run(), arguments.json)
}

impl Arguments {
    fn run(&self) -> Result<(), Failure> {
        let json = self.json;
        if let Some(command) = &self.command {
            self.reject_options_of_build()?;
            return match command {
                Command::Compose(compose) => compose.run(json),
                Command::Relabel(relabel) => relabel.run(json),
                Command::Inspect(inspect) => inspect.run(json),
                Command::Export(export) => export.run(json),
                Command::Unanswerable(unanswerable) => unanswerable.run(json),
                Command::Merge(merge) => merge.run(json),
                Command::Completions(completions) => completions.run(Self::command()),
                Command::Man(man) => man.run(Self::command(), json),
            };
        }
        let recipe = self.recipe.load()?;
        let options = Options { fresh: self.fresh, json, allow_changes: &[] };
        match self.shard {
            Some(part) => shards::sample_part(&recipe, part, &options),
            None => build(&recipe, &options),
        }
    }

    fn reject_options_of_build(&self) -> Result<(), Failure> {
        let own = [("--fresh", self.fresh), ("--resume", self.resume), ("--shard", self.shard.is_some())];
        Ok(reject_next_to("a subcommand", self.recipe.given().into_iter().chain(own))?)
    }
}

/// Questions to dataset.
fn build(recipe: &Recipe, options: &Options<'_>) -> Result<(), Failure> {
    let run = Run::start(recipe, &recipe.output.dir, options)?;
    complete_and_print(&run, options.json)
}

/// Builds what is missing of the dataset and prints its counts.
fn complete_and_print(run: &Run<'_>, json: bool) -> Result<(), Failure> {
    let manifest = complete(run)?;
    Ok(print_result(json, &manifest, || describe(&manifest, &run.dir.dataset()))?)
}
