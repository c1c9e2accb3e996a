//! Answers a test set with the base model, training-free methods and adapters, scores the answers with refusals as a
//! class of their own, and compares each method with the base model and with simple rules at the same refusal rate.

mod answer;
mod compare;
mod config;
mod error;
mod method;
mod prepare;
mod report;
mod score;
mod table;

pub use answer::{Answer, answer, answers_file, write_answers};
pub use compare::{ALL, Auroc, MethodResult, RuleResult, TaskResult, compare_method, known_shares};
pub use config::EvalConfig;
pub use error::EvalError;
pub use method::{IDK_INSTRUCTION, Method};
pub use prepare::{Prepared, PreparedQuestion, prepare};
pub use report::{BaseResult, REJECTED_FILE, RESULTS_FILE, Results, Subject, evaluate, results_file};
pub use score::{Score, score_files};
pub use table::{method_table, tables};
