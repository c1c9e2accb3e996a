//! The part of a reply that holds the answer: without thoughts, tags, end tokens and the speaker's name.

use super::wrapping::{unwrapped, without_speaker};

/// Names of tags around a thought. An opened one without an end is a thought that the limit on tokens cut.
const THOUGHTS: [&str; 12] = [
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reason",
    "reasoning",
    "reflection",
    "analysis",
    "planning",
    "caption",
    "summary",
    "scratchpad",
];
/// Names of tags around an answer.
const ANSWERS: [&str; 10] = [
    "answer",
    "response",
    "final_answer",
    "final-answer",
    "finalanswer",
    "final",
    "conclusion",
    "output",
    "result",
    "solution",
];
/// Tokens that end a reply; what follows belongs to another turn. `|` is a bar of any width.
const ENDS: [&str; 13] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|eot|>",
    "<|end|>",
    "<|end_of_sentence|>",
    "<end_of_turn>",
    "<eos>",
    "</s>",
    "<|return|>",
    "<｜end▁of▁sentence｜>",
];

/// Characters in the braces of `\boxed{}`, at most.
const MAX_BOXED: usize = 1024;

/// Thoughts inside of thoughts that are told apart.
const MAX_DEPTH: usize = 32;

/// The answer in the reply `text`.
///
/// Of `<answer>..</answer>`, `\boxed{..}` and their like the last one that holds something counts; else what stands
/// outside of thoughts. A thought without its end hides all that follows, unless the reply ends in a whole
/// `<answer>..</answer>`.
pub(crate) fn answer_part(text: &str) -> String {
    if !has_markup(text) {
        return without_speaker(text.trim()).to_owned();
    }
    without_markup(text)
}

/// The answer in a reply that may have markup.
fn without_markup(text: &str) -> String {
    let text = plain_tags(text);
    let said = match outside_thoughts(&text) {
        Thoughts::Closed(said) => said,
        Thoughts::Open(said) => match closing_answer(&text) {
            Some(answer) => return unwrapped(answer),
            None => said,
        },
    };
    let said = before_end_token(&said);
    match marked_answer(said) {
        Some(answer) => unwrapped(answer),
        None => json_answer(said).unwrap_or_else(|| unwrapped(said)),
    }
}

/// Whether `text` may have markup: it is not one line of ASCII without any character that markup begins with.
fn has_markup(text: &str) -> bool {
    text.bytes().any(|byte| {
        !byte.is_ascii() || matches!(byte, b'<' | b'[' | b'{' | b'\\' | b'#' | b'`' | b'\n' | b'\r')
    })
}

/// The answer in a JSON object: `{"answer": "B", "confidence": 0.9}`.
fn json_answer(text: &str) -> Option<String> {
    const KEYS: [&str; 9] =
        ["answer", "final_answer", "choice", "option", "prediction", "response", "letter", "label", "output"];
    let object = text.get(text.find('{')?..=text.rfind('}')?)?;
    let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(object).ok()?;
    let named =
        |key: &&str| row.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value);
    let value = KEYS.iter().find_map(named)?;
    value.as_str().map(str::to_owned).or_else(|| value.is_number().then(|| value.to_string()))
}

/// What stands outside of thoughts.
enum Thoughts {
    Closed(String),
    Open(String),
}

/// `<|begin_of_thought|>`, `◁think▷` and `[ANSWER]` as the tags that they stand for.
fn plain_tags(text: &str) -> String {
    if !text.contains(['<', '[', '◁']) {
        return text.to_owned();
    }
    text.replace("<|begin_of_thought|>", "<think>")
        .replace("<|end_of_thought|>", "</think>")
        .replace("<|begin_of_solution|>", "<answer>")
        .replace("<|end_of_solution|>", "</answer>")
        .replace("◁think▷", "<think>")
        .replace("◁/think▷", "</think>")
        .replace("[ANSWER]", "<answer>")
        .replace("[/ANSWER]", "</answer>")
        .replace("[THINK]", "<think>")
        .replace("[/THINK]", "</think>")
}

/// A tag of one of the kinds above: its bytes in the text, whether it is of an answer, and whether it closes.
struct Tag {
    start: usize,
    end: usize,
    name: &'static str,
    answers: bool,
    closes: bool,
}

/// The tags of thoughts and answers in `text`, in order.
fn tags(text: &str) -> Vec<Tag> {
    let tag_at = |start: usize| {
        let inner = &text[start + 1..];
        let (closes, inner) = inner.strip_prefix('/').map_or((false, inner), |inner| (true, inner));
        let kinds = [(&THOUGHTS[..], false), (&ANSWERS[..], true)];
        kinds.into_iter().find_map(|(names, answers)| {
            let is_named = |name: &&&'static str| {
                inner.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                    && inner[name.len()..].trim_start().starts_with('>')
            };
            let name = names.iter().find(is_named)?;
            let end = text.len() - inner.len() + name.len() + inner[name.len()..].find('>')? + 1;
            Some(Tag { start, end, name, answers, closes })
        })
    };
    text.match_indices('<').filter_map(|(start, _)| tag_at(start)).collect()
}

