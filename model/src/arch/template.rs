//! What a family's chats are made of.

/// What a family's chats are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    /// The special token whose embeddings the audio rows replace, once for each.
    pub(crate) audio: &'static str,
    /// The special token that ends an answer, unless `tokenizer_config.json` names another.
    pub(crate) end_of_turn: &'static str,
    /// The special token that pads batches, unless `tokenizer_config.json` names another.
    pub(crate) pad: &'static str,
    /// Used where the folder has no template.
    pub(crate) built_in: &'static str,
}
