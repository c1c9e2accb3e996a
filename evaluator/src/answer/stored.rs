//! Answer files of this program and of others, recognised by their content.
//!
//! `docs/reference/answers.md` lists the keys of every shape.

use std::path::Path;

use idk_common::json::{json_error, parse_row, plain_message};
use idk_common::rows::{JsonRows, RowsFile};
use idk_common::text::{ellipsis, terminal_safe};
use idk_questions::rows::AnswerRow;
use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::answer::columns::QuestionColumns;
use crate::error::EvalError;

/// Reads the answers of a file, one JSON object a line or a JSON array of objects, and makes something `of` each, in parallel;
/// `take` gets what was made in the order of the file. `of` also gets the row's number, from 1.
///
/// `set` are the questions that they answer: rows of lmms-eval may name a question only by its place among them.
///
/// # Errors
/// [`EvalError::Common`] for a file that cannot be read, with the line; [`EvalError::AnswerRow`]. What was taken before an
/// error does not count.
pub(crate) fn visit_answers<T: Send>(
    path: &Path,
    set: &QuestionColumns,
    of: impl Fn(usize, AnswerRow) -> T + Sync,
    mut take: impl FnMut(T),
) -> Result<(), EvalError> {
    let rows = match RowsFile::open(path)? {
        RowsFile::Rows(rows) => rows,
        RowsFile::Text(_) => JsonRows::of_lines(path)?,
    };
    let read = |(number, row): (usize, &str)| {
        if let Some(answer) = own_row(row) {
            return Ok(of(number, answer));
        }
        let wrong =
            |what: String| EvalError::AnswerRow { path: path.to_owned(), place: rows.place(number), what };
        let value = parse_row(row.as_bytes()).map_err(|error| json_error(path, number, &error))?;
        let Value::Object(object) = value else {
            return Err(wrong("an answer is a JSON object".to_owned()));
        };
        let answer = if object.contains_key("filtered_resps") || object.contains_key("resps") {
            lmms_eval_row(&object, set)
        } else {
            plain_row(object)
        };
        answer.map(|answer| of(number, answer)).map_err(wrong)
    };
    for batch in rows.batches()? {
        let read: Vec<Result<T, EvalError>> = batch?.rows().into_par_iter().map(read).collect();
        for made in read {
            take(made?);
        }
    }
    Ok(())
}

/// A row with the keys of this program, parsed without a look at the others; `None` if it may be of another shape, or wrong.
fn own_row(row: &str) -> Option<AnswerRow> {
    let is_plain = row.trim_start().starts_with('{') && !row.contains("resps\"");
    is_plain.then(|| serde_json::from_str(row).ok()).flatten()
}

/// A row of this program, or of a submission to MMAU.
fn plain_row(mut object: Map<String, Value>) -> Result<AnswerRow, String> {
    // MMAU's scorer reads `model_output`; its README and lmms-eval's submission write `model_prediction`.
    let text = ["text", "model_output", "model_prediction"].into_iter().find_map(|key| object.remove(key));
    let Some(text) = text else {
        return Err("has none of `text`, `model_output`, `model_prediction` and `filtered_resps`".to_owned());
    };
    object.retain(|key, _| key != "model_output" && key != "model_prediction");
    object.insert("text".to_owned(), text);
    // lmms-eval's copy of MMAU keeps the options as JSON in a string.
    if let Some(Value::String(choices)) = object.get("choices") {
        let parsed: Value =
            serde_json::from_str(choices).map_err(|error| format!("`choices`: {}", plain_message(&error)))?;
        object.insert("choices".to_owned(), parsed);
    }
    serde_json::from_value(Value::Object(object)).map_err(|error| plain_message(&error))
}

/// A row of lmms-eval's samples (`--log_samples`). What the model said is judged, not what lmms-eval made of it.
fn lmms_eval_row(object: &Map<String, Value>, set: &QuestionColumns) -> Result<AnswerRow, String> {
    let said = ["filtered_resps", "resps"].into_iter().find_map(|key| first_text(object.get(key)?));
    let text = said.ok_or("`filtered_resps` holds no text")?.to_owned();
    let id = match id_inside(object) {
        Some(id) => id,
        None => id_by_place(object, set)?,
    };
    Ok(AnswerRow { id, text, ..AnswerRow::default() })
}

/// The first text of lists in lists.
fn first_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Array(list) => list.first().and_then(first_text),
        _ => None,
    }
}

