//! What a stage was made from, and whether that is what is asked for now.
//!
//! An [`Identity`] is data: dotted keys and values. [`differences`] compares two of them; how a difference is shown is a
//! matter of [`Difference`]'s `Display`, which nobody reads back. Where only equality counts, as with files that are found
//! by their names, [`sha256_of`] is enough.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::sha256_hex;

/// Keys such as `seed` or `train.eps`, each with its value. As JSON one flat object in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(BTreeMap<String, Value>);

impl Identity {
    /// The identity that has the keys of `value`, a struct or a map.
    pub fn of(value: &impl Serialize) -> Self {
        Self::default().with_section("", value)
    }

    /// The same with another value of `key`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// The same with every key of `config` as `section.key`; an empty section is left out.
    #[must_use]
    pub fn with_section(mut self, section: &str, config: &impl Serialize) -> Self {
        if let Ok(Value::Object(keys)) = serde_json::to_value(config) {
            let dotted = |key| if section.is_empty() { key } else { format!("{section}.{key}") };
            self.0.extend(keys.into_iter().map(|(key, value)| (dotted(key), value)));
        }
        self
    }

    /// The same with the keys of `other`, whose values win.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Sets the value of `key`.
    pub fn insert(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Sets the value of `key` unless it has one.
    pub fn insert_missing(&mut self, key: &str, value: impl Into<Value>) {
        self.0.entry(key.to_owned()).or_insert_with(|| value.into());
    }

    /// Keeps the keys that `holds` is true of.
    pub fn retain(&mut self, holds: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| holds(key));
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The value of `key`, if it is a text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// Keys and values in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The same with the JSON text of every value in its place: the form in which checkpoints store it.
    #[must_use]
    pub fn as_texts(&self) -> Self {
        Self(self.0.iter().map(|(key, value)| (key.clone(), value.to_string().into())).collect())
    }
}

/// One key that is not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// The value that was made from; null if it was not set.
    pub then: Value,
    /// The value that is asked for; null if it is not set.
    pub now: Value,
}

impl Difference {
    /// `then` as people read it.
    #[must_use]
    pub fn then_text(&self) -> String {
        shown(&self.then)
    }

    /// `now` as people read it.
    #[must_use]
    pub fn now_text(&self) -> String {
        shown(&self.now)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, then, now) = (&self.key, self.then_text(), self.now_text());
        match [&then, &now].into_iter().all(|text| is_sha256(text)) {
            true => write!(f, "the content of `{key}` has changed: its sha256 was {then} and is {now} now"),
            false => write!(f, "`{key}` was {then} and is {now} now"),
        }
    }
}

/// Also as JSON text, in which checkpoints keep their values.
fn is_sha256(text: &str) -> bool {
    let digits = text.trim_matches('"');
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Every key whose value is not the same, in the order of the keys. A key without a value is as one that is null.
#[must_use]
pub fn differences(then: &Identity, now: &Identity) -> Vec<Difference> {
    let keys: std::collections::BTreeSet<&String> = then.0.keys().chain(now.0.keys()).collect();
    let of = |identity: &Identity, key: &str| identity.get(key).cloned().unwrap_or_default();
    let pairs = keys.into_iter().map(|key| (key, of(then, key), of(now, key)));
    pairs
        .filter(|(_, then, now)| then != now)
        .map(|(key, then, now)| Difference { key: key.clone(), then, now })
        .collect()
}

/// Differences as the lines of an error message.
#[must_use]
pub fn lines(differences: &[Difference]) -> String {
    differences.iter().map(|difference| format!("\n  {difference}")).collect()
}

/// SHA-256 of the JSON text of what something depends on: the name under which it is stored.
pub fn sha256_of(value: &impl Serialize) -> String {
    sha256_hex(serde_json::to_string(value).unwrap_or_default().as_bytes())
}

/// What it means for a run that resumes if a key has another value than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnResume {
    /// Nothing: it changes nothing that is trained.
    Free,
    /// The steps that are left take the new value, if that is allowed by name.
    Later,
    /// The run cannot resume; why.
    Never(&'static str),
}

/// What each key of a section means for a run that resumes; the keys are dotted.
pub type OnResumeTable = [(&'static str, OnResume)];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_key_that_is_not_the_same_is_a_difference_whichever_side_has_it() {
        let then = Identity::default()
            .with("seed", 1)
            .with_section("build", &json!({"k": 2, "stop": false, "old": 1, "same": [1, 2]}));
        let now = Identity::default().with("seed", 1).with_section(
            "build",
            &json!({"k": 3, "stop": {"k": 3}, "same": [1, 2], "new": "x", "none": null}),
        );
        let found: Vec<String> = differences(&then, &now).iter().map(ToString::to_string).collect();
        let expected = [
            "`build.k` was 2 and is 3 now",
            "`build.new` was not set and is x now",
            "`build.old` was 1 and is not set now",
            "`build.stop` was false and is {\"k\":3} now",
        ];
        assert_eq!(found, expected);
        assert_eq!(differences(&now, &now), []);
        assert_eq!(
            differences(&then, &now)[0],
            Difference { key: "build.k".to_owned(), then: json!(2), now: json!(3) }
        );
    }

    #[test]
    fn two_hashes_are_shown_as_a_content_that_has_changed() {
        let [then, now] = ["a", "b"].map(sha256_hex_of);
        let difference = |then: &str, now: &str| Difference {
            key: "model".to_owned(),
            then: then.into(),
            now: now.into(),
        };
        let expected = format!("the content of `model` has changed: its sha256 was {then} and is {now} now");
        assert_eq!(difference(&then, &now).to_string(), expected);
        let quoted = difference(&format!("{then:?}"), &format!("{now:?}")).to_string();
        assert!(quoted.starts_with("the content of `model` has changed"), "{quoted}");
        assert_eq!(difference("cafe", "beef").to_string(), "`model` was cafe and is beef now");
        assert_eq!(difference("", "beef").to_string(), "`model` was empty and is beef now");
    }

    fn sha256_hex_of(text: &str) -> String {
        sha256_hex(text.as_bytes())
    }

    #[test]
    fn an_identity_is_one_flat_object_in_the_order_of_its_keys() {
        let identity = Identity::of(&json!({"b": 1.5, "a": "x"})).with("c.d", true);
        let text = serde_json::to_string(&identity).unwrap();
        assert_eq!(text, r#"{"a":"x","b":1.5,"c.d":true}"#);
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), identity);
        let texts = serde_json::to_string(&identity.as_texts()).unwrap();
        assert_eq!(texts, r#"{"a":"\"x\"","b":"1.5","c.d":"true"}"#);
    }

    #[test]
    fn the_name_of_what_is_stored_is_the_hash_of_its_json() {
        let expected = sha256_hex(br#"{"a":[1,"x"]}"#);
        assert_eq!(sha256_of(&json!({"a": [1, "x"]})), expected);
    }
}
