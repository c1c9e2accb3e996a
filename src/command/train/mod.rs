//! `idk-train RECIPE`: build the dataset, train, evaluate.

mod environment;
mod list;
mod merge;
mod warm_up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use idk_evaluator::View;

use super::args::{RecipeArgs, exit_codes, reject_next_to};
use super::eval::evaluate::print_results;
use super::shell::{CompletionsArguments, ManArguments};
use crate::experiment::{k_sweep, transfer};
use crate::preflight::{check, plan};
use crate::recipe::Recipe;
use crate::run::{Options, Run, RunError, allow, inputs};
use crate::stage::{self, summary::summary};
use crate::terminal::{self, Failure, print_line, say};
use merge::MergeArguments;
use warm_up::WarmUpArguments;

/// Teach a large audio language model to say "I don't know" when it does not know
#[derive(Parser)]
#[command(name = "idk-train", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Print the recipe with every default filled in, and exit
    #[arg(long)]
    print_config: bool,
    /// Validate the recipe and every input, report all problems at once, and exit; `--check=quick` opens only some of the
    /// recordings
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "full",
        conflicts_with_all = ["print_config", "fresh"]
    )]
    check: Option<check::Look>,
    /// Validate as --check=quick does, print the plan (stages, rows, steps, tokens, trained parameters, memory), and exit
    #[arg(long, conflicts_with_all = ["print_config", "fresh", "check"])]
    dry_run: bool,
    /// Resume although this key of the recipe has changed, e.g. `train.learning_rate`; repeatable
    #[arg(long = "allow-change", value_name = "KEY", conflicts_with = "fresh")]
    allow_change: Vec<String>,
    /// Print what a bug report needs to know about program and machine, and exit
    #[arg(long, conflicts_with_all = ["recipe", "print_config", "check", "dry_run", "fresh", "allow_change"])]
    env: bool,
    /// Print the recipes with what they do, need and reach, and exit
    #[arg(long, conflicts_with_all = ["recipe", "print_config", "check", "dry_run", "fresh", "allow_change", "env"])]
    list: bool,
    /// Move an earlier run in the output folder aside and start from scratch
    #[arg(long)]
    fresh: bool,
    /// Print results and errors as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Merge a run's adapter into its base model: a Hugging Face folder that needs no PEFT
    Merge(MergeArguments),
    /// Compile the GPU kernels that a recipe needs, so that the run itself starts at once
    WarmUp(WarmUpArguments),
    /// Print a script that completes this program's command lines in a shell
    Completions(CompletionsArguments),
    /// Write this program's manual pages into a folder
    Man(ManArguments),
}

const AFTER_HELP: &str = concat!(
    "\
Examples:
  idk-train --list
  idk-train recipes/sound.toml
  idk-train recipes/sound.toml --set lora.rank=16 --set output.dir=runs/rank16
  idk-train recipes/sound.toml --check
  idk-train recipes/sound.toml --dry-run
  idk-train recipes/sound.toml --print-config
  idk-train --env
  idk-train merge runs/sound --out models/sound
  idk-train warm-up recipes/qwen2-audio/sound.toml
  idk-train completions zsh

To resume a run that was stopped, rerun the same command.

",
    exit_codes!()
);

/// `idk-train`.
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
            self.reject_options_of_train()?;
            return match command {
                Command::Merge(merge) => merge.run(json),
                Command::WarmUp(warm_up) => warm_up.run(json),
                Command::Completions(completions) => completions.run(Self::command()),
                Command::Man(man) => man.run(Self::command(), json),
            };
        }
        if self.env {
            return environment::print(json);
        }
        if self.list {
            return list::print(json);
        }
        if self.print_config {
            return Ok(print_line(self.recipe.load_or_default()?.to_toml()?.trim_end())?);
        }
        let recipe = self.recipe.load()?;
        if !recipe.model.server_url.is_empty() {
            let what = "`server_url` in [model]: the weights of a server cannot be trained; `sampler = \"openai\"` and `server_*` in \
                        [build] take samples from a server and train the model in `path`";
            return Err(RunError::usage(what).into());
        }
        allow::check_keys(&self.allow_change)?;
        let allow_changes = self.allow_change.as_slice();
        if let Some(look) = self.check {
            return check::run(&recipe, allow_changes, look, json);
        }
        if self.dry_run {
            return plan::run(&recipe, allow_changes, json);
        }
        train(&recipe, &Options { fresh: self.fresh, json, allow_changes })
    }

    fn reject_options_of_train(&self) -> Result<(), Failure> {
        let own = [
            ("--print-config", self.print_config),
            ("--check", self.check.is_some()),
            ("--dry-run", self.dry_run),
            ("--allow-change", !self.allow_change.is_empty()),
            ("--env", self.env),
            ("--list", self.list),
            ("--fresh", self.fresh),
        ];
        Ok(reject_next_to("a subcommand", self.recipe.given().into_iter().chain(own))?)
    }
}

/// Questions to report, or an experiment of several runs.
fn train(recipe: &Recipe, options: &Options<'_>) -> Result<(), Failure> {
    inputs::check_test(recipe)?;
    if let Some(transfer) = &recipe.transfer {
        return transfer::run(recipe, transfer, options);
    }
    if let Some(sweep) = recipe.sweep.as_ref().filter(|sweep| !sweep.k.is_empty()) {
        return k_sweep::run(recipe, sweep, options);
    }
    let run = Run::start(recipe, &recipe.output.dir, options)?;
    let (report, results) = stage::all(&run)?;
    print_results(&results, options.json, &View::default())?;
    say(&summary(recipe, &run.dir, &report, &results));
    Ok(())
}
