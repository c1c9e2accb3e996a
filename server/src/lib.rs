#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! - [`Server::answer`] asks one question, [`Server::answer_all`] many, several at a time
//! - [`ServerPrompt`], [`Decoding`]: what is asked, and how answers are drawn
//! - [`wav_bytes`]: a recording as it is sent
//! - [`ServerError`], [`ServerFailure`], [`ServerFault`]: what went wrong, and whether a retry could help

mod client;
mod concurrent;
mod early_reply;
mod error;
mod failure;
#[cfg(test)]
#[path = "../../tests/support/server.rs"]
mod fake;
mod http;
#[cfg(test)]
mod replays;
mod reply;
mod request;
mod retry;
#[cfg(test)]
mod tests;
mod url;
mod wav;

pub use client::{Server, ServerSettings};
pub use error::ServerError;
pub use failure::{ServerFailure, ServerFault};
pub use reply::ServerAnswer;
pub use request::{Decoding, ServerPrompt, first_seed, has_special_token};
pub use url::ServerUrl;
pub use wav::wav_bytes;
