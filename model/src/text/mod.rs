//! Chats, and text to ids and back.
pub(crate) mod bpe;
pub(crate) mod chat;
pub(crate) mod tokenizer;
