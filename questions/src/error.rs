//! The error of this crate.

use std::path::PathBuf;

use idk_common::text::{display_path, ellipsis, terminal_safe};
use idk_common::{CommonError, Diagnose, ExitKind};

/// What can go wrong with question sets and stored answers as a whole. A single bad question is no error but a
/// [`crate::Rejection`].
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    /// The file cannot be read or written, or is not JSON; names file and line.
    #[error(transparent)]
    Common(#[from] CommonError),
    /// Neither an array of questions, nor one question per line, nor a table.
    #[error(
        "`{}`, line {line}: a question set is a JSON array, one JSON object a line, or a csv table",
        display_path(path)
    )]
    NotASet {
        /// The question set.
        path: PathBuf,
        /// The line where something else stands, from 1.
        line: usize,
    },
    /// What Git leaves instead of a large file that has not been fetched.
    #[error("`{}` is a Git LFS pointer, not the file itself", display_path(path))]
    LfsPointer {
        /// The question set.
        path: PathBuf,
    },
    /// Rows, but with other keys than those of any known set.
    #[error(
        "`{}`, line {line}: no known question set has just the keys {}; {}",
        display_path(path),
        listed(found),
        lacking(lacks)
    )]
    UnknownShape {
        /// The question set.
        path: PathBuf,
        /// The row, or the line of the header, from 1.
        line: usize,
        /// The keys that it has.
        found: Vec<String>,
        /// Each known shape with the keys that the row lacks to be of it, in quotation marks.
        lacks: Vec<(&'static str, Vec<String>)>,
    },
    /// More rows than [`idk_common::limits::MAX_QUESTIONS`].
    #[error("`{}` has {found} questions, at most {limit} are read", display_path(path))]
    TooMany {
        /// The question set.
        path: PathBuf,
        /// How many it has.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A clip of a question that is to be written lies outside the folder of the question set.
    #[error(
        "question `{}`: its clip `{}` is not in the folder of the question set `{}`",
        shown(id),
        display_path(audio),
        display_path(path)
    )]
    AudioOutside {
        /// The question set that was to be written.
        path: PathBuf,
        /// The question.
        id: String,
        /// Its clip.
        audio: PathBuf,
    },
    /// Questions without a stored answer.
    #[error("{} questions have no answer in the file of the {side} answers: {}", ids.len(), listed(ids))]
    MissingAnswers {
        /// `before`, `after`, or another name of the set of answers.
        side: String,
        /// Their ids, in the order of the questions.
        ids: Vec<String>,
    },
    /// Questions with more than one stored answer.
    #[error("{} ids occur more than once among the {side} answers: {}", ids.len(), listed(ids))]
    DuplicateAnswers {
        /// `before`, `after`, or another name of the set of answers.
        side: String,
        /// The ids, sorted.
        ids: Vec<String>,
    },
    /// The options that an answer was given to are not those of the question.
    #[error("the {side} answer to `{}` was given to other options than the question has", shown(id))]
    OptionsDiffer {
        /// `before`, `after`, or another name of the set of answers.
        side: String,
        /// The question.
        id: String,
    },
    /// Questions without a right answer that cannot be made from a set.
    #[error(
        "{made} of {wanted} questions of the kind `{kind}` can be made of {questions}; left out: {}",
        if skipped.is_empty() { "none" } else { skipped }
    )]
    TooFewUnanswerable {
        /// The kind.
        kind: &'static str,
        /// How many can be made.
        made: usize,
        /// How many were asked for.
        wanted: usize,
        /// Questions of the set.
        questions: usize,
        /// Questions that cannot be used, by reason.
        skipped: String,
    },
    /// Two lists that must describe the same items have different lengths.
    #[error("{what}: {found} entries for {expected} items")]
    LengthMismatch {
        /// Which list.
        what: &'static str,
        /// How many it has.
        found: usize,
        /// How many it must have.
        expected: usize,
    },
}

impl Diagnose for QuestionError {
    fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Common(error) => error.exit_kind(),
            _ => ExitKind::BadData,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Common(error) => return error.hint(),
            Self::NotASet { .. } => "docs/reference/question-sets.md shows the shapes that are read",
            Self::LfsPointer { .. } => "fetch the files: `git lfs pull` in the folder of the repository",
            Self::UnknownShape { .. } => {
                "rename the keys to those of one shape; docs/reference/question-sets.md lists them all"
            }
            Self::TooMany { .. } => "split the set",
            Self::AudioOutside { .. } => "put the clips next to the question set or below it",
            Self::MissingAnswers { .. } => {
                "answer every question, or leave the others out of the question set"
            }
            Self::DuplicateAnswers { .. } => "keep one answer per question",
            Self::OptionsDiffer { .. } => "use the question set that the answers were made for",
            Self::TooFewUnanswerable { .. } => {
                "ask for fewer with `--count`, or give a larger set: a donor is another question of the same sub-category \
                 (absent), or of another one, best of another task (options, audio), whose texts do not overlap"
            }
            Self::LengthMismatch { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// An id as it may be shown on a terminal.
fn shown(id: &str) -> String {
    terminal_safe(&ellipsis(id, 80))
}

/// The first ids of a list, and how many more there are.
fn listed(ids: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = ids.iter().take(SHOWN).map(|id| format!("`{}`", shown(id))).collect::<Vec<_>>().join(", ");
    if ids.len() > SHOWN {
        text.push_str(&format!(" and {} more", ids.len() - SHOWN));
    }
    text
}

/// What a row lacks to be of each shape.
fn lacking(lacks: &[(&str, Vec<String>)]) -> String {
    let shapes = lacks.iter().map(|(name, keys)| format!("{name} also has {}", keys.join(", ")));
    shapes.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_ids_is_cut_with_the_number_of_the_others() {
        let ids = (0..11).map(|i| format!("q{i}")).collect();
        let message = QuestionError::MissingAnswers { side: "after".to_owned(), ids }.to_string();
        assert!(
            message.starts_with("11 questions have no answer in the file of the after answers: `q0`, `q1`"),
            "{message}"
        );
        assert!(message.ends_with("`q7` and 3 more"), "{message}");
    }

    #[test]
    fn an_id_cannot_send_escape_codes_to_the_terminal() {
        let error = QuestionError::OptionsDiffer { side: "after".to_owned(), id: "\u{1b}[2J".to_owned() };
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
