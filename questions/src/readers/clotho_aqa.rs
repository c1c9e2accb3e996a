//! Clotho-AQA (Lipping et al. 2022, arXiv 2204.09634): a table with one row per annotator, three per question, and open
//! answers: one word, or yes and no.
//!
//! The answer is what the annotators agree on; a question without agreement is rejected.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::clips::Folder;
use super::fields::checked;
use super::{Fault, Read, ReadOptions, shape};
use crate::error::QuestionError;
use crate::judge::normalise;
use crate::question::Question;
use crate::reason;

/// How messages call this shape.
pub(super) const NAME: &str = "Clotho-AQA (csv)";
/// The columns that the table must have; of each list one, in any case.
pub(super) const COLUMNS: &[&[&str]] = &[&["file_name"], &["QuestionText", "question"], &["answer"]];
/// How sure the annotator was; kept if it is there.
const CONFIDENCE: &[&str] = &["confidence"];
/// The clips are in this folder next to the table, or next to the table itself.
const AUDIO_FOLDER: &str = "audio_files";

/// What the annotators say about one question.
struct AnnotatedQuestion {
    line: usize,
    file_name: String,
    question: String,
    /// Which question about its clip, from 1.
    number: usize,
    answers: Vec<String>,
    confidence: Vec<String>,
}

/// One question is made of all rows with its clip and text, and stands at the line of the first of them.
pub(super) fn read(
    path: &Path,
    text: &str,
    folder: &Folder,
    options: &ReadOptions,
) -> Result<Vec<Read<Question>>, QuestionError> {
    let not_a_set = |error: &csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        QuestionError::NotASet { path: path.to_path_buf(), line: usize::try_from(line).unwrap_or(1) }
    };
    let mut table =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = table.headers().map_err(|error| not_a_set(&error))?.clone();
    let place = |names: &[&str]| {
        header.iter().position(|column| names.iter().any(|name| column.eq_ignore_ascii_case(name)))
    };
    let [Some(file_name), Some(question), Some(answer)] = [COLUMNS[0], COLUMNS[1], COLUMNS[2]].map(place)
    else {
        let line = text.len() - text.trim_start().len();
        let line = text[..line].matches('\n').count() + 1;
        let found = header.iter().map(str::to_owned).collect();
        return Err(shape::unknown(path, line, found, |key| {
            header.iter().any(|column| column.eq_ignore_ascii_case(key))
        }));
    };
    let confidence = place(CONFIDENCE);
    let (mut asked, mut unusable) = (Groups::default(), Vec::new());
    for record in table.records() {
        let record = record.map_err(|error| not_a_set(&error))?;
        let line = record.position().map_or(0, |at| line_of(text, at));
        if let Err(fault) = check_record(&record, header.len()) {
            unusable.push(Read::unusable(line, fault));
            continue;
        }
        let vote = (record[answer].to_owned(), confidence.map(|at| record[at].to_owned()));
        asked.add(line, &record[file_name], &record[question], vote);
    }
    let mut rows: Vec<Read<Question>> = asked.groups.iter().map(|one| one.read(folder, options)).collect();
    rows.extend(unusable);
    rows.sort_by_key(|row| row.line);
    Ok(rows)
}

/// The line of a record. The reader's position is before the line breaks that separate it from the record before.
fn line_of(text: &str, position: &csv::Position) -> usize {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(number(position.byte())..).unwrap_or_default();
    let breaks = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    number(position.line()) + breaks.filter(|&&byte| byte == b'\n').count()
}

/// A row must have all columns, and no field over several lines: a missing quotation mark would swallow the rows that
/// follow.
fn check_record(record: &csv::StringRecord, columns: usize) -> Result<(), Fault> {
    if record.len() != columns {
        return Err((reason::BAD_FIELD, format!("{} fields in a table of {columns} columns", record.len())));
    }
    if record.iter().any(|field| field.contains('\n')) {
        let detail = "a field runs over several lines; is a quotation mark missing?";
        return Err((reason::BAD_FIELD, detail.to_owned()));
    }
    Ok(())
}

