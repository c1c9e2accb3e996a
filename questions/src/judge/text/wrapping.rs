//! Markup around an answer that means nothing: tokens, Markdown, LaTeX, HTML, and the name of who speaks.

/// Tokens that mean nothing.
const NOISE: [&str; 7] = ["<s>", "<bos>", "<pad>", "<unk>", "<start_of_turn>", "[INST]", "[/INST]"];
/// Who speaks, as the first word of a reply.
const SPEAKERS: [&str; 4] = ["assistant", "model", "ai", "bot"];
/// LaTeX commands whose argument is plain text.
const LATEX: [&str; 7] = ["\\text", "\\textbf", "\\textit", "\\mathrm", "\\mathbf", "\\mathsf", "\\texttt"];

/// `text` without noise, Markdown and LaTeX, and without the name of who speaks.
pub(super) fn unwrapped(text: &str) -> String {
    let mut plain = text.to_owned();
    if plain.contains(['<', '[']) {
        for noise in NOISE {
            if plain.contains(noise) {
                plain = plain.replace(noise, "\n");
            }
        }
        plain = without_special_tokens(&plain);
    }
    if plain.contains('\\') {
        for command in LATEX {
            plain = plain.replace(&format!("{command}{{"), "{");
        }
        let escapes = [
            ("\\(", " "),
            ("\\)", " "),
            ("\\[", " "),
            ("\\]", " "),
            ("\\'", "'"),
            ("\\\"", "\""),
            ("\\boxed", ""),
        ];
        for (escape, plainly) in escapes {
            plain = plain.replace(escape, plainly);
        }
    }
    let plain = without_html(plain.trim_end().trim_end_matches("\\n"));
    let plain = checked_lines(&plain).lines().map(without_line_marks).collect::<Vec<_>>().join("\n");
    without_speaker(plain.trim()).to_owned()
}

/// Bytes in the name of a special token, at most.
const MAX_TOKEN: usize = 40;

/// Every `<|name|>` becomes a line break.
fn without_special_tokens(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("<|") {
        let inner = &rest[start + 2..];
        let near = &inner[..inner.floor_char_boundary(MAX_TOKEN)];
        let end = near.find("|>").filter(|&end| !inner[..end].contains(char::is_whitespace));
        match end {
            Some(end) => {
                plain.push_str(&rest[..start]);
                plain.push('\n');
                rest = &inner[end + 2..];
            }
            None => {
                plain.push_str(&rest[..start + 2]);
                rest = inner;
            }
        }
    }
    plain + rest
}

/// `text` without tags such as `<b>`, which have a short name and nothing else.
fn without_html(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let inner = &rest[start + 1..];
        let name = inner.strip_prefix('/').unwrap_or(inner);
        let length =
            name.bytes().take(20).take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let closed = name[length..].strip_prefix('>').or_else(|| name[length..].strip_prefix("/>"));
        let letter = length == 1 && name.starts_with(|c: char| c.is_ascii_uppercase());
        let is_tag = !letter && name.starts_with(|c: char| c.is_ascii_alphabetic());
        match closed.filter(|_| is_tag) {
            Some(after) => {
                plain.push_str(&rest[..start]);
                rest = after;
            }
            None => {
                plain.push_str(&rest[..=start]);
                rest = inner;
            }
        }
    }
    plain + rest
}

/// A line without the marks of a heading or the fence of a code block.
fn without_line_marks(line: &str) -> &str {
    let trimmed = line.trim_start();
    if trimmed.starts_with("```") {
        return trimmed.trim_start_matches('`').trim_start_matches(|c: char| c.is_ascii_lowercase());
    }
    let heading = trimmed.trim_start_matches('#');
    if heading.starts_with(' ') && heading.len() < trimmed.len() { heading } else { line }
}

/// Of a list of boxes or marks the lines that are checked, without the marks: `- [x] rain`, `✅ rain`; any other text as it
/// is.
fn checked_lines(text: &str) -> String {
    const CHECKED: [&str; 6] = ["[x]", "[X]", "☑", "✅", "✔", "✓"];
    const UNCHECKED: [&str; 5] = ["[ ]", "☐", "❌", "✗", "✘"];
    if text.is_ascii() && !text.contains('[') {
        return text.to_owned();
    }
    let has = |line: &str, marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
    let is_checked = |line: &str| has(line, &CHECKED) && !has(line, &UNCHECKED);
    if !has(text, &UNCHECKED) || !text.lines().any(is_checked) {
        return text.to_owned();
    }
    let kept: Vec<&str> = text.lines().filter(|line| !has(line, &UNCHECKED)).collect();
    CHECKED.iter().fold(kept.join("\n"), |kept, mark| kept.replace(mark, " "))
}

/// `text` without `assistant:` or a line `assistant` at its beginning.
pub(super) fn without_speaker(text: &str) -> &str {
    for speaker in SPEAKERS {
        let Some(start) = text.get(..speaker.len()) else { continue };
        let rest = &text[speaker.len()..];
        if start.eq_ignore_ascii_case(speaker) && rest.starts_with([':', '\n']) {
            return rest[1..].trim_start();
        }
    }
    text
}
