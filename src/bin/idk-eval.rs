//! `idk-eval RECIPE`, `idk-eval --model DIR --questions FILE --out DIR`, `idk-eval score`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use idk::cli::{self, RecipeArgs};
use idk::evaluation;

/// Answers a question set and reports accuracy, truthfulness, reliability and the Reliability Gain Index
#[derive(Parser)]
#[command(name = "idk-eval", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Base model folder, in place of a recipe's
    #[arg(long)]
    model: Option<PathBuf>,
    /// Adapter folder (PEFT) [default with a recipe: the run's own]
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Question set, MMAU-shaped JSON or JSONL, in place of a recipe's
    #[arg(long)]
    questions: Option<PathBuf>,
    /// Folder for answers and results, in place of the run's eval/
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints the results as one JSON object; errors too
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Scores stored answers (rows `{"id": .., "text": ..}`) without any model
    Score(ScoreArguments),
}

#[derive(Args)]
struct ScoreArguments {
    /// Question set, MMAU-shaped JSON or JSONL; its audio need not be there
    #[arg(long)]
    questions: PathBuf,
    /// Answers of the base model
    #[arg(long)]
    before: PathBuf,
    /// Answers of the method
    #[arg(long)]
    after: PathBuf,
}

const AFTER_HELP: &str = "\
Examples:
  idk-eval recipes/sound.toml
  idk-eval --model checkpoints/mini-lalm --adapter runs/sound/adapter --questions my/questions.json --out my/eval
  idk-eval score --questions my/questions.json --before base.jsonl --after method.jsonl --json

Exit codes: 0 success, 2 usage or recipe, 65 bad data or mismatch, 66 missing input,
70 numeric stop, 74 input/output, 75 run folder busy, 130 or 143 stopped by a signal.";

fn main() -> ExitCode {
    idk_model::tune_allocator();
    let arguments = Arguments::parse();
    let json = arguments.json;
    cli::run(
        || match &arguments.command {
            Some(Command::Score(score)) => {
                evaluation::score(&score.questions, &score.before, &score.after, json)
            }
            None => {
                let mut recipe = arguments.recipe.load()?;
                if arguments.recipe.recipe.is_none() {
                    evaluation::require_free_standing(
                        arguments.model.as_deref(),
                        arguments.questions.as_deref(),
                        arguments.out.as_deref(),
                    )?;
                }
                if let Some(model) = &arguments.model {
                    recipe.model.path.clone_from(model);
                }
                if let Some(questions) = &arguments.questions {
                    recipe.data.test = questions.display().to_string();
                }
                let of_run = arguments.recipe.recipe.is_some();
                let (adapter, out) = (arguments.adapter.as_deref(), arguments.out.as_deref());
                evaluation::evaluate(&recipe, of_run, adapter, out, json)
            }
        },
        json,
    )
}
