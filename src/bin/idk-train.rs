//! `idk-train RECIPE`: build the dataset, train, evaluate. `merge`: the trained adapter and its base as one model.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use idk::check::Look;
use idk::cli::{self, RecipeArgs};
use idk::merge_command::MergeArguments;
use idk::warm_up::WarmUpArguments;
use idk::{allow, check, environment, pipeline, plan};

/// Teaches a large audio language model to say "I don't know" when it does not know
#[derive(Parser)]
#[command(name = "idk-train", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Prints the recipe with every default filled in, and stops
    #[arg(long)]
    print_config: bool,
    /// Looks at everything that the run would read, says all problems at once, and stops; `--check=quick` opens only some
    /// of the recordings
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "full",
        conflicts_with_all = ["print_config", "fresh"]
    )]
    check: Option<Look>,
    /// As --check=quick, and says what the run would do: stages, rows, steps, tokens, trained parameters, memory
    #[arg(long, conflicts_with_all = ["print_config", "fresh", "check"])]
    dry_run: bool,
    /// Lets a run go on although this key of its recipe has changed, e.g. `train.learning_rate`; may be given again
    #[arg(long = "allow-change", value_name = "KEY", conflicts_with = "fresh")]
    allow_change: Vec<String>,
    /// Prints what a bug report needs to know of program and machine, and stops
    #[arg(long, conflicts_with_all = ["recipe", "print_config", "check", "dry_run", "fresh", "allow_change"])]
    env: bool,
    /// Moves an earlier run in the output folder aside and starts anew
    #[arg(long)]
    fresh: bool,
    /// Prints the results as JSON instead of a table; errors too
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Folds a run's adapter into its base model: a Hugging Face folder that needs no PEFT
    Merge(MergeArguments),
    /// Compiles and chooses a GPU's kernels for a recipe, so that the run itself starts at once
    WarmUp(WarmUpArguments),
}

const AFTER_HELP: &str = "\
Examples:
  idk-train recipes/sound.toml
  idk-train recipes/sound.toml --set lora.rank=16 --set output.dir=runs/rank16
  idk-train recipes/sound.toml --check
  idk-train recipes/sound.toml --dry-run
  idk-train recipes/sound.toml --print-config
  idk-train --env
  idk-train merge runs/sound --out models/sound
  idk-train warm-up recipes/qwen2-audio/sound.toml

A run that was stopped goes on where it was: give the same command again.

Exit codes: 0 success, 2 usage or recipe, 65 bad data or mismatch, 66 missing input,
70 numeric stop, 74 input/output, 75 run folder busy, 130 or 143 stopped by a signal.";

fn main() -> ExitCode {
    idk_model::tune_allocator();
    let arguments = Arguments::parse();
    let json = arguments.json;
    cli::run(
        || {
            match &arguments.command {
                Some(Command::Merge(merge)) => return merge.run(json),
                Some(Command::WarmUp(warm_up)) => return warm_up.run(json),
                None => {}
            }
            if arguments.env {
                return environment::print(json);
            }
            let recipe = arguments.recipe.load()?;
            if arguments.print_config {
                cli::print_line(recipe.to_toml()?.trim_end())?;
                return Ok(());
            }
            pipeline::require_recipe(&arguments.recipe)?;
            allow::check_keys(&arguments.allow_change)?;
            let allow_changes = arguments.allow_change.as_slice();
            if let Some(look) = arguments.check {
                return check::run(&recipe, allow_changes, look, json);
            }
            if arguments.dry_run {
                return plan::run(&recipe, allow_changes, json);
            }
            let options = pipeline::Options { fresh: arguments.fresh, json, allow_changes };
            pipeline::train(&recipe, &options)
        },
        json,
    )
}