/// The id of the question where the row keeps the question's own row: in `doc`, or in `submission` as the task of MMAU
/// writes it.
fn id_inside(object: &Map<String, Value>) -> Option<String> {
    let id = ["doc", "submission"].into_iter().find_map(|key| object.get(key)?.get("id"))?;
    match id {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// The id of the question at the place `doc_id`, counted from 0 over the whole question file.
fn id_by_place(object: &Map<String, Value>, set: &QuestionColumns) -> Result<String, String> {
    let shown = |value: &Value| terminal_safe(&ellipsis(&value.to_string(), 40));
    let value = object.get("doc_id").ok_or("has neither `doc.id`, `submission.id` nor `doc_id`")?;
    if !set.rejected.is_empty() {
        return Err(format!(
            "names its question by `doc_id` alone, but {} rows of the question set cannot be used, so places do not count",
            set.rejected.len()
        ));
    }
    let place = value.as_u64().and_then(|place| usize::try_from(place).ok());
    place.filter(|&place| place < set.len()).map(|place| set.id(place).to_owned()).ok_or_else(|| {
        format!("`doc_id` {} is not the place of a question; there are {}", shown(value), set.len())
    })
}

#[cfg(test)]
mod tests {
    use idk_common::fs::write_atomic;
    use idk_questions::{Question, Rejection};
    use serde_json::json;

    use super::*;

    fn set() -> QuestionColumns {
        let mut set = QuestionColumns::default();
        for id in ["a", "b"] {
            set.push(&Question { id: id.to_owned(), ..Question::default() });
        }
        set
    }

    fn read(text: &str, set: &QuestionColumns) -> Result<Vec<(String, String)>, EvalError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers");
        write_atomic(&path, text.as_bytes()).unwrap();
        let mut rows = Vec::new();
        visit_answers(&path, set, |_, row| (row.id, row.text), |row| rows.push(row))?;
        Ok(rows)
    }

    fn pairs(rows: [(&str, &str); 2]) -> Vec<(String, String)> {
        rows.map(|(id, text)| (id.to_owned(), text.to_owned())).to_vec()
    }

    #[test]
    fn a_submission_to_mmau_is_an_array_with_either_key_and_the_scorers_key_wins() {
        let rows = json!([
            {"id": "a", "audio_id": "./a.wav", "choices": ["x", "y"], "answer": "x", "model_output": "(A)",
                "model_prediction": "y"},
            {"id": "b", "choices": "[\"x\", \"y\"]", "model_prediction": "y"},
        ]);
        let found = read(&rows.to_string(), &set()).unwrap();
        assert_eq!(found, pairs([("a", "(A)"), ("b", "y")]));
        let lines: String = rows.as_array().unwrap().iter().map(|row| format!("{row}\n\n")).collect();
        assert_eq!(read(&lines, &set()).unwrap(), found);
    }

    #[test]
    fn lmms_eval_samples_are_joined_by_the_questions_id_or_by_its_place() {
        let rows = [
            json!({"doc_id": 0, "target": "x", "filtered_resps": ["(B) y"], "doc_hash": "h",
                "submission": {"id": "b", "model_prediction": "x"}, "accuracy": {"overall": 0.0}}),
            json!({"doc_id": 0, "target": "x", "resps": [["I don't know", "A"]], "filtered_resps": []}),
        ];
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        assert_eq!(read(&lines, &set()).unwrap(), pairs([("b", "(B) y"), ("a", "I don't know")]));
    }

    #[test]
    fn a_row_that_cannot_be_used_is_named_by_its_number() {
        let place = json!({"doc_id": 1, "filtered_resps": ["x"]}).to_string();
        let mut gaps = set();
        gaps.rejected.push(Rejection {
            id: String::new(),
            line: 1,
            reason: String::new(),
            detail: String::new(),
        });
        for (text, set, part) in [
            (
                format!("{{\"id\": 1, \"text\": \"x\"}}\n\n{}\n", json!({"id": "b"})),
                set(),
                "line 3: has none of `text`",
            ),
            (json!([{"id": "a", "text": "x"}, 7]).to_string(), set(), "item 2: an answer is a JSON object"),
            (json!({"doc_id": 5, "resps": [["x"]]}).to_string(), set(), "`doc_id` 5"),
            (json!({"doc_id": -1, "resps": [["x"]]}).to_string(), set(), "`doc_id` -1"),
            (json!({"resps": [["x"]]}).to_string(), set(), "neither `doc.id`"),
            (json!({"doc_id": 0, "resps": [[3]]}).to_string(), set(), "no text"),
            (place, gaps, "1 rows of the question set"),
            (json!([{"id": "a", "model_output": 3}]).to_string(), set(), "item 1"),
        ] {
            let error = read(&text, &set).unwrap_err().to_string();
            assert!(error.contains(part), "`{part}` is not in {error}");
        }
        assert!(matches!(read("[{\"id\": ", &set()), Err(EvalError::Common(_))));
        assert!(matches!(read("{\"id\"\n", &set()), Err(EvalError::Common(_))));
    }
}
