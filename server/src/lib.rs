#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! - [`ServerSettings`]: where a server is, what it can do, how patiently it is asked
//! - [`Server::answer`] asks one question, [`Server::answer_all`] many, several at a time
//! - [`Server::score_all`]: how likely given texts are as answers
//! - [`ServerPrompt`], [`Decoding`]: what is asked, and how answers are drawn
//! - [`wav_bytes`]: a recording as it is sent
//! - [`ServerError`], [`ServerFailure`], [`ServerFault`]: what went wrong, and whether a retry could help

mod client;
mod concurrent;
mod error;
mod failure;
#[cfg(test)]
#[path = "../../tests/support/server.rs"]
mod fake;
mod http;
mod reply;
mod request;
mod retry;
mod score;
mod settings;
#[cfg(test)]
mod tests;
mod url;
mod wav;

pub use client::Server;
pub use error::ServerError;
pub use failure::{ServerFailure, ServerFault};
pub use reply::ServerAnswer;
pub use request::{Decoding, ServerPrompt, first_seed, has_special_token};
pub use score::{ScoredTokens, TextToScore};
pub use settings::{ServerApi, ServerLogProbs, ServerSettings};
pub use url::ServerUrl;
pub use wav::wav_bytes;
