//! Special tokens in text: finding the template's, and keeping a user's text from being taken for one.

use aho_corasick::{AhoCorasick, MatchKind};
use idk_common::chat::{Message, Part};

/// A piece of a rendered chat: a special token, or text that is encoded as nothing but text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Special(u32),
    Text(&'t str),
}

/// The special tokens of a tokenizer.
#[derive(Clone, Debug)]
pub(super) struct Specials {
    /// Finds the leftmost, and of those that start there the longest.
    finder: AhoCorasick,
    tokens: Vec<(String, u32)>,
}

impl Specials {
    pub(super) fn new(tokens: Vec<(String, u32)>) -> Result<Self, String> {
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest);
        let finder =
            builder.build(tokens.iter().map(|(content, _)| content)).map_err(|error| error.to_string())?;
        Ok(Self { finder, tokens })
    }

    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.tokens.iter().find(|(content, _)| content == token).map(|&(_, id)| id)
    }

    /// The special token of an id.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.tokens.iter().find(|(_, found)| *found == id).map(|(content, _)| content.as_str())
    }

    /// The text as special tokens and what lies between them.
    pub(super) fn split<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        let mut pieces = Vec::new();
        let mut end = 0;
        for found in self.finder.find_iter(text) {
            if found.start() > end {
                pieces.push(Piece::Text(&text[end..found.start()]));
            }
            pieces.push(Piece::Special(self.tokens[found.pattern().as_usize()].1));
            end = found.end();
        }
        if end < text.len() {
            pieces.push(Piece::Text(&text[end..]));
        }
        pieces
    }

    /// Where the last special token of the text ends.
    pub(super) fn last_end(&self, text: &str) -> Option<usize> {
        self.finder.find_iter(text).last().map(|found| found.end())
    }

    /// The chat with a mark after every character of what looks like a special token in it, so that those that are found
    /// in the rendered chat are the template's own. The mark is a character that neither the chat nor the template has;
    /// there is none where none is needed. Texts that stand next to each other become one.
    pub(super) fn guard(
        &self,
        messages: &[Message],
        template_has: impl Fn(char) -> bool,
    ) -> Result<(Vec<Message>, Option<char>), String> {
        let mut messages: Vec<Message> = messages.iter().map(joined).collect();
        let texts = || messages.iter().flat_map(texts_of);
        if !texts().any(|text| self.finder.is_match(text)) {
            return Ok((messages, None));
        }
        let is_free = |mark: &char| !template_has(*mark) && !texts().any(|text| text.contains(*mark));
        // Unicode's private use area: characters without a meaning.
        let Some(mark) = ('\u{e000}'..='\u{f8ff}').find(is_free) else {
            return Err(
                "a chat with special tokens and every private-use character cannot be encoded".to_owned()
            );
        };
        for message in &mut messages {
            message.role = self.marked(&message.role, mark);
            for part in &mut message.parts {
                if let Part::Text(text) = part {
                    *text = self.marked(text, mark);
                }
            }
        }
        Ok((messages, Some(mark)))
    }

    fn marked(&self, text: &str, mark: char) -> String {
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        for found in self.finder.find_iter(text) {
            out.push_str(&text[end..found.start()]);
            out.extend(text[found.range()].chars().flat_map(|character| [character, mark]));
            end = found.end();
        }
        out.push_str(&text[end..]);
        out
    }
}

fn texts_of(message: &Message) -> impl Iterator<Item = &str> {
    std::iter::once(message.role.as_str()).chain(message.parts.iter().filter_map(text_of))
}

fn text_of(part: &Part) -> Option<&str> {
    match part {
        Part::Text(text) => Some(text),
        Part::Audio => None,
    }
}

fn joined(message: &Message) -> Message {
    let mut parts: Vec<Part> = Vec::with_capacity(message.parts.len());
    for part in &message.parts {
        match (parts.last_mut(), part) {
            (Some(Part::Text(last)), Part::Text(more)) => last.push_str(more),
            _ => parts.push(part.clone()),
        }
    }
    Message { role: message.role.clone(), parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specials() -> Specials {
        let tokens = ["<|a|>", "<|a|>b", "|>c", "<s>"].map(str::to_owned).into_iter().zip(0..).collect();
        Specials::new(tokens).unwrap()
    }

    #[test]
    fn the_leftmost_and_longest_special_tokens_are_found() {
        use Piece::{Special, Text};
        let split = |text| specials().split(text);
        assert_eq!(split("x<|a|>y"), [Text("x"), Special(0), Text("y")]);
        assert_eq!(split("<|a|>b<|a|>c"), [Special(1), Special(0), Text("c")]);
        assert_eq!(split("<|a|<|a|>"), [Text("<|a|"), Special(0)]);
        assert_eq!(split(""), []);
        assert_eq!(specials().last_end("<s>x<|a|>\n"), Some(9));
        assert_eq!(specials().last_end("x"), None);
    }

    #[test]
    fn a_guarded_text_holds_no_special_token_and_loses_nothing() {
        let pairs = [
            ("<|a|>c", vec!["<|a|>c"]),
            ("<|a|><s>|>c", vec!["<|a|>", "<s>", "|>c"]),
            // Halves of a token in two texts that will stand side by side.
            ("<|a|>", vec!["<|", "a|>"]),
            ("\u{e000}<s>", vec!["\u{e000}<s>"]),
        ];
        for (whole, parts) in pairs {
            let parts = parts.into_iter().map(|text| Part::Text(text.to_owned())).collect();
            let chat = [Message { role: "user".to_owned(), parts }];
            let (guarded, mark) = specials().guard(&chat, |mark| mark == '\u{e001}').unwrap();
            let mark = mark.unwrap();
            assert!(mark != '\u{e001}' && !whole.contains(mark));
            let [Part::Text(text)] = guarded[0].parts.as_slice() else { panic!("{guarded:?}") };
            assert_eq!(specials().split(text), [Piece::Text(text)], "{whole}");
            assert_eq!(text.replace(mark, ""), whole);
        }
    }

    #[test]
    fn a_text_without_special_tokens_is_left_as_it_is() {
        let chat = [Message::from_tagged("user", "a <audio> b"), Message::text("assistant", "< | >")];
        assert_eq!(specials().guard(&chat, |_| false).unwrap(), (chat.to_vec(), None));
    }
}
