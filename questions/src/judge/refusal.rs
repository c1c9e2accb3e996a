//! Replies that say that the model does not know.
//!
//! Phrases are compared word by word after contractions are written out (`don't` = `do not`, `cannot` = `can not`) and
//! fillers are left out (`I really don't know` = `I do not know`). What others are reported to say is no refusal
//! (`the man says I don't know`), nor is what others do not know (`They don't know Joey and Chandler.`).

use std::ops::Range;

use crate::judge::words::{Word, words};

/// The refusal that the project teaches.
pub const REFUSAL: &str = "I don't know";

/// Refusals wherever they stand. `VERB` is any of [`VERBS`], `ANY` any word.
const ANYWHERE: &[&str] = &[
    "i do not know",
    "we do not know",
    "i would not know",
    "i am not sure",
    "we are not sure",
    "i am not certain",
    "i am unsure",
    "i am uncertain",
    "i have no idea",
    "i have no clue",
    "i have no way of",
    "i do not have enough",
    "i do not have sufficient",
    "i do not have the",
    "i can not VERB",
    "i could not VERB",
    "i am unable to ANY",
    "i am not able to ANY",
    "we can not VERB",
    "one can not VERB",
    "can not be VERB",
    "could not be VERB",
    "it is unclear",
    "it is unknown",
    "it is not clear",
    "it is not known",
    "is impossible to VERB",
    "is not possible to VERB",
    "no way to VERB",
    "no way of knowing",
    "not enough information",
    "insufficient information",
    "beyond my knowledge",
    "i decline to answer",
    "i refuse to answer",
];

/// Refusals only where a clause begins; elsewhere they would be about somebody else.
const CLAUSE_START: &[&str] = &[
    "do not know",
    "not sure",
    "not certain",
    "unsure",
    "no idea",
    "no clue",
    "can not VERB",
    "could not VERB",
    "unable to VERB",
    "not able to VERB",
    "impossible to VERB",
    "not possible to VERB",
];

/// Refusals only as a whole clause: `unknown`, `the answer is unclear`.
const WHOLE_CLAUSE: &[&str] = &[
    "unknown",
    "unclear",
    "uncertain",
    "undetermined",
    "undeterminable",
    "not known",
    "not clear",
    "indeterminate",
];

/// What a model says that it cannot do, or that cannot be done.
const VERBS: &[&str] = &[
    "access",
    "answer",
    "answered",
    "ascertain",
    "assist",
    "conclude",
    "confirm",
    "confirmed",
    "decide",
    "determine",
    "determined",
    "discern",
    "distinguish",
    "establish",
    "established",
    "guess",
    "help",
    "identified",
    "identify",
    "infer",
    "inferred",
    "judge",
    "know",
    "known",
    "listen",
    "process",
    "provide",
    "recognise",
    "recognize",
    "say",
    "specify",
    "tell",
    "verify",
];

/// Words that change nothing about a refusal.
const FILLERS: &[&str] = &[
    "absolutely",
    "accurately",
    "actually",
    "completely",
    "confidently",
    "currently",
    "definitely",
    "definitively",
    "entirely",
    "even",
    "exactly",
    "fully",
    "genuinely",
    "honestly",
    "just",
    "personally",
    "precisely",
    "quite",
    "really",
    "reliability",
    "reliably",
    "simply",
    "still",
    "totally",
    "truly",
    "unfortunately",
    "very",
    "yet",
];

/// Whether the reply, or a part of it, says that the model does not know.
///
/// This looks at the words alone. [`crate::judge`] first asks whether the reply is one of the options, since options
/// such as `Not sure` exist.
#[must_use]
pub fn is_refusal(text: &str) -> bool {
    !refusals(&words(text)).is_empty()
}

/// Where `text` refuses, as ranges of its words, in order.
pub(crate) fn refusals(text: &[Word]) -> Vec<Range<usize>> {
    let tokens = plain_tokens(text);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if let Some(end) = refusal_at(text, &tokens, at) {
            found.push(tokens[at].word..tokens[end - 1].word + 1);
        }
    }
    found
}

/// A word with contractions written out; `word` is its place in the text.
struct Token {
    text: String,
    word: usize,
}

fn plain_tokens(text: &[Word]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (word, Word { text, .. }) in text.iter().enumerate() {
        if !FILLERS.contains(&text.as_str()) {
            tokens.extend(written_out(text).into_iter().map(|text| Token { text, word }));
        }
    }
    tokens
}

