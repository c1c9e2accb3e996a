//! From the text of a recipe to its sections: TOML, overrides, lines of keys, and a reader that blames each key.

use std::collections::BTreeMap;
use std::path::Path;

use idk_common::{Problem, plain_types};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{RecipeError, RecipeProblem, SECTIONS, key_sections, renamed};

/// Sections of the recipes of another program, which makes base models.
const OF_PRETRAINING: [&str; 2] = ["base", "init"];

/// Where each `section.key` stands: a line of the file, or the `--set` that gave it.
#[derive(Debug, Default)]
pub struct KeyLines(BTreeMap<String, usize>);

impl KeyLines {
    /// The line of a dotted key, if it stands in the file.
    pub fn line(&self, dotted_key: &str) -> Option<usize> {
        self.0.get(dotted_key).copied()
    }
}

pub(super) fn parse_toml(
    text: &str,
    path: &Path,
    places: &KeyLines,
    problems: &mut Vec<RecipeProblem>,
) -> Result<Map<String, Value>, RecipeError> {
    let syntax = |line, message: String| RecipeError::Invalid {
        path: path.to_owned(),
        problems: vec![RecipeProblem { line, problem: Problem::new("", message) }],
    };
    let mut table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        syntax(line, format!("not valid TOML: {}", error.message()))
    })?;
    let mut keep = |key: &str, value: &toml::Value| match finite(key, value) {
        Ok(()) => true,
        Err(problem) => {
            problems.push(RecipeProblem::at(places, problem));
            false
        }
    };
    table.retain(|name, value| match value {
        toml::Value::Table(section) => {
            section.retain(|key, value| keep(&format!("{name}.{key}"), value));
            true
        }
        value => keep(name, value),
    });
    match serde_json::to_value(table) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(syntax(None, "a recipe is a table of sections".to_owned())),
        Err(error) => Err(syntax(None, error.to_string())),
    }
}

/// Refuses infinity and NaN: JSON, through which sections are read, has neither and would take them for "not set".
fn finite(dotted_key: &str, value: &toml::Value) -> Result<(), Problem> {
    let Some(number) = not_finite(value) else { return Ok(()) };
    let (section, key) = dotted_key.split_once('.').unwrap_or(("", dotted_key));
    let number = number.to_string().to_lowercase();
    Err(Problem::of_key(section, key, format!("must be a finite number, not `{number}`")))
}

/// The first number in a value that is not finite.
fn not_finite(value: &toml::Value) -> Option<f64> {
    match value {
        toml::Value::Float(number) => (!number.is_finite()).then_some(*number),
        toml::Value::Array(values) => values.iter().find_map(not_finite),
        toml::Value::Table(table) => table.values().find_map(not_finite),
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

pub(super) fn key_lines(text: &str) -> KeyLines {
    let mut places = BTreeMap::new();
    if let Ok(table) = toml::de::DeTable::parse(text) {
        for (name, value) in table.get_ref() {
            let section = name.get_ref().to_string();
            places.insert(section.clone(), line_of(text, name.span().start));
            if let Some(keys) = value.get_ref().as_table() {
                for (key, value) in keys {
                    let dotted = format!("{section}.{}", key.get_ref());
                    for (inner, _) in value.get_ref().as_table().into_iter().flatten() {
                        places.insert(
                            format!("{dotted}.{}", inner.get_ref()),
                            line_of(text, inner.span().start),
                        );
                    }
                    places.insert(dotted, line_of(text, key.span().start));
                }
            }
        }
    }
    KeyLines(places)
}

/// Applies one `section.key=value`, or `section.inner.key=value` for a section inside another; the value is TOML, or a bare
/// word taken as a string.
pub(super) fn apply_override(
    assignment: &str,
    values: &mut Map<String, Value>,
    places: &mut KeyLines,
    problems: &mut Vec<RecipeProblem>,
) {
    if let Err(problem) = try_override(assignment, values, places) {
        problems.push(RecipeProblem { line: None, problem });
    }
}

fn try_override(
    assignment: &str,
    values: &mut Map<String, Value>,
    places: &mut KeyLines,
) -> Result<(), Problem> {
    let wrong = |what: String| Problem::new(assignment, what);
    let (dotted, text) = assignment
        .split_once('=')
        .ok_or_else(|| wrong(format!("`--set {assignment}` has no `=`: write section.key=value")))?;
    let (dotted, text) = (dotted.trim(), text.trim());
    let value = match toml::from_str::<toml::Table>(&format!("value = {text}")) {
        Ok(mut table) => table.remove("value").unwrap_or(toml::Value::Boolean(false)),
        Err(_) => toml::Value::String(text.to_owned()),
    };
    finite(dotted, &value)?;
    let value = serde_json::to_value(value).map_err(|error| wrong(error.to_string()))?;
    places.0.remove(dotted);
    match dotted.split_once('.') {
        None => {
            values.insert(dotted.to_owned(), value);
        }
        Some((section, key)) => {
            let table = inner_table(values, section).map_err(wrong)?;
            match key.split_once('.') {
                None => table.insert(key.to_owned(), value),
                Some((inner, key)) => inner_table(table, inner).map_err(wrong)?.insert(key.to_owned(), value),
            };
        }
    }
    Ok(())
}

/// The section `name` of a table; a new one where there is none.
fn inner_table<'t>(
    table: &'t mut Map<String, Value>,
    name: &str,
) -> Result<&'t mut Map<String, Value>, String> {
    match table.entry(name.to_owned()).or_insert_with(|| Value::Object(Map::new())) {
        Value::Object(inner) => Ok(inner),
        _ => Err(format!("`{name}` is not a section")),
    }
}

