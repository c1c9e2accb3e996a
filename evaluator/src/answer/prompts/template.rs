//! A prompt as a text with places to fill: `{question}`, `{options}` and others.

use std::path::Path;

use idk_common::hash::sha256_hex;
use idk_common::text::{ellipsis, terminal_safe};

use crate::error::EvalError;

/// Longest unknown placeholder that an error shows.
const MAX_SHOWN_CHARS: usize = 40;

/// A template that was read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PromptTemplate {
    pieces: Vec<TemplatePiece>,
    sha256: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePiece {
    Text(String),
    Value(String),
}

impl PromptTemplate {
    /// Reads `text`: `{name}` stands for a value, `{{` and `}}` for braces. One line break at the end does not count.
    ///
    /// `path` is for errors only.
    ///
    /// # Errors
    /// [`EvalError::Template`] for a placeholder that is not among `known`, and for a brace that is never closed.
    pub(crate) fn parse(text: &str, known: &[&str], path: &Path) -> Result<Self, EvalError> {
        let body = text.strip_suffix('\n').unwrap_or(text);
        let body = body.strip_suffix('\r').unwrap_or(body);
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = body;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if from.starts_with("{{") || from.starts_with("}}") {
                plain.push_str(&from[..1]);
                rest = &from[2..];
                continue;
            }
            let name = from.strip_prefix('{').and_then(|inside| inside.split_once('}')).map(|(name, _)| name);
            match name {
                Some(name) if known.contains(&name) => {
                    pieces.push(TemplatePiece::Text(std::mem::take(&mut plain)));
                    pieces.push(TemplatePiece::Value(name.to_owned()));
                    rest = &from[name.len() + 2..];
                }
                _ => return Err(wrong_place(body, body.len() - from.len(), name, known, path)),
            }
        }
        plain.push_str(rest);
        pieces.push(TemplatePiece::Text(plain));
        Ok(Self { pieces, sha256: sha256_hex(text.as_bytes()) })
    }

    /// The text with every placeholder replaced by `value(name)`. Braces in a value stay as they are.
    pub(crate) fn fill<'v>(&self, value: impl Fn(&str) -> &'v str) -> String {
        let texts = self.pieces.iter().map(|piece| match piece {
            TemplatePiece::Text(text) => text.clone(),
            TemplatePiece::Value(name) => value(name).to_owned(),
        });
        texts.collect()
    }

    /// SHA-256 of the file's bytes.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

fn wrong_place(body: &str, offset: usize, name: Option<&str>, known: &[&str], path: &Path) -> EvalError {
    let line = body.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1;
    let listed = known.iter().map(|name| format!("{{{name}}}")).collect::<Vec<_>>().join(", ");
    let what = match name {
        Some(name) => {
            let shown = terminal_safe(&ellipsis(name, MAX_SHOWN_CHARS));
            format!("unknown placeholder `{{{shown}}}`; this prompt has {listed}")
        }
        None => format!("a single brace; write it twice to have a brace, or one of {listed}"),
    };
    EvalError::Template { path: path.to_owned(), line, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PromptTemplate, EvalError> {
        PromptTemplate::parse(text, &["question", "options"], Path::new("my.txt"))
    }

    #[test]
    fn placeholders_are_filled_once_and_braces_in_values_stay() {
        let template = parse("Q: {question}\n{options}{{}} {question}\n").unwrap();
        let filled = template.fill(|name| if name == "question" { "a {options}?" } else { "(A) x" });
        assert_eq!(filled, "Q: a {options}?\n(A) x{} a {options}?");
    }

    #[test]
    fn an_unknown_placeholder_names_file_line_and_what_there_is() {
        let error = parse("one\ntwo {qestion}\n").unwrap_err().to_string();
        for part in ["my.txt", "line 2", "{qestion}", "{question}, {options}"] {
            assert!(error.contains(part), "`{part}` is not in {error}");
        }
        for text in ["a { b", "a } b", "{question", "{\u{1b}[2J}"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("line 1") && !error.contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn only_one_line_break_at_the_end_is_dropped_and_every_byte_counts_for_the_hash() {
        let texts = ["a\n\n", "a\n", "a", "a\r\n"].map(|text| parse(text).unwrap());
        assert_eq!(texts.each_ref().map(|template| template.fill(|_| "")), ["a\n", "a", "a", "a"]);
        assert_ne!(texts[1].sha256(), texts[2].sha256());
    }
}
