//! A small byte-level BPE tokenizer in the very format of Qwen2's `tokenizer.json` (same pre-tokenizer, NFC, byte
//! alphabet), for small models trained from scratch.
//!
//! Every word of the training texts becomes one token, and a space is never merged with the word after it: an option
//! in a question and the answer that repeats it then share their tokens at any position.
use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};
use tokenizers::normalizers::NFC;
use tokenizers::{NormalizedString, Normalizer};

use crate::error::PretrainError;

/// The special tokens of Qwen2-Audio's chats, in the order of their ids.
const SPECIALS: [&str; 6] =
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"];
/// The words of its chat template.
const TEMPLATE_WORDS: [&str; 3] = ["You are a helpful assistant.", "system user assistant", "Audio"];

/// Qwen2's split of text into words, from its `tokenizer.json`.
const PRE_TOKENIZER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What is merged: runs of letters, and the endings that the pre-tokenizer splits off.
const WORD: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+";
/// Longest input that `transformers` accepts without a warning.
const MODEL_MAX_LENGTH: usize = 8192;

/// A trained tokenizer, as its two files.
#[derive(Clone, Debug)]
pub(crate) struct WordBpe {
    /// Bytes of `tokenizer.json`.
    pub(crate) tokenizer_json: Vec<u8>,
    /// Bytes of `tokenizer_config.json`.
    pub(crate) tokenizer_config_json: Vec<u8>,
    /// Words that the vocabulary had no room for: they stay in several pieces.
    pub(crate) split_words: Vec<String>,
}

/// Trains the tokenizer on the words of `texts` and of the chat template.
///
/// Merges are learnt in the order of their frequency over all words (ties: the pair that sorts first), until every
/// word is one token or `vocab_limit` ids are used. Ids: 256 bytes in the order of their printable characters,
/// merges, then the six special tokens. A pure function of the set of texts with their counts: their order does not
/// matter.
///
/// # Errors
/// [`PretrainError::Tokenizer`] if `vocab_limit` has no room for the bytes and the special tokens.
pub(crate) fn train_word_bpe(texts: &[String], vocab_limit: usize) -> Result<WordBpe, PretrainError> {
    let alphabet = byte_alphabet();
    let fixed = alphabet.len() + SPECIALS.len();
    if vocab_limit < fixed {
        return Err(PretrainError::Tokenizer {
            what: format!(
                "a vocabulary of {vocab_limit} ids is too small: bytes and special tokens take {fixed}"
            ),
        });
    }
    let counts = count_words(texts)?;
    let mut words: Vec<(Vec<String>, u64)> =
        counts.iter().map(|(word, &count)| (symbols(word, &alphabet), count)).collect();

    let mut vocab: Vec<String> = alphabet.iter().map(char::to_string).collect();
    vocab.sort();
    let mut merges: Vec<(String, String)> = Vec::new();
    while vocab.len() + SPECIALS.len() < vocab_limit {
        let Some((left, right)) = most_frequent_pair(&words) else { break };
        for (symbols, _) in &mut words {
            merge(symbols, &left, &right);
        }
        vocab.push(format!("{left}{right}"));
        merges.push((left, right));
    }

    let split_words = counts
        .keys()
        .zip(&words)
        .filter(|(_, (symbols, _))| symbols.len() > 1)
        .map(|(word, _)| word.clone())
        .collect();
    Ok(WordBpe {
        tokenizer_json: pretty(&tokenizer_json(&vocab, &merges)),
        tokenizer_config_json: pretty(&tokenizer_config_json(vocab.len())),
        split_words,
    })
}

/// Every word with the number of times it occurs; the words of the template are there too.
fn count_words(texts: &[String]) -> Result<BTreeMap<String, u64>, PretrainError> {
    let regex = Regex::new(WORD).map_err(|error| PretrainError::Tokenizer { what: error.to_string() })?;
    let mut counts = BTreeMap::new();
    for text in texts.iter().map(String::as_str).chain(TEMPLATE_WORDS) {
        let mut normalized = NormalizedString::from(text);
        NFC.normalize(&mut normalized)
            .map_err(|error| PretrainError::Tokenizer { what: error.to_string() })?;
        for word in regex.find_iter(normalized.get()) {
            *counts.entry(word.as_str().to_owned()).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// The pair of neighbours that occurs most often; the first in order on ties.
fn most_frequent_pair(words: &[(Vec<String>, u64)]) -> Option<(String, String)> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (symbols, count) in words {
        for pair in symbols.windows(2) {
            *counts.entry((&pair[0], &pair[1])).or_insert(0) += count;
        }
    }
    let mut best: Option<((&str, &str), u64)> = None;
    for (pair, count) in counts {
        if best.is_none_or(|(_, most)| count > most) {
            best = Some((pair, count));
        }
    }
    best.map(|((left, right), _)| (left.to_owned(), right.to_owned()))
}

/// Joins every `left right` in `symbols`, from the left, as the tokenizer will.
fn merge(symbols: &mut Vec<String>, left: &str, right: &str) {
    let mut index = 0;
    while index + 1 < symbols.len() {
        if symbols[index] == left && symbols[index + 1] == right {
            symbols[index].push_str(right);
            symbols.remove(index + 1);
        }
        index += 1;
    }
}

/// GPT-2's printable character for each byte: itself where it is printable, else the next free one from U+0100.
fn byte_alphabet() -> [char; 256] {
    let mut free = 256_u32;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
            return char::from(byte);
        }
        let symbol = char::from_u32(free).unwrap_or(char::REPLACEMENT_CHARACTER);
        free += 1;
        symbol
    })
}

