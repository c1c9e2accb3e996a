//! `tekken.json`, the tokenizer of Mistral's models: byte-level BPE whose merges follow from the ranks of its tokens.
//!
//! Reference: mistral-common. Ids of special tokens are their ranks; those of text come behind all special tokens.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use idk_common::plain_types;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::load::load;

/// Longest token in bytes: the time to split one grows with the square of its length, and a file can come from anyone.
const MAX_TOKEN_BYTES: usize = 1024;

#[derive(Deserialize)]
struct TekkenFile {
    config: TekkenConfig,
    vocab: Vec<TekkenToken>,
    #[serde(default)]
    special_tokens: Vec<TekkenSpecial>,
}

#[derive(Deserialize)]
struct TekkenConfig {
    pattern: String,
    default_vocab_size: usize,
    default_num_special_tokens: usize,
}

#[derive(Deserialize)]
struct TekkenToken {
    rank: usize,
    token_bytes: String,
}

#[derive(Deserialize)]
struct TekkenSpecial {
    rank: u32,
    token_str: String,
}

/// The tokenizer of text, which knows no special token, and the special tokens with their ids.
pub(super) fn read(bytes: &[u8]) -> Result<(Tokenizer, Vec<(String, u32)>), String> {
    let file: TekkenFile = serde_json::from_slice(bytes).map_err(|error| plain_types(&error.to_string()))?;
    let first = file.config.default_num_special_tokens;
    let count = file.config.default_vocab_size.saturating_sub(first).min(file.vocab.len());
    if file.special_tokens.is_empty() {
        return Err("it lists no `special_tokens`, as files of older versions do not".to_owned());
    }
    let mut tokens = Vec::with_capacity(count);
    for (rank, token) in file.vocab.iter().take(count).enumerate() {
        let bytes = STANDARD.decode(&token.token_bytes).map_err(|error| format!("token {rank}: {error}"))?;
        if token.rank != rank || bytes.is_empty() || bytes.len() > MAX_TOKEN_BYTES {
            return Err(format!("token {rank} has the rank {} and {} bytes", token.rank, bytes.len()));
        }
        tokens.push(bytes);
    }
    let ranks: HashMap<&[u8], usize> =
        tokens.iter().enumerate().map(|(rank, bytes)| (bytes.as_slice(), rank)).collect();
    if ranks.len() != tokens.len() || (0..=u8::MAX).any(|byte| !ranks.contains_key([byte].as_slice())) {
        return Err("a token is there twice, or a byte has none".to_owned());
    }
    let alphabet = alphabet();
    let text = |bytes: &[u8]| -> String { bytes.iter().map(|&byte| alphabet[usize::from(byte)]).collect() };
    let mut merges = Vec::with_capacity(tokens.len());
    for token in tokens.iter().filter(|token| token.len() > 1) {
        let (left, right) = halves(token, &ranks);
        // A token that merging never reaches stands only for a word that is all of it.
        if ranks.contains_key(left) && ranks.contains_key(right) {
            merges.push([text(left), text(right)]);
        }
    }
    let vocab: Map<String, Value> =
        tokens.iter().enumerate().map(|(rank, bytes)| (text(bytes), json!(first + rank))).collect();
    let json = tokenizer_json(&file.config.pattern, &vocab, &merges);
    let specials = file.special_tokens.into_iter().map(|special| (special.token_str, special.rank));
    let specials: Vec<(String, u32)> = specials.collect();
    match specials.iter().find(|(text, id)| text.is_empty() || *id as usize >= first) {
        Some((text, id)) => Err(format!("the special token `{text}` has the id {id} of {first}")),
        None => Ok((load(&json.to_string().into_bytes())?, specials)),
    }
}

/// The two tokens that a token is merged from: what is left of it when merging its bytes by rank stops at two parts.
fn halves<'t>(token: &'t [u8], ranks: &HashMap<&[u8], usize>) -> (&'t [u8], &'t [u8]) {
    // Where each part begins, and the end.
    let mut cuts: Vec<usize> = (0..=token.len()).collect();
    while cuts.len() > 3 {
        let rank = |at: usize| ranks.get(&token[cuts[at - 1]..cuts[at + 1]]).copied().unwrap_or(usize::MAX);
        // The first of the lowest.
        let lowest = (1..cuts.len() - 1).min_by_key(|&at| rank(at)).unwrap_or(1);
        cuts.remove(lowest);
    }
    token.split_at(cuts[1])
}

