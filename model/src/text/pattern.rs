//! Regular expressions that come from model folders and adapters: what makes one of a few bytes run for hours.

use idk_common::limits::{MAX_PATTERN_BYTES, MAX_PATTERN_REPEATS};

/// Checks an expression before it is compiled.
///
/// The engine's limit on backtracking does not count the turns of counted repeats, `(...){1000000}`, and nested ones
/// multiply. So the product of all of them is bounded.
///
/// # Errors
/// Why it is not taken.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("the pattern is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    // In verbose mode a count may hold spaces and comments.
    if flag_groups(pattern).any(|flags| flags.contains('x')) {
        return Err(format!("`{pattern}`: the flag x is not supported"));
    }
    let turns = counts(pattern).try_fold(1_u64, |product, count| product.checked_mul(count.max(1)));
    if turns.is_none_or(|turns| turns > MAX_PATTERN_REPEATS) {
        return Err(format!("`{pattern}` repeats more than {MAX_PATTERN_REPEATS} times"));
    }
    Ok(())
}

/// The letters of each `(?flags)` and `(?flags:`.
fn flag_groups(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.match_indices("(?").map(|(at, open)| {
        let rest = &pattern[at + open.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(rest.len());
        // `(?P<name>` is no flag.
        if rest[end..].starts_with([')', ':']) { &rest[..end] } else { "" }
    })
}

/// The higher number of each `{n}`, `{n,}` and `{n,m}`.
fn counts(pattern: &str) -> impl Iterator<Item = u64> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find(['\\', '{'])?;
            let (escape, after) = (rest.as_bytes()[at] == b'\\', &rest[at + 1..]);
            if escape {
                let letter = after.chars().next()?;
                rest = &after[letter.len_utf8()..];
                // `\x{10FFFF}` and `\p{N}` are single characters.
                if "pPxuUkgN".contains(letter) && rest.starts_with('{') {
                    rest = &rest[rest.find('}')?..];
                }
                continue;
            }
            rest = after;
            let inside = &after[..after.find('}')?];
            let number = |text: &str| text.trim().parse::<u64>();
            let numbers: Vec<_> =
                inside.split(',').filter(|text| !text.trim().is_empty()).map(number).collect();
            let is_count =
                !numbers.is_empty() && inside.chars().all(|c| c.is_ascii_digit() || " ,".contains(c));
            if is_count {
                // A number that does not fit is one that is too high.
                return numbers.into_iter().map(|number| number.unwrap_or(u64::MAX)).max();
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_repeat_without_end_are_rejected_however_they_are_written() {
        for pattern in [
            "((?=.*)){4294967295}",
            "(?:((?=.*)){4294967295}){4294967295}|.",
            "((?=.*)){1000000}",
            "((?=.*)){99999999999999999999999}",
            "(((a{40}){40}){40}){40}",
            "(a){0,5000}",
            "(a){5000,}",
            "(a){ 5000 }",
            r"\\{5000}",
            r"\p{N}{5000}",
            r"\d{5000}",
            r"\x{41}{5000}",
            r"[{]{5000}",
            "(?x)((?=.*)){ # how often?\n 1000000 }",
            "(?ix:a)",
        ] {
            assert!(check_pattern(pattern).is_err(), "{pattern}");
        }
        assert!(check_pattern(&"a".repeat(MAX_PATTERN_BYTES + 1)).is_err());
    }

    #[test]
    fn the_expressions_of_published_tokenizers_and_adapters_are_taken() {
        for pattern in [
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
            r".*language_model.*\.(q_proj|v_proj)",
            r"^(?!.*audio_tower).*(?:q_proj|k_proj)$",
            r"model\.layers\.(?:[0-9]|1[0-5])\..*",
            r"\x{1F600}|\u{99999}|\{5000}|{a}|(?P<exact>x)|a{",
            "",
        ] {
            assert_eq!(check_pattern(pattern), Ok(()), "{pattern}");
        }
    }
}