pub(super) fn check_top_level(
    values: &Map<String, Value>,
    places: &KeyLines,
    problems: &mut Vec<RecipeProblem>,
) {
    let known = || SECTIONS.iter().copied().chain(["seed"]);
    for (name, value) in values {
        let problem = if OF_PRETRAINING.contains(&name.as_str()) {
            Problem::new(name, format!("[{name}] trains a base model from scratch"))
                .with_hint("run `cargo run --release --bin idk-pretrain -- RECIPE`")
        } else if !known().any(|section| section == name) {
            let what = if value.is_object() { "section" } else { "key" };
            let hint = match value.as_object() {
                Some(keys) => moved_keys(name, keys.keys(), known()),
                None => key_sections::did_you_mean(name),
            };
            let hint = hint.unwrap_or_else(|| suggestion(name, known()));
            Problem::new(name, format!("unknown {what} `{name}`")).with_hint(hint)
        } else if name != "seed" && !value.is_object() {
            Problem::of_key("", name, format!("must be a section: `[{name}]`"))
        } else {
            continue;
        };
        problems.push(RecipeProblem::at(places, problem));
    }
}

fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match idk_common::text::did_you_mean(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// The sections that have the keys of a section that does not exist, unless its name is a misspelling.
fn moved_keys<'a>(
    section: &str,
    keys: impl Iterator<Item = &'a String>,
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    match idk_common::text::did_you_mean(section, known) {
        Some(_) => None,
        None => keys.into_iter().find_map(|key| key_sections::did_you_mean(key)),
    }
}

/// Keys of a section inside another one, such as `[eval.probe]`, that are not among those of its defaults.
fn unknown_inner_keys(dotted: &str, given: &Value, defaults: Option<&Value>) -> Vec<Problem> {
    let (Some(given), Some(defaults)) = (given.as_object(), defaults.and_then(Value::as_object)) else {
        return Vec::new();
    };
    // Keys that are written only where they are set cannot be listed.
    if defaults.is_empty() {
        return Vec::new();
    }
    let unknown = given.keys().filter(|key| !defaults.contains_key(*key));
    let problem = |key: &String| {
        let what = format!("unknown key `{key}` in [{dotted}]");
        let hint = suggestion(key, defaults.keys().map(String::as_str));
        Problem::new(format!("{dotted}.{key}"), what).with_hint(hint)
    };
    unknown.map(problem).collect()
}

pub(super) struct SectionReader<'a> {
    pub(super) values: &'a Map<String, Value>,
    pub(super) places: &'a KeyLines,
    pub(super) problems: &'a mut Vec<RecipeProblem>,
}

impl SectionReader<'_> {
    /// Reads one section key by key onto its defaults, so that each wrong value is blamed on its own key.
    pub(super) fn section<T: Default + Serialize + DeserializeOwned>(&mut self, section: &str) -> T {
        let defaults = match serde_json::to_value(T::default()) {
            Ok(Value::Object(map)) => map,
            _ => return T::default(),
        };
        let mut accepted = defaults.clone();
        let given = self.values.get(section).and_then(Value::as_object);
        for (key, value) in given.into_iter().flatten() {
            let dotted = format!("{section}.{key}");
            if !defaults.contains_key(key) && !key_sections::has_key::<T>(key) {
                let keys = || defaults.keys().map(String::as_str);
                let hint = renamed::key_hint(&dotted)
                    .or_else(|| key_sections::did_you_mean(key))
                    .unwrap_or_else(|| suggestion(key, keys()));
                let unknown = Problem::new(dotted, format!("unknown key `{key}` in [{section}]"));
                self.problems.push(RecipeProblem::at(self.places, unknown.with_hint(hint)));
                continue;
            }
            let unknown = unknown_inner_keys(&dotted, value, defaults.get(key));
            if !unknown.is_empty() {
                let found = unknown.into_iter().map(|problem| RecipeProblem::at(self.places, problem));
                self.problems.extend(found);
                continue;
            }
            let mut trial = defaults.clone();
            trial.insert(key.clone(), value.clone());
            match serde_json::from_value::<T>(Value::Object(trial)) {
                Ok(_) => {
                    accepted.insert(key.clone(), value.clone());
                }
                Err(error) => {
                    let hint = renamed::value_hint(&dotted, value);
                    let what = format!("`{key}` in [{section}]: {}", plain_types(&error.to_string()));
                    let problem = Problem { hint, ..Problem::new(dotted, what) };
                    self.problems.push(RecipeProblem::at(self.places, problem));
                }
            }
        }
        serde_json::from_value(Value::Object(accepted)).unwrap_or_default()
    }
}