/// `text` without its thoughts. An end without a beginning ends a thought that the prompt has begun.
fn outside_thoughts(text: &str) -> Thoughts {
    let tags: Vec<Tag> = tags(text).into_iter().filter(|tag| !tag.answers).collect();
    let mut said = String::new();
    let (mut open, mut at): (Vec<&str>, usize) = (Vec::new(), 0);
    for tag in tags {
        if open.is_empty() && !tag.closes {
            said.push_str(&text[at..tag.start]);
        }
        if !tag.closes {
            // Deeper ones are closed by the same ends.
            if open.len() < MAX_DEPTH {
                open.push(tag.name);
            }
        } else if let Some(depth) = open.iter().rposition(|name| *name == tag.name) {
            open.truncate(depth);
        } else if open.is_empty() {
            said.clear();
        }
        at = tag.end;
    }
    if open.is_empty() {
        said.push_str(&text[at..]);
        Thoughts::Closed(said)
    } else {
        Thoughts::Open(said)
    }
}

/// What a whole `<answer>..</answer>` at the end of `text` holds.
fn closing_answer(text: &str) -> Option<&str> {
    let text = before_end_token(text);
    let tags: Vec<Tag> = tags(text).into_iter().filter(|tag| tag.answers).collect();
    let [.., open, close] = tags.as_slice() else { return None };
    let ends = text[close.end..].trim().is_empty();
    let inner = text[open.end..close.start].trim();
    let whole = !open.closes && close.closes && open.name == close.name && ends && !inner.is_empty();
    whole.then_some(inner)
}

/// `text` up to the first token that ends a reply; such tokens at its beginning are passed over.
fn before_end_token(text: &str) -> &str {
    let mut text = text.trim_start();
    // Every such token begins with it.
    if !text.contains('<') {
        return text;
    }
    while let Some(rest) = ENDS.iter().find_map(|token| text.strip_prefix(token)) {
        text = rest.trim_start();
    }
    let end = ENDS.iter().filter_map(|token| text.find(token)).min();
    &text[..end.unwrap_or(text.len())]
}

/// The last answer that tags or `\boxed{}` mark and that holds something.
fn marked_answer(text: &str) -> Option<&str> {
    let tags = tags(text);
    // Where the next end of each kind of tag is, seen from the end of the text.
    let mut closes: Vec<(&str, usize)> = Vec::new();
    for (index, tag) in tags.iter().enumerate().rev() {
        if tag.closes {
            closes.retain(|(name, _)| *name != tag.name);
            closes.push((tag.name, tag.start));
        } else if tag.answers {
            let next = tags.get(index + 1).map_or(text.len(), |next| next.start);
            let end = closes.iter().find(|(name, _)| *name == tag.name).map_or(next, |(_, start)| *start);
            let inner = text[tag.end..end].trim();
            if !inner.is_empty() {
                return Some(inner);
            }
        }
    }
    let boxed = text.rmatch_indices("\\boxed").filter_map(|(at, word)| braced(&text[at + word.len()..]));
    boxed.into_iter().find(|inner| !inner.trim().is_empty())
}

/// What stands in the braces that `text` begins with.
fn braced(text: &str) -> Option<&str> {
    let inner = text.trim_start().strip_prefix('{')?;
    let mut depth = 1_usize;
    for (at, c) in inner.char_indices().take(MAX_BOXED) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&inner[..at]);
        }
    }
    inner.char_indices().nth(MAX_BOXED).is_none().then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_answers_are_cut_out() {
        for (text, answer) in [
            ("<think>A</think> B", "B"),
            ("so <answer>B</answer> I say", "B"),
            ("$\\boxed{\\text{B}}$", "{B}"),
            ("<answer></answer> B", "B"),
            ("<answer>A</answer><answer>B</answer>", "B"),
            ("<ANSWER>B", "B"),
            ("[ANSWER] B [/ANSWER]", "B"),
            ("<THINK><CAPTION>A</CAPTION></THINK><RESPONSE>B</RESPONSE>", "B"),
        ] {
            assert_eq!(answer_part(text), answer, "{text}");
        }
    }

    #[test]
    fn a_line_without_markup_is_read_as_one_that_may_have_some() {
        for text in [
            "",
            " ",
            "B",
            " (B) dog.\t",
            "Assistant: B",
            "model:  x ",
            "a | b $5 ***c*** -",
            "\u{b}B\u{c} - 'c'",
        ] {
            assert_eq!(answer_part(text), without_markup(text), "{text:?}");
        }
    }

    #[test]
    fn a_thought_is_no_answer_and_one_without_an_end_hides_what_follows() {
        for (text, answer) in [
            ("A</think>B", "B"),
            ("<think>A", ""),
            ("<think>A</think>", ""),
            ("B<think>A", "B"),
            ("<think>A <answer>B</answer>", "B"),
            (" \n<think>A <answer>B</answer>", "B"),
            ("<|im_end|><think>A <answer>B</answer>", "B"),
            ("<think>I write <answer>B</answer> later", ""),
            ("<think>A <think>B</think> C", ""),
        ] {
            assert_eq!(answer_part(text), answer, "{text}");
        }
    }

    #[test]
    fn tokens_and_the_speaker_are_left_out_and_an_end_token_ends_the_reply() {
        for text in [
            "B<|im_end|>",
            "B</s></s>",
            "<s> B </s>",
            "<|im_start|>assistant\nB<|im_end|>",
            "Assistant: B",
            "<|im_end|>B<|endoftext|>",
            "B<|im_end|>\n<|im_start|>user\nA?",
            "```json\nB\n```",
            "## B",
        ] {
            assert_eq!(answer_part(text).trim(), "B", "{text}");
        }
        assert_eq!(answer_part("1 <| 2 |> 3"), "1 <| 2 |> 3");
    }
}
