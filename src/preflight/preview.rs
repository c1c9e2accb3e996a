//! A few training rows with their trained tokens marked, before a model is loaded or a dataset exists: to count tokens
//! and to show them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use idk_common::text::terminal_safe_lines;
use idk_model::{Message, ModelInfo};
use idk_questions::AskedQuestion;
use idk_trainer::RowKind;
use rayon::prelude::*;

use super::questions::{Seen, SetSummary};
use crate::recipe::Recipe;
use crate::run::rows::{DatasetRow, training_rows};
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
    /// Audio tokens of the row that has most.
    pub(crate) most_audio_tokens: usize,
    /// Other tokens of the row that has most of them: its prompt and the longest of its answers.
    pub(crate) most_text_tokens: usize,
    /// Audio tokens of all distinct clips of the training rows: the mean of those that were seen, times their number.
    pub(crate) clip_tokens: u64,
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
        let (rows, clips) = match (dataset, questions) {
            (Some(dir), _) => dataset_rows(recipe, dir)?,
            (None, Some(summary)) => question_rows(recipe, summary),
            (None, None) => (Vec::new(), 0.0),
        };
        let counted: Vec<Result<Counted, Failure>> = rows.par_iter().map(|row| count(outline, row)).collect();
        let counted = counted.into_iter().collect::<Result<Vec<_>, _>>()?;
        let shown = rows.iter().take(show).map(|row| render(outline, row)).collect::<Result<_, _>>()?;
        Ok(Self {
            tokens: counted.iter().map(|row| row.tokens).collect(),
            most_audio_tokens: counted.iter().map(|row| row.audio.iter().sum()).max().unwrap_or(0),
            most_text_tokens: counted.iter().map(|row| row.text).max().unwrap_or(0),
            clip_tokens: (clips * mean(&distinct_clips(&rows, &counted))).round() as u64,
            shown,
        })
    }
}

/// Mean of some counts; 0 of none.
pub(crate) fn mean(counts: &[usize]) -> f64 {
    counts.iter().sum::<usize>() as f64 / counts.len().max(1) as f64
}

/// Some rows of a dataset, and how many distinct clips all of its rows have: pairs share those of their question.
fn dataset_rows(recipe: &Recipe, dir: &Path) -> Result<(Vec<PreviewRow>, f64), Failure> {
    let rows = training_rows(recipe, dir)?;
    let clips = rows.iter().flat_map(|row| &row.audios).collect::<BTreeSet<_>>().len();
    let stride = rows.len().div_ceil(LOOKED_AT).max(1);
    let row = |row: DatasetRow| PreviewRow {
        messages: row.messages,
        answers: row.answers,
        clips: row.audios.into_iter().map(PreviewClip::File).collect(),
    };
    Ok((rows.into_iter().step_by(stride).map(row).collect(), clips as f64))
}

/// Some questions as rows, and at most how many distinct clips all questions have.
fn question_rows(recipe: &Recipe, summary: &SetSummary) -> (Vec<PreviewRow>, f64) {
    let rows: Vec<PreviewRow> = summary.some.iter().map(|seen| question_row(recipe, seen)).collect();
    let seen: usize = rows.iter().map(|row| row.clips.len()).sum();
    let clips = summary.questions as f64 * seen as f64 / rows.len().max(1) as f64;
    (rows, clips)
}

/// A question with the answer that it would have if it were known; the refusal if it has no right answer.
fn question_row(recipe: &Recipe, seen: &Seen) -> PreviewRow {
    let question = &seen.question;
    let clips: Vec<PreviewClip> = match &seen.clip {
        Some(samples) => vec![PreviewClip::Samples(samples.clone())],
        None => question.audio.iter().map(|path| PreviewClip::File(path.display().to_string())).collect(),
    };
    let prompt = AskedQuestion::new(question.clone(), None).message(recipe.build.prompt);
    let target = if question.is_answerable() { &question.answer } else { &recipe.build.refusal }.clone();
    let answers = match recipe.method().rows() {
        RowKind::GivenAnswers => [question.choices.as_slice(), recipe.build.refusal_texts()].concat(),
        RowKind::Question | RowKind::Chat => vec![target],
        RowKind::Pair | RowKind::OwnAnswer => vec![target, recipe.build.refusal.clone()],
    };
    PreviewRow { messages: vec![prompt], answers, clips }
}

/// Tokens of a row.
struct Counted {
    /// Of its prompt and all of its answers.
    tokens: usize,
    /// That stand for each clip.
    audio: Vec<usize>,
    /// Of its prompt, audio aside, and the longest of its answers.
    text: usize,
}

/// Tokens of each distinct clip.
fn distinct_clips(rows: &[PreviewRow], counted: &[Counted]) -> Vec<usize> {
    let (mut files, mut rendered) = (BTreeMap::new(), Vec::new());
    for (row, counted) in rows.iter().zip(counted) {
        for (clip, &tokens) in row.clips.iter().zip(&counted.audio) {
            match clip {
                PreviewClip::File(path) => drop(files.insert(path, tokens)),
                PreviewClip::Samples(_) => rendered.push(tokens),
            }
        }
    }
    files.into_values().chain(rendered).collect()
}

fn count(outline: &ModelInfo, row: &PreviewRow) -> Result<Counted, Failure> {
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
    let prompt = outline.tokenizer.prompt_ids(&row.messages, &audio)?.len();
    let answers = row.answers.iter().filter(|answer| !answer.is_empty());
    let answers = answers.map(|answer| Ok(outline.tokenizer.answer_ids(&row.messages, answer)?.len()));
    let answers = answers.collect::<Result<Vec<usize>, Failure>>()?;
    let text = prompt - audio.iter().sum::<usize>() + answers.iter().max().unwrap_or(&0);
    Ok(Counted { tokens: prompt + answers.iter().sum::<usize>(), audio, text })
}

fn render(outline: &ModelInfo, row: &PreviewRow) -> Result<String, Failure> {
    let tokenizer = &outline.tokenizer;
    let prompt = tokenizer.render(&row.messages, true)?;
    let learnt = |answer: &String| Ok(format!(">>>{}<<<", tokenizer.render_answer(&row.messages, answer)?));
    let answers = row.answers.iter().map(learnt).collect::<Result<Vec<_>, Failure>>()?;
    Ok(terminal_safe_lines(&format!("{prompt}{}", answers.join("\n"))))
}
