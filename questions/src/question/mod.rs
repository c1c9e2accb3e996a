//! Questions: their records, how they are asked, and how they are written.

mod packed;
mod prompt;
mod record;
mod writer;

pub use packed::{PackedQuestions, PackedSet};
pub(crate) use prompt::letter;
pub use prompt::{PromptStyle, prompt_text, shuffled};
pub use record::{AnswerMatch, Question, QuestionSet, Rejection};
pub use writer::write_questions;
