//! Options that a reply names while it refuses, which are no answers.

use std::ops::Range;

use crate::judge::denial::clause_start;
use crate::judge::mentions::Mention;
use crate::judge::refusal::Refused;
use crate::judge::text::Word;

/// Whether a mention is part of a refusal: inside it, after it (`I don't know if it is a dog`), or right before it.
pub(crate) fn is_hedged(reply: &[Word], mention: &Mention, refused: &Refused) -> bool {
    let inside = |range: &Range<usize>| range.start < mention.end && mention.start < range.end;
    let next = refused.ranges.iter().find(|range| mention.end <= range.start);
    let before = next.is_some_and(|range| {
        let (from, to) = (mention.end - 1, range.start);
        // `A dog - not sure though.`
        let though = reply.get(range.end).is_some_and(|word| word.text == "though");
        (!though && !turns(reply, from, to, refused))
            || (is_alternative(reply, mention) && !ends_sentence(reply, from, to))
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

/// Whether the mention is one of two that `or` joins: `a dog or a wolf`.
fn is_alternative(reply: &[Word], mention: &Mention) -> bool {
    let is_or = |word: &Word| matches!(word.text.as_str(), "or" | "oder" | "ou" | "o" | "или" | "أو");
    let start = clause_start(reply, mention.start);
    let after = !reply[mention.end - 1].ends_clause && reply.get(mention.end).is_some_and(is_or);
    after || reply[start.max(mention.start.saturating_sub(3))..mention.start].iter().any(is_or)
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