/// The questions in the order in which they come up first.
#[derive(Default)]
struct Groups {
    groups: Vec<AnnotatedQuestion>,
    places: BTreeMap<(String, String), usize>,
    of_clip: BTreeMap<String, usize>,
}

impl Groups {
    fn add(&mut self, line: usize, file_name: &str, question: &str, vote: (String, Option<String>)) {
        let key = (file_name.to_owned(), question.to_owned());
        let place = *self.places.entry(key).or_insert_with(|| {
            let number = self.of_clip.entry(file_name.to_owned()).or_insert(0);
            *number += 1;
            self.groups.push(AnnotatedQuestion {
                line,
                file_name: file_name.to_owned(),
                question: question.to_owned(),
                number: *number,
                answers: Vec::new(),
                confidence: Vec::new(),
            });
            self.groups.len() - 1
        });
        let (answer, confidence) = vote;
        self.groups[place].answers.push(answer);
        self.groups[place].confidence.extend(confidence);
    }
}

impl AnnotatedQuestion {
    fn read(&self, folder: &Folder, options: &ReadOptions) -> Read<Question> {
        let id = if self.file_name.is_empty() {
            String::new()
        } else {
            format!("{}#{}", self.file_name, self.number)
        };
        Read { line: self.line, question: self.question(&id, folder, options), id, clip: None }
    }

    fn question(&self, id: &str, folder: &Folder, options: &ReadOptions) -> Result<Question, Fault> {
        for (text, column) in [(&self.file_name, "file_name"), (&self.question, "QuestionText")] {
            if text.is_empty() {
                return Err((reason::MISSING_FIELD, format!("`{column}` is empty")));
            }
            checked(text.clone(), column)?;
        }
        let mut agreed = agreed(&self.answers, options.min_annotators);
        if agreed.is_empty() {
            let given = self.answers.join("`, `");
            let detail = format!("no answer of `{given}` is given by {} annotators", options.min_annotators);
            return Err((reason::NO_AGREEMENT, detail));
        }
        for answer in &agreed {
            checked(answer.clone(), "answer")?;
        }
        let names = [format!("{AUDIO_FOLDER}/{}", self.file_name), self.file_name.clone()];
        let list = |texts: &[String]| Value::from(texts.to_vec());
        let mut extra = Map::from_iter([("annotators".to_owned(), list(&self.answers))]);
        if !self.confidence.is_empty() {
            extra.insert("confidence".to_owned(), list(&self.confidence));
        }
        Ok(Question {
            id: id.to_owned(),
            audio: vec![folder.clip_under_one_of(&names)?],
            question: self.question.clone(),
            answer: agreed.remove(0),
            aliases: agreed,
            task: "sound".to_owned(),
            dataset: "Clotho-AQA".to_owned(),
            extra,
            ..Question::default()
        })
    }
}

/// The answers that at least `min_annotators` annotators give, the most frequent first, as the first of them wrote it.
fn agreed(answers: &[String], min_annotators: usize) -> Vec<String> {
    let mut votes: Vec<(String, &String, usize)> = Vec::new();
    for answer in answers.iter().filter(|answer| !answer.is_empty()) {
        let text = normalise(answer);
        match votes.iter_mut().find(|(known, ..)| *known == text) {
            Some((_, _, count)) => *count += 1,
            None => votes.push((text, answer, 1)),
        }
    }
    votes.retain(|(_, _, count)| *count >= min_annotators);
    votes.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    votes.into_iter().map(|(_, answer, _)| answer.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_as_soon_as_enough_annotators_give_them() {
        let agreed = |answers: &[&str], min_annotators| {
            agreed(&answers.iter().map(|&answer| answer.to_owned()).collect::<Vec<_>>(), min_annotators)
        };
        assert_eq!(agreed(&["yes", "Yes ", "no"], 2), ["yes"]);
        assert_eq!(agreed(&["no", "yes", "yes"], 1), ["yes", "no"]);
        assert_eq!(agreed(&["rain", "water", "river"], 2), [""; 0]);
        assert_eq!(agreed(&["yes", "yes", "no"], 3), [""; 0]);
        assert_eq!(agreed(&["", "", "rain"], 2), [""; 0]);
    }
}
