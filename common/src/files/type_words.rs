//! The messages of serde in the words of people who write recipes and data files: no name of a Rust type, no word of parsers.

/// `message` in plain words: `invalid type: string "x", expected u64` is `expected a whole number, 0 or above, found the text
/// "x"`, `EOF while parsing a list` is `the text ends inside a list`. A message that is plain is returned as it is.
#[must_use]
pub fn plain_types(message: &str) -> String {
    let rest = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start));
    // The value that was found may hold the same words.
    let Some((found, expected)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return syntax_words(message);
    };
    let (expected, place) = match expected.rfind(" at line ") {
        Some(end) => expected.split_at(end),
        None => (expected, ""),
    };
    format!("expected {}, found {}{place}", expected_words(expected), found_words(found))
}

/// Messages of serde_json about text that is no JSON; a place may follow them.
fn syntax_words(message: &str) -> String {
    let beginnings = [
        ("EOF while parsing a value", "the text ends where a value is expected"),
        ("EOF while parsing ", "the text ends inside "),
        ("expected value", "expected a JSON value"),
        ("trailing characters", "expected nothing more after the JSON value"),
        (
            "control character (\\u0000-\\u001F) found while parsing a string",
            "a line break or another control character inside a text",
        ),
    ];
    let plain =
        beginnings.iter().find_map(|(start, plain)| Some(format!("{plain}{}", message.strip_prefix(start)?)));
    plain.unwrap_or_else(|| message.to_owned())
}

fn expected_words(expected: &str) -> String {
    let words = match expected {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number, 0 or above",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number above 0",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "path string" | "string" | "str" => "a text",
        "a sequence" => "a list",
        "a map" => "keys with values",
        "option" => "a value",
        "unit" => "null",
        "string or map" => "one of the known names",
        expected if expected.starts_with("struct ") || expected.starts_with("internally tagged enum ") => {
            "keys with values"
        }
        expected if expected.starts_with("enum ") => "one of the known names",
        expected
            if expected.starts_with("a tuple of size ") || expected.starts_with("an array of length ") =>
        {
            let length = expected.rsplit(' ').next().unwrap_or_default();
            return format!("a list of {length}");
        }
        other => other,
    };
    words.to_owned()
}

fn found_words(found: &str) -> String {
    let kinds = [
        ("string ", "the text "),
        ("integer ", "the number "),
        ("floating point ", "the number "),
        ("boolean ", ""),
        ("character ", "the text "),
    ];
    let plain = kinds.iter().find_map(|(kind, word)| Some(format!("{word}{}", found.strip_prefix(kind)?)));
    plain.unwrap_or_else(|| {
        let word = match found {
            "sequence" => "a list",
            "map" => "keys with values",
            "null" | "unit value" | "Option value" => "null",
            other => other,
        };
        word.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::path::PathBuf;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;

    /// A section with a key of every kind that recipes have.
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read into")]
    struct Section {
        count: u64,
    }

    #[derive(Debug, Deserialize)]
    enum Name {
        A,
    }

    fn error<T: DeserializeOwned + std::fmt::Debug>(value: serde_json::Value) -> String {
        plain_types(&serde_json::from_value::<T>(value).unwrap_err().to_string())
    }

    #[test]
    fn every_kind_of_value_has_plain_words_when_it_is_expected_and_when_it_is_found() {
        for (said, plain) in [
            (error::<u64>(json!("x")), "expected a whole number, 0 or above, found the text \"x\""),
            (error::<usize>(json!(-1)), "expected a whole number, 0 or above, found the number `-1`"),
            (error::<i32>(json!(1.5)), "expected a whole number, found the number `1.5`"),
            (error::<u8>(json!(300)), "expected a whole number, 0 or above, found the number `300`"),
            (error::<NonZeroU32>(json!(0)), "expected a whole number above 0, found the number `0`"),
            (error::<f64>(json!(true)), "expected a number, found `true`"),
            (error::<f32>(json!([1])), "expected a number, found a list"),
            (error::<bool>(json!(1)), "expected true or false, found the number `1`"),
            (error::<String>(json!({})), "expected a text, found keys with values"),
            (error::<PathBuf>(json!(1)), "expected a text, found the number `1`"),
            (error::<Vec<String>>(json!("a")), "expected a list, found the text \"a\""),
            (error::<BTreeMap<String, u8>>(json!(null)), "expected keys with values, found null"),
            (error::<Section>(json!("a")), "expected keys with values, found the text \"a\""),
            (
                error::<Section>(json!({"count": "a, expected b"})),
                "0 or above, found the text \"a, expected b\"",
            ),
            (error::<Name>(json!(3)), "expected one of the known names, found the number `3`"),
            (error::<[u8; 2]>(json!(3)), "expected a list of 2, found the number `3`"),
        ] {
            assert!(said.contains(plain), "`{plain}` is not `{said}`");
        }
        let with_place = serde_json::from_str::<Vec<u8>>("[\n -3]").unwrap_err().to_string();
        let plain = "expected a whole number, 0 or above, found the number `-3` at line 2 column 3";
        assert_eq!(plain_types(&with_place), plain);
        let syntax = |text: &str| {
            plain_types(&serde_json::from_str::<serde_json::Value>(text).unwrap_err().to_string())
        };
        assert_eq!(syntax(""), "the text ends where a value is expected at line 1 column 0");
        assert_eq!(syntax("[1"), "the text ends inside a list at line 1 column 2");
        assert_eq!(syntax("{\"a\": 1"), "the text ends inside an object at line 1 column 7");
        assert_eq!(syntax("x"), "expected a JSON value at line 1 column 1");
        assert_eq!(syntax("1 2"), "expected nothing more after the JSON value at line 1 column 3");
        assert!(syntax("\"a\nb\"").starts_with("a line break or another control character inside a text"));
        for kept in ["missing field `id`", "unknown variant `b`, expected `a`", "trailing comma"] {
            assert_eq!(plain_types(kept), kept);
        }
    }
}
