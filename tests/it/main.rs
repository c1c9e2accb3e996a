//! Promises of whole programs, in one test program: each module runs `idk-build`, `idk-train` and `idk-eval` in folders of its own.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;

mod architecture;
mod ask;
mod bad_input;
mod calibrated;
mod cli;
mod command_reference;
mod docs;
mod dpo;
mod evaluate;
mod families;
mod hostile_inputs;
mod judge;
mod main_job;
mod merge;
mod method_tables;
mod modules;
mod openai_server;
mod other_peoples_files;
mod quantised;
mod recipe_reference;
mod relabel;
mod result_tables;
mod rl;
mod served_build;
mod served_evaluation;
mod shard_scripts;
mod source_text;
mod sweeps;
mod tiny_server;
mod train_options;
mod type_names;
mod unanswerable;
mod what_is_left;
mod words;
