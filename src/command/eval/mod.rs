//! `idk-eval RECIPE`, `idk-eval --model DIR --questions FILE --out DIR`, and the verbs on stored answers and finished runs.

mod ask;
pub(super) mod evaluate;
mod index;
mod plot;
mod score;
mod sweep;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::args::{exit_codes, reject_next_to};
use super::shell::{CompletionsArguments, ManArguments};
use crate::terminal::{self, Failure};
use ask::AskArguments;
use evaluate::EvaluateArguments;
use index::IndexArguments;
use plot::PlotArguments;
use score::ScoreArguments;
use sweep::{PickArguments, SweepArguments};

/// Answer a question set and report accuracy, truthfulness, reliability and the Reliability Gain Index
#[derive(Parser)]
#[command(name = "idk-eval", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    evaluate: EvaluateArguments,
    /// Print results and errors as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Ask one question about recordings: the answer, the probability of every option, the share of samples that agree
    Ask(AskArguments),
    /// Score stored answers without any model: this program's, MMAU submissions, lmms-eval's samples
    Score(ScoreArguments),
    /// Answer val with the run's adapter at several scales, and refuse below several thresholds, without training
    Sweep(SweepArguments),
    /// Recommend the adapter's scale with the best RGI on val, or a refusal offset
    Pick(PickArguments),
    /// Write every plot of a run, an evaluation or a transfer experiment as SVG and PNG, without any model
    Plot(PlotArguments),
    /// Compare the runs of a folder on one page with a table that can be sorted
    Index(IndexArguments),
    /// Print a script that completes this program's command lines in a shell
    Completions(CompletionsArguments),
    /// Write this program's manual pages into a folder
    Man(ManArguments),
}

const AFTER_HELP: &str = concat!(
    "\
Examples:
  idk-eval recipes/sound.toml
  idk-eval recipes/sound.toml --by sub-category --transitions --p-values
  idk-eval recipes/sound.toml --adapter k3=runs/k3/adapter --adapter k5=runs/sound/adapter --out my/k --format csv
  idk-eval --model checkpoints/mini-lalm --adapter runs/sound/adapter --questions my/questions.json --out my/eval
  idk-eval ask \"Which animal is heard?\" --audio my/clip.wav --choices dog,cat,hen --adapter runs/sound/adapter --samples 10
  idk-eval sweep recipes/sound.toml --test
  idk-eval pick runs/sound --write runs/sound-picked
  idk-eval score --questions my/questions.json --before base.jsonl --after method.jsonl --json
  idk-eval plot runs/sound --out my/plots
  idk-eval index runs

",
    exit_codes!()
);

/// `idk-eval`.
#[must_use]
pub fn main() -> ExitCode {
    idk_model::tune_allocator();
    let arguments = Arguments::parse();
    terminal::run(|| arguments.run(), arguments.json)
}

impl Arguments {
    fn run(&self) -> Result<(), Failure> {
        let json = self.json;
        let Some(command) = &self.command else { return self.evaluate.run(json) };
        reject_next_to(&format!("`{}`", command.name()), self.evaluate.given())?;
        match command {
            Command::Ask(ask) => ask.run(json),
            Command::Score(score) => score.run(json),
            Command::Sweep(sweep) => sweep.run(json),
            Command::Pick(pick) => pick.run(json),
            Command::Plot(plot) => plot.run(json),
            Command::Index(index) => index.run(json),
            Command::Completions(completions) => completions.run(Self::command()),
            Command::Man(man) => man.run(Self::command(), json),
        }
    }
}

impl Command {
    const fn name(&self) -> &'static str {
        match self {
            Self::Ask(_) => "ask",
            Self::Score(_) => "score",
            Self::Sweep(_) => "sweep",
            Self::Pick(_) => "pick",
            Self::Plot(_) => "plot",
            Self::Index(_) => "index",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}
