//! Replies that say that the model does not know.
//!
//! Phrases are compared word by word after contractions are written out (`don't` = `do not`, `cannot` = `can not`) and
//! fillers are left out (`I really don't know` = `I do not know`). What others are reported to say is no refusal
//! (`the man says I don't know`), nor is what others do not know (`They don't know Joey and Chandler.`). The phrases of
//! each language are in [`crate::judge::language`].

use std::ops::Range;

use crate::judge::denial::{clause_start, sentence_start};
use crate::judge::language::{LEXICON, Token, is_filler, tokens};
use crate::judge::mentions::Mention;
use crate::judge::text::{Word, words};

/// The refusal that the project teaches.
pub const REFUSAL: &str = "I don't know";

/// Whether the reply, or a part of it, says that the model does not know.
///
/// This looks at the words alone. [`crate::judge()`] first asks whether the reply is one of the options, since options
/// such as `Not sure` exist.
#[must_use]
pub fn is_refusal(text: &str) -> bool {
    !refusals(&words(text)).is_empty()
}

/// The refusals of a reply, and the words that turn one into an answer that follows.
pub(crate) struct Refused {
    /// Where the reply refuses, as ranges of its words, in order.
    pub(crate) ranges: Vec<Range<usize>>,
    /// Whether a word begins what turns a refusal around, such as `but`.
    pub(crate) turns: Vec<bool>,
}

impl Refused {
    /// Looks for refusals in `reply`.
    pub(crate) fn of(reply: &[Word]) -> Self {
        let ranges = refusals(reply);
        let mut turns = vec![false; reply.len()];
        if !ranges.is_empty() {
            let tokens = tokens(reply, |_| false);
            let turning = (0..tokens.len()).filter(|&at| LEXICON.turns.end(&tokens, at).is_some());
            turning.for_each(|at| turns[tokens[at].word] = true);
        }
        Self { ranges, turns }
    }

    /// Whether the reply refuses at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// Where `text` refuses, as ranges of its words, in order.
pub(crate) fn refusals(text: &[Word]) -> Vec<Range<usize>> {
    let tokens = tokens(text, is_filler);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if let Some(end) = refusal_at(text, &tokens, at) {
            found.push(tokens[at].word..tokens[end - 1].word + 1);
        }
    }
    found
}

/// The end of the refusal that begins with token `at`.
fn refusal_at(text: &[Word], tokens: &[Token], at: usize) -> Option<usize> {
    let end = LEXICON.refuses.end(tokens, at).or_else(|| {
        let first = || LEXICON.refuses_first.end(tokens, at);
        let whole = |end: usize| tokens[end - 1].ends_clause;
        let alone = || LEXICON.refuses_alone.end_where(tokens, at, whole);
        if begins_clause(text, tokens, at) { first().or_else(alone) } else { None }
    })?;
    let is_said = !is_reported(tokens, at)
        && !is_quoted(text, tokens, end)
        && !is_asked(text, tokens[at].word, tokens[end - 1].word);
    is_said.then_some(end)
}

/// Whether words `from` to `to` stand in a question about something else, such as a prompt that is repeated:
/// `Which instrument is not mentioned in the audio?`
fn is_asked(text: &[Word], from: usize, to: usize) -> bool {
    const ASKS: [&str; 7] = ["which", "what", "who", "whose", "where", "when", "how"];
    let start = sentence_start(text, from);
    let asks_before = text[start..from].iter().take(2).any(|word| ASKS.contains(&word.text.as_str()));
    asks_before && text[to..].iter().find(|word| word.ends_sentence).is_some_and(|last| last.asks)
}

/// Whether somebody else is quoted: `the woman says I don't know`, `he said that I cannot say`.
fn is_reported(tokens: &[Token], at: usize) -> bool {
    let reports = |at: usize| LEXICON.reports.ends(&tokens[at.saturating_sub(2)..at]);
    let that = at > 0 && matches!(tokens[at - 1].text, "that" | "dass" | "que" | "che" | "что");
    reports(at) || (that && reports(at - 1))
}

/// Whether who says it is named afterwards: `"I don't know," the man says.`
fn is_quoted(text: &[Word], tokens: &[Token], end: usize) -> bool {
    /// Longest name of a speaker, in tokens.
    const REACH: usize = 4;
    let last = &tokens[end - 1];
    if !last.ends_clause || text[last.word].ends_line {
        return false;
    }
    let after = &tokens[end..tokens.len().min(end + REACH)];
    let length = after.iter().position(|token| token.ends_clause).map_or(after.len(), |at| at + 1);
    let after = &after[..length];
    let speaks = (0..after.len()).any(|at| LEXICON.reports.end(after, at).is_some());
    speaks && !matches!(after[0].text, "i" | "it" | "but" | "so" | "the answer")
}

