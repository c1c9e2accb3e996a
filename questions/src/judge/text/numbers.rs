//! Numbers and units: `1,000` is `1000`, `1.50` is `1.5`, `20Hz` is `20 Hz`.

/// Units as they are written, each with the form that stands for all of them.
const UNITS: [(&str, &str); 46] = [
    ("s", "s"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("ms", "ms"),
    ("millisecond", "ms"),
    ("milliseconds", "ms"),
    ("min", "min"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("hz", "hz"),
    ("hertz", "hz"),
    ("khz", "khz"),
    ("kilohertz", "khz"),
    ("mhz", "mhz"),
    ("db", "db"),
    ("decibel", "db"),
    ("decibels", "db"),
    ("bpm", "bpm"),
    ("%", "%"),
    ("percent", "%"),
    ("mm", "mm"),
    ("cm", "cm"),
    ("m", "m"),
    ("meter", "m"),
    ("meters", "m"),
    ("metre", "m"),
    ("metres", "m"),
    ("km", "km"),
    ("kilometers", "km"),
    ("kg", "kg"),
    ("kmh", "km/h"),
    ("km/h", "km/h"),
    ("mph", "mph"),
    ("kb", "kb"),
    ("mb", "mb"),
    ("kbps", "kbps"),
    ("fps", "fps"),
    ("st", "st"),
    ("°c", "°c"),
];

/// The form that stands for all ways to write the unit `word`.
pub(super) fn unit(word: &str) -> Option<&'static str> {
    UNITS.iter().find(|(written, _)| *written == word).map(|(_, unit)| *unit)
}

/// Whether `word` is a number, with a sign, groups of thousands and decimals or without.
pub(super) fn is_number(word: &str) -> bool {
    canonical(word).is_some()
}

/// The one way to write the number `word`; `None` for other words.
pub(super) fn canonical(word: &str) -> Option<String> {
    if !word.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let (whole, decimals) = match digits.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (digits, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    let grouped = rest.iter().all(|group| group.len() == 3 && is_digits(group));
    let starts = if rest.is_empty() {
        first.is_empty() || is_digits(first)
    } else {
        first.len() <= 3 && is_digits(first)
    };
    if !starts || !grouped || !decimals.is_none_or(is_digits) || (first.is_empty() && decimals.is_none()) {
        return None;
    }
    let sign = if word.starts_with('-') { "-" } else { "" };
    let whole = whole.replace(',', "");
    let decimals = decimals.unwrap_or_default().trim_end_matches('0');
    let whole = if whole.is_empty() { "0" } else { &whole };
    Some(if decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") })
}

/// The one way to write a number, with a sign of currency or without.
pub(super) fn amount(word: &str) -> Option<String> {
    match word.strip_prefix(['$', '€', '£', '¥']) {
        Some(number) => {
            let sign = &word[..word.len() - number.len()];
            canonical(number).map(|number| format!("{sign}{number}"))
        }
        None => canonical(word),
    }
}

/// `20hz` as its number and its unit. Decades (`1990s`) are one word.
pub(super) fn with_unit(word: &str) -> Option<(&str, &'static str)> {
    let end = word.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (number, suffix) = word.split_at(end);
    let decade = suffix == "s" && number.len() == 4;
    let unit = unit(suffix).filter(|_| !decade && is_number(number))?;
    Some((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_form() {
        for (word, number) in [
            ("1,000", "1000"),
            ("1000", "1000"),
            ("12,345,678.50", "12345678.5"),
            ("1.50", "1.5"),
            ("2.0", "2"),
            ("-5", "-5"),
            (".5", "0.5"),
            ("+3", "3"),
            ("007", "007"),
        ] {
            assert_eq!(canonical(word).as_deref(), Some(number), "{word}");
        }
        for word in ["1,00", "1,0000", ",100", "4/4", "1.2.3", "f#", "", "-", "1:50", "1e5"] {
            assert_eq!(canonical(word), None, "{word}");
        }
    }

    #[test]
    fn a_unit_is_told_from_its_number() {
        assert_eq!(with_unit("20hz"), Some(("20", "hz")));
        assert_eq!(with_unit("1.5s"), Some(("1.5", "s")));
        assert_eq!(with_unit("50%"), Some(("50", "%")));
        for word in ["1990s", "hz", "20", "2x", "a4hz"] {
            assert_eq!(with_unit(word), None, "{word}");
        }
    }
}
