//! Options that a reply names while it refuses, which are no answers.

use std::ops::Range;

use crate::judge::language::{LEXICON, tokens};
use crate::judge::mentions::Mention;
use crate::judge::text::Word;

/// Whether a mention is part of a refusal: inside it, after it (`I don't know if it is a dog`), or right before it.
pub(crate) fn is_hedged(reply: &[Word], mention: &Mention, refused: &[Range<usize>]) -> bool {
    let inside = |range: &Range<usize>| range.start < mention.end && mention.start < range.end;
    let next = refused.iter().find(|range| mention.end <= range.start);
    let before = next.is_some_and(|range| !turns(reply, mention.end - 1, range.start));
    before || refused.iter().any(inside) || follows_refusal(reply, mention.start, refused)
}

/// Whether a refusal stands before word `at` in the same sentence, with nothing between that turns it around.
pub(crate) fn follows_refusal(reply: &[Word], at: usize, refused: &[Range<usize>]) -> bool {
    // The nearest one decides: whatever turns it around stands after those before it as well.
    let nearest = refused.iter().rev().find(|range| range.end <= at);
    nearest.is_some_and(|range| !turns(reply, range.end - 1, at) && !states(reply, range.end - 1, at))
}

/// Whether a sentence ends, or a word turns it around, after word `from` and before word `to`.
fn turns(reply: &[Word], from: usize, to: usize) -> bool {
    /// Korean endings that mean `but`.
    const ENDINGS: [&str; 3] = ["지만", "는데", "으나"];
    if reply[from..to].iter().any(|word| word.ends_sentence) {
        return true;
    }
    let between = tokens(&reply[from + 1..to], |_| false);
    let turned = |at: usize| LEXICON.turns.end(&between, at).is_some();
    ENDINGS.iter().any(|ending| reply[from].text.ends_with(ending)) || (0..between.len()).any(turned)
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
