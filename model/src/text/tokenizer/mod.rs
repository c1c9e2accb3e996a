//! The tokenizer of a model folder: byte-level BPE from `tokenizer.json`, completed from `tokenizer_config.json`, or from
//! `tekken.json`; and the folder's chat template.
//!
//! The published `tokenizer.json` of Qwen2-Audio knows only the chat tokens; the audio tokens are only in the other file's
//! `added_tokens_decoder`, so both are read. Text of users never turns into special tokens: the template's own
//! tokens are put in as ids, everything between them is encoded as plain text.
mod load;
mod special;
mod tekken;
mod vet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::chat::{Message, audio_count};
use idk_common::limits::{MAX_TEXT_BYTES, MAX_TOKENIZER_BYTES};
use idk_common::{fs, plain_types};
use tokenizers::Tokenizer;

use self::load::{TokenName, TokenizerConfig, guarded, load, merge_added_tokens, tokenizer_error};
use self::special::{Piece, Specials};
use crate::arch::config::LalmConfig;
use crate::arch::template::Template;
use crate::arch::{Architecture, qwen2_audio};
use crate::error::ModelError;
use crate::text::template::{ChatTemplate, TemplateOrigin, own_template};

/// Files that belong to a tokenizer, copied when a model is saved; the first two are needed here.
const TOKENIZER_JSON: &str = "tokenizer.json";
const TOKENIZER_CONFIG_JSON: &str = "tokenizer_config.json";
/// Mistral's tokenizer, which is used instead of the two where a folder has it.
const TEKKEN_JSON: &str = "tekken.json";
const COMPANION_FILES: [&str; 6] = [
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
    "chat_template.jinja",
];

/// Text to ids and back, with the chat template's tokens.
#[derive(Clone)]
pub struct LalmTokenizer {
    path: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    /// Encodes special strings as plain text (`encode_special_tokens`).
    inner: Tokenizer,
    /// Whether `inner` knows no special tokens at all.
    specials_apart: bool,
    specials: Specials,
    family: Template,
    chat: ChatTemplate,
    audio_id: u32,
    /// Ids before and after the placeholders of a clip that the template leaves out.
    around_audio: Option<[u32; 2]>,
    eos_id: u32,
    pad_id: u32,
    end_of_turn_id: u32,
}

impl std::fmt::Debug for LalmTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the files and the vocabulary, which would fill pages.
        f.debug_struct("LalmTokenizer")
            .field("path", &self.path)
            .field("chat_template", &self.chat.origin)
            .finish_non_exhaustive()
    }
}

impl LalmTokenizer {
    /// Reads `tokenizer.json` and `tokenizer_config.json` (which may be missing), or `tekken.json`, and the chat template of
    /// a model folder: `chat_template.jinja`, else `chat_template.json`, else the one in `tokenizer_config.json`, else the
    /// family's.
    ///
    /// That of `tokenizer_config.json` belongs to the tokenizer and not to the model, which transformers gives a template
    /// of its own; if it cannot place audio, the family's is used.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] with the file and what is wrong in it: malformed (a `tokenizer.json` that makes the
    /// parser panic included), an added token whose id does not follow, a special token of the family that is missing,
    /// or an audio token whose id is not that of `config.json`. [`ModelError::ChatTemplate`] for a template that cannot
    /// be rendered, does not place audio, or renders an answer in another way than after its prompt.
    pub fn from_dir(dir: &Path, config: &LalmConfig) -> Result<Self, ModelError> {
        let mut files = BTreeMap::new();
        let main = if dir.join(TEKKEN_JSON).exists() { TEKKEN_JSON } else { TOKENIZER_JSON };
        files.insert(main.to_owned(), fs::read_limited(&dir.join(main), MAX_TOKENIZER_BYTES)?);
        for name in std::iter::once(TOKENIZER_CONFIG_JSON).chain(COMPANION_FILES) {
            let path = dir.join(name);
            if path.exists() {
                files.insert(name.to_owned(), fs::read_limited(&path, MAX_TEXT_BYTES)?);
            }
        }
        let tokenizer = Self::from_files(dir, files, config.architecture)?;
        if tokenizer.audio_id != config.audio_token_id {
            let what = format!(
                "{} has id {}, but config.json says {}",
                tokenizer.family.audio, tokenizer.audio_id, config.audio_token_id
            );
            return Err(tokenizer_error(dir, what));
        }
        Ok(tokenizer)
    }