/// The printable characters that stand for bytes in byte-level BPE (GPT-2's).
fn alphabet() -> [char; 256] {
    let is_printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    std::array::from_fn(|byte| {
        let byte = byte as u32;
        let code = if is_printable(byte) {
            byte
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
    })
}

fn tokenizer_json(pattern: &str, vocab: &Map<String, Value>, merges: &[[String; 2]]) -> Value {
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let split =
        json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": null,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
            "vocab": vocab, "merges": merges,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes, and tokens of several.
    fn file(more: &[&str]) -> Value {
        let bytes =
            (0..=255_u8).map(|byte| vec![byte]).chain(more.iter().map(|text| text.as_bytes().to_vec()));
        let vocab: Vec<Value> = bytes
            .enumerate()
            .map(|(rank, bytes)| json!({"rank": rank, "token_bytes": STANDARD.encode(bytes)}))
            .collect();
        json!({
            "config": {"pattern": r"\S+|\s+", "default_vocab_size": 10 + vocab.len(), "default_num_special_tokens": 10},
            "vocab": vocab,
            "special_tokens": [{"rank": 0, "token_str": "<unk>"}, {"rank": 3, "token_str": "[X]"}],
        })
    }

    fn read_value(value: &Value) -> Result<(Tokenizer, Vec<(String, u32)>), String> {
        read(value.to_string().as_bytes())
    }

    fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec()
    }

    #[test]
    fn text_is_merged_by_rank_behind_the_special_tokens() {
        let (tokenizer, specials) = read_value(&file(&["ab", "bc", "abc", "[X]"])).unwrap();
        let byte = |byte: u8| 10 + u32::from(byte);
        assert_eq!(ids(&tokenizer, "ab"), [266]);
        assert_eq!(ids(&tokenizer, "abc"), [268]);
        // `ab` has the lower rank, so `bc` is not there to be merged.
        assert_eq!(ids(&tokenizer, "abcd"), [268, byte(b'd')]);
        assert_eq!(ids(&tokenizer, "xbc \u{e9}"), [byte(b'x'), 267, byte(b' '), byte(0xc3), byte(0xa9)]);
        // Text that looks like a special token, and even a token of text that does, keeps an id of text.
        assert_eq!(ids(&tokenizer, "[X]"), [269]);
        assert_eq!(specials, [("<unk>".to_owned(), 0), ("[X]".to_owned(), 3)]);
        assert_eq!(
            tokenizer.decode(&[268, byte(b' '), byte(0xc3), byte(0xa9)], false).unwrap(),
            "abc \u{e9}"
        );
    }

    #[test]
    fn crafted_files_are_errors_and_take_no_time() {
        let long = "a".repeat(MAX_TOKEN_BYTES + 1);
        let changed = |edit: &dyn Fn(&mut Value)| {
            let mut value = file(&["ab"]);
            edit(&mut value);
            read_value(&value).map(|_| ()).unwrap_err()
        };
        type Edit<'a> = &'a dyn Fn(&mut Value);
        let cases: [(Edit<'_>, &str); 8] = [
            (&|value| value["vocab"][3]["rank"] = json!(4), "token 3 has the rank 4"),
            (&|value| value["vocab"][3]["token_bytes"] = json!("!"), "token 3: "),
            (&|value| value["vocab"][256]["token_bytes"] = json!(STANDARD.encode(&long)), "1025 bytes"),
            (&|value| value["vocab"][256]["token_bytes"] = json!(STANDARD.encode("a")), "there twice"),
            (&|value| value["config"]["default_vocab_size"] = json!(100), "a byte has none"),
            (&|value| value["special_tokens"] = json!([]), "special_tokens"),
            (&|value| value["special_tokens"][0]["rank"] = json!(10), "the id 10 of 10"),
            (&|value| value["config"]["pattern"] = json!("("), ""),
        ];
        for (edit, said) in cases {
            let error = changed(edit);
            assert!(error.contains(said), "{said}: {error}");
        }
        assert!(read(b"{}").is_err() && read(b"").is_err());
    }
}
