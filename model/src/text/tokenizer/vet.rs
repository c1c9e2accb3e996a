//! What in a `tokenizer.json` would make its library hang, fill the memory or abort. Looked at before the library reads it.

use std::cell::Cell;
use std::fmt;

use idk_common::lfs::{LFS_POINTER, is_lfs_pointer};
use idk_common::limits::{MAX_TEXT_GROWTH, MAX_TOKENIZER_PARTS};
use idk_common::plain_types;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::text::pattern::check_pattern;

/// The parts of the file that work on text.
const WORKERS: [&str; 4] = ["normalizer", "pre_tokenizer", "post_processor", "decoder"];

/// Checks every part that works on text: regular expressions, replacements and how many parts there are.
///
/// # Errors
/// What is wrong, with the name of the part.
pub(super) fn vet(bytes: &[u8]) -> Result<(), String> {
    if is_lfs_pointer(bytes) {
        return Err(LFS_POINTER.to_owned());
    }
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let found = parser.deserialize_map(File).map_err(|error| plain_types(&error.to_string()))?;
    for (name, part) in found {
        let mut growth = 1;
        check_part(&part, &mut growth).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(())
}

fn check_part(part: &Value, growth: &mut usize) -> Result<(), String> {
    match part {
        Value::Object(object) => {
            check_object(object, growth)?;
            object.values().try_for_each(|part| check_part(part, growth))
        }
        Value::Array(parts) => parts.iter().try_for_each(|part| check_part(part, growth)),
        _ => Ok(()),
    }
}

fn check_object(object: &Map<String, Value>, growth: &mut usize) -> Result<(), String> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    // What one character may become.
    let grown = match text("type") {
        "Precompiled" => return Err("`Precompiled` is not supported".to_owned()),
        "Replace" => text("content").len().max(1),
        "Prepend" => text("prepend").len() + 1,
        _ => 1,
    };
    *growth = growth.saturating_mul(grown);
    if *growth > MAX_TEXT_GROWTH {
        return Err(format!("replacements make a text more than {MAX_TEXT_GROWTH} times as long"));
    }
    match object.get("Regex").and_then(Value::as_str) {
        Some(pattern) => check_pattern(pattern),
        None => Ok(()),
    }
}

/// The whole file, of which only [`WORKERS`] are kept.
struct File;

impl<'de> Visitor<'de> for File {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object of a tokenizer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if WORKERS.contains(&key.as_str()) {
                let left = Cell::new(MAX_TOKENIZER_PARTS);
                found.push((key, map.next_value_seed(Bounded { left: &left })?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Any JSON value of at most so many parts.
#[derive(Clone, Copy)]
struct Bounded<'a> {
    left: &'a Cell<usize>,
}

impl Bounded<'_> {
    fn count<E: Error>(self, value: Value) -> Result<Value, E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| E::custom(format!("more than {MAX_TOKENIZER_PARTS} parts")))?);
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.count(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.count(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.count(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.count(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.count(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.count(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        self.count(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            values.insert(key, map.next_value_seed(self)?);
        }
        self.count(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(file: &Value) -> String {
        vet(file.to_string().as_bytes()).unwrap_err()
    }

    #[test]
    fn parts_that_would_hang_or_fill_the_memory_are_rejected_by_name() {
        let endless = json!({"Regex": "(?:((?=.*)){4294967295}){4294967295}|."});
        let split = json!({"type": "Split", "pattern": endless, "behavior": "Isolated", "invert": false});
        let nested = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split]}});
        assert!(problem(&nested).starts_with("pre_tokenizer: ") && problem(&nested).contains("repeats"));
        let ten = json!({"type": "Replace", "pattern": {"Regex": "."}, "content": "a".repeat(10)});
        for (name, part, what) in [
            ("normalizer", json!({"type": "Sequence", "normalizers": vec![ten.clone(); 9]}), "times as long"),
            ("decoder", json!({"type": "Sequence", "decoders": vec![ten; 2]}), "times as long"),
            ("normalizer", json!({"type": "Prepend", "prepend": "x".repeat(100)}), "times as long"),
            (
                "normalizer",
                json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
                "`Precompiled`",
            ),
            ("normalizer", json!(vec![0; MAX_TOKENIZER_PARTS]), "more than 10000 parts"),
            ("post_processor", json!({"a": vec![0; MAX_TOKENIZER_PARTS]}), "more than 10000 parts"),
        ] {
            assert!(problem(&json!({ name: part })).contains(what), "{name} {what}");
        }
        assert!(vet(b"[1]").is_err() && vet(b"{\"normalizer\": ").is_err());
    }

    #[test]
    fn what_published_tokenizers_do_is_taken() {
        let of_sentencepiece = json!([
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
            {"type": "NFC"},
        ]);
        let file = json!({
            "version": "1.0", "truncation": null, "model": {"vocab": {"a": 1}, "merges": vec![0; 20_000]},
            "normalizer": {"type": "Sequence", "normalizers": of_sentencepiece},
            "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": 1.5},
            "post_processor": null,
        });
        vet(file.to_string().as_bytes()).unwrap();
    }
}
