//! A question set as files.

use std::path::{Path, PathBuf};

use idk_audio::write_wav;
use idk_common::atomic;
use idk_questions::{Question, write_questions};
use rayon::prelude::*;

use super::error::ComposeError;
use super::item::ComposedItem;
use super::mix::SAMPLE_RATE_HZ;

/// The questions' file in the folder.
pub const QUESTIONS_FILE: &str = "questions.json";

/// Writes `audio/<id>.wav` (16-bit PCM) for every item, then `questions.json`, and gives the path of the latter.
///
/// # Errors
/// A file cannot be written; the questions come last, so that they never name a clip that is not there.
pub fn write(items: &[ComposedItem], out_dir: &Path) -> Result<PathBuf, ComposeError> {
    atomic::create_dir_all(&out_dir.join("audio"))?;
    items.par_iter().try_for_each(|item| {
        let relative = format!("audio/{}.wav", item.question.id);
        write_wav(&out_dir.join(relative), &item.samples, SAMPLE_RATE_HZ)
    })?;
    let questions: Vec<Question> = items.iter().map(|item| resolved(&item.question, out_dir)).collect();
    let path = out_dir.join(QUESTIONS_FILE);
    write_questions(&path, &questions)?;
    Ok(path)
}

/// The question with the paths that a reader of the written set would give it.
fn resolved(question: &Question, out_dir: &Path) -> Question {
    let audio = question.audio.iter().map(|path| out_dir.join(path)).collect();
    Question { audio, ..question.clone() }
}
