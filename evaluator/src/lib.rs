//! Answers a test set with the base model, training-free methods and adapters, scores the answers with refusals as a
//! class of their own, and compares each method with the base model and with simple rules at the same refusal rate.

mod agreement;
mod answer;
mod answers_file;
mod ask;
mod beside;
mod compare;
mod config;
mod details;
mod error;
mod export;
mod grid;
mod groups;
mod html;
mod key;
mod method;
mod pairs;
mod pick;
mod plot;
mod prepare;
mod prompts;
mod refuse;
mod report;
mod results;
mod run;
mod score;
mod store;
mod stored;
mod sweep;
mod sweep_run;
mod sweep_table;
mod table;
mod template;
mod transfer;

pub use agreement::{SampledAnswers, Samples, said};
pub use answer::{Answer, Step};
pub use answers_file::{answers_file, write_answers};
pub use compare::{
    ALL, Auroc, MethodResult, RuleResult, TaskResult, Yardsticks, compare_method, known_shares,
};
pub use config::EvalConfig;
pub use error::EvalError;
pub use groups::{GroupCounts, GroupResult, Grouping};
pub use html::{REPORT_FILE, report_file, write_transfer_report};
pub use method::{ADAPTER_NAME_RULE, Contender, Method, is_adapter_name};
pub use pairs::PairResult;
pub use pick::{AccuracyFloor, Choice, pick};
pub use plot::{PLOT_DIR, plot_folder, write_curves};
pub use prepare::{Prepared, PreparedQuestion, prepare};
pub use prompts::PromptFiles;
pub use refuse::Rule;
pub use report::{NamedAdapter, Subject, evaluate};
pub use results::{BaseResult, REJECTED_FILE, RESULTS_FILE, Results, results_file};
pub use run::answer_plainly;
pub use score::{Score, score_files};
pub use store::STORE_DIR;
pub use stored::read_answers;
pub use sweep::{Picked, Sweep, SweepBase, SweepKind, SweepPoint, SweepSet, TaskPoint, sweep_file};
pub use sweep_run::{SweepStep, Sweeper, Thresholds, alpha_steps};
pub use sweep_table::sweep_table;
pub use table::{Format, View, method_table, render, tables};
pub use template::Template;
pub use transfer::{Cell, TRANSFER_FILE, Transfer};
