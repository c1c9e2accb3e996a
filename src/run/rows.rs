//! The rows that the method of a recipe trains on, whatever file of the dataset holds them.

use std::collections::HashSet;
use std::path::Path;

use idk_dataset_builder::{
    CalibratedRow, DatasetCounts, DpoRow, QuestionRow, read_asked, read_calibrated, read_calibrated_val,
    read_dpo, read_dpo_val, read_sft, read_sft_val,
};
use idk_model::Message;
use idk_questions::rows::SftRow;
use idk_trainer::RowKind;

use crate::recipe::Recipe;
use crate::terminal::Failure;

/// A row of the dataset as it is trained on.
pub(crate) struct DatasetRow {
    pub(crate) id: String,
    /// The chat up to the answer.
    pub(crate) messages: Vec<Message>,
    /// What is learnt from, the best answer first.
    pub(crate) answers: Vec<String>,
    /// Share of the samples that are not right, where the method learns it.
    pub(crate) error_rate: Option<f64>,
    /// Paths of its recordings.
    pub(crate) audios: Vec<String>,
}

/// The training rows of the dataset in `dir`.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn training_rows(recipe: &Recipe, dir: &Path) -> Result<Vec<DatasetRow>, Failure> {
    Ok(match recipe.method().rows() {
        RowKind::Chat => read_sft(dir)?.into_iter().map(of_chat).collect(),
        RowKind::Pair => read_dpo(dir)?.into_iter().map(of_pair).collect(),
        RowKind::OwnAnswer => read_calibrated(dir)?.into_iter().map(of_own_answer).collect(),
        RowKind::Question | RowKind::GivenAnswers => graded(recipe, dir, false)?,
    })
}

/// The validation rows of the dataset in `dir`.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn validation_rows(recipe: &Recipe, dir: &Path) -> Result<Vec<DatasetRow>, Failure> {
    Ok(match recipe.method().rows() {
        RowKind::Chat => read_sft_val(dir)?.into_iter().map(of_chat).collect(),
        RowKind::Pair => read_dpo_val(dir)?.into_iter().map(of_pair).collect(),
        RowKind::OwnAnswer => read_calibrated_val(dir)?.into_iter().map(of_own_answer).collect(),
        RowKind::Question | RowKind::GivenAnswers => graded(recipe, dir, true)?,
    })
}

/// How many training rows a dataset has.
pub(crate) fn row_count(recipe: &Recipe, counts: &DatasetCounts) -> usize {
    match recipe.method().rows() {
        RowKind::Chat => counts.sft_rows,
        RowKind::Pair => counts.dpo_rows,
        RowKind::OwnAnswer => counts.calibrated_rows,
        RowKind::Question | RowKind::GivenAnswers => counts.kept - counts.sft_val_rows,
    }
}

/// The most training rows that so many questions can give.
pub(crate) fn most_rows(recipe: &Recipe, questions: u64) -> u64 {
    match recipe.method().rows() {
        RowKind::Chat | RowKind::OwnAnswer | RowKind::Question | RowKind::GivenAnswers => questions,
        RowKind::Pair => {
            let pairs = recipe.build.max_pairs_per_question.unwrap_or(recipe.build.n_samples);
            questions * pairs.max(1) as u64
        }
    }
}

fn of_chat(row: SftRow) -> DatasetRow {
    let SftRow { id, mut messages, audios, .. } = row;
    let answer = messages.pop().map(|answer| answer.tagged()).unwrap_or_default();
    DatasetRow { id, messages, answers: vec![answer], error_rate: None, audios }
}

fn of_pair(row: DpoRow) -> DatasetRow {
    let answers = vec![text(&row.chosen), text(&row.rejected)];
    DatasetRow { id: row.id, messages: row.prompt, answers, error_rate: None, audios: row.audios }
}

fn of_own_answer(row: CalibratedRow) -> DatasetRow {
    let answers = vec![text(&row.own), text(&row.refusal)];
    DatasetRow { id: row.id, messages: row.prompt, answers, error_rate: row.error_rate, audios: row.audios }
}

/// The questions of the dataset that are trained on, or those of its validation split: without those of `keep_tasks`, whose
/// labels are not used. The answers are the options and the refusals, where those are given; otherwise the right answer, or
/// the refusal where none is right, stands for those that will be sampled.
fn graded(recipe: &Recipe, dir: &Path, validates: bool) -> Result<Vec<DatasetRow>, Failure> {
    let val: HashSet<String> = read_sft_val(dir)?.into_iter().map(|row| row.id).collect();
    let are_given = recipe.method().rows() == RowKind::GivenAnswers;
    let is_used = |row: &QuestionRow| {
        val.contains(&row.id) == validates
            && !recipe.build.keep_tasks.contains(&row.task)
            && !(are_given && row.choices.is_empty())
    };
    let of_question = |row: QuestionRow| {
        let messages = vec![row.user()];
        let answers = if are_given {
            [row.choices.as_slice(), recipe.build.refusal_texts()].concat()
        } else {
            vec![if row.unanswerable.is_some() { recipe.build.refusal.clone() } else { row.answer }]
        };
        DatasetRow { id: row.id, messages, answers, error_rate: None, audios: row.audios }
    };
    Ok(read_asked(dir)?.into_iter().filter(is_used).map(of_question).collect())
}

fn text(answer: &[Message]) -> String {
    answer.first().map(Message::tagged).unwrap_or_default()
}