fn symbols(word: &str, alphabet: &[char; 256]) -> Vec<String> {
    word.bytes().map(|byte| alphabet[usize::from(byte)].to_string()).collect()
}

fn tokenizer_json(vocab: &[String], merges: &[(String, String)]) -> Value {
    let added: Vec<Value> = SPECIALS
        .iter()
        .enumerate()
        .map(|(index, content)| {
            json!({"id": vocab.len() + index, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let vocab: Map<String, Value> =
        vocab.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PRE_TOKENIZER}, "behavior": "Isolated", "invert": false},
            byte_level.clone(),
        ]},
        "post_processor": byte_level.clone(),
        "decoder": byte_level,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges},
    })
}

fn tokenizer_config_json(first_special: usize) -> Value {
    let decoder: Map<String, Value> = SPECIALS
        .iter()
        .enumerate()
        .map(|(index, content)| {
            let token = json!({"content": content, "lstrip": false, "normalized": false, "rstrip": false,
                "single_word": false, "special": true});
            ((first_special + index).to_string(), token)
        })
        .collect();
    json!({
        "add_prefix_space": false, "added_tokens_decoder": decoder, "additional_special_tokens": SPECIALS,
        "bos_token": null, "clean_up_tokenization_spaces": false, "eos_token": SPECIALS[2], "errors": "replace",
        "model_max_length": MODEL_MAX_LENGTH, "pad_token": SPECIALS[0], "split_special_tokens": false,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": null,
    })
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut text = format!("{value:#}");
    text.push('\n');
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use idk_model::LalmTokenizer;

    use super::*;

    fn texts() -> Vec<String> {
        [
            "Which animal is heard?\n(A) a dog\n(B) three cats\n(C) I don't know",
            "dog",
            "caf\u{e9} cafe\u{301} \u{97f3}\u{9891}",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn trained() -> (WordBpe, LalmTokenizer) {
        let bpe = train_word_bpe(&texts(), 1000).unwrap();
        let tokenizer =
            LalmTokenizer::from_bytes(bpe.tokenizer_json.clone(), bpe.tokenizer_config_json.clone()).unwrap();
        (bpe, tokenizer)
    }

    #[test]
    fn every_word_is_one_token_wherever_it_stands() {
        let (bpe, tokenizer) = trained();
        assert_eq!(bpe.split_words, Vec::<String>::new());
        let dog = tokenizer.encode("dog").unwrap();
        let space = tokenizer.encode(" ").unwrap();
        assert_eq!((dog.len(), space.len()), (1, 1));
        for (text, before) in [(" dog", 1), ("\ndog", 1), ("(A) dog", 4), ("a dog", 2)] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(ids.len(), before + 1, "{text:?}");
            assert_eq!(ids.last(), dog.last(), "{text:?}");
        }
        let ids = tokenizer.encode("Which animal is heard?").unwrap();
        assert_eq!(ids.len(), 8, "four words, three spaces, one mark");
        assert_eq!(tokenizer.encode("I don't know").unwrap().len(), 6, "I, space, don, 't, space, know");
    }

    #[test]
    fn any_text_survives_encoding_and_decoding() {
        let (_, tokenizer) = trained();
        for text in
            ["", "unseen w\u{f6}rds 123", " two  spaces\t\r\n\n", "\u{1f3b5} (D) I don't know", "\0\u{7f}"]
        {
            assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap(), true).unwrap(), text);
        }
        // NFC: both spellings of the word are one token, the same.
        assert_eq!(tokenizer.encode("caf\u{e9}").unwrap(), tokenizer.encode("cafe\u{301}").unwrap());
    }

    #[test]
    fn ids_are_bytes_then_merges_then_special_tokens() {
        let (_, tokenizer) = trained();
        // As in Qwen2: `!` is 0, `A` 32, a line feed 198, a space 220.
        for (text, id) in [("!", 0), ("A", 32), ("\n", 198), (" ", 220)] {
            assert_eq!(tokenizer.encode(text).unwrap(), [id], "{text:?}");
        }
        let first = tokenizer.vocab_size() as u32 - 6;
        let ids = tokenizer.encode_with_special(&SPECIALS.concat()).unwrap();
        assert_eq!(ids, (first..first + 6).collect::<Vec<_>>());
    }

    #[test]
    fn the_files_depend_on_no_order_of_texts() {
        let mut reversed = texts();
        reversed.reverse();
        let (a, b) = (train_word_bpe(&texts(), 1000).unwrap(), train_word_bpe(&reversed, 1000).unwrap());
        assert_eq!(a.tokenizer_json, b.tokenizer_json);
        assert_eq!(a.tokenizer_config_json, b.tokenizer_config_json);
    }

    #[test]
    fn a_small_vocabulary_reports_the_words_it_had_no_room_for() {
        let bpe = train_word_bpe(&texts(), 265).unwrap();
        let ids = LalmTokenizer::from_bytes(bpe.tokenizer_json, bpe.tokenizer_config_json).unwrap();
        assert_eq!(ids.vocab_size(), 265);
        assert!(bpe.split_words.contains(&"animal".to_owned()));
        let words: BTreeSet<&String> = bpe.split_words.iter().collect();
        assert_eq!(words.len(), bpe.split_words.len());
        assert!(train_word_bpe(&texts(), 261).unwrap_err().to_string().contains("take 262"));
    }
}
