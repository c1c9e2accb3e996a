//! The words of a text.
//!
//! Case, surrounding punctuation and the kind of quotation marks do not matter. What stands inside a word does: `F#`,
//! `A:min7/1`, `4/4` and `twenty-two` are one word each, and different from `F`, `A`, `4` and `two`. Numbers and units
//! have one form, and scripts without spaces are split as [`super::scripts`] says.

use std::borrow::Cow;

use compact_str::CompactString;
use unicode_normalization::UnicodeNormalization;

use super::{numbers, scripts};

/// One word of a reply or an option, with the punctuation around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Lower case, without the punctuation around it. Most words are short: they take no memory of their own.
    pub(crate) text: CompactString,
    /// It begins with a capital.
    pub(crate) upper: bool,
    /// An opening bracket stands right before it.
    pub(crate) opened: bool,
    /// A closing bracket, full stop, colon or dash stands right after it, as in `B)` and `B.`.
    pub(crate) delimited: bool,
    /// A comma, colon, dash or the end of a sentence follows.
    pub(crate) ends_clause: bool,
    /// A full stop, semicolon, question or exclamation mark or a line break follows.
    pub(crate) ends_sentence: bool,
    /// A line break follows.
    pub(crate) ends_line: bool,
    /// A question mark follows.
    pub(crate) asks: bool,
}

impl Word {
    /// The place of the option with this letter, if the word is a single letter.
    pub(crate) fn letter(&self) -> Option<usize> {
        match self.text.as_bytes() {
            [byte @ b'a'..=b'z'] => Some(usize::from(byte - b'a')),
            _ => None,
        }
    }
}

/// The words of `text`.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let folded: Cow<'_, str> = match text.is_ascii() {
        // The only such character that has another form.
        true if text.contains('`') => text.replace('`', "'").into(),
        true => text.into(),
        false => {
            text.nfkc().filter_map(fold).collect::<String>().replace('—', " — ").replace('ß', "ss").into()
        }
    };
    let mut words: Vec<Word> = Vec::new();
    for line in folded.lines() {
        let first = words.len();
        for chunk in line.split_whitespace().flat_map(unglued) {
            match scripts::is_unspaced(chunk) {
                true => scripts::split(chunk).into_iter().for_each(|part| push_chunk(&mut words, part)),
                false => push_chunk(&mut words, chunk),
            }
        }
        join_thousands(&mut words, first);
        if let Some(last) = words.last_mut() {
            last.ends_clause = true;
            last.ends_sentence = true;
            last.ends_line = true;
        }
    }
    words
}

/// The text that two equal answers share: lower case, single spaces, without the punctuation around words.
///
/// Text that is nothing but punctuation is kept as it is, so that the options `?` and `!` differ.
#[must_use]
pub fn normalise(text: &str) -> String {
    // Most options: nothing in them has another form than that in lower case.
    if text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b' ') {
        let mut plain = joined(text.split(' ').filter(|word| !word.is_empty()));
        plain.make_ascii_lowercase();
        return plain;
    }
    of_words(text)
}

/// [`normalise`] of any text.
fn of_words(text: &str) -> String {
    let words = words(text);
    if words.is_empty() {
        return text.trim().to_lowercase();
    }
    joined(words.iter().map(|word| word.text.as_str()))
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Typographic variants as their plain forms; characters without width and Arabic vowel signs are dropped.
fn fold(c: char) -> Option<char> {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' | '\u{640}' | '\u{64b}'..='\u{652}' => {
            None
        }
        '‘' | '’' | 'ʼ' | '`' | '´' | '′' => Some('\''),
        '“' | '”' | '„' | '«' | '»' | '「' | '」' | '『' | '』' => Some('"'),
        '【' => Some('['),
        '】' => Some(']'),
        '。' | '۔' | '।' => Some('.'),
        '、' | '،' => Some(','),
        '؛' => Some(';'),
        '؟' => Some('?'),
        '–' | '‐' | '‑' | '−' => Some('-'),
        '♭' => Some('b'),
        '♯' => Some('#'),
        _ => Some(c),
    }
}

/// Splits what models write without a space: `(B)dog`, `B)dog`, `Answer:B`.
fn unglued(chunk: &str) -> impl Iterator<Item = &str> {
    unglued_parts(chunk).into_iter().flatten()
}

