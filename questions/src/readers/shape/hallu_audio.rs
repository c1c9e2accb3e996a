//! The shape of HalluAudio (arXiv 2604.19300) as JSON Lines: a clip, a prompt, its reference answer, and the part of the benchmark.
//!
//! Source: its parquet files, whose rows hold the clips themselves; here `audio` is a path, or an object with one.

use serde_json::Value;

use super::FileShape;
use crate::judge::is_refusal;
use crate::question::Question;
use crate::readers::clips::Folder;
use crate::readers::fields::Row;
use crate::readers::{Fault, ReadOptions};

/// HalluAudio's rows.
pub(super) const SHAPE: FileShape = FileShape {
    name: "HalluAudio",
    keys: &[&["audio"], &["prompt"], &["reference"], &["subset"]],
    id: &["id"],
    names_rows_by_clip: true,
    read,
};

fn read(mut row: Row, folder: &Folder, _: &ReadOptions) -> Result<Question, Fault> {
    let id = if row.get("id").is_some() { row.id(&["id"])? } else { String::new() };
    let audio = match row.take(&["audio"]) {
        Some(Value::Object(mut clip)) => clip.remove("path"),
        other => other,
    };
    let question = row.required(&["prompt"])?;
    let answer = row.required(&["reference"])?;
    let subset = row.optional(&["subset"])?;
    let audio = folder.clips(audio, "audio")?;
    // A reference that refuses is no answer that a reply could hold.
    let unanswerable = is_refusal(&answer).then(String::new);
    let answer = if unanswerable.is_some() { String::new() } else { answer };
    let mut question =
        row.describe(Question { id, audio, question, answer, unanswerable, ..Question::default() })?;
    if question.task.is_empty() {
        let name = subset.to_lowercase();
        let task = ["speech", "sound", "music"].into_iter().find(|task| name.contains(task));
        question.task = task.unwrap_or_default().to_owned();
    }
    if question.sub_category.is_empty() {
        question.sub_category = subset;
    }
    Ok(question)
}
