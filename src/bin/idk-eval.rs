//! `idk-eval RECIPE`, `idk-eval --model DIR --questions FILE --out DIR`, `idk-eval score`, `idk-eval sweep`,
//! `idk-eval pick`, `idk-eval plot`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use idk::cli::{self, RecipeArgs};
use idk::error::RunError;
use idk::{evaluation, sweep};
use idk_evaluator::{AccuracyFloor, Format, Grouping, View};
use idk_questions::Scorer;

/// Answers a question set and reports accuracy, truthfulness, reliability and the Reliability Gain Index
#[derive(Parser)]
#[command(name = "idk-eval", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Base model folder, in place of a recipe's
    #[arg(long)]
    model: Option<PathBuf>,
    /// Adapter folder (PEFT); may be given again, then with names [default with a recipe: the run's own]
    #[arg(long, value_name = "[NAME=]FOLDER")]
    adapter: Vec<String>,
    /// Question set, MMAU-shaped JSON or JSONL, in place of a recipe's
    #[arg(long)]
    questions: Option<PathBuf>,
    /// Folder for answers and results, in place of the run's eval/
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    view: ViewArguments,
    /// Prints the results as one JSON object; errors too
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Args)]
struct ViewArguments {
    /// Form of the tables
    #[arg(long, value_enum, default_value_t = FormatName::Markdown)]
    format: FormatName,
    /// Adds a table by groups of questions; CSV and LaTeX have these rows in place of the tasks
    #[arg(long, value_enum)]
    by: Option<GroupingName>,
    /// Adds what became of every answer: from correct, wrong, refused to each of the three
    #[arg(long)]
    transitions: bool,
    /// Adds the p-values of every two methods (McNemar's exact test)
    #[arg(long)]
    p_values: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    Markdown,
    Csv,
    Latex,
}

