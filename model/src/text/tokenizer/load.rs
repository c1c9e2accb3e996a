//! Reading `tokenizer.json` and what `tokenizer_config.json` adds to it, without ever panicking.
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

use serde::Deserialize;
use tokenizers::{AddedToken, Tokenizer};

use super::TOKENIZER_JSON;
use super::vet::vet;
use crate::error::ModelError;

thread_local! {
    /// Set where a panic is caught and becomes an error: its message would only alarm.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}
static QUIET_HOOK: Once = Once::new();

/// A token as `tokenizer_config.json` names it: a string, or an object with its content.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum TokenName {
    Plain(String),
    Object { content: String },
}

impl TokenName {
    pub(super) fn content(&self) -> &str {
        match self {
            Self::Plain(content) | Self::Object { content } => content,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ConfigToken {
    content: String,
    lstrip: bool,
    normalized: bool,
    rstrip: bool,
    single_word: bool,
    special: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TokenizerConfig {
    pub(super) added_tokens_decoder: BTreeMap<String, ConfigToken>,
    pub(super) bos_token: Option<TokenName>,
    pub(super) eos_token: Option<TokenName>,
    pub(super) pad_token: Option<TokenName>,
    pub(super) unk_token: Option<TokenName>,
}

impl TokenizerConfig {
    /// The special tokens that a chat template may ask for by these names.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        let names = [
            ("bos_token", &self.bos_token),
            ("eos_token", &self.eos_token),
            ("pad_token", &self.pad_token),
            ("unk_token", &self.unk_token),
        ];
        let named = |(name, token): (&str, &Option<TokenName>)| {
            Some((name.to_owned(), token.as_ref()?.content().to_owned()))
        };
        names.into_iter().filter_map(named).collect()
    }
}

pub(super) fn load(bytes: &[u8]) -> Result<Tokenizer, String> {
    vet(bytes)?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
    // A stored padding or truncation would change prompts behind our back.
    tokenizer.with_padding(None).with_truncation(None).map_err(|error| error.to_string())?;
    Ok(tokenizer)
}

/// Adds the tokens that only `tokenizer_config.json` has, in id order, and checks every id.
pub(super) fn merge_added_tokens(
    inner: &mut Tokenizer,
    decoder: &BTreeMap<String, ConfigToken>,
) -> Result<(), String> {
    let mut tokens = Vec::with_capacity(decoder.len());
    for (key, token) in decoder {
        let id: u32 = key.parse().map_err(|_| format!("added_tokens_decoder: `{key}` is no token id"))?;
        tokens.push((id, token));
    }
    tokens.sort_by_key(|&(id, _)| id);
    let known: BTreeMap<String, u32> =
        inner.get_added_tokens_decoder().into_iter().map(|(id, token)| (token.content, id)).collect();
    let missing: Vec<AddedToken> = tokens
        .iter()
        .filter(|(_, token)| !known.contains_key(&token.content))
        .map(|(_, token)| {
            AddedToken::from(token.content.clone(), token.special)
                .lstrip(token.lstrip)
                .rstrip(token.rstrip)
                .single_word(token.single_word)
                .normalized(token.normalized)
        })
        .collect();
    // One call: each call rebuilds the tokenizer's tries.
    inner.add_tokens(missing).map_err(|error| error.to_string())?;
    for (id, token) in tokens {
        let found = inner.token_to_id(&token.content);
        if found != Some(id) {
            return Err(format!(
                "added_tokens_decoder gives `{}` the id {id}, but after {TOKENIZER_JSON} it is {}",
                token.content,
                found.map_or("none".to_owned(), |found| found.to_string())
            ));
        }
    }
    Ok(())
}

/// Runs a call into the tokenizers crate, whose parser panics on some malformed files.
pub(super) fn guarded<T>(path: &Path, call: impl FnOnce() -> Result<T, String>) -> Result<T, ModelError> {
    QUIET_HOOK.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                loud(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    QUIET.set(false);
    match result {
        Ok(result) => result.map_err(|what| tokenizer_error(path, what)),
        Err(_) => {
            Err(tokenizer_error(path, "the tokenizers library cannot work with it (it panicked)".to_owned()))
        }
    }
}

pub(super) fn tokenizer_error(path: &Path, what: String) -> ModelError {
    ModelError::Tokenizer { path: path.to_owned(), what }
}
