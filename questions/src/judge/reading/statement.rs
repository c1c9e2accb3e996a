//! A piece of text that is nothing but an answer: a letter, an option, or a letter with its option.

use std::ops::Range;

use crate::judge::denial::is_denied;
use crate::judge::language::LEXICON;
use crate::judge::mentions::{Mention, mentions, occurrences, prefix_end, same};
use crate::judge::reading::labels::labels;
use crate::judge::refusal::refusals;
use crate::judge::text::Word;

/// Longest refusal that may stand behind a letter, in words.
const MAX_REFUSAL_WORDS: usize = 16;

/// What a statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It names one option.
    Choice(usize),
    /// It contradicts itself or names several options.
    Conflict,
    /// It is no answer in one of the known forms.
    None,
}

/// Reads `text` as a whole: `footsteps on snow`, `B`, `(B)`, `B.`, `B) footsteps on snow`, `(B) because ...`.
///
/// Option text goes before letters: where the options are chords, `D` is the chord and `(D)` the letter. A letter with
/// a text must agree with it. `announced` says that something like `The answer is` stands before the text.
pub(crate) fn read_statement(text: &[Word], options: &[Vec<Word>], announced: bool) -> Reading {
    let Some((first, rest)) = text.split_first() else { return Reading::None };
    let letter = first.letter().filter(|&letter| letter < options.len());
    let bracketed = first.opened && first.delimited;
    if !(rest.is_empty() && bracketed && letter.is_some()) {
        match exact(text, options) {
            Reading::None => {}
            reading => return reading,
        }
    }
    let Some(letter) = letter else { return read_glued(text, options) };
    if rest.is_empty() {
        return Reading::Choice(letter);
    }
    match exact(rest, options) {
        Reading::Choice(choice) if choice == letter => return Reading::Choice(letter),
        Reading::Choice(_) | Reading::Conflict if first.opened || first.delimited => {
            return Reading::Conflict;
        }
        _ => {}
    }
    let doubt = rest[0].opened && !first.opened && rest[0].text != "i";
    if !announced && !doubt && is_refusal_alone(rest) {
        return Reading::None;
    }
    let named = prefix_end(rest, &options[letter]).is_some();
    if !named && (is_subject(first, rest) || is_denied(text, &Mention::letter(letter, 0))) {
        return Reading::None;
    }
    if first.opened || first.delimited || rest[0].opened {
        read_labelled(letter, text, options, announced)
    } else {
        read_bare(letter, text, options, announced)
    }
}

/// Whether `rest` refuses and says nothing else: `(B) I don't know the answer.`
fn is_refusal_alone(rest: &[Word]) -> bool {
    const REST: &str = "the answer it that this sorry which one for sure to";
    let first = refusals(&rest[..rest.len().min(MAX_REFUSAL_WORDS)]).into_iter().next();
    let alone = |range: &Range<usize>| rest[range.end..].iter().all(|word| is_one_of(REST, &word.text));
    rest.len() <= MAX_REFUSAL_WORDS && first.is_some_and(|range| range.start == 0 && alone(&range))
}

/// The option with exactly these words.
fn exact(text: &[Word], options: &[Vec<Word>]) -> Reading {
    let mut equal = options.iter().enumerate().filter(|(_, option)| same(text, option));
    match (equal.next(), equal.next()) {
        (Some((choice, _)), None) => Reading::Choice(choice),
        (Some(_), Some(_)) => Reading::Conflict,
        (None, _) => Reading::None,
    }
}

/// `B.text`, `B:text` without a space, only if all of it agrees: `A:min` is a chord.
fn read_glued(text: &[Word], options: &[Vec<Word>]) -> Reading {
    let agrees = |(letter, option): (usize, &Vec<Word>)| {
        let label = crate::question::letter(letter).to_ascii_lowercase();
        let tail = text[0].text.strip_prefix(label).and_then(|tail| tail.strip_prefix(['.', ':']));
        let begins = option.first().zip(tail).is_some_and(|(word, tail)| word.text == tail);
        begins && same(&text[1..], &option[1..])
    };
    options.iter().enumerate().position(agrees).map_or(Reading::None, Reading::Choice)
}

