//! Reads question sets in the layout of MMAU: a JSON array, or JSON Lines.
//!
//! Source: `mmau-test-mini.json` of Sakshi113/MMAU (Sakshi et al. 2024, arXiv 2410.19168). Variants that exist in the
//! wild are read as well: `category` as a list, `choices` as a JSON string, options that bring their own letters.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use idk_common::limits::{MAX_CHOICES, MAX_CLIPS, MAX_FIELD_CHARS, MAX_QUESTIONS};
use idk_common::{CommonError, atomic, json, paths};
use serde_json::{Map, Value};

use crate::error::QuestionError;
use crate::record::{Question, QuestionSet, Rejection};
use crate::words::normalise;

/// Why a row of a question set cannot be used.
pub mod reason {
    /// The row is not a JSON object.
    pub const NOT_AN_OBJECT: &str = "not-an-object";
    /// `id`, `audio_id`, `question` or `answer` is missing or empty.
    pub const MISSING_FIELD: &str = "missing-field";
    /// A field has a type or content that it cannot have.
    pub const BAD_FIELD: &str = "bad-field";
    /// A field is longer than [`idk_common::limits::MAX_FIELD_CHARS`].
    pub const TOO_LONG: &str = "too-long";
    /// A text holds a token that steers the model, such as `<|AUDIO|>` or `<audio>`.
    pub const RESERVED_TOKEN: &str = "reserved-token";
    /// One option; there must be two or more, or none.
    pub const TOO_FEW_CHOICES: &str = "too-few-choices";
    /// More options than letters.
    pub const TOO_MANY_CHOICES: &str = "too-many-choices";
    /// Two options are the same but for case, spaces and punctuation around words.
    pub const DUPLICATE_CHOICES: &str = "duplicate-choices";
    /// The answer is not one of the options.
    pub const ANSWER_NOT_IN_CHOICES: &str = "answer-not-in-choices";
    /// An earlier row has the same id.
    pub const DUPLICATE_ID: &str = "duplicate-id";
    /// A clip's path is absolute, has `..`, or leads out of the set's folder through a link.
    pub const BAD_PATH: &str = "bad-path";
    /// A clip is not there, or is no regular file.
    pub const MISSING_AUDIO: &str = "missing-audio";
    /// More clips than [`idk_common::limits::MAX_CLIPS`].
    pub const TOO_MANY_CLIPS: &str = "too-many-clips";
}

/// How a question set is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Reject rows whose clips are not there. Scoring stored answers needs no clips.
    pub require_audio: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { require_audio: true }
    }
}

