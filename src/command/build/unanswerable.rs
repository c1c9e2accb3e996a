//! `idk-build unanswerable`: questions without a right answer, made from a question file.

use std::path::PathBuf;

use clap::Args;
use idk_common::text::display_path;
use idk_questions::{
    Making, Question, UnanswerableKind, listed_skips, make_unanswerable, read_questions, write_questions,
};
use serde_json::json;

use crate::command::args::{one_of, whole_number};
use crate::run::RunError;
use crate::terminal::{Failure, print_result, say};

/// Options of `idk-build unanswerable`.
#[derive(Args)]
pub(super) struct UnanswerableArguments {
    /// Question file whose questions have options
    questions: PathBuf,
    /// Why they have no answer: the right option is missing (absent), the options are of another sub-category
    /// (options), or the clip is (audio); repeatable
    #[arg(long, required = true, value_parser = one_of([
        ("absent", UnanswerableKind::Absent), ("options", UnanswerableKind::Options), ("audio", UnanswerableKind::Audio),
    ]))]
    kind: Vec<UnanswerableKind>,
    /// File to write, .json or .jsonl, in the folder of the clips or above [default: NAME-KIND.json next to the questions]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Seed for choosing questions, options and clips
    #[arg(long, default_value_t = 0, value_parser = whole_number::<u64>)]
    seed: u64,
    /// Questions of each kind [default: all that can be made]
    #[arg(long, value_name = "N", value_parser = whole_number::<usize>)]
    count: Option<usize>,
    /// Sub-category to leave alone, of questions that fit any clip, such as those about loudness; repeatable
    #[arg(long, value_name = "SUB-CATEGORY")]
    exclude: Vec<String>,
    /// Write the original questions too, first, so that the file can be trained on
    #[arg(long)]
    with_source: bool,
}

impl UnanswerableArguments {
    /// Makes the questions and prints the path of their file.
    ///
    /// # Errors
    /// A file that exists; questions that cannot be read; too few questions that could be made.
    pub(super) fn run(&self, json: bool) -> Result<(), Failure> {
        let mut kinds = self.kind.clone();
        kinds.sort_unstable();
        kinds.dedup();
        let out = self.out.clone().unwrap_or_else(|| self.next_to_questions(&kinds));
        if out.exists() {
            let what = format!("`{}` exists already: give another `--out`", display_path(&out));
            return Err(RunError::Usage { what }.into());
        }
        let set = read_questions(&self.questions)?;
        if !set.rejected.is_empty() {
            say(&format!("{} rows of {} cannot be used", set.rejected.len(), display_path(&self.questions)));
        }
        let making = Making { count: self.count, seed: self.seed, exclude: self.exclude.clone() };
        let mut rows: Vec<Question> = if self.with_source { set.questions.clone() } else { Vec::new() };
        let mut counts = serde_json::Map::new();
        for kind in kinds {
            let made = make_unanswerable(&set.questions, kind, &making)?;
            counts.insert(kind.name().to_owned(), made.questions.len().into());
            let skipped = listed_skips(&made.skipped);
            let left_out = if skipped.is_empty() { String::new() } else { format!("; left out: {skipped}") };
            say(&format!("{}: {} questions{left_out}", kind.name(), made.questions.len()));
            rows.extend(made.questions);
        }
        write_questions(&out, &rows)?;
        let value = json!({ "questions": out.display().to_string(), "made": counts, "rows": rows.len() });
        Ok(print_result(json, &value, || out.display().to_string())?)
    }

    fn next_to_questions(&self, kinds: &[UnanswerableKind]) -> PathBuf {
        let stem = self.questions.file_stem().unwrap_or_default().to_string_lossy();
        let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let mixed = if self.with_source { "-with" } else { "" };
        self.questions.with_file_name(format!("{stem}{mixed}-{}.json", kinds.join("-")))
    }
}