#[derive(Clone, Copy, ValueEnum)]
enum GroupingName {
    SubCategory,
    Difficulty,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScorerName {
    Ours,
    MmauWordset,
    MmauSubstring,
}

impl ViewArguments {
    fn view(&self) -> View {
        View {
            format: match self.format {
                FormatName::Markdown => Format::Markdown,
                FormatName::Csv => Format::Csv,
                FormatName::Latex => Format::Latex,
            },
            by: self.by.map(|by| match by {
                GroupingName::SubCategory => Grouping::SubCategory,
                GroupingName::Difficulty => Grouping::Difficulty,
            }),
            transitions: self.transitions,
            pairs: self.p_values,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Scores stored answers without any model: this program's, MMAU submissions, lmms-eval's samples
    Score(ScoreArguments),
    /// Answers val with the run's adapter at several scales, and refuses below several thresholds; no training
    Sweep(SweepArguments),
    /// Recommends the adapter's scale with the best RGI on val, and can write the adapter with it
    Pick(PickArguments),
    /// Writes every plot of a run, an evaluation or a transfer experiment as SVG and PNG, without any model
    Plot(PlotArguments),
}

#[derive(Args)]
struct SweepArguments {
    /// The recipe, or the folder of a finished run
    recipe: PathBuf,
    /// Overrides a key of the recipe, e.g. `--set sweep.adapter_scale=[0.5,1]`; may be given again
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Answers the test set too; nothing is picked on it
    #[arg(long)]
    test: bool,
}

#[derive(Args)]
struct PickArguments {
    /// The recipe, or the folder of a finished run
    recipe: PathBuf,
    /// Overrides a key of the recipe, e.g. `--set sweep.adapter_scale=[0.5,1]`; may be given again
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// The least accuracy on val, in percent [default: 80 % of the base model's; `min_accuracy` in [sweep]]
    #[arg(long, value_name = "PERCENT")]
    min_accuracy: Option<f64>,
    /// Writes an adapter with the picked scale, which PEFT loads, into a new folder
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

#[derive(Args)]
struct PlotArguments {
    /// Run folder, its eval/, or the folder of a transfer experiment
    folder: PathBuf,
    /// Folder for the plots [default: plots/ beside the results]
    #[arg(long)]
    out: Option<PathBuf>,
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
    /// What counts as right; refusals are known to `ours` only
    #[arg(long, value_enum, default_value_t = ScorerName::Ours)]
    scorer: ScorerName,
}

impl Arguments {
    /// A subcommand has options of its own: what is for an evaluation has no meaning beside it.
    fn refuse_beside(&self, name: &str) -> Result<(), RunError> {
        let given = [
            ("a recipe before its name", self.recipe.recipe.is_some()),
            ("--set before its name", !self.recipe.set.is_empty()),
            ("--model", self.model.is_some()),
            ("--adapter", !self.adapter.is_empty()),
            ("--format, --by, --transitions or --p-values", self.view.view() != View::default()),
            ("--out", self.out.is_some()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((other, _)) => Err(RunError::Usage { what: format!("`{name}` does not take {other}") }),
            None => Ok(()),
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  idk-eval recipes/sound.toml
  idk-eval recipes/sound.toml --by sub-category --transitions --p-values
  idk-eval recipes/sound.toml --adapter k3=runs/k3/adapter --adapter k5=runs/sound/adapter --out my/k --format csv
  idk-eval --model checkpoints/mini-lalm --adapter runs/sound/adapter --questions my/questions.json --out my/eval
  idk-eval sweep recipes/sound.toml --test
  idk-eval pick runs/sound --write runs/sound-picked
  idk-eval score --questions my/questions.json --before base.jsonl --after method.jsonl --json
  idk-eval plot runs/sound --out my/plots

Exit codes: 0 success, 2 usage or recipe, 65 bad data or mismatch, 66 missing input,
70 numeric stop, 74 input/output, 75 run folder busy, 130 or 143 stopped by a signal.";

fn of_run(recipe: &Path, set: &[String]) -> RecipeArgs {
    RecipeArgs { recipe: Some(recipe.to_owned()), set: set.to_vec() }
}

fn main() -> ExitCode {
    idk_model::tune_allocator();
    let arguments = Arguments::parse();
    let json = arguments.json;
    cli::run(
        || match &arguments.command {
            Some(Command::Score(score)) => {
                arguments.refuse_beside("score")?;
                let scorer = match score.scorer {
                    ScorerName::Ours => Scorer::Ours,
                    ScorerName::MmauWordset => Scorer::MmauWordset,
                    ScorerName::MmauSubstring => Scorer::MmauSubstring,
                };
                evaluation::score(&score.questions, &score.before, &score.after, scorer, json)
            }
            Some(Command::Sweep(asked)) => {
                arguments.refuse_beside("sweep")?;
                let recipe = of_run(&asked.recipe, &asked.set).load_run()?;
                sweep::sweep(&recipe, sweep::Request { test: asked.test, json })
            }
            Some(Command::Pick(asked)) => {
                arguments.refuse_beside("pick")?;
                let recipe = of_run(&asked.recipe, &asked.set).load_run()?;
                if let Some(percent) = asked.min_accuracy.filter(|percent| !(0.0..=100.0).contains(percent)) {
                    let what = format!("`--min-accuracy {percent}`: give percent, between 0 and 100");
                    return Err(RunError::Usage { what }.into());
                }
                let floor = asked.min_accuracy.map(AccuracyFloor::Percent);
                let request = sweep::PickRequest { floor, write: asked.write.as_deref(), json };
                sweep::pick_adapter_scale(&recipe, &request)
            }
            Some(Command::Plot(plot)) => {
                arguments.refuse_beside("plot")?;
                evaluation::plot(&plot.folder, plot.out.as_deref(), json)
            }
            None => {
                let recipe = arguments.recipe.load()?;
                let request = evaluation::Request {
                    of_run: arguments.recipe.recipe.is_some(),
                    model: arguments.model.as_deref(),
                    adapters: &arguments.adapter,
                    questions: arguments.questions.as_deref(),
                    out: arguments.out.as_deref(),
                    json,
                    view: arguments.view.view(),
                };
                evaluation::evaluate(recipe, &request)
            }
        },
        json,
    )
}