    /// A tokenizer from the bytes of its two files, `tokenizer.json` and `tokenizer_config.json`.
    ///
    /// # Errors
    /// As [`LalmTokenizer::from_dir`], without the check of the audio id.
    pub fn from_bytes(tokenizer_json: Vec<u8>, tokenizer_config_json: Vec<u8>) -> Result<Self, ModelError> {
        let files = BTreeMap::from([
            (TOKENIZER_JSON.to_owned(), tokenizer_json),
            (TOKENIZER_CONFIG_JSON.to_owned(), tokenizer_config_json),
        ]);
        Self::from_files(Path::new("in memory"), files, &qwen2_audio::ARCHITECTURE)
    }

    fn from_files(
        path: &Path,
        files: BTreeMap<String, Vec<u8>>,
        architecture: &'static Architecture,
    ) -> Result<Self, ModelError> {
        let config_path = path.join(TOKENIZER_CONFIG_JSON);
        let config: TokenizerConfig = match files.get(TOKENIZER_CONFIG_JSON) {
            None => TokenizerConfig::default(),
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| tokenizer_error(&config_path, plain_types(&error.to_string())))?,
        };
        let specials_apart = files.contains_key(TEKKEN_JSON);
        let (inner, tokens) = match files.get(TEKKEN_JSON) {
            Some(bytes) => guarded(&path.join(TEKKEN_JSON), || tekken::read(bytes))?,
            None => read_pair(path, &files, &config)?,
        };
        let specials = Specials::new(tokens).map_err(|what| tokenizer_error(path, what))?;
        let id = |token: &str| {
            specials.id(token).ok_or_else(|| {
                let files = match specials_apart {
                    true => format!("not in {TEKKEN_JSON}"),
                    false => format!("neither in {TOKENIZER_JSON} nor in {TOKENIZER_CONFIG_JSON}"),
                };
                tokenizer_error(path, format!("the special token {token} is {files}"))
            })
        };
        let family = architecture.template;
        let name = |token: &Option<TokenName>, default: &str| {
            token.as_ref().map_or(default.to_owned(), |token| token.content().to_owned())
        };
        let audio_id = id(family.audio)?;
        let around_audio = match family.around_audio {
            Some([before, after]) => Some([id(before)?, id(after)?]),
            None => None,
        };
        let eos_id = id(&name(&config.eos_token, family.end_of_turn))?;
        let pad_id = id(&name(&config.pad_token, family.pad))?;
        let built_in = || match family.built_in {
            Some(source) => {
                ChatTemplate::new(TemplateOrigin::Family(architecture.name), source, config.names())
            }
            None => Err(format!(
                "there is no chat_template.jinja, and checkpoints of {} differ in their system prompt",
                architecture.name
            )),
        };
        let fail = |what| ModelError::ChatTemplate { path: path.to_owned(), what };
        let chat = match own_template(&files).map_err(fail)? {
            Some((origin, source)) => match ChatTemplate::new(origin, &source, config.names()) {
                Err(_) if origin == TemplateOrigin::TokenizerConfig => built_in(),
                own => own,
            },
            None => built_in(),
        };
        let chat = chat.map_err(fail)?;
        let mut tokenizer = Self {
            path: path.to_owned(),
            files,
            inner,
            specials_apart,
            specials,
            family,
            chat,
            audio_id,
            around_audio,
            eos_id,
            pad_id,
            end_of_turn_id: eos_id,
        };
        tokenizer.end_of_turn_id = match tokenizer.probe() {
            Err(_) if tokenizer.chat.origin == TemplateOrigin::TokenizerConfig => {
                tokenizer.chat = built_in().map_err(fail)?;
                tokenizer.probe()?
            }
            found => found?,
        };
        Ok(tokenizer)
    }

    /// Renders a small chat to see that the template places audio and that an answer follows its prompt. Returns the id
    /// that ends an answer.
    fn probe(&self) -> Result<u32, ModelError> {
        let chat = [Message::from_tagged("user", "<audio>x")];
        self.prompt_ids(&chat, &[1])?;
        let answer = self.learnt(&chat, "y")?.0;
        if !answer.contains('y') {
            return Err(self.template_error("it leaves out the answer"));
        }
        let last = self.answer_ids(&chat, "y")?.pop();
        last.ok_or_else(|| self.template_error("it leaves out the answer"))
    }

    /// Where the chat template comes from, for people.
    #[must_use]
    pub fn chat_template(&self) -> String {
        self.chat.origin.to_string()
    }

    /// The tokenizer's end token.
    #[must_use]
    pub fn eos_id(&self) -> u32 {
        self.eos_id
    }

    /// The special token that the template ends an answer with.
    #[must_use]
    pub fn end_of_turn_id(&self) -> u32 {
        self.end_of_turn_id
    }

    /// The id that fills batches; masked everywhere.
    #[must_use]
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }

    /// The id whose embeddings the audio features replace.
    #[must_use]
    pub fn audio_id(&self) -> u32 {
        self.audio_id
    }

    /// Number of ids, special tokens included: one more than the greatest.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// The tokenizer's files as they were read: name -> bytes.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// Ids of plain text: a special string in it is encoded as the characters that it is made of.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] if the tokenizer's own rules fail on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        guarded(&self.path, || {
            let encoding = self.inner.encode_fast(text, false).map_err(|error| error.to_string())?;
            Ok(encoding.get_ids().to_vec())
        })
    }

    /// Ids of text in which special strings stand for special tokens. For text that this program wrote, never for a
    /// user's.
    ///
    /// # Errors
    /// As [`LalmTokenizer::encode`].
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let mut ids = Vec::new();
        for piece in self.specials.split(text) {
            match piece {
                Piece::Special(id) => ids.push(id),
                Piece::Text(text) => ids.extend(self.encode(text)?),
            }
        }
        Ok(ids)
    }

    /// Text of ids, with special tokens or without; ids that no token has are skipped, bytes that are no UTF-8 become
    /// U+FFFD.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`] if the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, ModelError> {
        let decode = |ids: &[u32]| {
            guarded(&self.path, || self.inner.decode(ids, skip_special).map_err(|error| error.to_string()))
        };
        if skip_special || !self.specials_apart {
            return decode(ids);
        }
        let mut text = String::new();
        for part in ids.chunk_by(|a, b| self.specials.text(*a).is_none() && self.specials.text(*b).is_none())
        {
            match part {
                [id] if self.specials.text(*id).is_some() => text.extend(self.specials.text(*id)),
                plain => text.push_str(&decode(plain)?),
            }
        }
        Ok(text)
    }

    /// The chat as one string, for people to read: each audio clip is one audio token, not yet repeated.
    ///
    /// # Errors
    /// [`ModelError::ChatTemplate`] if the template rejects the chat.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ModelError> {
        let (messages, mark) = self.guard(messages)?;
        Ok(unmarked(&self.rendered(&messages, add_generation_prompt)?, mark))
    }

    /// Ids of a chat that ends with the generation prompt; clip `i` takes `audio_tokens[i]` ids.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the chat and `audio_tokens` differ in number of clips, or a clip has no token;
    /// [`ModelError::ChatTemplate`] if the template rejects the chat or does not place every clip.
    pub fn prompt_ids(&self, messages: &[Message], audio_tokens: &[usize]) -> Result<Vec<u32>, ModelError> {
        let clips = audio_count(messages);
        if clips != audio_tokens.len() {
            return Err(ModelError::Input {
                what: format!("the chat names {clips} audio clips, but {} are given", audio_tokens.len()),
            });
        }
        if let Some(empty) = audio_tokens.iter().position(|&tokens| tokens == 0) {
            return Err(ModelError::Input {
                what: format!("audio clip {} is too short for one token", empty + 1),
            });
        }
        let (messages, mark) = self.guard(messages)?;
        let text = self.rendered(&messages, true)?;
        let pieces = self.specials.split(&text);
        let placed = pieces.iter().filter(|piece| **piece == Piece::Special(self.audio_id)).count();
        if placed != clips {
            let what =
                format!("it cannot place audio: a chat of {clips} clips gets {placed} {}", self.family.audio);
            return Err(self.template_error(&what));
        }
        let mut counts = audio_tokens.iter();
        let [before, after] = self.around_audio.map_or([None, None], |around| around.map(Some));
        let mut ids = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => ids.extend(self.encode(&unmarked(text, mark))?),
                Piece::Special(id) if id == self.audio_id => {
                    ids.extend(before);
                    ids.extend(std::iter::repeat_n(id, counts.next().copied().unwrap_or(0)));
                    ids.extend(after);
                }
                Piece::Special(id) => ids.push(id),
            }
        }
        Ok(ids)
    }

    /// Ids of an assistant's answer to a chat with what ends its turn: what training computes its loss on.
    ///
    /// # Errors
    /// As [`LalmTokenizer::encode`]; [`ModelError::ChatTemplate`] if the template rejects the chat, does not continue
    /// the prompt with the answer, or does not end the turn with a special token.
    pub fn answer_ids(&self, messages: &[Message], answer: &str) -> Result<Vec<u32>, ModelError> {
        let (text, mark) = self.learnt(messages, answer)?;
        let mut ids = Vec::new();
        for piece in self.specials.split(&text) {
            match piece {
                Piece::Text(text) => ids.extend(self.encode(&unmarked(text, mark))?),
                Piece::Special(id) => ids.push(id),
            }
        }
        Ok(ids)
    }

    /// What [`LalmTokenizer::answer_ids`] are the ids of, as text.
    ///
    /// # Errors
    /// As [`LalmTokenizer::answer_ids`].
    pub fn render_answer(&self, messages: &[Message], answer: &str) -> Result<String, ModelError> {
        let (text, mark) = self.learnt(messages, answer)?;
        Ok(unmarked(&text, mark))
    }

    /// What the template writes for an answer after its prompt, up to the special token that ends the turn; and the mark
    /// in it.
    fn learnt(&self, messages: &[Message], answer: &str) -> Result<(String, Option<char>), ModelError> {
        let whole = [messages, &[Message::text("assistant", answer)]].concat();
        let (whole, mark) = self.guard(&whole)?;
        let prompt = self.rendered(&whole[..messages.len()], true)?;
        let rendered = self.rendered(&whole, false)?;
        let Some(turn) = rendered.strip_prefix(&prompt) else {
            let what =
                "a chat with an answer does not begin as the prompt for it does, so it cannot be learnt from";
            return Err(self.template_error(what));
        };
        match self.specials.last_end(turn) {
            Some(end) => Ok((turn[..end].to_owned(), mark)),
            None => Err(self.template_error("it ends an answer with no special token")),
        }
    }

    fn guard(&self, messages: &[Message]) -> Result<(Vec<Message>, Option<char>), ModelError> {
        let guarded = self.specials.guard(messages, |mark| self.chat.has(mark));
        guarded.map_err(|what| ModelError::Input { what })
    }

    fn rendered(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String, ModelError> {
        self.chat.render(messages, add_generation_prompt).map_err(|what| self.template_error(&what))
    }

    fn template_error(&self, what: &str) -> ModelError {
        ModelError::ChatTemplate { path: self.path.clone(), what: format!("{}: {what}", self.chat.origin) }
    }
}

/// The tokenizer of the two files of Hugging Face folders, and its special tokens with their ids.
fn read_pair(
    path: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    config: &TokenizerConfig,
) -> Result<(Tokenizer, Vec<(String, u32)>), ModelError> {
    let bytes = files.get(TOKENIZER_JSON).map_or(&[][..], Vec::as_slice);
    let mut inner = guarded(&path.join(TOKENIZER_JSON), || load(bytes))?;
    guarded(&path.join(TOKENIZER_CONFIG_JSON), || {
        merge_added_tokens(&mut inner, &config.added_tokens_decoder)
    })?;
    inner.set_encode_special_tokens(true);
    let tokens = inner
        .get_added_tokens_decoder()
        .into_iter()
        .filter(|(_, token)| token.special && !token.content.is_empty())
        .map(|(id, token)| (token.content, id));
    let tokens = tokens.collect();
    Ok((inner, tokens))
}

fn unmarked(text: &str, mark: Option<char>) -> String {
    mark.map_or_else(|| text.to_owned(), |mark| text.replace(mark, ""))
}

#[cfg(test)]
mod tests;
