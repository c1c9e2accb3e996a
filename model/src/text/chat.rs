//! Chats and their ChatML text, as the Qwen2-Audio processor renders them (its built-in template; the published
//! folder has none in a file).
pub use idk_common::chat::{Message, Part, audio_count};

use crate::text::tokenizer::{AUDIO_BOS, AUDIO_EOS, AUDIO_TOKEN, IM_END, IM_START};

/// What the template puts first if the chat does not begin with a system message.
pub(crate) const DEFAULT_SYSTEM_PROMPT: &str = "You are a helpful assistant.";

/// A rendered piece: one of the template's special tokens, or text that must be encoded as nothing but text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Special(&'static str),
    Text(String),
}

/// The chat as special tokens and the text between them. Text that meets text is joined first: the tokenizer splits
/// `"\n" + content` as one string.
pub(crate) fn pieces(messages: &[Message], add_generation_prompt: bool) -> Vec<Piece> {
    let mut out = Vec::new();
    let mut audio_number = 0;
    if messages.first().is_some_and(|message| message.role != "system") {
        special(&mut out, IM_START);
        text(&mut out, "system\n");
        text(&mut out, DEFAULT_SYSTEM_PROMPT);
        special(&mut out, IM_END);
        text(&mut out, "\n");
    }
    for message in messages {
        special(&mut out, IM_START);
        text(&mut out, &message.role);
        text(&mut out, "\n");
        for part in &message.parts {
            match part {
                Part::Text(content) => text(&mut out, content),
                Part::Audio => {
                    audio_number += 1;
                    text(&mut out, &format!("Audio {audio_number}: "));
                    for token in [AUDIO_BOS, AUDIO_TOKEN, AUDIO_EOS] {
                        special(&mut out, token);
                    }
                    text(&mut out, "\n");
                }
            }
        }
        special(&mut out, IM_END);
        text(&mut out, "\n");
    }
    if add_generation_prompt {
        special(&mut out, IM_START);
        text(&mut out, "assistant\n");
    }
    out
}

fn special(out: &mut Vec<Piece>, token: &'static str) {
    out.push(Piece::Special(token));
}

fn text(out: &mut Vec<Piece>, more: &str) {
    match out.last_mut() {
        Some(Piece::Text(last)) => last.push_str(more),
        _ => out.push(Piece::Text(more.to_owned())),
    }
}

/// The chat as one string, for people to read: each audio clip is one `<|AUDIO|>`, not yet repeated.
#[must_use]
pub fn render(messages: &[Message], add_generation_prompt: bool) -> String {
    pieces(messages, add_generation_prompt)
        .iter()
        .map(|piece| match piece {
            Piece::Special(token) => token,
            Piece::Text(text) => text.as_str(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_system_prompt_gives_way_to_the_chats_own() {
        let own = [Message::text("system", "Be brief."), Message::text("user", "Hi")];
        assert_eq!(
            render(&own, true),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(
            render(&own[1..], false),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        );
    }

    #[test]
    fn audio_clips_are_numbered_over_the_whole_chat() {
        let chat = [Message::from_tagged("user", "<audio>Hi"), Message::from_tagged("user", "<audio>")];
        let rendered = render(&chat, false);
        assert!(rendered.contains("user\nAudio 1: <|audio_bos|><|AUDIO|><|audio_eos|>\nHi<|im_end|>"));
        assert!(rendered.contains("user\nAudio 2: <|audio_bos|><|AUDIO|><|audio_eos|>\n<|im_end|>"));
        assert_eq!(audio_count(&chat), 2);
    }
}
