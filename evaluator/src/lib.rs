#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! - [`prepare`]: questions as they will be asked; [`evaluate`]: every [`Method`] answers them
//! - [`compare_method`]: a method compared with the base model, per task and group
//! - [`Results`], [`tables`], [`plot_folder`]: what is written
//! - [`Grid`], [`Sweeper`], [`pick`]: experiments of several values, and which value to take
//! - [`score_files`]: stored answers, without a model

mod answer;
mod backend;
mod compare;
mod config;
mod doubt;
mod error;
mod evaluate;
mod grid;
mod method;
mod report;
#[cfg(test)]
mod test_fixture;

pub use answer::answers_file::{answers_file, write_answers};
pub use answer::ask::single::{
    SampleAgreement, SampleSettings, SingleAnswer, TextProbability, answer_single,
};
pub use answer::prepare::{Prepared, prepare};
pub use answer::record::{Answer, ModelJudgement, Step};
pub use answer::run::answer_plainly;
pub use answer::store::STORE_DIR;
pub use answer::subject::{LabelledQuestions, NamedAdapter, Subject};
pub use backend::{Backend, Served};
pub use compare::abstention::{AbstentionResult, AbstentionResults};
pub use compare::groups::{GroupCounts, GroupResult, Grouping};
pub use compare::judge_agreement::{JudgeAgreement, JudgeResults};
pub use compare::methods::{ALL, MethodResult, ReadableResult, TaskResult, compare_method, known_shares};
pub use compare::pairs::PairResult;
pub use compare::results::{BaseResult, REJECTED_FILE, RESULTS_FILE, Results, results_file};
pub use compare::rules::Rule;
pub use compare::score::{Score, score_files};
pub use compare::yardsticks::{Auroc, RuleInputs, RuleResult, Yardsticks};
pub use config::{AnswerBy, EvalConfig, JudgeConfig, ProbeConfig, PromptFiles};
pub use doubt::answer_probability::perplexity;
pub use doubt::logistic::LogisticRegression;
pub use doubt::meaning::Meaning;
pub use doubt::option_probability::option_probability;
pub use doubt::own_words::{approval, stated_confidence};
pub use doubt::predictive_entropy::{length_normalised_entropy, predictive_entropy};
pub use doubt::samples::{SampledAnswer, SampledAnswers, Samples};
pub use doubt::self_consistency::self_consistency;
pub use doubt::semantic_entropy::{discrete_semantic_entropy, semantic_entropy};
pub use error::EvalError;
pub use evaluate::evaluate;
pub use grid::cell::{GridCell, GridScore, GridValue};
pub use grid::file::{Grid, Picked, grid_file};
pub use grid::kind::{GridKind, GridSet};
pub use grid::offset::HeldBack;
pub use grid::pick::{AccuracyFloor, Pick, pick};
pub use grid::run::{SweepStep, Sweeper, Thresholds, adapter_scale_steps};
pub use method::{ADAPTER_NAME_RULE, Candidate, Method, RENAMED_METHOD, is_adapter_name};
pub use report::abstention_table::abstention_text;
pub use report::grid_table::grid_table;
pub use report::html::{REPORT_FILE, RunIndex, report_file, write_index, write_transfer_report};
pub use report::plot::training::write_curves;
pub use report::plot_files::{PLOT_DIR, plot_folder};
pub use report::table::{TableFormat, View, method_table, render, tables};
