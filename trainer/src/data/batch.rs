//! Rows that go through the model together: prompts, and answers that know their prompt.

use burn::tensor::Tensor;
use idk_audio::LogMel;
use idk_model::TokenBatch;

use crate::data::tokens::RowTokens;

/// Audio of a batch, prompt by prompt.
#[derive(Debug, Clone)]
pub enum AudioInput {
    /// Encoded and projected, each `[audio_tokens, hidden]`: the encoder is frozen.
    Features(Vec<Vec<Tensor<2>>>),
    /// To be encoded in the step, as when the encoder is trained.
    Mels(Vec<Vec<LogMel>>),
}

/// Prompts and answers of some rows (a micro-batch).
///
/// The first answers of all rows come first, then all second ones: for DPO all chosen answers, then all rejected ones.
#[derive(Debug, Clone)]
pub struct TrainingBatch {
    /// Ids of the rows, named when a loss is not finite.
    pub ids: Vec<String>,
    /// Index of each row among all rows of the run: those of training, then those of validation.
    pub rows: Vec<usize>,
    /// A prompt per row, left padded, `[rows, seq]`.
    pub prompts: TokenBatch,
    /// The clips of each prompt.
    pub audio: AudioInput,
    /// Tokens of each answer, with the one that ends the turn.
    pub answers: Vec<Vec<u32>>,
    /// Index of each answer's prompt.
    pub prompt_of: Vec<usize>,
    /// Log-probability of each answer under the reference, summed over its tokens, in nats; empty for a method without one.
    pub reference: Vec<f64>,
    /// What is known of answers that were sampled; empty for a method that samples none.
    pub rollout: Rollout,
}

/// What sampled answers are learnt from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollout {
    /// The advantage of each answer.
    pub advantages: Vec<f64>,
    /// Log-probability of each token under the policy that sampled it, answer by answer, in nats.
    pub old: Vec<f32>,
    /// The same under the reference; empty if it is not needed.
    pub reference: Vec<f32>,
    /// Sums over the answers: answers, groups, rewards, standard deviations of the groups' rewards, groups of equal rewards,
    /// answers without an end, right ones, refusals.
    pub measured: Vec<f64>,
}

impl TrainingBatch {
    /// Joins rows into a batch. `rows` are their indices.
    pub fn collate(
        ids: Vec<String>,
        rows: Vec<usize>,
        tokens: &[RowTokens],
        audio: AudioInput,
        pad_id: u32,
    ) -> Self {
        let prompts: Vec<Vec<u32>> = tokens.iter().map(|tokens| tokens.prompt.clone()).collect();
        let most = tokens.iter().map(|tokens| tokens.answers.len()).max().unwrap_or(0);
        let (mut answers, mut prompt_of) = (Vec::new(), Vec::new());
        for place in 0..most {
            for (row, tokens) in tokens.iter().enumerate() {
                if let Some(answer) = tokens.answers.get(place) {
                    answers.push(answer.clone());
                    prompt_of.push(row);
                }
            }
        }
        let prompts = TokenBatch::left_padded(&prompts, pad_id);
        Self {
            ids,
            rows,
            prompts,
            audio,
            answers,
            prompt_of,
            reference: Vec::new(),
            rollout: Rollout::default(),
        }
    }

    /// Number of rows, each with one prompt.
    pub fn len(&self) -> usize {
        self.prompts.rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens without padding; a prompt counts once.
    pub fn num_tokens(&self) -> usize {
        let prompts = self.prompts.mask.iter().flatten().filter(|real| **real).count();
        prompts + self.answer_tokens()
    }

    /// Tokens of all answers.
    pub fn answer_tokens(&self) -> usize {
        self.answers.iter().map(Vec::len).sum()
    }

    /// Tokens of the first answer of each row.
    pub fn first_answer_tokens(&self) -> usize {
        self.answers.iter().take(self.len()).map(Vec::len).sum()
    }

    /// The prompt of a row without its padding.
    pub(crate) fn prompt(&self, row: usize) -> Vec<u32> {
        let tokens = self.prompts.ids[row].iter().zip(&self.prompts.mask[row]);
        tokens.filter(|(_, real)| **real).map(|(&id, _)| id).collect()
    }
}

/// What the loss of a step is divided by: the same for each of its micro-batches, so that any split gives the same step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows.
    pub rows: usize,
    /// Tokens of all answers.
    pub answer_tokens: usize,
    /// Tokens of the first answer of each row.
    pub first_answer_tokens: usize,
}

impl Totals {
    /// Of the micro-batches of a step.
    pub fn of_batches(batches: &[TrainingBatch]) -> Self {
        let mut totals = Self::default();
        for batch in batches {
            totals.rows += batch.len();
            totals.answer_tokens += batch.answer_tokens();
            totals.first_answer_tokens += batch.first_answer_tokens();
        }
        totals
    }

    /// Takes in one row more.
    pub(crate) fn add(&mut self, tokens: &RowTokens) {
        self.rows += 1;
        self.answer_tokens += tokens.answers.iter().map(Vec::len).sum::<usize>();
        self.first_answer_tokens += tokens.answers.first().map_or(0, Vec::len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: &[(&[u32], &[&[u32]])]) -> TrainingBatch {
        let tokens = |&(prompt, answers): &(&[u32], &[&[u32]])| RowTokens {
            prompt: prompt.to_vec(),
            answers: answers.iter().map(|answer| answer.to_vec()).collect(),
        };
        let tokens: Vec<RowTokens> = rows.iter().map(tokens).collect();
        let no_audio = AudioInput::Features(vec![Vec::new(); rows.len()]);
        TrainingBatch::collate(
            vec![String::new(); rows.len()],
            (0..rows.len()).collect(),
            &tokens,
            no_audio,
            9,
        )
    }

    #[test]
    fn the_first_answers_of_all_rows_come_first_and_each_answer_knows_its_prompt() {
        let batch = batch(&[(&[1, 2, 3], &[&[4, 5], &[6]]), (&[1], &[&[7], &[8, 8, 8]])]);
        assert_eq!(batch.answers, [vec![4, 5], vec![7], vec![6], vec![8, 8, 8]]);
        assert_eq!(batch.prompt_of, [0, 1, 0, 1]);
        assert_eq!(batch.prompts.ids, [vec![1, 2, 3], vec![9, 9, 1]]);
        assert_eq!((batch.prompt(0), batch.prompt(1)), (vec![1, 2, 3], vec![1]));
    }

    #[test]
    fn a_prompt_counts_once_however_many_answers_it_has() {
        let batch = batch(&[(&[1, 2, 3], &[&[4, 5], &[6]]), (&[1], &[&[7], &[8, 8, 8]])]);
        assert_eq!((batch.num_tokens(), batch.answer_tokens(), batch.first_answer_tokens()), (11, 7, 3));
        let totals = Totals { rows: 2, answer_tokens: 7, first_answer_tokens: 3 };
        assert_eq!(Totals::of_batches(std::slice::from_ref(&batch)), totals);
        assert_eq!(Totals::of_batches(&[batch.clone(), batch]).answer_tokens, 14);
    }
}
