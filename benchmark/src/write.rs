//! A question set as files.

use std::path::{Path, PathBuf};

use idk_audio::write_wav;
use idk_common::fs;
use idk_questions::{Question, write_questions};
use rayon::prelude::*;

use crate::bank::Bank;
use crate::error::ComposeError;
use crate::mix::SAMPLE_RATE_HZ;
use crate::set::{ComposeConfig, plans};

/// The questions' file in the folder.
pub const QUESTIONS_FILE: &str = "questions.json";

/// Composes a question set as [`crate::compose`] does and writes it: `audio/<id>.wav` (16-bit PCM) for every question,
/// then `questions.json`, whose path it gives.
///
/// A clip is written as soon as it is rendered, so that a set of any size needs little memory.
///
/// # Errors
/// As [`crate::compose`]; a file cannot be written. The questions come last, so that they never name a clip that is not
/// there.
pub fn write(bank: &Bank, config: &ComposeConfig, out_dir: &Path) -> Result<PathBuf, ComposeError> {
    let plans = plans(bank, config)?;
    fs::create_dir_all(&out_dir.join("audio"))?;
    let questions: Vec<Question> = plans
        .into_par_iter()
        .map(|plan| {
            let item = plan.render(bank);
            let relative = format!("audio/{}.wav", item.question.id);
            write_wav(&out_dir.join(relative), &item.samples, SAMPLE_RATE_HZ)?;
            Ok(resolved(&item.question, out_dir))
        })
        .collect::<Result<_, ComposeError>>()?;
    let path = out_dir.join(QUESTIONS_FILE);
    write_questions(&path, &questions)?;
    Ok(path)
}

/// Checks that [`write`] could compose the set; nothing is written.
///
/// # Errors
/// As [`crate::compose`].
pub fn check(bank: &Bank, config: &ComposeConfig) -> Result<(), ComposeError> {
    plans(bank, config).map(drop)
}

/// The question with the paths that a reader of the written set would give it.
fn resolved(question: &Question, out_dir: &Path) -> Question {
    let audio = question.audio.iter().map(|path| out_dir.join(path)).collect();
    Question { audio, ..question.clone() }
}
