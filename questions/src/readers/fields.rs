//! The fields of a row, as the texts that they hold.

use std::borrow::Cow;

use idk_common::chat::AUDIO_TAG;
use idk_common::limits::MAX_FIELD_CHARS;
use serde_json::{Map, Value};

use super::Fault;
use crate::question::{AnswerMatch, Question};
use crate::reason;

/// Other right answers to one question, at most.
const MAX_ALIASES: usize = 1024;

/// A row whose fields are taken one by one; what is left becomes [`Question::extra`].
///
/// A list: the few keys of a row are found faster by their lengths than by their hashes.
pub(super) struct Row<'a> {
    /// In the order of the row, each key once; no value where it was taken.
    fields: Vec<(Cow<'a, str>, Option<Value>)>,
}

impl<'a> Row<'a> {
    /// The row of these fields, each key once.
    pub(super) fn new(fields: Vec<(Cow<'a, str>, Option<Value>)>) -> Self {
        Self { fields }
    }

    /// The value under the first of `names` that the row has.
    pub(super) fn take(&mut self, names: &[&str]) -> Option<Value> {
        let place = |name: &&str| self.fields.iter().position(|(key, value)| key == name && value.is_some());
        let place = names.iter().find_map(place)?;
        self.fields.get_mut(place)?.1.take()
    }

    /// The value under `name`, which stays.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(key, _)| key == name)?.1.as_ref()
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, names: &[&str]) -> Result<String, Fault> {
        let text = self.optional(names)?;
        if text.is_empty() {
            return Err((reason::MISSING_FIELD, format!("`{}` is missing or empty", names[0])));
        }
        Ok(text)
    }

    /// A text, empty where there is none.
    pub(super) fn optional(&mut self, names: &[&str]) -> Result<String, Fault> {
        let Some(value) = self.take(names) else { return Ok(String::new()) };
        match value {
            Value::Object(_) | Value::Bool(_) => {
                Err((reason::BAD_FIELD, format!("`{}` must be text", names[0])))
            }
            Value::Array(ref parts) if !parts.iter().all(Value::is_string) => {
                Err((reason::BAD_FIELD, format!("`{}` must be text or a list of texts", names[0])))
            }
            value => checked(into_plain_text(value), names[0]),
        }
    }

    /// The id, which must be there.
    pub(super) fn id(&mut self, names: &[&str]) -> Result<String, Fault> {
        let id = self.required(names)?;
        if id.chars().any(char::is_control) {
            return Err((reason::BAD_FIELD, format!("`{}` has control characters", names[0])));
        }
        Ok(id)
    }

    /// The kind of a question without a right answer: `answer` is `null`, or `answerable` is false. `None` if it has one; then
    /// nothing is taken.
    pub(super) fn unanswerable(&mut self) -> Result<Option<String>, Fault> {
        let answerable = match self.get("answerable") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(answerable)) => Some(*answerable),
            Some(_) => return Err((reason::BAD_FIELD, "`answerable` must be true or false".to_owned())),
        };
        match (answerable, self.get("answer")) {
            (Some(true), None | Some(Value::Null)) => {
                Err((reason::MISSING_FIELD, "`answerable` is true, but there is no `answer`".to_owned()))
            }
            (Some(false), Some(answer)) if *answer != Value::Null && !plain_text(answer).is_empty() => {
                let detail = "`answerable` is false, but there is an `answer`: leave one of them out";
                Err((reason::BAD_FIELD, detail.to_owned()))
            }
            (Some(false), _) | (None, Some(Value::Null)) => {
                let aliases = self.take(&["aliases"]).unwrap_or_default();
                if !aliases.is_null() && aliases.as_array().is_none_or(|listed| !listed.is_empty()) {
                    let detail = "there are `aliases` of an answer, but the question has none";
                    return Err((reason::BAD_FIELD, detail.to_owned()));
                }
                self.take(&["answer"]);
                self.take(&["answerable"]);
                self.take(&["answer_match"]);
                Ok(Some(self.optional(&["kind"])?))
            }
            (Some(true), Some(_)) | (None, _) => Ok(None),
        }
    }

    /// The other right answers, and how answers are compared.
    pub(super) fn answer_keys(&mut self) -> Result<(Vec<String>, AnswerMatch), Fault> {
        let aliases = match self.take(&["aliases"]) {
            None | Some(Value::Null) => Vec::new(),
            Some(value) => texts(&value, "aliases")?,
        };
        let matching = match self.take(&["answer_match"]) {
            None | Some(Value::Null) => AnswerMatch::default(),
            Some(value) => serde_json::from_value(value).map_err(|_| {
                (reason::BAD_FIELD, "`answer_match` must be `contains` or `exact`".to_owned())
            })?,
        };
        Ok((aliases, matching))
    }

    /// Fills what most shapes have in common, and keeps the rest as it is.
    pub(super) fn describe(mut self, question: Question) -> Result<Question, Fault> {
        Ok(Question {
            task: self.optional(&["task", "modality"])?,
            category: self.optional(&["category"])?,
            sub_category: self.optional(&["sub-category", "sub_category"])?,
            difficulty: self.optional(&["difficulty"])?,
            dataset: self.optional(&["dataset"])?,
            split: self.optional(&["split"])?,
            extra: self.into_rest(),
            ..question
        })
    }

    /// What was not taken.
    pub(super) fn into_rest(self) -> Map<String, Value> {
        self.fields.into_iter().filter_map(|(key, value)| Some((key.into_owned(), value?))).collect()
    }
}