fn unglued_parts(chunk: &str) -> [Option<&str>; 3] {
    let inner = chunk.strip_prefix('(').unwrap_or(chunk);
    let bracket =
        inner.char_indices().nth(1).filter(|&(_, c)| c == ')' && inner.as_bytes()[0].is_ascii_alphabetic());
    let begins =
        |label: &str| chunk.get(..label.len()).is_some_and(|start| start.eq_ignore_ascii_case(label));
    if begins("answer=") {
        return [Some(&chunk[..6]), Some("="), Some(&chunk[7..])];
    }
    let label = "answer:";
    let cut = match bracket {
        Some((at, _)) => chunk.len() - inner.len() + at + 1,
        None if begins(label) => label.len(),
        None => chunk.len(),
    };
    let (head, tail) = chunk.split_at(cut);
    // `B).` stays whole: only a word may follow.
    match tail.chars().any(char::is_alphanumeric) {
        true => [Some(head), Some(tail), None],
        false => [Some(chunk), None, None],
    }
}

fn push_chunk(words: &mut Vec<Word>, chunk: &str) {
    let begun = trim_start(chunk);
    let core = trim_end(begun);
    if core.is_empty() {
        // Punctuation on its own belongs to the word before it: `B - dog`, `B : dog`.
        if let Some(last) = words.last_mut() {
            mark_after(last, chunk);
        }
        return;
    }
    let start = chunk.len() - begun.len();
    let opened = chunk[..start].contains(['(', '[']);
    let (whole, several);
    let parts: &[&str] = match core.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        true => {
            whole = [core];
            &whole
        }
        false => {
            several = parts(core);
            &several
        }
    };
    let last = parts.len() - 1;
    for (index, &part) in parts.iter().enumerate() {
        let text = match part.is_ascii() {
            true => {
                let mut text = CompactString::new(part);
                text.make_ascii_lowercase();
                text
            }
            // The dot of `İ`, which has no form in lower case.
            false => part.to_lowercase().replace("i\u{307}", "i").into(),
        };
        let mut word = Word {
            text,
            upper: part.chars().next().is_some_and(char::is_uppercase),
            opened: opened && index == 0,
            delimited: false,
            ends_clause: false,
            ends_sentence: false,
            ends_line: false,
            asks: false,
        };
        word.text = match word.text.as_str() {
            "&" => "and".into(),
            "a.m" => "am".into(),
            "p.m" => "pm".into(),
            text => numbers::amount(text).or_else(|| unit_after(words, text)).map_or(word.text, Into::into),
        };
        if index == last {
            mark_after(&mut word, &chunk[start + core.len()..]);
        }
        words.push(word);
    }
}

/// The one form of the unit `text` if a number stands right before it: `2 seconds`, but not `the second`.
fn unit_after(words: &[Word], text: &str) -> Option<String> {
    let number = words.last().filter(|word| !word.ends_clause && numbers::is_number(&word.text))?;
    numbers::unit(text).filter(|_| !number.delimited).map(str::to_owned)
}

/// The words that `core` is written for: a number and its unit, an elided word of French or Italian and the next one.
fn parts(core: &str) -> Vec<&str> {
    const ELIDED: [&str; 17] = [
        "l'", "d'", "c'", "j'", "n'", "qu'", "s'", "m'", "t'", "un'", "dell'", "all'", "nell'", "dall'",
        "sull'", "quell'", "jusqu'",
    ];
    let lower = core.to_lowercase();
    if let Some((number, _)) = numbers::with_unit(&lower).filter(|_| lower.len() == core.len()) {
        return vec![&core[..number.len()], &core[number.len()..]];
    }
    // `9:45pm`
    let hour = lower.strip_suffix("m").and_then(|time| time.strip_suffix(['a', 'p']));
    if let Some(hour) = hour.filter(|hour| !hour.is_empty() && lower.len() == core.len())
        && hour.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        return vec![&core[..hour.len()], &core[hour.len()..]];
    }
    // `happy/excited`, but not `4/4`, `km/h` or `A/B`; `glass_breaking`, a label of a data set.
    if let Some(joint) = ['/', '_'].into_iter().find(|&joint| core.contains(joint))
        && core.split(joint).all(is_long_word)
    {
        return core.split(joint).collect();
    }
    let elided = ELIDED.iter().find(|elided| {
        core.len() > elided.len() + 1
            && core.get(..elided.len()).is_some_and(|start| start.eq_ignore_ascii_case(elided))
    });
    match elided {
        Some(elided) => vec![&core[..elided.len()], &core[elided.len()..]],
        None => vec![core],
    }
}

