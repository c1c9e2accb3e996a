//! `idk-build compose`: the benchmark of this repository as files.

use std::path::PathBuf;

use clap::Args;
use idk_benchmark::{Bank, ComposeConfig, Split, default_bank_dir};
use serde_json::json;

use crate::command::args::whole_number;
use crate::run::RunError;
use crate::terminal::{Failure, print_result};

#[derive(Args)]
pub(super) struct ComposeArguments {
    /// Folder with a manifest.jsonl [default: the bank of this repository, dataset-builder/bank]
    #[arg(long)]
    bank: Option<PathBuf>,
    /// Recordings to use: base, idk, val or test
    #[arg(long)]
    split: String,
    /// Seed of the questions
    #[arg(long, default_value_t = 0, value_parser = whole_number::<u64>)]
    seed: u64,
    /// Questions of each modality [default: that of the split]
    #[arg(long, value_parser = whole_number::<usize>)]
    questions: Option<usize>,
    /// Folder for questions.json and audio/
    #[arg(long)]
    out: PathBuf,
}

impl ComposeArguments {
    /// Renders the split and prints the path of its question file.
    ///
    /// # Errors
    /// An unknown split, or a bank that cannot be read or has too few recordings.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        if !Split::NAMES.contains(&&*self.split) {
            let names = Split::NAMES.join(", ");
            let what = format!("`--split {}`: a bank has the splits {names}", self.split);
            return Err(RunError::Usage { what }.into());
        }
        let bank = Bank::load(&self.bank.clone().unwrap_or_else(|| default_bank_dir(None)))?;
        let config = ComposeConfig {
            split: self.split.clone(),
            questions_per_modality: self.questions,
            modalities: Vec::new(),
            seed: self.seed,
        };
        idk_benchmark::check(&bank, &config)?;
        let _lock = idk_common::owned::claim(&self.out, &["audio", "questions.json"])?;
        let path = idk_benchmark::write(&bank, &config, &self.out)?.display().to_string();
        Ok(print_result(json, &json!({ "questions": path }), || path.clone())?)
    }
}
