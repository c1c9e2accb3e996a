//! Chat messages: one type for the rows of a dataset and for the prompts of a model.

use serde::{Deserialize, Serialize};

/// The tag that stands for one audio clip in text, as ms-swift and LLaMA-Factory write it.
pub const AUDIO_TAG: &str = "<audio>";

/// One piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The next audio clip of the chat.
    Audio,
    /// Plain text.
    Text(String),
}

/// One turn of a chat. As JSON `{"role": .., "content": ..}` with an [`AUDIO_TAG`] in the content for each clip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "TaggedMessage", into = "TaggedMessage")]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The content, in order.
    pub parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct TaggedMessage {
    role: String,
    content: String,
}

impl From<TaggedMessage> for Message {
    fn from(message: TaggedMessage) -> Self {
        Self::from_tagged(&message.role, &message.content)
    }
}

impl From<Message> for TaggedMessage {
    fn from(message: Message) -> Self {
        Self { content: message.tagged(), role: message.role }
    }
}

impl Message {
    /// A message of text alone; an [`AUDIO_TAG`] in it stays text.
    #[must_use]
    pub fn text(role: &str, text: &str) -> Self {
        Self { role: role.to_owned(), parts: vec![Part::Text(text.to_owned())] }
    }

    /// A user turn: so many clips, then the text, in which an [`AUDIO_TAG`] stays text.
    #[must_use]
    pub fn user(clips: usize, text: &str) -> Self {
        let mut parts = vec![Part::Audio; clips];
        parts.push(Part::Text(text.to_owned()));
        Self { role: "user".to_owned(), parts }
    }

    /// What the model is to say.
    #[must_use]
    pub fn assistant(text: &str) -> Self {
        Self::text("assistant", text)
    }

    /// A message whose audio clips are written as tags: `"<audio>What is that sound?"`.
    #[must_use]
    pub fn from_tagged(role: &str, tagged: &str) -> Self {
        let mut parts = Vec::new();
        for (index, text) in tagged.split(AUDIO_TAG).enumerate() {
            if index > 0 {
                parts.push(Part::Audio);
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
        }
        Self { role: role.to_owned(), parts }
    }

    /// The content with a tag for each clip.
    #[must_use]
    pub fn tagged(&self) -> String {
        let text = |part: &Part| match part {
            Part::Audio => AUDIO_TAG.to_owned(),
            Part::Text(text) => text.clone(),
        };
        self.parts.iter().map(text).collect()
    }
}

/// Number of audio clips in a chat.
#[must_use]
pub fn audio_count(messages: &[Message]) -> usize {
    messages.iter().flat_map(|message| &message.parts).filter(|part| **part == Part::Audio).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_audio_parts_in_order_and_tags_again() {
        let message = Message::from_tagged("user", "a<audio><audio>b");
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(message.parts, [text("a"), Part::Audio, Part::Audio, text("b")]);
        assert_eq!(Message::from_tagged("user", "").parts, []);
        assert_eq!(message.tagged(), "a<audio><audio>b");
        assert_eq!(audio_count(&[message, Message::text("user", "<audio>")]), 2);
    }

    #[test]
    fn a_message_is_stored_with_role_and_tagged_content() {
        let message = Message::user(2, "Which?");
        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(json, r#"{"role":"user","content":"<audio><audio>Which?"}"#);
        assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    }
}
