//! Text from data files and models, made fit for messages and terminals.

use std::fmt::Write as _;
use std::path::Path;

use crate::limits::MAX_SUGGESTION_CHARS;

/// `text` on one line and without power over the terminal: control characters (ESC, line breaks and tabs included),
/// bidirectional controls and invisible format characters are shown as `\u{..}`.
///
/// Stops escape sequences that clear the screen, write the clipboard or forge a message (CWE-150), and reordered text
/// (CVE-2021-42574). Files keep the exact text; this is for what is shown.
#[must_use]
pub fn terminal_safe(text: &str) -> String {
    escape_if(text, is_unsafe)
}

/// As [`terminal_safe`], but line feeds and tabs stay: for text of several lines, such as a rendered prompt.
#[must_use]
pub fn terminal_safe_lines(text: &str) -> String {
    escape_if(text, |c| !matches!(c, '\n' | '\t') && is_unsafe(c))
}

/// Text that stays text in Markdown and in a cell of a table: no markup, no HTML, nothing that moves a cursor.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in terminal_safe(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                safe.push('\\');
                safe.push(c);
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Text between backticks, in a cell of a table.
#[must_use]
pub fn markdown_code(text: &str) -> String {
    terminal_safe(text).replace('`', "'").replace('|', "\\|")
}

/// A string in double quotes, as JSON, YAML and Python read it.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(terminal_safe(text)).to_string()
}

/// A path as shown in messages.
#[must_use]
pub fn display_path(path: &Path) -> String {
    terminal_safe(&path.to_string_lossy())
}

/// A path as one word of a shell's command line: as it is, or quoted. What would move the cursor stands in bash's and zsh's
/// `$'...'`, byte by byte.
#[must_use]
pub fn shell_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    // Else it would be taken for an option.
    let text = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | '=' | ':' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    if !text.contains(is_unsafe) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = "$'".to_owned();
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_unsafe(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string cannot fail; octal, as its length is fixed.
                    let _ = write!(word, "\\{byte:03o}");
                }
            }
            c => word.push(c),
        }
    }
    word + "'"
}

/// `text` cut to at most `max_chars` characters, the last of them `…` if something is missing.
#[must_use]
pub fn ellipsis(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    if max_chars > 0 {
        cut.push('…');
    }
    cut
}

/// The candidate that `word` is most likely a misspelling of; `None` if nothing is near. Of equals the one whose length
/// is nearest is taken (a wrong letter is likelier than a missing one), then the first.
///
/// Near is an edit distance (swapped neighbours count as one edit, case does not count) of at most a third of the
/// word's length, and at least one.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    if length == 0 || length > MAX_SUGGESTION_CHARS {
        return None;
    }
    let word = word.to_lowercase();
    let nearest = candidates
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .min_by_key(|(distance, candidate)| (*distance, candidate.chars().count().abs_diff(length)));
    nearest.filter(|(distance, _)| *distance <= (length / 3).max(1)).map(|(_, candidate)| candidate)
}

fn escape_if(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Zero-width joiners stay: Persian, Indic scripts and emoji need them, and they change neither order nor lines.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' // direction
            | '\u{2028}' | '\u{2029}' // line and paragraph separators
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' // invisible
            | '\u{e0000}'..='\u{e007f}' // tags: invisible ASCII
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_or_the_order_survives() {
        let cases = [
            ("\u{1b}[2J", "\\u{1b}[2J"),                          // clear the screen
            ("\u{1b}]52;c;eA==\u{7}", "\\u{1b}]52;c;eA==\\u{7}"), // OSC 52: write the clipboard
            ("\u{9b}31m", "\\u{9b}31m"),                          // 8-bit CSI
            ("ok\rerror", "ok\\u{d}error"),                       // overwrite the line
            ("a\nhint: run me", "a\\u{a}hint: run me"),           // forge a line
            ("a\u{8}b\u{7f}", "a\\u{8}b\\u{7f}"),                 // backspace, delete
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),              // right-to-left override
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),         // isolates
            ("\u{feff}\u{200b}\u{2028}", "\\u{feff}\\u{200b}\\u{2028}"),
            ("\u{e0041}", "\\u{e0041}"), // invisible tag letter
        ];
        for (text, expected) in cases {
            assert_eq!(terminal_safe(text), expected);
        }
    }

    #[test]
    fn ordinary_text_of_any_language_stays() {
        let text = "naïve 音楽 می‌خواهم 👩‍🎤 עברית \\u{1b} — ok";
        assert_eq!(terminal_safe(text), text);
    }

    #[test]
    fn safe_text_is_a_fixed_point_without_control_characters() {
        let all: String = (0..=0x0010_ffff).filter_map(char::from_u32).collect();
        let safe = terminal_safe(&all);
        assert!(!safe.contains(char::is_control));
        assert_eq!(terminal_safe(&safe), safe);
    }

    #[test]
    fn text_of_several_lines_keeps_its_lines_and_nothing_else() {
        assert_eq!(terminal_safe_lines("a\n\tb\r\u{1b}c"), "a\n\tb\\u{d}\\u{1b}c");
    }

    #[test]
    fn a_shell_reads_a_quoted_path_as_the_path() {
        for (path, expected) in [
            ("runs/sound-1.2", "runs/sound-1.2"),
            ("my runs/a", "'my runs/a'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)`x`\"", "'$(reboot)`x`\"'"),
            ("~/a;b", "'~/a;b'"),
            ("-rf", "./-rf"),
            ("", "''"),
            ("a\nb'c\\", r"$'a\012b\'c\\'"),
            ("\u{202e}x", r"$'\342\200\256x'"),
        ] {
            assert_eq!(shell_path(Path::new(path)), expected);
        }
    }

    #[test]
    fn an_ellipsis_counts_characters_not_bytes() {
        assert_eq!(ellipsis("äöü", 3), "äöü");
        assert_eq!(ellipsis("äöüß", 3), "äö…");
        assert_eq!(ellipsis("äöüß", 1), "…");
        assert_eq!(ellipsis("äöüß", 0), "");
    }

    #[test]
    fn a_misspelt_key_finds_the_one_that_was_meant() {
        let keys = ["lora_alpha", "lora_rank", "learning_rate", "k"];
        let meant = |word| did_you_mean(word, keys.into_iter());
        assert_eq!(meant("lora_rnak"), Some("lora_rank"));
        assert_eq!(meant("LoRA_Rank"), Some("lora_rank"));
        assert_eq!(meant("learning_rates"), Some("learning_rate"));
        assert_eq!(meant("K"), Some("k"));
        assert_eq!(meant("temperature"), None);
        assert_eq!(meant(""), None);
        assert_eq!(meant(&"lora_rank".repeat(1000)), None);
        assert_eq!(did_you_mean("x", std::iter::empty()), None);
    }

    #[test]
    fn the_first_of_equally_near_words_is_taken() {
        assert_eq!(did_you_mean("bat", ["cat", "hat"].into_iter()), Some("cat"));
        assert_eq!(did_you_mean("refusalx", ["refusal", "refusals"].into_iter()), Some("refusals"));
    }
}
