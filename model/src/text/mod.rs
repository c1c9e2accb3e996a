//! Chats, and text to ids and back.
pub(crate) mod generation;
pub(crate) mod pattern;
pub(crate) mod template;
pub(crate) mod tokenizer;
