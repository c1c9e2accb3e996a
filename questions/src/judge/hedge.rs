//! Options that a reply names while it refuses, which are no answers.

use std::ops::Range;

use crate::judge::mentions::Mention;
use crate::judge::words::Word;

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
    nearest.is_some_and(|range| !turns(reply, range.end - 1, at))
}

/// Whether a sentence ends, or a word turns it around, after word `from` and before word `to`.
fn turns(reply: &[Word], from: usize, to: usize) -> bool {
    const TURNS: &str = "although believe but guess however likely maybe might perhaps possibly presumably probably \
        say suppose suspect think though";
    let turned = |word: &Word| TURNS.split_whitespace().any(|turn| turn == word.text);
    reply[from..to].iter().any(|word| word.ends_sentence) || reply[from + 1..to].iter().any(turned)
}
