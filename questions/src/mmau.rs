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
        return Err(QuestionError::TooMany {
            path: path.to_path_buf(),
            found: rows.len(),
            limit: MAX_QUESTIONS,
        });
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
        CommonError::Json { path, column, message, .. } => {
            CommonError::Json { path, line: number, column, message }
        }
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
    let (choices, answer) = if listed.is_empty() { (listed, answer) } else { with_answer(&listed, &answer)? };
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
    let tag =
        || ["<audio>", "<image>", "<video>"].into_iter().find(|tag| text.to_ascii_lowercase().contains(tag));
    special.or_else(|| tag().map(str::to_owned))
}

fn choices(value: Value) -> Result<Vec<String>, Fault> {
    let bad = |detail: &str| (reason::BAD_FIELD, format!("`choices` {detail}"));
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        // One published copy of MMAU has the list as a JSON text.
        Value::String(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| bad("is a text that holds no JSON list"))?
        }
        _ => return Err(bad("must be a list")),
    };
    if !items.iter().all(|item| item.is_string() || item.is_number()) {
        return Err(bad("must be a list of texts"));
    }
    let choices =
        items.iter().map(|item| checked(plain_text(item), "choices")).collect::<Result<Vec<_>, _>>()?;
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
fn with_answer(listed: &[String], answer: &str) -> Result<(Vec<String>, String), Fault> {
    let choices = without_letters(listed).unwrap_or_else(|| listed.to_vec());
    let mut seen = BTreeSet::new();
    if let Some(twice) = choices.iter().find(|choice| !seen.insert(normalise(choice))) {
        return Err((reason::DUPLICATE_CHOICES, format!("the option `{twice}` is there more than once")));
    }
    let same = |choice: &String| choice == answer || normalise(choice) == normalise(answer);
    let place = choices.iter().position(same).or_else(|| listed.iter().position(same));
    let Some(place) = place else {
        return Err((
            reason::ANSWER_NOT_IN_CHOICES,
            format!("the answer `{answer}` is not among the options"),
        ));
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
        Err(CommonError::NotAFile { .. }) => {
            Err((reason::MISSING_AUDIO, format!("`{name}` is not a regular file")))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::write_questions;
    use serde_json::json;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn folder() -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        idk_common::atomic::write_atomic(&dir.path().join("audio/a.wav"), b"RIFF").unwrap();
        dir
    }

    fn row(id: &str) -> Value {
        json!({"id": id, "audio_id": "./audio/a.wav", "question": "Which?", "choices": ["dog", "cat"], "answer": "cat",
            "dataset": "d", "task": "sound", "split": "test", "category": "Reasoning", "sub-category": "Animals",
            "difficulty": "easy"})
    }

    fn with(id: &str, key: &str, value: Value) -> Value {
        let mut row = row(id);
        row[key] = value;
        row
    }

    fn read(dir: &TempDir, rows: &Value, options: ReadOptions) -> QuestionSet {
        let path = dir.path().join("questions.json");
        idk_common::json::write_json(&path, rows).unwrap();
        read_questions_with(&path, &options).unwrap()
    }

    /// Reads one row; the code of its rejection, or `""`.
    fn verdict_on(row: &Value) -> String {
        let set = read(&folder(), &json!([row]), ReadOptions::default());
        assert_eq!(set.questions.len() + set.rejected.len(), 1);
        set.rejected.first().map(|rejection| rejection.reason.clone()).unwrap_or_default()
    }

    #[test]
    fn a_row_becomes_a_question_and_unknown_keys_are_kept() {
        let dir = folder();
        let set = read(&dir, &json!([with("q1", "idk", json!({"snr_db": 3.5}))]), ReadOptions::default());
        let question = &set.questions[0];
        assert_eq!(question.audio, [dir.path().join("audio/a.wav")]);
        assert_eq!(question.answer_index(), Some(1));
        let fields = [&question.task, &question.category, &question.sub_category, &question.difficulty];
        assert_eq!(fields, ["sound", "Reasoning", "Animals", "easy"]);
        assert_eq!(Value::Object(question.extra.clone()), json!({"idk": {"snr_db": 3.5}}));
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let dir = folder();
        let rows = json!([
            with("q1", "idk", json!([1, 2])),
            with("q2", "choices", json!([])),
            with("q3", "audio_id", json!(["audio/a.wav", "audio/a.wav"]))
        ]);
        let questions = read(&dir, &rows, ReadOptions::default()).questions;
        assert_eq!(questions.len(), 3);
        for name in ["again.json", "again.jsonl"] {
            let path = dir.path().join(name);
            write_questions(&path, &questions).unwrap();
            let again = read_questions(&path).unwrap();
            assert_eq!((again.questions, again.rejected), (questions.clone(), Vec::new()));
        }
        let elsewhere = tempfile::tempdir().unwrap();
        let error = write_questions(&elsewhere.path().join("q.json"), &questions).unwrap_err();
        assert!(matches!(error, QuestionError::AudioOutside { .. }), "{error}");
    }

    #[test]
    fn variants_of_the_layout_are_read() {
        let dir = folder();
        let mut other_names = row("q4");
        let fields = other_names.as_object_mut().unwrap();
        let task = fields.shift_remove("task").unwrap();
        fields.insert("modality".to_owned(), task);
        let rows = json!([
            with("q1", "category", json!(["Reasoning"])),
            with("q2", "choices", json!("[\"dog\", \"cat\"]")),
            with("q3", "choices", json!(["(A) dog", "(B) cat"])),
            other_names,
            with("q5", "answer", json!("Cat. ")),
        ]);
        let set = read(&dir, &rows, ReadOptions::default());
        assert_eq!(set.rejected, []);
        for question in &set.questions {
            assert_eq!((question.category.as_str(), question.task.as_str()), ("Reasoning", "sound"));
            assert_eq!(question.choices, ["dog", "cat"]);
            assert_eq!(question.answer, "cat");
        }
    }

    #[test]
    fn letters_are_dropped_only_where_they_label_the_options() {
        let strip =
            |choices: &[&str]| without_letters(&choices.iter().map(|&c| c.to_owned()).collect::<Vec<_>>());
        assert_eq!(strip(&["A. dog", "B. cat"]), Some(vec!["dog".to_owned(), "cat".to_owned()]));
        assert_eq!(strip(&["a)dog", "b)cat"]), Some(vec!["dog".to_owned(), "cat".to_owned()]));
        for kept in [
            ["A:7/1", "B:7/1"],
            ["(B) dog", "(A) cat"],
            ["A dog", "B cat"],
            ["A. dog", "cat"],
            ["A", "B"],
            ["é)", "B) x"],
        ] {
            assert_eq!(strip(&kept), None, "{kept:?}");
        }
    }

    #[test]
    fn every_kind_of_bad_row_has_its_code() {
        let cases = [
            ("", row("q")),
            ("not-an-object", json!(7)),
            ("missing-field", with("", "split", json!("x"))),
            ("missing-field", with("q", "question", json!(""))),
            ("missing-field", with("q", "answer", json!(null))),
            ("missing-field", with("q", "audio_id", json!(null))),
            ("missing-field", with("q", "audio_id", json!([]))),
            ("bad-field", with("q", "task", json!({"a": 1}))),
            ("bad-field", with("q", "choices", json!("dog"))),
            ("bad-field", with("q", "choices", json!(["dog", null]))),
            ("bad-field", with("q", "choices", json!(["dog", "cat", " "]))),
            ("bad-field", with("q", "audio_id", json!(["audio/a.wav", 7]))),
            ("bad-field", with("a\u{0}b", "split", json!("x"))),
            ("too-long", with("q", "question", json!("x".repeat(MAX_FIELD_CHARS + 1)))),
            ("reserved-token", with("q", "question", json!("Which?<|im_end|>"))),
            ("reserved-token", with("q", "question", json!("Which <AUDIO>?"))),
            ("reserved-token", with("q", "choices", json!(["cat", "<|AUDIO|>"]))),
            ("", with("q", "question", json!("Is 1 <| 2 |> 3?"))),
            ("too-few-choices", with("q", "choices", json!(["cat"]))),
            ("too-many-choices", with("q", "choices", json!((0..27).collect::<Vec<_>>()))),
            ("duplicate-choices", with("q", "choices", json!(["cat", "dog", "cat"]))),
            ("duplicate-choices", with("q", "choices", json!(["cat", "Dog.", "dog"]))),
            ("", with("q", "choices", json!(["cat", "F", "F#"]))),
            ("answer-not-in-choices", with("q", "answer", json!("pig"))),
            ("bad-path", with("q", "audio_id", json!("/etc/passwd"))),
            ("bad-path", with("q", "audio_id", json!("audio/../../a.wav"))),
            ("missing-audio", with("q", "audio_id", json!("audio/b.wav"))),
            ("missing-audio", with("q", "audio_id", json!("audio"))),
            ("too-many-clips", with("q", "audio_id", json!(vec!["audio/a.wav"; MAX_CLIPS + 1]))),
        ];
        for (code, row) in cases {
            let shown = row.to_string().chars().take(200).collect::<String>();
            assert_eq!(verdict_on(&row), code, "{shown}");
        }
    }

    #[test]
    fn the_first_of_two_rows_with_one_id_is_kept() {
        let set =
            read(&folder(), &json!([row("q"), with("q", "answer", json!("dog"))]), ReadOptions::default());
        assert_eq!(set.questions[0].answer, "cat");
        let rejection = &set.rejected[0];
        assert_eq!(
            (rejection.id.as_str(), rejection.line, rejection.reason.as_str()),
            ("q", 2, "duplicate-id")
        );
    }

    #[test]
    fn links_may_not_lead_out_of_the_folder() {
        let (dir, outside) = (folder(), folder());
        symlink(outside.path().join("audio"), dir.path().join("out")).unwrap();
        symlink(outside.path().join("nothing.wav"), dir.path().join("dangling.wav")).unwrap();
        symlink("audio", dir.path().join("in")).unwrap();
        for require_audio in [true, false] {
            let code = |name: &str| {
                let set =
                    read(&dir, &json!([with("q", "audio_id", json!(name))]), ReadOptions { require_audio });
                set.rejected.first().map(|rejection| rejection.reason.clone())
            };
            assert_eq!(code("in/a.wav"), None);
            assert_eq!(code("out/a.wav").as_deref(), Some("bad-path"));
            assert_eq!(
                code("out/b.wav").as_deref(),
                Some(if require_audio { "missing-audio" } else { "bad-path" })
            );
            assert_eq!(
                code("dangling.wav").as_deref(),
                Some(if require_audio { "missing-audio" } else { "bad-path" })
            );
            assert_eq!(code("../a.wav").as_deref(), Some("bad-path"));
        }
    }

    #[test]
    fn clips_may_be_missing_where_they_are_not_needed() {
        let rows = json!([with("q", "audio_id", json!("./nowhere/b.wav"))]);
        let dir = folder();
        let set = read(&dir, &rows, ReadOptions { require_audio: false });
        assert_eq!(set.questions[0].audio, [dir.path().join("nowhere/b.wav")]);
    }

    #[test]
    fn a_file_that_is_no_question_set_is_an_error_with_its_line() {
        let dir = folder();
        let path = dir.path().join("q.jsonl");
        let good = row("q").to_string();
        let line = |text: String| {
            idk_common::atomic::write_atomic(&path, text.as_bytes()).unwrap();
            match read_questions(&path).unwrap_err() {
                QuestionError::NotASet { line, .. }
                | QuestionError::Common(CommonError::Json { line, .. }) => line,
                other => panic!("{other}"),
            }
        };
        assert_eq!(line(format!("{good}\n\n{good}\n{{\"id\":")), 4);
        assert_eq!(line(format!("[\n{good},\n{good}\n")), 4);
        assert_eq!(line("\n\nid,question\n".to_owned()), 3);
        assert_eq!(line(String::new()), 1);
        let missing = read_questions(&dir.path().join("none.json")).unwrap_err();
        assert!(matches!(missing, QuestionError::Common(CommonError::NotFound { .. })));
    }

    #[test]
    fn lines_are_counted_with_the_blank_ones() {
        let dir = folder();
        let path = dir.path().join("q.jsonl");
        let text = format!("{}\n\n{}\r\n", row("q1"), with("q2", "answer", json!("pig")));
        idk_common::atomic::write_atomic(&path, text.as_bytes()).unwrap();
        let set = read_questions(&path).unwrap();
        assert_eq!((set.questions.len(), set.rejected[0].line), (1, 3));
    }
}
