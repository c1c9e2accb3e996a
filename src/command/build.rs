//! `idk-build RECIPE`: the IDK dataset, or one machine's part of it; `merge`: the parts as one dataset.
//! `relabel`, `inspect`, `export`: what can be done with it without a model. `compose`: the embedded benchmark as files.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use idk::cli::{self, RecipeArgs};
use idk::error::{Failure, RunError};
use idk::{labelling, pipeline, shards, sources};
use idk_dataset_builder::{Format, Part, Paths};

/// Builds the IDK dataset: samples the base model, judges, labels K of N
#[derive(Parser)]
#[command(name = "idk-build", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Moves an earlier run in the output folder aside and starts anew
    #[arg(long)]
    fresh: bool,
    /// Goes on with an earlier run in the output folder, which happens without it too
    #[arg(long, conflicts_with = "fresh")]
    resume: bool,
    /// Samples only part i of n, into the folder `shard-i-of-n` of the run; `idk-build merge` brings them together
    #[arg(long, value_name = "I/N")]
    shard: Option<Part>,
    /// Prints the counts as one JSON object; errors too
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Renders questions with their clips from a bank of recordings
    Compose(ComposeArguments),
    /// Labels the samples of a run anew, without the model: another K, refusal, balance, split
    Relabel(RelabelArguments),
    /// Shows counts, the K curve, the IDK share of groups and a few rows of a dataset
    Inspect(InspectArguments),
    /// Writes the rows of a dataset for another trainer
    Export(ExportArguments),
    /// Makes the dataset from the parts that `--shard i/n` has sampled
    Merge(MergeArguments),
}

#[derive(Args)]
struct MergeArguments {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Folders of the parts [default: every `shard-i-of-n` in the run folder]
    #[arg(value_name = "SHARD")]
    shards: Vec<PathBuf>,
}

#[derive(Args)]
struct RelabelArguments {
    /// Run folder, or a dataset folder
    run: PathBuf,
    /// Right answers that make a question known; at most N
    #[arg(long)]
    k: Option<usize>,
    /// Sets a labelling key, e.g. `--set build.max_idk_share=0.5`; may be given again
    #[arg(long = "set", value_name = "BUILD.KEY=VALUE")]
    set: Vec<String>,
    /// Writes another run (or dataset) folder and leaves this one as it is
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct InspectArguments {
    /// Run folder, or a dataset folder
    run: PathBuf,
}

#[derive(Args)]
struct ExportArguments {
    /// Run folder, or a dataset folder
    run: PathBuf,
    /// Who is to read the files
    #[arg(long)]
    format: FormatName,
    /// Folder for the files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How recordings are named [default: relative for llama-factory, else absolute]
    #[arg(long)]
    paths: Option<PathsName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    MsSwift,
    LlamaFactory,
    Trl,
}

#[derive(Clone, Copy, ValueEnum)]
enum PathsName {
    Relative,
    Absolute,
}

impl ExportArguments {
    fn run(&self, json: bool) -> Result<(), Failure> {
        let format = match self.format {
            FormatName::MsSwift => Format::MsSwift,
            FormatName::LlamaFactory => Format::LlamaFactory,
            FormatName::Trl => Format::Trl,
        };
        let paths = self.paths.map(|paths| match paths {
            PathsName::Relative => Paths::Relative,
            PathsName::Absolute => Paths::Absolute,
        });
        labelling::export_run(&self.run, &self.out, format, paths, json)
    }
}

#[derive(Args)]
struct ComposeArguments {
    /// Folder with a manifest.jsonl [default: the built-in bank]
    #[arg(long)]
    bank: Option<PathBuf>,
    /// Which recordings: base, idk, val or test
    #[arg(long)]
    split: String,
    /// Seed of the questions
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Questions of each modality [default: the split's own number]
    #[arg(long)]
    questions: Option<usize>,
    /// Folder for questions.json and audio/
    #[arg(long)]
    out: PathBuf,
}

impl Arguments {
    /// What builds a dataset has no meaning beside a subcommand, which has options of its own.
    fn refuse_beside_subcommand(&self) -> Result<(), RunError> {
        let given = [
            ("a recipe before its name", self.recipe.recipe.is_some()),
            ("--set before its name", !self.recipe.set.is_empty()),
            ("--fresh", self.fresh),
            ("--resume", self.resume),
            ("--shard", self.shard.is_some()),
        ];
        match given.iter().find(|(_, given)| self.command.is_some() && *given) {
            Some((name, _)) => Err(RunError::Usage { what: format!("a subcommand does not take {name}") }),
            None => Ok(()),
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  idk-build recipes/sound.toml
  idk-build recipes/sound.toml --set build.n_samples=10 --set build.k=8
  idk-build recipes/sound.toml --shard 2/8
  idk-build merge recipes/sound.toml
  idk-build relabel runs/sound --k 3 --out runs/sound-k3
  idk-build inspect runs/sound
  idk-build export runs/sound --format ms-swift --out /tmp/sound-swift
  idk-build compose --split test --out /tmp/test

A build that was stopped goes on where it was: give the same command again.

Exit codes: 0 success, 2 usage or recipe, 65 bad data or mismatch, 66 missing input,
70 numeric stop, 74 input/output, 75 run folder busy, 130 or 143 stopped by a signal.";

fn main() -> ExitCode {
    idk_model::tune_allocator();
    let arguments = Arguments::parse();
    let json = arguments.json;
    let run = || {
        arguments.refuse_beside_subcommand()?;
        match &arguments.command {
            Some(Command::Compose(compose)) => {
                let path = sources::compose_to(
                    compose.bank.as_deref(),
                    &compose.split,
                    compose.seed,
                    compose.questions,
                    &compose.out,
                )?;
                let path = path.display().to_string();
                cli::print_line(&if json {
                    serde_json::json!({ "questions": path }).to_string()
                } else {
                    path
                })?;
                Ok(())
            }
            Some(Command::Relabel(relabel)) => {
                labelling::relabel_run(&relabel.run, relabel.k, &relabel.set, relabel.out.as_deref(), json)
            }
            Some(Command::Inspect(inspect)) => labelling::inspect_run(&inspect.run, json),
            Some(Command::Export(export)) => export.run(json),
            Some(Command::Merge(merge)) => {
                pipeline::require_recipe(&merge.recipe)?;
                let options = pipeline::Options { json, ..Default::default() };
                shards::merge(&merge.recipe.load()?, &merge.shards, &options)
            }
            None => {
                pipeline::require_recipe(&arguments.recipe)?;
                let recipe = arguments.recipe.load()?;
                let options = pipeline::Options { fresh: arguments.fresh, json, allow_changes: &[] };
                match arguments.shard {
                    Some(part) => shards::sample_part(&recipe, part, &options),
                    None => pipeline::build(&recipe, &options),
                }
            }
        }
    };
    cli::run(run, json)
}
