#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! - [`Question`], [`read_questions`], [`write_questions`]: question sets, read in the shapes of several benchmarks
//! - [`PackedSet`]: a question set in little memory
//! - [`AskedQuestion`], [`prompt_text`], [`shuffled`]: what the model is asked, and in which order it sees the options
//! - [`judge`], [`is_refusal`]: what an answer says; options first, then refusals, never a guess
//! - [`judge_with`]: the same by another [`Scorer`]
//! - [`make_unanswerable`]: questions without a right answer, made from others
//! - [`rows`]: the rows of the files of a run
//! - [`metrics`]: accuracy, truthfulness, reliability, RGI and what they are compared with
//! - [`score`]: metrics of stored answers

mod asked;
mod error;
mod interner;
mod judge;
pub mod metrics;
mod question;
mod readers;
pub mod reason;
pub mod rows;
pub mod score;
mod unanswerable;

pub use asked::AskedQuestion;
pub use error::QuestionError;
pub use interner::Interner;
pub use judge::{Judgement, REFUSAL, Scorer, Verdict, is_refusal, judge, judge_with, normalise};
pub use question::{
    AnswerMatch, PackedQuestions, PackedSet, PromptStyle, Question, QuestionSet, Rejection, prompt_text,
    shuffled, write_questions,
};
pub use readers::{
    DuplicateChoices, MappedQuestion, ReadOptions, RefusalOption, map_questions, read_questions,
    read_questions_with, visit_questions,
};
pub use unanswerable::{
    MadeUnanswerable, Making, UnanswerableKind, listed as listed_skips, make_unanswerable,
};