/// Whether `part` of a word with slashes or underscores can be a word of its own.
fn is_long_word(part: &str) -> bool {
    const SHORTEST: usize = 3;
    part.chars().count() >= SHORTEST && part.chars().all(char::is_alphabetic)
}

/// Joins `10 000`, from word `first` on.
fn join_thousands(words: &mut Vec<Word>, first: usize) {
    let digits = |word: &Word| word.text.bytes().all(|byte| byte.is_ascii_digit());
    let mut at = first;
    while at + 1 < words.len() {
        let (head, tail) = (&words[at], &words[at + 1]);
        let apart = head.ends_clause || head.delimited || tail.opened;
        if digits(head)
            && (1..=3).contains(&head.text.len())
            && digits(tail)
            && tail.text.len() == 3
            && !apart
        {
            let tail = words.remove(at + 1);
            let head = &words[at];
            words[at] =
                Word { text: head.text.clone() + &tail.text, upper: false, opened: head.opened, ..tail };
        }
        at += 1;
    }
}

fn mark_after(word: &mut Word, after: &str) {
    if after.is_empty() {
        return;
    }
    let first = after.trim_start_matches(['*', '_', '"', '\'']).chars().next();
    word.delimited |= first.is_some_and(|c| matches!(c, ')' | ']' | '}' | '.' | ':' | '-' | '—'));
    word.asks |= after.contains('?');
    word.ends_clause |= after.contains([',', ';', ':', '-', '—', '.', '!', '?', '…', '→']);
    word.ends_sentence |= after.contains(['.', '!', '?', '…', ';']);
}

fn trim_start(chunk: &str) -> &str {
    let mut rest = chunk;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        // `-5` and `.5` are numbers.
        let number = matches!(c, '-' | '.') && after.starts_with(|next: char| next.is_ascii_digit());
        // `$B$` is mathematics, `$5` an amount.
        let math = c == '$' && !after.starts_with(|next: char| next.is_ascii_digit());
        if number || !(is_edge(c) || math) {
            break;
        }
        rest = after;
    }
    rest
}

fn trim_end(chunk: &str) -> &str {
    chunk.trim_end_matches(|c| (is_edge(c) && c != '-') || c == '$')
}

/// Punctuation, and symbols that are no part of a word, such as check marks and emoji.
fn is_edge(c: char) -> bool {
    const KEPT: &str = "♪♫€£";
    !c.is_ascii_alphanumeric()
        && ("\"'()[]{}<>*_~.,;:!?…|•-—¿¡·".contains(c)
            || (c > '\u{2000}' && !c.is_alphanumeric() && !KEPT.contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_spaces_quotes_and_final_punctuation_do_not_matter() {
        assert_eq!(normalise("  \u{201c}Footsteps,  on SNOW.\u{201d} "), "footsteps on snow");
        assert_eq!(normalise("don\u{2019}t"), "don't");
        assert_eq!(normalise("（Ｂ）"), "b");
    }

    #[test]
    fn a_text_of_plain_words_has_the_form_that_any_text_has() {
        for text in ["", " ", "dog", "Dog  BARKING ", " a second", "Answer", "I am M", "am pm ms"] {
            assert_eq!(normalise(text), of_words(text), "{text:?}");
        }
    }

    #[test]
    fn what_stands_inside_a_word_does_matter() {
        for (one, other) in
            [("F#", "F"), ("A:min7/1", "A"), ("twenty-two", "two"), ("-5", "5"), ("4/4", "4"), ("C+", "C")]
        {
            assert_ne!(normalise(one), normalise(other));
            assert!(!words(one).iter().any(|word| word.text == normalise(other)));
        }
    }

    #[test]
    fn options_of_punctuation_alone_stay_apart() {
        assert_ne!(normalise("?"), normalise("!"));
    }

    #[test]
    fn letters_are_split_from_the_text_that_is_glued_to_them() {
        for text in ["(B)dog", "B)dog", "(B) dog", "B. dog", "B - dog", "**B**: dog"] {
            let words = words(text);
            assert_eq!(words.len(), 2, "{text}");
            assert_eq!(words[0].letter(), Some(1), "{text}");
            assert!(words[0].delimited, "{text}");
        }
        assert_eq!(words("Answer:B")[1].letter(), Some(1));
        assert_eq!(words("(é)x").len(), 1);
    }
}
