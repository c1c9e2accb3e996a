//! One training row.

use idk_audio::LogMel;
use idk_common::hash::sha256_hex;
use idk_model::{Message, Part};

/// A chat, its clips, and the answer to learn.
#[derive(Debug, Clone)]
pub struct Example {
    /// Id of the row, named in errors.
    pub id: String,
    /// Log-mel features of the clips, in the order in which the chat mentions them.
    pub audio: Vec<LogMel>,
    /// The chat up to the answer.
    pub messages: Vec<Message>,
    /// The answer: the only text that is learnt.
    pub target: String,
}

/// Hash of everything that the rows make a model learn: ids, chats, targets and clips, in order.
///
/// A resumed run compares it with the hash of the rows that it was started with.
pub fn fingerprint(examples: &[Example]) -> String {
    let mut text = String::new();
    for example in examples {
        let mut field = |value: &str| {
            text.push_str(&value.len().to_string());
            text.push(':');
            text.push_str(value);
        };
        field(&example.id);
        field(&example.target);
        for message in &example.messages {
            field(&message.role);
            for part in &message.parts {
                match part {
                    Part::Audio => field("<audio>"),
                    Part::Text(words) => field(words),
                }
            }
        }
        for clip in &example.audio {
            let bytes: Vec<u8> = clip.data.iter().flat_map(|value| value.to_le_bytes()).collect();
            field(&sha256_hex(&bytes));
        }
    }
    sha256_hex(text.as_bytes())
}
