//! From training rows to a left-padded batch with its label positions.

use idk_model::{Clip, Lalm, Message, TokenBatch};

use crate::error::TrainError;
use crate::example::Example;

/// A label at this value is not learnt, as in PyTorch and transformers.
pub const IGNORE_INDEX: i64 = -100;

/// Which tokens of a batch are learnt, and from which hidden state each is predicted.
///
/// The hidden state at a position predicts the token after it, so the label token at column `c` of row `r` is
/// predicted from the flat position `r * seq + c - 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Flat position `row * seq + column` of the predicting hidden state, one entry per label, row by row.
    pub positions: Vec<u32>,
    /// Token to predict, one entry per label.
    pub targets: Vec<u32>,
    /// Labels in each row; adds up to the length of the other two.
    pub per_row: Vec<usize>,
}

impl Labels {
    /// Labels in the form that PyTorch losses read: `[batch, seq]` with [`IGNORE_INDEX`] where nothing is learnt.
    ///
    /// # Errors
    /// [`TrainError::Labels`] if the rows differ in length, or the first column has a label: no token before it.
    pub fn from_rows(rows: &[Vec<i64>]) -> Result<Self, TrainError> {
        let seq = rows.first().map_or(0, Vec::len);
        let mut labels = Self { positions: Vec::new(), targets: Vec::new(), per_row: Vec::new() };
        for (row, values) in rows.iter().enumerate() {
            if values.len() != seq {
                let reason = format!("row {row} has {} columns, row 0 has {seq}", values.len());
                return Err(TrainError::Labels { reason });
            }
            let before = labels.targets.len();
            for (column, &label) in values.iter().enumerate() {
                if label == IGNORE_INDEX {
                    continue;
                }
                let target = u32::try_from(label).map_err(|_| TrainError::Labels {
                    reason: format!("row {row} column {column} holds {label}, not a token"),
                })?;
                let position = (row * seq + column).checked_sub(1).filter(|_| column > 0);
                let position =
                    position.and_then(|position| u32::try_from(position).ok()).ok_or_else(|| {
                        TrainError::Labels { reason: format!("row {row}: no token before column {column}") }
                    })?;
                labels.positions.push(position);
                labels.targets.push(target);
            }
            labels.per_row.push(labels.targets.len() - before);
        }
        Ok(labels)
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether nothing is learnt.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// Tokens of one row: the prompt, and the answer that is learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Prompt with expanded audio placeholders and the generation prompt.
    pub prompt: Vec<u32>,
    /// Target text and the token that ends the turn.
    pub answer: Vec<u32>,
}

/// Tokenises one row.
///
/// # Errors
/// [`TrainError::Row`], [`TrainError::EmptyTarget`] or [`TrainError::TooLong`], each with the row's id.
pub fn tokenize(lalm: &Lalm, example: &Example) -> Result<TokenRow, TrainError> {
    let (prompt, [answer]) =
        tokenize_answers(lalm, &example.id, &example.messages, &example.audio, [example.target.as_str()])?;
    Ok(TokenRow { prompt, answer })
}

/// Tokens of a prompt and of answers to it.
pub(crate) fn tokenize_answers<const N: usize>(
    lalm: &Lalm,
    id: &str,
    messages: &[Message],
    audio: &[Clip],
    answers: [&str; N],
) -> Result<(Vec<u32>, [Vec<u32>; N]), TrainError> {
    let audio_tokens: Vec<usize> = audio.iter().map(Clip::audio_tokens).collect();
    let failed = |source| TrainError::Row { id: id.to_owned(), source: Box::new(source) };
    let prompt = lalm.tokenizer.prompt_ids(messages, &audio_tokens).map_err(failed)?;
    let mut tokens = [const { Vec::new() }; N];
    for (text, tokens) in answers.into_iter().zip(&mut tokens) {
        if text.is_empty() {
            return Err(TrainError::EmptyTarget { id: id.to_owned() });
        }
        *tokens = lalm.tokenizer.answer_ids(messages, text).map_err(failed)?;
        let (tokens, limit) = (prompt.len() + tokens.len(), lalm.config.text.max_position_embeddings);
        if tokens > limit {
            return Err(TrainError::TooLong { id: id.to_owned(), tokens, limit });
        }
    }
    Ok((prompt, tokens))
}

/// Joins rows into one left-padded batch; only the answers carry labels.
///
/// # Errors
/// [`TrainError::Labels`] if a prompt is empty.
pub fn collate(rows: &[TokenRow], pad_id: u32) -> Result<(TokenBatch, Labels), TrainError> {
    let ids: Vec<Vec<u32>> = rows.iter().map(|row| [row.prompt.as_slice(), &row.answer].concat()).collect();
    let seq = ids.iter().map(Vec::len).max().unwrap_or(0);
    let labels: Vec<Vec<i64>> = rows
        .iter()
        .map(|row| {
            let mut labels = vec![IGNORE_INDEX; seq - row.answer.len()];
            labels.extend(row.answer.iter().map(|&id| i64::from(id)));
            labels
        })
        .collect();
    Ok((TokenBatch::left_padded(&ids, pad_id), Labels::from_rows(&labels)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAD: u32 = 9;

    fn row(prompt: &[u32], answer: &[u32]) -> TokenRow {
        TokenRow { prompt: prompt.to_vec(), answer: answer.to_vec() }
    }

    #[test]
    fn labels_cover_exactly_the_answer_and_the_end_token() {
        let (batch, labels) = collate(&[row(&[1, 2, 3], &[4, 5]), row(&[1], &[7])], PAD).unwrap();
        assert_eq!(batch.ids, [vec![1, 2, 3, 4, 5], vec![PAD, PAD, PAD, 1, 7]]);
        assert_eq!(batch.mask, [vec![true; 5], vec![false, false, false, true, true]]);
        assert_eq!(labels.targets, [4, 5, 7]);
        assert_eq!(labels.per_row, [2, 1]);
        // Each label is predicted by the token before it.
        let flat: Vec<u32> = batch.ids.concat();
        let before: Vec<u32> = labels.positions.iter().map(|&position| flat[position as usize]).collect();
        assert_eq!(before, [3, 4, 1]);
    }

    #[test]
    fn ignored_labels_are_left_out() {
        let labels = Labels::from_rows(&[vec![-100, -100, 5], vec![-100, 6, -100]]).unwrap();
        assert_eq!(labels.positions, [1, 3]);
        assert_eq!(labels.targets, [5, 6]);
    }

    #[test]
    fn a_label_without_a_token_before_it_is_refused() {
        assert!(Labels::from_rows(&[vec![-100, 1], vec![3, -100]]).is_err());
        assert!(Labels::from_rows(&[vec![-100, 1], vec![-100]]).is_err());
        assert!(Labels::from_rows(&[vec![-100, -1]]).is_err());
    }
}