impl From<Map<String, Value>> for Row<'_> {
    fn from(fields: Map<String, Value>) -> Self {
        Self::new(fields.into_iter().map(|(key, value)| (Cow::Owned(key), Some(value))).collect())
    }
}

/// Text as it is, numbers as their digits, lists joined with `, `.
pub(super) fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(parts) => parts.iter().map(plain_text).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

/// [`plain_text`] of a value that is not needed any more.
pub(super) fn into_plain_text(value: Value) -> String {
    match value {
        Value::String(text) if text.trim().len() == text.len() => text,
        value => plain_text(&value),
    }
}

/// A list of texts, or one text; none of them empty.
pub(super) fn texts(value: &Value, name: &str) -> Result<Vec<String>, Fault> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        value => std::slice::from_ref(value),
    };
    if items.len() > MAX_ALIASES {
        return Err((
            reason::BAD_FIELD,
            format!("`{name}` has {} entries, at most {MAX_ALIASES}", items.len()),
        ));
    }
    let text = |item: &Value| match item {
        Value::String(_) | Value::Number(_) if !plain_text(item).is_empty() => {
            checked(plain_text(item), name)
        }
        _ => Err((reason::BAD_FIELD, format!("`{name}` must be a text or a list of texts, none empty"))),
    };
    items.iter().map(text).collect()
}

/// Refuses text that is too long or would steer the model.
pub(super) fn checked(text: String, name: &str) -> Result<String, Fault> {
    if text.len() > MAX_FIELD_CHARS && text.chars().count() > MAX_FIELD_CHARS {
        return Err((reason::TOO_LONG, format!("`{name}` has more than {MAX_FIELD_CHARS} characters")));
    }
    match reserved_token(&text) {
        Some(token) => Err((reason::RESERVED_TOKEN, format!("`{name}` holds the reserved token {token}"))),
        None => Ok(text),
    }
}

/// The first token of the form `<|name|>`, or a media tag of the training rows.
fn reserved_token(text: &str) -> Option<String> {
    if !text.contains('<') {
        return None;
    }
    let special = text.match_indices("<|").find_map(|(start, _)| {
        let inner = &text[start + 2..];
        let end = inner.find("|>")?;
        (!inner[..end].contains(char::is_whitespace)).then(|| format!("<|{}|>", &inner[..end]))
    });
    let tag =
        || [AUDIO_TAG, "<image>", "<video>"].into_iter().find(|tag| text.to_ascii_lowercase().contains(tag));
    special.or_else(|| tag().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_of_a_row_keeps_its_order() {
        let mut row: Row = serde_json::from_str(r#"{"a": 1, "b": " x ", "c": 3, "d": 4}"#).unwrap();
        assert_eq!(row.take(&["z", "c"]), Some(json!(3)));
        assert_eq!(row.optional(&["b"]), Ok("x".to_owned()));
        assert_eq!(row.take(&["b"]), None);
        assert_eq!(row.into_rest().keys().collect::<Vec<_>>(), ["a", "d"]);
    }
}