/// Whether a reply that names no option refuses in words that are no refusal next to one: `I can't commit to an answer`.
pub(crate) fn refuses_without_option(text: &[Word]) -> bool {
    /// What nobody can do, as a figure of speech.
    const IDIOMS: [&str; 9] =
        ["wait", "help", "stress", "believe", "complain", "stand", "agree", "imagine", "be"];
    let tokens = tokens(text, is_filler);
    if (0..tokens.len()).any(|at| LEXICON.reports.end(&tokens, at).is_some()) {
        return false;
    }
    let end = |at: usize| LEXICON.refuses_without_option.end(&tokens, at);
    (0..tokens.len()).any(|at| end(at).is_some_and(|end| !IDIOMS.contains(&tokens[end - 1].text)))
}

fn begins_clause(text: &[Word], tokens: &[Token], at: usize) -> bool {
    if at == 0 || tokens[at - 1].ends_clause {
        return true;
    }
    // Fillers are no tokens: the clause may have ended at one of them.
    if tokens[at].word > 0 && text[tokens[at].word - 1].ends_clause && tokens[at - 1].word < tokens[at].word {
        return true;
    }
    LEXICON.clause_starts.ends(&tokens[at.saturating_sub(4)..at])
}

/// Whether a mention is part of a refusal: inside it, after it (`I don't know if it is a dog`), or right before it.
pub(crate) fn is_hedged(reply: &[Word], mention: &Mention, refused: &Refused) -> bool {
    let inside = |range: &Range<usize>| range.start < mention.end && mention.start < range.end;
    let next = refused.ranges.iter().find(|range| mention.end <= range.start);
    let before = next.is_some_and(|range| {
        let (from, to) = (mention.end - 1, range.start);
        // `A dog - not sure though.`
        let though = reply.get(range.end).is_some_and(|word| word.text == "though");
        (!though && !turns(reply, from, to, refused))
            || (is_tentative(reply, mention) && !ends_sentence(reply, from, to))
    });
    before || refused.ranges.iter().any(inside) || follows_refusal(reply, mention.start, refused)
}

/// Whether a refusal stands before word `at` in the same sentence, with nothing between that turns it around.
pub(crate) fn follows_refusal(reply: &[Word], at: usize, refused: &Refused) -> bool {
    // The nearest one decides: whatever turns it around stands after those before it as well.
    let nearest = refused.ranges.iter().rev().find(|range| range.end <= at);
    nearest
        .is_some_and(|range| !turns(reply, range.end - 1, at, refused) && !states(reply, range.end - 1, at))
}

/// Whether a sentence ends, or a word turns it around, after word `from` and before word `to`.
fn turns(reply: &[Word], from: usize, to: usize, refused: &Refused) -> bool {
    /// Korean endings that mean `but`.
    const ENDINGS: [&str; 3] = ["지만", "는데", "으나"];
    ends_sentence(reply, from, to)
        || ENDINGS.iter().any(|ending| reply[from].text.ends_with(ending))
        || refused.turns[from + 1..to].contains(&true)
}

fn ends_sentence(reply: &[Word], from: usize, to: usize) -> bool {
    reply[from..to].iter().any(|word| word.ends_sentence)
}

/// Whether the mention is one of two that `or` joins, or only possible: `a dog or a wolf`, `it could be a dog`.
fn is_tentative(reply: &[Word], mention: &Mention) -> bool {
    let is_or = |word: &Word| matches!(word.text.as_str(), "or" | "oder" | "ou" | "o" | "или" | "أو");
    let is_possible = |word: &Word| matches!(word.text.as_str(), "could" | "might" | "may");
    let start = clause_start(reply, mention.start);
    let after = !reply[mention.end - 1].ends_clause && reply.get(mention.end).is_some_and(is_or);
    let before = &reply[start.max(mention.start.saturating_sub(3))..mention.start];
    after || before.iter().any(|word| is_or(word) || is_possible(word))
}

/// Whether a clause of its own leads up to word `to`: `I can't hear a dog, it's a cat`.
fn states(reply: &[Word], from: usize, to: usize) -> bool {
    let Some(clause) = (from..to).rev().find(|&at| reply[at].ends_clause).map(|at| at + 1) else {
        return false;
    };
    let begins = reply.get(clause).map_or("", |word| word.text.as_str());
    let verb = reply.get(clause + 1).map_or("", |word| word.text.as_str());
    clause < to
        && (begins == "it's"
            || begins == "that's"
            || (matches!(begins, "it" | "this" | "that") && verb == "is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_question_asks_about_is_no_refusal_but_a_question_may_stand_before_one() {
        for text in [
            "Which of the following instruments is NOT mentioned in the audio's instrumentation?",
            "What is not stated in the recording?",
            "In which case is it impossible to tell?",
        ] {
            assert!(!is_refusal(text), "{text}");
        }
        for text in [
            "Who knows?",
            "Which one? I don't know.",
            "It is not mentioned in the audio.",
            "How would I know? No idea",
        ] {
            assert!(is_refusal(text), "{text}");
        }
    }

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