/// Why one row cannot be used: a code and the details.
type Fault = (&'static str, String);

/// Reads a question set whose clips must be there.
///
/// # Errors
/// As [`read_questions_with`].
pub fn read_questions(path: &Path) -> Result<QuestionSet, QuestionError> {
    read_questions_with(path, &ReadOptions::default())
}

/// Reads a question set. Rows that cannot be used are listed in [`QuestionSet::rejected`].
///
/// Paths of clips are relative to the folder of `path` and may not leave it.
///
/// # Errors
/// [`QuestionError::Common`] if the file cannot be read or is not JSON (with the line), [`QuestionError::NotASet`],
/// [`QuestionError::TooMany`].
pub fn read_questions_with(path: &Path, options: &ReadOptions) -> Result<QuestionSet, QuestionError> {
    let rows = rows(path)?;
    if rows.len() > MAX_QUESTIONS {
        return Err(QuestionError::TooMany { path: path.to_path_buf(), found: rows.len(), limit: MAX_QUESTIONS });
    }
    let root = path.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut set = QuestionSet::default();
    let mut ids = BTreeSet::new();
    for (line, row) in rows {
        let id = row.get("id").map(plain_text).unwrap_or_default();
        let question = match row {
            _ if !id.is_empty() && !ids.insert(id.clone()) => {
                Err((reason::DUPLICATE_ID, "an earlier row has this id".to_owned()))
            }
            Value::Object(row) => question(row, root, options),
            _ => Err((reason::NOT_AN_OBJECT, "a question is a JSON object".to_owned())),
        };
        match question {
            Ok(question) => set.questions.push(question),
            Err((reason, detail)) => {
                set.rejected.push(Rejection { id, line, reason: reason.to_owned(), detail });
            }
        }
    }
    Ok(set)
}

/// The rows of the file, each with its line (JSON Lines) or number (array), from 1.
fn rows(path: &Path) -> Result<Vec<(usize, Value)>, QuestionError> {
    let text = atomic::read_to_string(path)?;
    let start = text.len() - text.trim_start().len();
    match text[start..].chars().next() {
        Some('[') => {
            let rows: Vec<Value> = json::parse_json(path, &text)?;
            Ok(rows.into_iter().enumerate().map(|(index, row)| (index + 1, row)).collect())
        }
        Some('{') => {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines.map(|(index, line)| Ok((index + 1, parse_line(path, index + 1, line)?))).collect()
        }
        _ => {
            let line = text[..start].matches('\n').count() + 1;
            Err(QuestionError::NotASet { path: path.to_path_buf(), line })
        }
    }
}

fn parse_line(path: &Path, number: usize, text: &str) -> Result<Value, CommonError> {
    json::parse_json(path, text).map_err(|error| match error {
        CommonError::Json { path, column, message, .. } => CommonError::Json { path, line: number, column, message },
        other => other,
    })
}

fn question(mut row: Map<String, Value>, root: &Path, options: &ReadOptions) -> Result<Question, Fault> {
    let id = required(&mut row, &["id"])?;
    if id.chars().any(char::is_control) {
        return Err((reason::BAD_FIELD, "`id` has control characters".to_owned()));
    }
    let clips = take(&mut row, &["audio_id", "audio", "audio_path"]).unwrap_or_default();
    let text = required(&mut row, &["question"])?;
    let listed = choices(take(&mut row, &["choices"]).unwrap_or_default())?;
    let answer = required(&mut row, &["answer"])?;
    let (choices, answer) = if listed.is_empty() { (listed, answer) } else { with_answer(listed, &answer)? };
    Ok(Question {
        id,
        question: text,
        choices,
        answer,
        task: optional(&mut row, &["task", "modality"])?,
        category: optional(&mut row, &["category"])?,
        sub_category: optional(&mut row, &["sub-category", "sub_category"])?,
        difficulty: optional(&mut row, &["difficulty"])?,
        dataset: optional(&mut row, &["dataset"])?,
        split: optional(&mut row, &["split"])?,
        audio: audio(&clips, root, options)?,
        extra: row,
    })
}

/// The value under the first of `names` that the row has; what is not taken stays and becomes `extra`.
fn take(row: &mut Map<String, Value>, names: &[&str]) -> Option<Value> {
    names.iter().find_map(|name| row.shift_remove(*name))
}

fn required(row: &mut Map<String, Value>, names: &[&str]) -> Result<String, Fault> {
    let text = optional(row, names)?;
    if text.is_empty() {
        return Err((reason::MISSING_FIELD, format!("`{}` is missing or empty", names[0])));
    }
    Ok(text)
}

fn optional(row: &mut Map<String, Value>, names: &[&str]) -> Result<String, Fault> {
    let Some(value) = take(row, names) else { return Ok(String::new()) };
    match &value {
        Value::Object(_) | Value::Bool(_) => Err((reason::BAD_FIELD, format!("`{}` must be text", names[0]))),
        Value::Array(parts) if !parts.iter().all(Value::is_string) => {
            Err((reason::BAD_FIELD, format!("`{}` must be text or a list of texts", names[0])))
        }
        _ => checked(plain_text(&value), names[0]),
    }
}

/// Text as it is, numbers as their digits, lists joined with `, `.
fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(parts) => parts.iter().map(plain_text).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    }
}

/// Refuses text that is too long or would steer the model.
fn checked(text: String, name: &str) -> Result<String, Fault> {
    if text.chars().count() > MAX_FIELD_CHARS {
        return Err((reason::TOO_LONG, format!("`{name}` has more than {MAX_FIELD_CHARS} characters")));
    }
    match reserved_token(&text) {
        Some(token) => Err((reason::RESERVED_TOKEN, format!("`{name}` holds the reserved token {token}"))),
        None => Ok(text),
    }
}

/// The first token of the form `<|name|>`, or a media tag of the training rows.
fn reserved_token(text: &str) -> Option<String> {
    let special = text.match_indices("<|").find_map(|(start, _)| {
        let inner = &text[start + 2..];
        let end = inner.find("|>")?;
        (!inner[..end].contains(char::is_whitespace)).then(|| format!("<|{}|>", &inner[..end]))
    });
    let tag = || ["<audio>", "<image>", "<video>"].into_iter().find(|tag| text.to_ascii_lowercase().contains(tag));
    special.or_else(|| tag().map(str::to_owned))
}

