//! The options of a question, and its answer among them.

use std::collections::BTreeSet;

use idk_common::limits::MAX_CHOICES;
use serde_json::Value;

use super::fields::{checked, into_plain_text};
use super::{DuplicateChoices, Fault};
use crate::judge::normalise;
use crate::reason;

/// The options that `value` lists, with the letters that they may bring along; none for an open question.
pub(super) fn listed(value: Value) -> Result<Vec<String>, Fault> {
    let bad = |detail: &str| (reason::BAD_FIELD, format!("`choices` {detail}"));
    let items = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(items) => items,
        // One published copy of MMAU has the list as a JSON text.
        Value::String(text) if text.trim().is_empty() => return Ok(Vec::new()),
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| bad("is a text that holds no JSON list"))?
        }
        _ => return Err(bad("must be a list")),
    };
    if !items.iter().all(|item| item.is_string() || item.is_number()) {
        return Err(bad("must be a list of texts"));
    }
    let text = |item| checked(into_plain_text(item), "choices");
    let choices = items.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    match choices.len() {
        _ if choices.iter().any(String::is_empty) => Err(bad("has an empty option")),
        1 => Err(one_option()),
        count if count > MAX_CHOICES => {
            Err((reason::TOO_MANY_CHOICES, format!("{count} options, at most {MAX_CHOICES}")))
        }
        _ => Ok(choices),
    }
}

fn one_option() -> Fault {
    (reason::TOO_FEW_CHOICES, "one option".to_owned())
}

/// Checks that the options differ and hold the answer; drops letters that they bring along. Returns both as they are
/// to be used.
pub(super) fn with_answer(
    listed: &[String],
    answer: &str,
    duplicates: DuplicateChoices,
) -> Result<(Vec<String>, String), Fault> {
    let Distinct { choices, normal, first } = distinct(listed, duplicates)?;
    let wanted = normalise(answer);
    let place =
        choices.iter().zip(&normal).position(|(choice, normal)| choice == answer || *normal == wanted);
    // With their own letters, as the answer may have one.
    let lettered = || listed.iter().position(|choice| choice == answer || normalise(choice) == wanted);
    let Some(place) = place.or_else(lettered) else {
        let detail = format!("the answer `{answer}` is not among the options");
        return Err((reason::ANSWER_NOT_IN_CHOICES, detail));
    };
    // The place may be that of a copy which is dropped: the one that stays says the same.
    let kept = normal.iter().position(|text| *text == normal[place]);
    let answer = choices[kept.unwrap_or(place)].clone();
    Ok((kept_of(choices, &first)?, answer))
}

/// As [`with_answer`], for a question without a right answer.
pub(super) fn without_answer(listed: &[String], duplicates: DuplicateChoices) -> Result<Vec<String>, Fault> {
    let Distinct { choices, first, .. } = distinct(listed, duplicates)?;
    kept_of(choices, &first)
}

/// The options of a question.
struct Distinct {
    /// Without letters that they bring along.
    choices: Vec<String>,
    /// What equal ones share.
    normal: Vec<String>,
    /// Whether each is the first of its text.
    first: Vec<bool>,
}

/// Checks that no two options are the same.
fn distinct(listed: &[String], duplicates: DuplicateChoices) -> Result<Distinct, Fault> {
    let choices = without_letters(listed).unwrap_or_else(|| listed.to_vec());
    let normal: Vec<String> = choices.iter().map(|choice| normalise(choice)).collect();
    let mut seen = BTreeSet::new();
    let first: Vec<bool> = normal.iter().map(|text| seen.insert(text.as_str())).collect();
    match first.iter().position(|first| !first).filter(|_| duplicates == DuplicateChoices::Reject) {
        Some(twice) => {
            let detail = format!("the option `{}` is there more than once", choices[twice]);
            Err((reason::DUPLICATE_CHOICES, detail))
        }
        None => Ok(Distinct { choices, normal, first }),
    }
}

/// The first options of each text.
fn kept_of(choices: Vec<String>, first: &[bool]) -> Result<Vec<String>, Fault> {
    let kept = choices.into_iter().zip(first).filter_map(|(choice, first)| first.then_some(choice));
    let kept: Vec<String> = kept.collect();
    if kept.len() < 2 { Err(one_option()) } else { Ok(kept) }
}

/// The options without `(A) `, `A) `, `A. ` or `A: ` if every option has the letter of its place.
///
/// Else the letters of the prompt and those of the options would contradict each other once the options are shuffled.
fn without_letters(choices: &[String]) -> Option<Vec<String>> {
    let stripped = choices.iter().enumerate().map(|(index, choice)| {
        let inner = choice.strip_prefix('(').unwrap_or(choice);
        let letter = inner.chars().next()?;
        if letter.to_ascii_uppercase() != crate::question::letter(index) {
            return None;
        }
        let rest = &inner[1..];
        let text = match rest.strip_prefix(')') {
            Some(text) => text,
            // `A:7` and `F.Scott` are no letters with a text.
            None => rest.strip_prefix(['.', ':']).filter(|text| text.starts_with(char::is_whitespace))?,
        };
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    });
    stripped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(choices: &[&str]) -> Vec<String> {
        choices.iter().map(|&choice| choice.to_owned()).collect()
    }

    #[test]
    fn letters_are_dropped_only_where_they_label_the_options() {
        let strip = |choices: &[&str]| without_letters(&texts(choices));
        assert_eq!(strip(&["A. dog", "B. cat"]), Some(texts(&["dog", "cat"])));
        assert_eq!(strip(&["a)dog", "b)cat"]), Some(texts(&["dog", "cat"])));
        for kept in [
            ["A:7/1", "B:7/1"],
            ["(B) dog", "(A) cat"],
            ["A dog", "B cat"],
            ["A. dog", "cat"],
            ["A", "B"],
            ["é)", "B) x"],
        ] {
            assert_eq!(strip(&kept), None, "{kept:?}");
        }
    }

    #[test]
    fn equal_options_are_merged_only_on_request() {
        let listed = texts(&["dog", "Cat", "cat."]);
        let merged = with_answer(&listed, "cat.", DuplicateChoices::Merge).unwrap();
        assert_eq!(merged, (texts(&["dog", "Cat"]), "Cat".to_owned()));
        let refused = with_answer(&listed, "cat.", DuplicateChoices::Reject).unwrap_err();
        assert_eq!(refused.0, reason::DUPLICATE_CHOICES);
        let same = with_answer(&texts(&["cat", "cat"]), "cat", DuplicateChoices::Merge).unwrap_err();
        assert_eq!(same.0, reason::TOO_FEW_CHOICES);
    }
}
