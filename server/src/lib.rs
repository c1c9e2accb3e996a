//! Asks a model that a server has, such as vLLM with Qwen2-Audio, through the API of OpenAI.
//!
//! One request asks for all answers to a question, so a recording is sent and encoded once. [`Server::answer_all`] keeps
//! several requests under way, sends again what failed for a while, and rejects a reply that is not what was asked for.
//! Nothing here knows a recipe, a dataset or a local model: messages with WAV bytes go in, texts with log-probabilities
//! come out.

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
