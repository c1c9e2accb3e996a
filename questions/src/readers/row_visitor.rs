//! Reads a row from its JSON text, keys without escapes not copied.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::fields::Row;

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some(RowKey(key)) = map.next_key()? {
            fields.push((key, Some(map.next_value()?)));
        }
        Ok(match has_repeats(&fields) {
            false => Row::new(fields),
            // Of equal keys the last one counts.
            true => Row::new(fields).into_rest().into(),
        })
    }
}

/// A key, not copied where it has no escapes.
#[derive(serde::Deserialize)]
struct RowKey<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether two of `fields` have one key, or whether they are too many to be compared pair by pair.
fn has_repeats<T>(fields: &[(Cow<'_, str>, T)]) -> bool {
    const MANY: usize = 32;
    let repeats = |at: usize| fields[..at].iter().any(|(key, _)| *key == fields[at].0);
    fields.len() > MANY || (0..fields.len()).any(repeats)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::*;

    #[test]
    fn a_row_holds_what_a_map_of_its_text_holds() {
        let many: Vec<String> = (0..60).map(|at| format!("\"k{}\": {at}", at % 50)).collect();
        for text in [
            "{}",
            r#"{"b": 1, "a": {"c": 1, "c": 2}, "b": [2], "a\u0062": "\n", "ab": null}"#,
            r#"{"": true, "é": 1.5e300}"#,
            &format!("{{{}}}", many.join(",")),
        ] {
            let row: Row = serde_json::from_str(text).unwrap();
            let map: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert!(map.iter().all(|(key, value)| row.get(key) == Some(value)), "{text}");
            let (rest, map) = (row.into_rest(), map.into_iter().collect::<Vec<_>>());
            assert_eq!(rest.into_iter().collect::<Vec<_>>(), map, "{text}");
        }
        for text in ["[]", "7", "{\"a\": 1", "{\"a\": 1e999}", "{1: 2}"] {
            assert!(serde_json::from_str::<Row>(text).is_err(), "{text}");
        }
    }
}