fn choices(value: Value) -> Result<Vec<String>, Fault> {
    let bad = |detail: &str| (reason::BAD_FIELD, format!("`choices` {detail}"));
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        // One published copy of MMAU has the list as a JSON text.
        Value::String(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Value::String(text) => serde_json::from_str(&text).map_err(|_| bad("is a text that holds no JSON list"))?,
        _ => return Err(bad("must be a list")),
    };
    if !items.iter().all(|item| item.is_string() || item.is_number()) {
        return Err(bad("must be a list of texts"));
    }
    let choices = items.iter().map(|item| checked(plain_text(item), "choices")).collect::<Result<Vec<_>, _>>()?;
    match choices.len() {
        _ if choices.iter().any(String::is_empty) => Err(bad("has an empty option")),
        1 => Err((reason::TOO_FEW_CHOICES, "one option".to_owned())),
        count if count > MAX_CHOICES => {
            Err((reason::TOO_MANY_CHOICES, format!("{count} options, at most {MAX_CHOICES}")))
        }
        _ => Ok(choices),
    }
}

/// Checks that the options differ and hold the answer; drops letters that they bring along.
fn with_answer(listed: Vec<String>, answer: &str) -> Result<(Vec<String>, String), Fault> {
    let choices = without_letters(&listed).unwrap_or_else(|| listed.clone());
    let mut seen = BTreeSet::new();
    if let Some(twice) = choices.iter().find(|choice| !seen.insert(normalise(choice))) {
        return Err((reason::DUPLICATE_CHOICES, format!("the option `{twice}` is there more than once")));
    }
    let same = |choice: &String| choice == answer || normalise(choice) == normalise(answer);
    let place = choices.iter().position(same).or_else(|| listed.iter().position(same));
    let Some(place) = place else {
        return Err((reason::ANSWER_NOT_IN_CHOICES, format!("the answer `{answer}` is not among the options")));
    };
    let answer = choices[place].clone();
    Ok((choices, answer))
}

/// The options without `(A) `, `A) `, `A. ` or `A: ` if every option has the letter of its place.
///
/// Else the letters of the prompt and those of the options would contradict each other once the options are shuffled.
fn without_letters(choices: &[String]) -> Option<Vec<String>> {
    let stripped = choices.iter().enumerate().map(|(index, choice)| {
        let inner = choice.strip_prefix('(').unwrap_or(choice);
        let letter = inner.chars().next()?;
        if letter.to_ascii_uppercase() != crate::prompt::letter(index) {
            return None;
        }
        let rest = &inner[1..];
        let text = match rest.strip_prefix(')') {
            Some(text) => text,
            // `A:7` and `F.Scott` are no letters with a text.
            None => rest.strip_prefix(['.', ':']).filter(|text| text.starts_with(char::is_whitespace))?,
        };
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    });
    stripped.collect()
}

fn audio(value: &Value, root: &Path, options: &ReadOptions) -> Result<Vec<PathBuf>, Fault> {
    let names: Vec<&str> = match value {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::Null => Vec::new(),
        _ => return Err((reason::BAD_FIELD, "`audio_id` must be a path or a list of paths".to_owned())),
    };
    if names.is_empty() || names.contains(&"") {
        return Err((reason::MISSING_FIELD, "`audio_id` is missing or empty".to_owned()));
    }
    if value.as_array().is_some_and(|all| all.len() != names.len()) {
        return Err((reason::BAD_FIELD, "`audio_id` must be a path or a list of paths".to_owned()));
    }
    if names.len() > MAX_CLIPS {
        return Err((reason::TOO_MANY_CLIPS, format!("{} clips, at most {MAX_CLIPS}", names.len())));
    }
    names.into_iter().map(|name| clip(name, root, options)).collect()
}

fn clip(name: &str, root: &Path, options: &ReadOptions) -> Result<PathBuf, Fault> {
    match paths::resolve_inside(root, name) {
        Ok(path) => Ok(path.components().collect()),
        Err(CommonError::OutsideFolder { .. }) => {
            Err((reason::BAD_PATH, format!("`{name}` is not a path inside the folder of the question set")))
        }
        Err(CommonError::NotFound { .. }) if !options.require_audio => {
            let path: PathBuf = root.join(name).components().collect();
            if existing_part_is_inside(&path, root) {
                Ok(path)
            } else {
                Err((reason::BAD_PATH, format!("`{name}` leads out of the folder of the question set")))
            }
        }
        Err(CommonError::NotFound { .. }) => Err((reason::MISSING_AUDIO, format!("`{name}` does not exist"))),
        Err(error) => Err((reason::MISSING_AUDIO, error.to_string())),
    }
}

/// Whether no link on the way to a file that does not exist leads out of `root`.
fn existing_part_is_inside(path: &Path, root: &Path) -> bool {
    let Ok(real_root) = fs::canonicalize(root) else { return false };
    let existing = path.ancestors().find(|part| fs::symlink_metadata(part).is_ok());
    let real = existing.and_then(|part| fs::canonicalize(part).ok());
    // `None` is a link to nothing; for a bare file name the only ancestor is the working directory itself.
    real.is_some_and(|real| real.starts_with(&real_root)) || (existing.is_none() && root == Path::new("."))
}
