//! One preference pair, and pairs as a batch.

use idk_common::hash::sha256_hex;
use idk_model::{Clip, Lalm, Message, TokenBatch};

use crate::collate::tokenize_answers;
use crate::error::TrainError;
use crate::example::Fields;
use crate::forward::AudioInput;

/// A chat, its clips, the better and the worse answer.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Id of the row, named in errors.
    pub id: String,
    /// Its clips, in the order in which the chat mentions them.
    pub audio: Vec<Clip>,
    /// The chat up to the answer.
    pub messages: Vec<Message>,
    /// The answer to be preferred.
    pub chosen: String,
    /// The answer to be avoided.
    pub rejected: String,
}

/// Tokens of one pair: the prompt, and the `[chosen, rejected]` answers with their end tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTokens {
    /// Prompt with expanded audio placeholders and the generation prompt.
    pub prompt: Vec<u32>,
    /// Answer text and the token that ends the turn.
    pub answers: [Vec<u32>; 2],
}

impl PairTokens {
    /// Tokenises one pair.
    ///
    /// # Errors
    /// As [`tokenize`](crate::collate::tokenize), and [`TrainError::SameAnswers`].
    pub fn of(lalm: &Lalm, pair: &Pair) -> Result<Self, TrainError> {
        let (prompt, answers) = tokenize_answers(
            lalm,
            &pair.id,
            &pair.messages,
            &pair.audio,
            [pair.chosen.as_str(), pair.rejected.as_str()],
        )?;
        if answers[0] == answers[1] {
            return Err(TrainError::SameAnswers { id: pair.id.clone() });
        }
        Ok(Self { prompt, answers })
    }
}

/// Pairs that go through the model together.
#[derive(Debug, Clone)]
pub struct PairBatch {
    /// Ids of the pairs, named when a loss is not finite.
    pub ids: Vec<String>,
    /// The prompts, left padded, `[pairs, seq]`.
    pub prompts: TokenBatch,
    /// The `[chosen, rejected]` answers of each pair.
    pub answers: Vec<[Vec<u32>; 2]>,
    /// The clips of each pair.
    pub audio: AudioInput,
    /// Log-probabilities of the `[chosen, rejected]` answers under the reference, summed over their tokens, in nats.
    pub reference: Vec<[f64; 2]>,
}

impl PairBatch {
    /// Joins pairs into a batch.
    pub fn collate(
        ids: Vec<String>,
        tokens: &[PairTokens],
        audio: AudioInput,
        reference: Vec<[f64; 2]>,
        pad_id: u32,
    ) -> Self {
        let prompts: Vec<Vec<u32>> = tokens.iter().map(|tokens| tokens.prompt.clone()).collect();
        Self {
            ids,
            prompts: TokenBatch::left_padded(&prompts, pad_id),
            answers: tokens.iter().map(|tokens| tokens.answers.clone()).collect(),
            audio,
            reference,
        }
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Tokens without padding; a prompt counts once, as it is run once.
    pub fn num_tokens(&self) -> usize {
        let prompts = self.prompts.mask.iter().flatten().filter(|real| **real).count();
        prompts + self.answers.iter().flatten().map(Vec::len).sum::<usize>()
    }

    /// Tokens of the chosen answers.
    pub fn chosen_tokens(&self) -> usize {
        self.answers.iter().map(|[chosen, _]| chosen.len()).sum()
    }
}

/// Hash of everything that the pairs make a model learn: ids, chats, answers and clips, in order.
pub fn fingerprint_pairs(pairs: &[Pair]) -> String {
    let mut fields = Fields::default();
    for pair in pairs {
        fields.text(&pair.id);
        fields.text(&pair.chosen);
        fields.text(&pair.rejected);
        fields.chat(&pair.messages);
        fields.clips(&pair.audio);
    }
    sha256_hex(fields.as_bytes())
}
