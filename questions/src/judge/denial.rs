//! Options that a reply names without giving them as its answer: denied, asked about, supposed, or listed.

use crate::judge::language::{LEXICON, Token, tokens};
use crate::judge::mentions::Mention;
use crate::judge::refusal::refusals;
use crate::judge::text::Word;

/// How far before an option its negation may stand, in words: `not the sound of a dog`.
const REACH: usize = 12;

/// Whether `text` names the mention only to deny it, to ask about it, to suppose it, or to list it.
pub(crate) fn is_denied(text: &[Word], mention: &Mention) -> bool {
    denied_before(text, mention)
        || denied_after(text, mention)
        || shares_denial(text, mention)
        || is_asked(text, mention)
        || is_supposed(text, mention)
        || is_listed(text, mention)
        || is_counted(text, mention)
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
    let start = list_start(text, mention.start).max(mention.start.saturating_sub(REACH));
    let before = tokens(&text[start..mention.start], |_| false);
    let mut at = 0;
    let mut denied = false;
    while at < before.len() {
        if let Some(end) = LEXICON.affirms.end(&before, at) {
            at = end;
        } else if let Some(end) = LEXICON.contrasts.end(&before, at) {
            denied = false;
            at = end;
        } else if let Some(end) = LEXICON.denies_before.end(&before, at) {
            denied = true;
            at = end;
        } else {
            at += 1;
        }
    }
    denied
}

/// Where the clause of word `at` begins; where it continues a list (`no dog, cat or hen`), the clause that begins it.
fn list_start(text: &[Word], at: usize) -> usize {
    let start = clause_start(text, at);
    let examples = text.get(start).is_some_and(|word| matches!(word.text.as_str(), "such" | "including"));
    if examples && start > 0 && !text[start - 1].ends_sentence {
        return clause_start(text, start - 1);
    }
    let mut end = start;
    // Forward to the item that `or` joins to the last one.
    while let Some(length) = item_length(&text[end..]) {
        if text[end + length - 1].ends_sentence {
            return start;
        }
        end += length;
    }
    if !joins_items(&text[end..]) {
        return start;
    }
    // Back over the items between; the first one stands in a clause of its own.
    let mut start = start;
    while start > 0 && !text[start - 1].ends_sentence && !text[start - 1].delimited {
        let before = clause_start(text, start - 1);
        let is_item = item_length(&text[before..]) == Some(start - before);
        start = before;
        if !is_item {
            break;
        }
    }
    start
}

/// Longest item of a list, in words.
const ITEM: usize = 4;

/// How many words the first clause of `text` has, if it can be an item of a list: a few words, none of them a verb.
fn item_length(text: &[Word]) -> Option<usize> {
    let length = text.iter().take(ITEM).position(|word| word.ends_clause)? + 1;
    (!text[..length].iter().any(begins_statement) && !joins_items(&text[..length])).then_some(length)
}

/// Whether `text` begins with an item and `or`: `cat or hen`.
fn joins_items(text: &[Word]) -> bool {
    const OR: [&str; 7] = ["or", "nor", "oder", "ou", "или", "أو", "或"];
    let items = text.iter().take(ITEM + 1);
    let or = items.clone().position(|word| OR.contains(&word.text.as_str()));
    or.is_some_and(|or| !text[..or].iter().any(|word| word.ends_clause || begins_statement(word)))
}

/// Whether `word` begins a statement of its own: `It is not a dog, it is a cat or a hen.`
fn begins_statement(word: &Word) -> bool {
    const WORDS: [&str; 35] = [
        "but", "is", "are", "was", "be", "it", "it's", "this", "that", "that's", "there", "i", "i'd", "i'm",
        "i'll", "we", "so", "maybe", "perhaps", "probably", "rather", "possibly", "likely", "either",
        "sondern", "ist", "es", "mais", "est", "c'est", "il", "а", "это", "而", "是",
    ];
    WORDS.contains(&word.text.as_str())
}

/// `A cat can be ruled out, and so can a dog.`
fn shares_denial(text: &[Word], mention: &Mention) -> bool {
    let start = sentence_start(text, mention.start);
    let before = tokens(&text[start.max(mention.start.saturating_sub(3 * REACH))..mention.start], |_| false);
    let is = |token: &Token, words: &[&str]| words.contains(&token.text);
    let shares = |pair: &[Token]| {
        is(&pair[0], &["so", "as", "neither", "nor"]) && is(&pair[1], &["can", "is", "does"])
    };
    let reach = before.len().saturating_sub(4);
    before[reach..].windows(2).any(shares) && before.iter().any(|token| denies(token) || is(token, &EXCLUDED))
}

