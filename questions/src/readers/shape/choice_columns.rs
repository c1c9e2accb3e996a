//! The shape with one key an option: MMSU (Wang et al. 2025, arXiv 2506.04779) and the foundation part of AIR-Bench
//! (Yang et al. 2024, arXiv 2402.07729).

use serde_json::Value;

use super::FileShape;
use crate::question::Question;
use crate::question::letter;
use crate::readers::clips::Folder;
use crate::readers::fields::{Row, plain_text};
use crate::readers::{Fault, ReadOptions, choices};
use crate::reason;

/// Rows with `choice_a` and so on.
pub(super) const SHAPE: FileShape = FileShape {
    name: "MMSU / AIR-Bench",
    keys: &[&["path", "audio_path"], &["question"], &["choice_a"], &["answer_gt"]],
    id: &["id", "uniq_id"],
    names_rows_by_clip: false,
    read,
};

fn read(mut row: Row, folder: &Folder, options: &ReadOptions) -> Result<Question, Fault> {
    let id = row.id(SHAPE.id)?;
    let question = row.required(&["question"])?;
    let columns = columns(&mut row);
    let filled: Vec<Value> = columns.iter().filter(|column| !is_empty(column)).cloned().collect();
    if filled.is_empty() {
        return Err((reason::MISSING_FIELD, "`choice_a` is missing or empty".to_owned()));
    }
    let listed = choices::listed(Value::Array(filled))?;
    let answer = named_column(row.required(&["answer_gt"])?, &columns, &listed);
    let (choices, answer) = choices::with_answer(&listed, &answer, options.duplicate_choices)?;
    let part = row.optional(&["task_name"])?;
    let dataset = row.optional(&["dataset_name"])?;
    let audio = match row.take(&["audio_path"]) {
        Some(value) => folder.clips(Some(value), "audio_path")?,
        None => vec![folder.clip_under_one_of(&clip_names(&row.required(&["path"])?, &part, &dataset))?],
    };
    let question = Question { id, audio, question, choices, answer, ..Question::default() };
    let mut question = row.describe(question)?;
    if question.task.is_empty() {
        question.task = modality(&part, &dataset).to_owned();
    }
    if !part.is_empty() {
        let coarse = std::mem::replace(&mut question.sub_category, part);
        if !coarse.is_empty() {
            question.extra.insert("sub-category".to_owned(), coarse.into());
        }
    }
    if question.dataset.is_empty() {
        question.dataset = dataset;
    }
    Ok(question)
}

/// The values of `choice_a`, `choice_b` and so on, as far as there are such keys.
fn columns(row: &mut Row) -> Vec<Value> {
    let keys = (0..26).map(|index| format!("choice_{}", letter(index).to_ascii_lowercase()));
    keys.map_while(|key| row.take(&[&key])).collect()
}

/// AIR-Bench leaves the columns that a question does not need empty.
fn is_empty(column: &Value) -> bool {
    column.is_null() || column.as_str().is_some_and(|text| text.trim().is_empty())
}

/// The text of the column that `answer` is the letter of, unless an option is that letter; else `answer` itself.
fn named_column(answer: String, columns: &[Value], listed: &[String]) -> String {
    let mut chars = answer.chars();
    let (Some(first), None) = (chars.next(), chars.next()) else { return answer };
    if listed.contains(&answer) {
        return answer;
    }
    let named = columns.iter().enumerate().find(|(index, _)| letter(*index) == first.to_ascii_uppercase());
    named.map(|(_, column)| plain_text(column)).filter(|text| !text.is_empty()).unwrap_or(answer)
}

/// Where a clip of AIR-Bench may be: in the folder of its part, where grounding clips are FLAC whatever their name
/// says, or right under its name.
fn clip_names(path: &str, part: &str, dataset: &str) -> Vec<String> {
    let mut names = Vec::new();
    if !part.is_empty() && !dataset.is_empty() {
        let inside = format!("{part}_{dataset}/{path}");
        names.extend(inside.strip_suffix(".wav").map(|stem| format!("{stem}.flac")));
        names.insert(0, inside);
    }
    names.push(path.to_owned());
    names
}

/// The modality of a row that names none: MMSU is speech, AIR-Bench's parts begin with what they are about.
fn modality(part: &str, dataset: &str) -> &'static str {
    let part = part.to_lowercase();
    let begins = |starts: &[&str]| starts.iter().any(|start| part.starts_with(start));
    if dataset.is_empty() || begins(&["speech", "spoken", "speaker", "synthesized"]) {
        "speech"
    } else if begins(&["music"]) {
        "music"
    } else if begins(&["audio", "sound", "vocal", "acoustic"]) {
        "sound"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modality_of_a_part_is_that_of_its_name() {
        assert_eq!(modality("Speaker_Age_Prediction", "d"), "speech");
        assert_eq!(modality("Music_AQA", "d"), "music");
        assert_eq!(modality("vocal_sound_classification", "d"), "sound");
        assert_eq!(modality("Something_New", "d"), "");
        assert_eq!(modality("tone_detection", ""), "speech", "MMSU names no data set");
    }
}
