//! One training row.

use idk_common::chat::AUDIO_TAG;
use idk_common::hash::sha256_hex;
use idk_model::{Clip, Message, Part};

/// A chat, its clips, and the answers that are learnt from.
#[derive(Debug, Clone)]
pub struct TrainingRow {
    /// Id of the row, named in errors.
    pub id: String,
    /// Its clips, in the order in which the chat mentions them.
    pub audio: Vec<Clip>,
    /// The chat up to the answer.
    pub messages: Vec<Message>,
    /// For SFT the answer to learn; for DPO the chosen and the rejected answer; for calibrated refusal the model's own
    /// answer and the refusal.
    pub answers: Vec<String>,
    /// Share of the base model's samples that are not right, for calibrated refusal.
    pub error_rate: Option<f64>,
}

/// Hash of everything that the rows make a model learn: ids, answers, error rates, chats and clips, in order.
///
/// A resumed run compares it with the hash of the rows that it was started with.
pub(crate) fn fingerprint(rows: &[TrainingRow]) -> String {
    let mut fields = Fields::default();
    for row in rows {
        fields.text(&row.id);
        for answer in &row.answers {
            fields.text(answer);
        }
        if let Some(error_rate) = row.error_rate {
            fields.text(&format!("error rate {error_rate}"));
        }
        fields.chat(&row.messages);
        for clip in &row.audio {
            fields.text(clip.sha256());
        }
    }
    sha256_hex(fields.0.as_bytes())
}

/// Fields of rows, one after the other with their lengths, so that no two lists of fields give the same bytes.
#[derive(Debug, Default)]
struct Fields(String);

impl Fields {
    fn text(&mut self, value: &str) {
        self.0.push_str(&value.len().to_string());
        self.0.push(':');
        self.0.push_str(value);
    }

    fn chat(&mut self, messages: &[Message]) {
        for message in messages {
            self.text(&message.role);
            for part in &message.parts {
                match part {
                    Part::Audio => self.text(AUDIO_TAG),
                    Part::Text(words) => self.text(words),
                }
            }
        }
    }
}
