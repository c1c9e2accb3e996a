//! Where the words of an option stand in a text, whatever articles, hyphens and endings they have there.

use crate::judge::text::Word;
use crate::judge::text::forms::{fits, hyphenated};

/// The end of `option` if it stands at word `start` of `text`, and whether it stands there letter by letter. Articles do
/// not matter, neither those of the text (`footsteps on the snow` is `footsteps on snow`) nor those of the option, unless
/// it is nothing else. Nor do hyphens between words, the possessive and the plural.
pub(crate) fn match_end(text: &[Word], start: usize, option: &[Word]) -> Option<(usize, bool)> {
    match_in_order(text, start, option).or_else(|| turned_end(text, start, option))
}

/// The same for `barking dog` and `barking of a dog` to the option `dog barking`, and for `dog barking` to `barking dog`.
fn turned_end(text: &[Word], start: usize, option: &[Word]) -> Option<(usize, bool)> {
    let gerund = |word: &Word| word.text.len() > 5 && word.text.ends_with("ing");
    let [first, .., last] = option else { return None };
    let (head, tail) = match (gerund(first), gerund(last)) {
        (false, true) => option.split_at(option.len() - 1),
        (true, false) => option.split_at(1),
        _ => return None,
    };
    let (end, _) = match_in_order(text, start, tail)?;
    let joins = |word: &Word| {
        is_article(word) || gerund(last) && word.text == "of" || is_copula(word) && gerund(first)
    };
    let skipped = text[end..].iter().take_while(|word| joins(word)).count();
    if text[start..end + skipped].iter().any(|word| word.ends_clause) {
        return None;
    }
    match_in_order(text, end + skipped, head).map(|(end, _)| (end, false))
}

/// The same for the words of the option in their order.
fn match_in_order(text: &[Word], start: usize, option: &[Word]) -> Option<(usize, bool)> {
    let only_articles = option.iter().all(is_article);
    let is_dropped = |at: usize| {
        let foreign = at == 0 && option.len() > 1 && is_foreign_article(&option[0].text);
        foreign || (!only_articles && is_article(&option[at]) && !is_name(option, at))
    };
    let wanted = (0..option.len()).filter(|&at| !is_dropped(at)).map(|at| &option[at]);
    let mut wanted = wanted.flat_map(|word| hyphenated(&word.text)).peekable();
    let (mut at, mut exact) = (start, true);
    wanted.peek()?;
    while wanted.peek().is_some() {
        let word = text.get(at)?;
        let next = wanted.peek().copied().unwrap_or_default();
        let between = is_article(word) || (is_copula(word) && next.ends_with("ing"));
        if at > start && between && next != word.text {
            exact &= !is_copula(word);
            at += 1;
            continue;
        }
        for part in hyphenated(&word.text) {
            exact &= fits(part, wanted.next()?)?;
        }
        at += 1;
    }
    Some((at, exact))
}

/// An English article.
pub(crate) fn is_article(word: &Word) -> bool {
    matches!(word.text.as_str(), "a" | "an" | "the")
}

/// `the dog is barking` names the option `dog barking`.
fn is_copula(word: &Word) -> bool {
    matches!(word.text.as_str(), "is" | "are" | "was" | "were")
}

/// Whether `word` is an article of another language that the options may begin with.
fn is_foreign_article(word: &str) -> bool {
    const ARTICLES: &str =
        "un une le la les l' des du el los las una unos unas il lo gli uno um uma der die das ein eine";
    ARTICLES.split(' ').any(|article| article == word)
}

/// Whether the `A` at word `at` is a note, an initial or the end of a name: `A minor`, `A. Camus`, `Plan A`.
pub(crate) fn is_name(text: &[Word], at: usize) -> bool {
    const SCALES: [&str; 12] = [
        "major",
        "minor",
        "maj",
        "min",
        "flat",
        "sharp",
        "chord",
        "dorian",
        "phrygian",
        "lydian",
        "mixolydian",
        "aeolian",
    ];
    let next = text.get(at + 1).map_or("", |word| word.text.as_str());
    let ends = at > 0 && at + 1 == text.len();
    text[at].text == "a" && (ends || text[at].upper && (text[at].delimited || SCALES.contains(&next)))
}
