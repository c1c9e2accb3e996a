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
    /// The special tokens that the family's processor puts around a clip's placeholders; its template has neither.
    pub(crate) around_audio: Option<[&'static str; 2]>,
    /// Used where the folder has no template. There is none where checkpoints of the family differ in their own.
    pub(crate) built_in: Option<&'static str>,
}
