//! Letters that a reply gives as its answer: `(B)`, `probably B`, `B is correct`, `so B`.

use crate::judge::denial::{clause_start, is_denied, sentence_start};
use crate::judge::language::{LEXICON, tokens};
use crate::judge::mentions::Mention;
use crate::judge::text::{Word, is_unspaced};

/// Letters of one of `options` options that `text` gives as an answer, in the order of the text.
pub(crate) fn labels(text: &[Word], options: usize) -> Vec<Mention> {
    let letters = (0..text.len()).filter_map(|start| {
        let choice = text[start].letter().filter(|&choice| choice < options)?;
        Some(Mention::letter(choice, start))
    });
    letters.filter(|label| is_label(text, label.start) && !is_denied(text, label)).collect()
}

/// Whether the letter at word `at` is given as an answer, whatever it is said about it.
fn is_label(text: &[Word], at: usize) -> bool {
    let word = &text[at];
    if word.opened && word.delimited {
        return true;
    }
    word.upper
        && (is_among_unspaced(text, at)
            || stands_alone(text, at)
            || is_introduced(text, at)
            || is_confirmed(text, at))
}

/// `答案是B`: a capital among characters of a script without spaces. `B调` is a key.
fn is_among_unspaced(text: &[Word], at: usize) -> bool {
    const NAMES: [&str; 9] = ["调", "調", "大", "小", "型", "级", "級", "超", "调式"];
    let unspaced = |at: usize| text.get(at).is_some_and(|word| is_unspaced(&word.text));
    let next = text.get(at + 1).map_or("", |word| word.text.as_str());
    let named = !text[at].ends_clause && NAMES.contains(&next);
    (at > 0 && unspaced(at - 1) || unspaced(at + 1)) && !named
}

/// A sentence of its own at the end of the reply: `Not A, not B. C.`
fn stands_alone(text: &[Word], at: usize) -> bool {
    // `1) B`
    let numbered = |word: &Word| word.delimited && word.text.bytes().all(|byte| byte.is_ascii_digit());
    let begins = at == 0 || text[at - 1].ends_sentence || (at == 1 && numbered(&text[0]));
    begins && text[at].ends_sentence && (at + 1 == text.len() || text[at].ends_line)
}

/// `the answer is B`, `probably B`, `Therefore, B.`: a word that leads up to it stands before it, and its clause ends.
fn is_introduced(text: &[Word], at: usize) -> bool {
    /// Longest phrase that leads up to a letter, in words.
    const LENGTH: usize = 4;
    let start = sentence_start(text, at).max(at.saturating_sub(LENGTH));
    let Some(before) = text[start..at].last() else { return false };
    // `Out of these, B.`, but not `A, B.`
    let denies = matches!(before.text.as_str(), "wrong" | "not" | "incorrect" | "false" | "no" | "nor");
    let own_clause = before.ends_clause && before.letter().is_none() && !denies && text[at].ends_sentence;
    let adverb = before.text.len() > 4 && before.text.ends_with("ly");
    let introduced = || LEXICON.introduces.ends(&tokens(&text[start..at], |_| false));
    closes(text, at) && (own_clause || adverb || introduced())
}

/// Whether the letter at word `at` is not part of a name such as `C major`.
fn closes(text: &[Word], at: usize) -> bool {
    const NEXT: [&str; 19] = [
        "sagen", "wählen", "nehmen", "because", "since", "as", "but", "though", "although", "which", "here",
        "again", "based", "due", "given", "instead", "rather", "not", "i",
    ];
    let Some(next) = text.get(at + 1) else { return true };
    let after = text.get(at + 2).map_or("", |word| word.text.as_str());
    let sure = next.text == "for" && matches!(after, "sure" | "me" | "certain" | "now");
    let sure = sure
        || next.text == "with"
            && text[at + 1..]
                .iter()
                .take(6)
                .any(|word| matches!(word.text.as_str(), "confidence" | "certainty"));
    text[at].ends_clause || text[at].delimited || sure || NEXT.contains(&next.text.as_str())
}

/// `B is the answer`, `A: no. B: yes.`
pub(crate) fn is_confirmed(text: &[Word], at: usize) -> bool {
    /// Longest phrase that confirms a letter, in words.
    const LENGTH: usize = 6;
    let begins = clause_start(text, at);
    let before = begins.max(at.saturating_sub(LENGTH));
    let leads = begins == at || LEXICON.introduces.ends(&tokens(&text[before..at], |_| false));
    let after = tokens(&text[at + 1..text.len().min(at + 1 + LENGTH)], |_| false);
    let end = LEXICON.confirms.end(&after, 0);
    // `A good answer` begins with an article.
    let article = begins == at
        && text[at].text == "a"
        && !text[at].delimited
        && after.first().is_some_and(|next| next.text != "is");
    leads && !article && end.is_some()
}