/// `(B) text`, `B. text`: the text must be the option's, or explain the choice.
fn read_labelled(letter: usize, text: &[Word], options: &[Vec<Word>], announced: bool) -> Reading {
    let (first, rest) = (&text[0], &text[1..]);
    if exact(rest, options) != Reading::None {
        return Reading::Conflict;
    }
    let end = prefix_end(rest, &options[letter]);
    let begins_with_it = end.is_some() && options.iter().all(|option| prefix_end(rest, option) <= end);
    // `(B) cat. A dog would bark.`: what follows the sentence is an explanation.
    let complete = begins_with_it && end.is_some_and(|end| rest[end - 1].ends_sentence);
    let found = mentions(rest, options);
    // `B, but it could also be C`
    let joined = !complete && !first.ends_sentence && rest[0].text == "but";
    let other_letter = || labels(rest, options.len()).iter().any(|label| label.choice != letter);
    let names_others =
        !complete && found.iter().any(|mention| mention.choice != letter) || joined && other_letter();
    let explains = found.is_empty() && explains(letter, first, rest, options, announced);
    // `A. dog, B. cat` lists the options.
    let lists =
        names_others || joins_letter(rest, options.len(), letter) || lists_options(rest, options, letter);
    if !lists && (begins_with_it || !found.is_empty() || explains) {
        Reading::Choice(letter)
    } else {
        Reading::Conflict
    }
}

/// `B text`: a letter only if the text is an option or an explanation; `A dog barks` begins with an article.
fn read_bare(letter: usize, text: &[Word], options: &[Vec<Word>], announced: bool) -> Reading {
    const EXPLAINS: [&str; 8] = ["because", "since", "not", "instead", "rather", "as", "but", "though"];
    let (first, rest) = (&text[0], &text[1..]);
    match exact(rest, options) {
        Reading::Choice(_) | Reading::Conflict if first.text != "a" => return Reading::Conflict,
        _ => {}
    }
    if matches!(rest[0].text.as_str(), "or" | "and") && joins_letter(rest, options.len(), letter) {
        return Reading::Conflict;
    }
    let denies_next = rest[0].text == "and" && rest.get(1).is_some_and(|word| word.text == "not");
    let separated = first.ends_clause
        || denies_next
        || (first.upper && EXPLAINS.contains(&rest[0].text.as_str()))
        || (first.upper && rest.iter().all(is_soft));
    if separated { read_labelled(letter, text, options, announced) } else { Reading::None }
}

/// Whether `word` only says how sure the answer is: `B, most likely`.
fn is_soft(word: &Word) -> bool {
    LEXICON.softens.contains(word.text.as_str()) || word.text.ends_with("ly")
}

/// Whether the letter `first` is what its sentence is about, and no answer by itself: `(A) is too loud`.
fn is_subject(first: &Word, rest: &[Word]) -> bool {
    const VERBS: [&str; 12] =
        ["is", "was", "would", "could", "should", "might", "may", "sounds", "seems", "can", "has", "does"];
    !first.ends_clause && VERBS.contains(&rest[0].text.as_str())
}

/// Whether `rest` continues with another letter: `(B)`, `, B`, `or B`, `and maybe B`.
fn joins_letter(rest: &[Word], options: usize, letter: usize) -> bool {
    const JOINS: [&str; 8] = ["or", "and", "maybe", "possibly", "perhaps", "option", "also", "either"];
    let joins = |at: usize| rest.get(at).is_some_and(|word| matches!(word.text.as_str(), "or" | "and"));
    let Some(next) = rest.iter().position(|word| !JOINS.contains(&word.text.as_str())) else { return false };
    let word = &rest[next];
    let other = word.letter().is_some_and(|other| other < options && other != letter);
    let marked = word.opened || word.delimited || word.ends_clause || joins(0) || joins(next + 1);
    other && marked && (word.upper || word.opened)
}

