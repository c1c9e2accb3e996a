//! One training row.

use idk_common::chat::AUDIO_TAG;
use idk_common::hash::sha256_hex;
use idk_model::{Clip, Message, Part};

/// A chat, its clips, and the answer to learn.
#[derive(Debug, Clone)]
pub struct Example {
    /// Id of the row, named in errors.
    pub id: String,
    /// Its clips, in the order in which the chat mentions them.
    pub audio: Vec<Clip>,
    /// The chat up to the answer.
    pub messages: Vec<Message>,
    /// The answer: the only text that is learnt.
    pub target: String,
}

/// Hash of everything that the rows make a model learn: ids, chats, targets and clips, in order.
///
/// A resumed run compares it with the hash of the rows that it was started with.
pub fn fingerprint(examples: &[Example]) -> String {
    let mut fields = Fields::default();
    for example in examples {
        fields.text(&example.id);
        fields.text(&example.target);
        fields.chat(&example.messages);
        fields.clips(&example.audio);
    }
    sha256_hex(fields.as_bytes())
}

/// Fields of rows, one after the other with their lengths, so that no two lists of fields give the same bytes.
#[derive(Debug, Default)]
pub(crate) struct Fields(String);

impl Fields {
    pub(crate) fn text(&mut self, value: &str) {
        self.0.push_str(&value.len().to_string());
        self.0.push(':');
        self.0.push_str(value);
    }

    pub(crate) fn chat(&mut self, messages: &[Message]) {
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

    pub(crate) fn clips(&mut self, clips: &[Clip]) {
        for clip in clips {
            self.text(clip.sha256());
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