/// What excludes an option that it is said of.
const EXCLUDED: [&str; 6] = ["excluded", "eliminated", "dismissed", "discarded", "rejected", "out"];

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
            "no" | "not"
                | "nope"
                | "wrong"
                | "incorrect"
                | "false"
                | "unlikely"
                | "improbable"
                | "nein"
                | "non"
                | "нет"
        )
    {
        return true;
    }
    // `a dog (not very sure)`
    let doubts = |word: &Word| matches!(word.text.as_str(), "sure" | "certain" | "confident" | "positive");
    let doubt = rest.first().is_some_and(|word| word.opened) && rest.iter().take(4).any(doubts);
    if last.ends_clause || doubt {
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
    matches!(token.text, "not" | "no" | "never" | "wrong" | "ruled" | "incorrect" | "less" | "unlikely")
}

/// `Is it a dog?` asks; `A dog?` and `Maybe a dog?` are answers that sound unsure, unless something follows.
fn is_asked(text: &[Word], mention: &Mention) -> bool {
    let end = (mention.end - 1..text.len()).find(|&at| text[at].ends_sentence).unwrap_or(text.len() - 1);
    if !text[end].asks {
        return particle(text, mention.end, end);
    }
    // `It is a dog, isn't it?`
    let tag = clause_start(text, end);
    let tags = |word: &Word| {
        matches!(word.text.as_str(), "isn't" | "right" | "doesn't" | "aren't" | "wasn't" | "correct")
    };
    let inverted = |word: &Word| {
        matches!(word.text.as_str(), "is" | "are" | "was" | "were" | "does" | "do" | "could" | "can")
    };
    let states = !inverted(&text[sentence_start(text, mention.start)]);
    if states && tag >= mention.end && tags(&text[tag]) && end <= tag + 1 {
        return false;
    }
    // `A dog? Yes.`
    if text.get(end + 1).is_some_and(|word| word.text == "yes" && word.ends_clause) {
        return false;
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
    let (mut at, mut supposed) = (0, false);
    // `I'm not sure, although it sounds like a dog`
    if before.first().is_some_and(|first| matches!(first.text, "though" | "although"))
        && start > 0
        && !refusals(&text[sentence_start(text, start)..start]).is_empty()
    {
        at = 1;
    }
    // `The first is calm, while the second is anxious.` sets one next to the other.
    if before.first().is_some_and(|first| first.text == "while") && start > sentence_start(text, start) {
        at = 1;
    }
    let mut between = false;
    while at < before.len() {
        if let Some(end) = LEXICON.supposes.end(&before, at) {
            (supposed, between) = (true, before[at].text == "between");
            at = end;
            continue;
        }
        // `the interval between the two notes is a perfect fifth`
        supposed &= !(between && matches!(before[at].text, "is" | "are" | "was" | "were" | "sounds"));
        // `if I had to guess I would say a dog`
        supposed &= !matches!(before[at].text, "say" | "guess" | "choose" | "pick" | "then" | "answer");
        at += 1;
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
    const STARTS: [&str; 8] = ["well", "so", "okay", "ok", "now", "here", "and", "hmm"];
    let mut start = sentence_start(text, mention.start);
    // `The options are: A. a dog B. a cat`
    while start > 0 && text[start - 1].letter().is_some() && text[start - 1].delimited {
        start = sentence_start(text, start - 1);
    }
    let opening = tokens(&text[start..mention.start.min(start + REACH)], |_| false);
    let begins = opening.iter().take_while(|token| STARTS.contains(&token.text)).count();
    LEXICON.lists.end(&opening, begins).is_some()
}

/// Whether the number at the mention is one of those counted on the way: `1, 2, 3 - three claps`. The last one counts.
fn is_counted(text: &[Word], mention: &Mention) -> bool {
    /// Numbers from which on a row of them is counting.
    const ROW: usize = 3;
    let number = |at: usize| text.get(at).and_then(|word| counted(&word.text));
    let (start, Some(value)) = (mention.start, number(mention.start)) else { return false };
    let next = |at: usize| text[at].ends_clause && number(at + 1) == number(at).map(|value| value + 1);
    let begins =
        (start + 1).checked_sub(value).filter(|&first| (first..start).all(next) && number(first) == Some(1));
    let Some(first) = begins.filter(|_| mention.end == start + 1 && next(start)) else { return false };
    (first..first + ROW - 1).all(|at| at < text.len() && next(at))
}

/// The small number that `word` is.
fn counted(word: &str) -> Option<usize> {
    const WORDS: [&str; 10] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    /// Further than that nobody counts aloud.
    const MOST: usize = 100;
    let named = WORDS.iter().position(|one| *one == word).map(|at| at + 1);
    named.or_else(|| word.parse().ok()).filter(|value| (1..=MOST).contains(value))
}

/// Where the clause of word `at` begins.
pub(crate) fn clause_start(text: &[Word], at: usize) -> usize {
    text[..at].iter().rposition(|word| word.ends_clause).map_or(0, |end| end + 1)
}

/// Where the sentence of word `at` begins.
pub(crate) fn sentence_start(text: &[Word], at: usize) -> usize {
    text[..at].iter().rposition(|word| word.ends_sentence).map_or(0, |end| end + 1)
}