/// Whether `rest` has another letter with its option: `B. cat` where a clause begins.
fn lists_options(rest: &[Word], options: &[Vec<Word>], letter: usize) -> bool {
    rest.iter().enumerate().any(|(at, word)| {
        let begins = word.opened || at == 0 || rest[at - 1].ends_clause;
        let other = word.letter().filter(|&other| other < options.len() && other != letter);
        let marked = begins && (word.opened || word.upper) && (word.delimited || word.opened);
        let denied = || is_denied(rest, &Mention::letter(letter, at));
        let named = |other: usize| prefix_end(&rest[at + 1..], &options[other]).is_some();
        marked && other.is_some_and(named) && !denied()
    })
}

/// Whether `rest`, which names no option, explains the letter `first` or is the beginning of its option.
fn explains(letter: usize, first: &Word, rest: &[Word], options: &[Vec<Word>], announced: bool) -> bool {
    let excludes = rest[0].text == "and" && rest.get(1).is_some_and(|word| word.text == "not");
    if excludes {
        return true;
    }
    // `(B).` and a line break end the answer.
    if first.ends_line || (first.opened && first.ends_sentence) || is_one_of(STARTS, &rest[0].text) {
        return true;
    }
    let begun = |words: &[Word]| words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    if begun(&options[letter]).starts_with(&begun(rest)) || rest.iter().all(is_soft) {
        return true;
    }
    let end = rest.iter().position(|word| word.ends_sentence).map_or(rest.len(), |at| at + 1);
    let sentence = &rest[..end];
    // Options that are named whole are denied ones.
    let named = occurrences(sentence, options);
    let is_other = |(at, word): (usize, &Word)| {
        let has = |option: &Vec<Word>| option.iter().any(|own| own.text == word.text);
        let inside = |mention: &Mention| (mention.start..mention.end).contains(&at);
        word.text.len() > 3 && !has(&options[letter]) && options.iter().any(has) && !named.iter().any(inside)
    };
    let says_something =
        sentence.iter().any(|word| is_verb(&word.text)) || crate::judge::text::is_unspaced(&rest[0].text);
    let begins_sentence = announced && (rest[0].upper || !first.ends_sentence) && first.ends_clause;
    !sentence.iter().enumerate().any(is_other)
        && (says_something || begins_sentence || has_finite_s(sentence))
}

/// `An engine runs`: a sentence that begins with an article and has a word that looks like a verb after its noun.
fn has_finite_s(sentence: &[Word]) -> bool {
    let begins = matches!(sentence[0].text.as_str(), "a" | "an" | "the" | "one" | "someone" | "something");
    let verb =
        |word: &Word| word.text.ends_with('s') && !word.text.ends_with("ss") && !word.text.contains('\'');
    begins && sentence[0].upper && sentence.iter().skip(2).any(verb)
}

/// Whether `word` shows that its sentence says something, and does not name an option.
fn is_verb(word: &str) -> bool {
    const VERBS: &str = "ist sind wird hört höre klingt est sont entend es son oye suena è sono sente é são ouve это \
        is are was were be been can could has have had does do did will would should may might must \
        sounds seems appears hear hears heard plays matches fits suggests indicates contains \
        features includes there's that's it's i'm listen shows makes gives give fit points suggest \
        indicate sound seem match show make";
    is_one_of(VERBS, word) || word.ends_with("n't")
}

/// Whether `word` is in the list `words`.
fn is_one_of(words: &str, word: &str) -> bool {
    words.split(' ').any(|one| one == word)
}

/// Words that begin an explanation.
const STARTS: &str = "weil denn parce porque pois perché poiché потому так ведь لأن 因为 according although but however \
    though as because based due from given i in it its it's my since that there there's this we you \
    explanation reason reasoning not instead rather nothing without";
