//! From a row to tokens.

use idk_model::{Clip, Lalm};

use crate::data::TrainingRow;
use crate::error::TrainError;

/// Tokens of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowTokens {
    /// Prompt with expanded audio placeholders and the generation prompt.
    pub prompt: Vec<u32>,
    /// Of each answer its text and the token that ends the turn.
    pub answers: Vec<Vec<u32>>,
}

impl RowTokens {
    /// Tokenises one row.
    ///
    /// # Errors
    /// [`TrainError::Row`], [`TrainError::EmptyTarget`] or [`TrainError::TooLong`], each with the row's id.
    pub fn of(lalm: &Lalm, row: &TrainingRow) -> Result<Self, TrainError> {
        let audio_tokens: Vec<usize> = row.audio.iter().map(Clip::audio_tokens).collect();
        let failed = |source| TrainError::Row { id: row.id.clone(), source: Box::new(source) };
        let prompt = lalm.tokenizer.prompt_ids(&row.messages, &audio_tokens).map_err(failed)?;
        if row.answers.is_empty() {
            return Err(TrainError::EmptyTarget { id: row.id.clone() });
        }
        let limit = lalm.config.text.max_position_embeddings;
        let answer = |text: &String| {
            if text.is_empty() {
                return Err(TrainError::EmptyTarget { id: row.id.clone() });
            }
            let answer = lalm.tokenizer.answer_ids(&row.messages, text).map_err(failed)?;
            let tokens = prompt.len() + answer.len();
            if tokens > limit {
                return Err(TrainError::TooLong { id: row.id.clone(), tokens, limit });
            }
            Ok(answer)
        };
        let answers = row.answers.iter().map(answer).collect::<Result<_, _>>()?;
        Ok(Self { prompt, answers })
    }

    /// Tokens of the prompt with the longest answer.
    pub(crate) fn longest(&self) -> usize {
        self.prompt.len() + self.answers.iter().map(Vec::len).max().unwrap_or(0)
    }
}
