//! A few training rows with their trained tokens marked, before a model is loaded or a dataset exists: to count tokens
//! and to show them.

use std::path::Path;

use idk_common::text::terminal_safe_lines;
use idk_dataset_builder::{read_dpo, read_sft};
use idk_model::{Message, ModelInfo};
use idk_questions::AskedQuestion;
use idk_trainer::Method;
use rayon::prelude::*;

use super::questions::{Seen, SetSummary};
use crate::recipe::Recipe;
use crate::terminal::Failure;

/// Rows of a dataset that are looked at.
const LOOKED_AT: usize = 24;

/// A row, its recordings aside.
struct PreviewRow {
    messages: Vec<Message>,
    answers: Vec<String>,
    clips: Vec<PreviewClip>,
}

enum PreviewClip {
    File(String),
    Samples(Vec<f32>),
}

/// What some rows of a run are like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preview {
    /// Tokens of each row that was looked at: prompt, audio and answer; of a pair the prompt and both answers.
    pub(crate) tokens: Vec<usize>,
    /// Audio tokens among them.
    pub(crate) audio_tokens: Vec<usize>,
    /// The first rows as text, what is learnt between `>>>` and `<<<`.
    pub(crate) shown: Vec<String>,
}

impl Preview {
    /// Rows of the dataset in `dataset`, if it is there, else questions with their right answers.
    ///
    /// # Errors
    /// A row or recording that cannot be read.
    pub(crate) fn of(
        recipe: &Recipe,
        outline: &ModelInfo,
        dataset: Option<&Path>,
        questions: Option<&SetSummary>,
        show: usize,
    ) -> Result<Self, Failure> {
        let rows = match (dataset, questions) {
            (Some(dir), _) => dataset_rows(recipe, dir)?,
            (None, Some(summary)) => summary.some.iter().map(|seen| question_row(recipe, seen)).collect(),
            (None, None) => Vec::new(),
        };
        let counted: Vec<Result<(usize, usize), Failure>> =
            rows.par_iter().map(|row| count(outline, row)).collect();
        let counted = counted.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (tokens, audio_tokens) = counted.into_iter().unzip();
        let shown = rows.iter().take(show).map(|row| render(outline, row)).collect::<Result<_, _>>()?;
        Ok(Self { tokens, audio_tokens, shown })
    }
}

/// Mean of some counts; 0 of none.
pub(crate) fn mean(counts: &[usize]) -> f64 {
    counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64
}

fn dataset_rows(recipe: &Recipe, dir: &Path) -> Result<Vec<PreviewRow>, Failure> {
    let files = |paths: &[String]| paths.iter().cloned().map(PreviewClip::File).collect();
    let text = |answer: &[Message]| answer.iter().map(Message::tagged).collect::<String>();
    Ok(match recipe.train.method {
        Method::Sft => {
            let rows = read_sft(dir)?;
            let stride = rows.len().div_ceil(LOOKED_AT).max(1);
            let row = |row: &idk_questions::rows::SftRow| {
                let (prompt, answer) = row.messages.split_at(row.messages.len().saturating_sub(1));
                PreviewRow {
                    messages: prompt.to_vec(),
                    answers: vec![text(answer)],
                    clips: files(&row.audios),
                }
            };
            rows.iter().step_by(stride).map(row).collect()
        }
        Method::Dpo => {
            let rows = read_dpo(dir)?;
            let stride = rows.len().div_ceil(LOOKED_AT).max(1);
            let row = |row: &idk_dataset_builder::DpoRow| PreviewRow {
                messages: row.prompt.clone(),
                answers: vec![text(&row.chosen), text(&row.rejected)],
                clips: files(&row.audios),
            };
            rows.iter().step_by(stride).map(row).collect()
        }
    })
}

/// A question with the answer that it would have if it were known.
fn question_row(recipe: &Recipe, seen: &Seen) -> PreviewRow {
    let question = &seen.question;
    let clips: Vec<PreviewClip> = match &seen.clip {
        Some(samples) => vec![PreviewClip::Samples(samples.clone())],
        None => question.audio.iter().map(|path| PreviewClip::File(path.display().to_string())).collect(),
    };
    let prompt = AskedQuestion::new(question.clone(), None).message(recipe.build.prompt);
    let mut answers = vec![question.answer.clone()];
    if recipe.train.method == Method::Dpo {
        answers.push(recipe.build.refusal.clone());
    }
    PreviewRow { messages: vec![prompt], answers, clips }
}

/// Tokens of a row, and how many of them stand for audio.
fn count(outline: &ModelInfo, row: &PreviewRow) -> Result<(usize, usize), Failure> {
    let config = outline.mel.config();
    let (rate, window) = (config.sampling_rate as u32, outline.mel.max_samples());
    let mut audio = Vec::new();
    for clip in &row.clips {
        let mel = match clip {
            PreviewClip::File(path) => {
                let recording = idk_audio::load_window(Path::new(path), rate, window)?;
                outline.mel.log_mel(&recording.audio.samples)
            }
            PreviewClip::Samples(samples) => outline.mel.log_mel(samples),
        };
        audio.push(outline.mel.tokens(&mel));
    }
    let mut tokens = outline.tokenizer.prompt_ids(&row.messages, &audio)?.len();
    for answer in row.answers.iter().filter(|answer| !answer.is_empty()) {
        tokens += outline.tokenizer.answer_ids(&row.messages, answer)?.len();
    }
    Ok((tokens, audio.iter().sum()))
}

fn render(outline: &ModelInfo, row: &PreviewRow) -> Result<String, Failure> {
    let tokenizer = &outline.tokenizer;
    let prompt = tokenizer.render(&row.messages, true)?;
    let learnt = |answer: &String| Ok(format!(">>>{}<<<", tokenizer.render_answer(&row.messages, answer)?));
    let answers = row.answers.iter().map(learnt).collect::<Result<Vec<_>, Failure>>()?;
    Ok(terminal_safe_lines(&format!("{prompt}{}", answers.join("\n"))))
}
