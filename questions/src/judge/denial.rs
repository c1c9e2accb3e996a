//! Options that a reply names without giving them as its answer: denied, asked about, supposed, or listed.

use crate::judge::language::{LEXICON, Token, tokens};
use crate::judge::mentions::Mention;
use crate::judge::text::Word;

/// How far before an option its negation may stand, in words: `not the sound of a dog`.
const REACH: usize = 8;

/// Whether `text` names the mention only to deny it, to ask about it, to suppose it, or to list it.
pub(crate) fn is_denied(text: &[Word], mention: &Mention) -> bool {
    denied_before(text, mention)
        || denied_after(text, mention)
        || is_asked(text, mention)
        || is_supposed(text, mention)
        || is_listed(text, mention)
}

/// Whether the words that lead up to word `at` deny, ask or suppose what follows: `I don't think the answer is`.
pub(crate) fn leads_nowhere(text: &[Word], at: usize) -> bool {
    const ASKS: [&str; 8] = ["is", "are", "could", "would", "should", "can", "does", "might"];
    let mention = Mention::letter(0, at);
    let asks = ASKS.contains(&text[sentence_start(text, at)].text.as_str()) && is_asked(text, &mention);
    denied_before(text, &mention) || denied_after(text, &mention) || is_supposed(text, &mention) || asks
}

/// `not a dog`, `rather than a dog`, `we can rule out a dog`.
fn denied_before(text: &[Word], mention: &Mention) -> bool {
    let start = clause_start(text, mention.start).max(mention.start.saturating_sub(REACH));
    let before = tokens(&text[start..mention.start], |_| false);
    let mut at = 0;
    let mut denied = false;
    while at < before.len() {
        if let Some(end) = LEXICON.affirms.end(&before, at) {
            at = end;
        } else if let Some(end) = LEXICON.denies_before.end(&before, at) {
            denied = true;
            at = end;
        } else {
            // `not a dog but a cat`, `not only`
            denied &= !matches!(before[at].text.as_str(), "but" | "only");
            at += 1;
        }
    }
    denied
}

/// `the dog is not heard`, `dog: no`, `a dog would bark`.
fn denied_after(text: &[Word], mention: &Mention) -> bool {
    /// Longest phrase that denies what stands before it, in tokens.
    const LENGTH: usize = 10;
    let last = &text[mention.end - 1];
    let rest = &text[mention.end..text.len().min(mention.end + LENGTH)];
    if let [verdict, ..] = rest
        && (last.ends_clause || last.delimited)
        && verdict.ends_clause
        && matches!(
            verdict.text.as_str(),
            "no" | "not" | "nope" | "wrong" | "incorrect" | "false" | "nein" | "non" | "нет"
        )
    {
        return true;
    }
    if last.ends_clause {
        return false;
    }
    let length = rest.iter().position(|word| word.ends_clause).map_or(rest.len(), |at| at + 1);
    let after = tokens(&rest[..length], |_| false);
    if LEXICON
        .confirms
        .end(&after, 0)
        .is_some_and(|end| !after[..after.len().min(end + 1)].iter().any(denies))
    {
        return false;
    }
    // `the dog's not there`
    let joined = last.text.ends_with("'s") && after.first().is_some_and(denies);
    joined || LEXICON.denies_after.end(&after, 0).is_some()
}

fn denies(token: &Token) -> bool {
    matches!(
        token.text.as_str(),
        "not" | "no" | "never" | "wrong" | "ruled" | "incorrect" | "less" | "unlikely"
    )
}

/// `Is it a dog?` asks; `A dog?` and `Maybe a dog?` are answers that sound unsure, unless something follows.
fn is_asked(text: &[Word], mention: &Mention) -> bool {
    let end = (mention.end - 1..text.len()).find(|&at| text[at].ends_sentence).unwrap_or(text.len() - 1);
    if !text[end].asks {
        return particle(text, mention.end, end);
    }
    let start = sentence_start(text, mention.start);
    let around = text[start..mention.start].iter().chain(&text[mention.end..=end]);
    let soft =
        around.clone().all(|word| LEXICON.softens.contains(word.text.as_str()) || word.letter().is_some());
    !soft || end + 1 < text.len()
}

/// The particle that makes a question of a sentence in Chinese and Japanese, at its end.
fn particle(text: &[Word], from: usize, end: usize) -> bool {
    end >= from && matches!(text[end].text.as_str(), "吗" | "嗎" | "か")
}

/// `if it were a dog`, `whether it is a dog`.
fn is_supposed(text: &[Word], mention: &Mention) -> bool {
    let start = clause_start(text, mention.start);
    let before = tokens(&text[start.max(mention.start.saturating_sub(3 * REACH))..mention.start], |_| false);
    if is_conditional(text, mention) {
        return true;
    }
    let mut supposed = false;
    for at in 0..before.len() {
        supposed |= LEXICON.supposes.end(&before, at).is_some();
        // `if I had to guess I would say a dog`
        supposed &=
            !matches!(before[at].text.as_str(), "say" | "guess" | "choose" | "pick" | "then" | "answer");
    }
    supposed
}

/// `If I heard barks, I would say a dog`, but not `If I had to choose, I would say a dog`.
fn is_conditional(text: &[Word], mention: &Mention) -> bool {
    const FORCED: [&str; 9] =
        ["had", "have", "must", "forced", "asked", "pressed", "anything", "needed", "were"];
    let start = sentence_start(text, mention.start);
    let before = &text[start..mention.start.min(start + 3 * REACH)];
    let [first, rest @ ..] = before else { return false };
    let forced = rest.iter().take(2).any(|word| FORCED.contains(&word.text.as_str()))
        && !rest.iter().take(3).any(|word| word.text == "heard" || word.text == "it");
    first.text == "if" && !forced && rest.iter().any(|word| word.text == "would" || word.text.ends_with("'d"))
}

/// `The options are a dog and a cat`.
fn is_listed(text: &[Word], mention: &Mention) -> bool {
    let start = sentence_start(text, mention.start);
    let opening = tokens(&text[start..mention.start.min(start + REACH)], |_| false);
    LEXICON.lists.end(&opening, 0).is_some()
}

/// Where the clause of word `at` begins.
pub(crate) fn clause_start(text: &[Word], at: usize) -> usize {
    text[..at].iter().rposition(|word| word.ends_clause).map_or(0, |end| end + 1)
}

/// Where the sentence of word `at` begins.
pub(crate) fn sentence_start(text: &[Word], at: usize) -> usize {
    text[..at].iter().rposition(|word| word.ends_sentence).map_or(0, |end| end + 1)
}
