//! The rows that the method of a recipe trains on, whatever file of the dataset holds them.

use std::path::Path;

use idk_dataset_builder::{DatasetCounts, DpoRow, read_dpo, read_dpo_val, read_sft, read_sft_val};
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
    /// Paths of its recordings.
    pub(crate) audios: Vec<String>,
}

/// The training rows of the dataset in `dir`.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn training_rows(recipe: &Recipe, dir: &Path) -> Result<Vec<DatasetRow>, Failure> {
    Ok(match recipe.train.method.describe().rows {
        RowKind::Chat => read_sft(dir)?.into_iter().map(of_chat).collect(),
        RowKind::Pair => read_dpo(dir)?.into_iter().map(of_pair).collect(),
    })
}

/// The validation rows of the dataset in `dir`.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn validation_rows(recipe: &Recipe, dir: &Path) -> Result<Vec<DatasetRow>, Failure> {
    Ok(match recipe.train.method.describe().rows {
        RowKind::Chat => read_sft_val(dir)?.into_iter().map(of_chat).collect(),
        RowKind::Pair => read_dpo_val(dir)?.into_iter().map(of_pair).collect(),
    })
}

/// How many training rows a dataset has.
pub(crate) fn row_count(recipe: &Recipe, counts: &DatasetCounts) -> usize {
    match recipe.train.method.describe().rows {
        RowKind::Chat => counts.sft_rows,
        RowKind::Pair => counts.dpo_rows,
    }
}

/// The most training rows that so many questions can give.
pub(crate) fn most_rows(recipe: &Recipe, questions: u64) -> u64 {
    match recipe.train.method.describe().rows {
        RowKind::Chat => questions,
        RowKind::Pair => {
            let pairs = recipe.build.max_pairs_per_question.unwrap_or(recipe.build.n_samples);
            questions * pairs.max(1) as u64
        }
    }
}

fn of_chat(row: SftRow) -> DatasetRow {
    let SftRow { id, mut messages, audios, .. } = row;
    let answer = messages.pop().map(|answer| answer.tagged()).unwrap_or_default();
    DatasetRow { id, messages, answers: vec![answer], audios }
}

fn of_pair(row: DpoRow) -> DatasetRow {
    let text = |answer: &[Message]| answer.first().map(Message::tagged).unwrap_or_default();
    let answers = vec![text(&row.chosen), text(&row.rejected)];
    DatasetRow { id: row.id, messages: row.prompt, answers, audios: row.audios }
}
