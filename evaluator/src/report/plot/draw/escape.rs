//! Text from data files and models, made fit for a page.

use idk_common::text::terminal_safe_lines;

/// `text` as the content of an element or of a quoted attribute: it can neither open a tag nor end an attribute.
/// Control characters, which a page must not hold, and those that reorder text are shown as `\u{..}`.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in terminal_safe_lines(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_can_neither_open_a_tag_nor_end_an_attribute() {
        assert_eq!(
            escape("</script><img onerror=\"x\" src='y'>&lt;"),
            "&lt;/script&gt;&lt;img onerror=&quot;x&quot; src=&#39;y&#39;&gt;&amp;lt;"
        );
    }

    #[test]
    fn control_characters_are_shown_and_lines_stay() {
        assert_eq!(escape("a\u{0}\u{1b}[2J\u{202e}b\nc\td"), "a\\u{0}\\u{1b}[2J\\u{202e}b\nc\td");
    }
}