fn written_out(word: &str) -> Vec<String> {
    let parts: &[&str] = match word {
        "idk" | "dunno" => &["i", "do", "not", "know"],
        "cannot" | "can't" | "cant" => &["can", "not"],
        "dont" => &["do", "not"],
        "couldnt" => &["could", "not"],
        "im" => &["i", "am"],
        _ => &[],
    };
    if !parts.is_empty() {
        return parts.iter().map(|&part| part.to_owned()).collect();
    }
    const ENDINGS: [(&str, &str); 6] =
        [("n't", "not"), ("'m", "am"), ("'re", "are"), ("'ve", "have"), ("'d", "would"), ("'s", "is")];
    for (ending, full) in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            return vec![stem.to_owned(), full.to_owned()];
        }
    }
    vec![word.to_owned()]
}

/// The end of the refusal that begins with token `at`.
fn refusal_at(text: &[Word], tokens: &[Token], at: usize) -> Option<usize> {
    if is_reported(tokens, at) {
        return None;
    }
    let longest = |phrases: &[&str]| phrases.iter().filter_map(|phrase| phrase_end(phrase, tokens, at)).max();
    if let Some(end) = longest(ANYWHERE) {
        return Some(end);
    }
    if !begins_clause(text, tokens, at) {
        return None;
    }
    let ends_clause = |&end: &usize| text[tokens[end - 1].word].ends_clause;
    longest(CLAUSE_START).or_else(|| longest(WHOLE_CLAUSE).filter(ends_clause))
}

fn phrase_end(phrase: &str, tokens: &[Token], at: usize) -> Option<usize> {
    let mut end = at;
    for part in phrase.split(' ') {
        let token = tokens.get(end)?.text.as_str();
        let fits = match part {
            "VERB" => VERBS.contains(&token),
            "ANY" => true,
            _ => part == token,
        };
        if !fits {
            return None;
        }
        end += 1;
    }
    Some(end)
}

/// Whether somebody else is quoted: `the woman says I don't know`, `he said that I cannot say`.
fn is_reported(tokens: &[Token], at: usize) -> bool {
    const REPORTS: [&str; 14] = [
        "says", "said", "saying", "states", "stated", "stating", "replies", "replied", "answers", "answered",
        "repeats", "sings", "singing", "whispers",
    ];
    let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].text.as_str());
    REPORTS.contains(&before(1)) || (before(1) == "that" && REPORTS.contains(&before(2)))
}

fn begins_clause(text: &[Word], tokens: &[Token], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|at| &tokens[at]) else { return true };
    if tokens[at].word > 0 && text[tokens[at].word - 1].ends_clause {
        return true;
    }
    match before.text.as_str() {
        "but" | "so" | "sorry" | "and" | "therefore" | "because" | "answer" => true,
        "is" => at >= 2 && tokens[at - 2].text == "answer",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_recognised_in_many_wordings() {
        let refusals = [
            REFUSAL,
            "i don\u{2019}t know.",
            "I DON'T KNOW",
            "I dont know",
            "IDK",
            "idk, sorry",
            "Sorry, I don't know the answer to that.",
            "I don't know which one it is",
            "I really don't know.",
            "I do not know what it is because the audio is noisy.",
            "I'm not sure.",
            "I am not entirely sure about this",
            "Not sure",
            "I'm unsure",
            "Unknown.",
            "The answer is unknown.",
            "I have no idea",
            "No idea!",
            "I cannot determine the answer.",
            "I can't tell",
            "Cannot determine from the audio",
            "It cannot be reliably determined from the audio",
            "Unable to determine.",
            "I am unable to answer this question.",
            "I'm unable to hear the audio",
            "It is impossible to say",
            "There is not enough information.",
            "Answer: I don't know",
            "dunno",
        ];
        for text in refusals {
            assert!(is_refusal(text), "{text}");
        }
    }

    #[test]
    fn answers_about_knowing_are_no_refusals() {
        let answers = [
            "",
            "dog",
            "I know: it is a dog",
            "They don't know Joey and Chandler.",
            "The man says I don't know",
            "She said that I can't tell you",
            "First speaker has been unable to get a job for three months.",
            "none of the speakers",
            "No, it is not present.",
            "The speaker is not sure about the plan",
            "It's already there but we cannot find it",
            "Clearly not very startled.",
            "An unknown language",
            "i don't",
            "know",
        ];
        for text in answers {
            assert!(!is_refusal(text), "{text}");
        }
    }
}
