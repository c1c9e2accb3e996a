//! A piece of text that is nothing but an answer: a letter, an option, or a letter with its option.

use crate::judge::mentions::{mentions, prefix_end, same};
use crate::judge::words::Word;

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
/// a text must agree with it.
pub(crate) fn read_statement(text: &[Word], options: &[Vec<Word>]) -> Reading {
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
        Reading::Choice(letter)
    } else if first.opened || first.delimited {
        read_labelled(letter, rest, options, first)
    } else {
        read_bare(letter, rest, options, first)
    }
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
fn read_labelled(letter: usize, rest: &[Word], options: &[Vec<Word>], first: &Word) -> Reading {
    match exact(rest, options) {
        Reading::Choice(choice) if choice == letter => return Reading::Choice(letter),
        Reading::None => {}
        _ => return Reading::Conflict,
    }
    let end = prefix_end(rest, &options[letter]);
    let begins_with_it = end.is_some() && options.iter().all(|option| prefix_end(rest, option) <= end);
    // `(B) cat. A dog would bark.`: what follows the sentence is an explanation.
    let complete = begins_with_it && end.is_some_and(|end| rest[end - 1].ends_sentence);
    let found = mentions(rest, options);
    let names_others = !complete && found.iter().any(|mention| mention.choice != letter);
    let explains = begins_explanation(rest, first) && found.is_empty();
    // `A. dog, B. cat` lists the options.
    let lists = names_others || lists_letters(rest, options.len(), letter);
    if !lists && (begins_with_it || !found.is_empty() || explains) {
        Reading::Choice(letter)
    } else {
        Reading::Conflict
    }
}

/// `B text`: a letter only if the text is an option or an explanation; `A dog barks` begins with an article.
fn read_bare(letter: usize, rest: &[Word], options: &[Vec<Word>], first: &Word) -> Reading {
    match exact(rest, options) {
        Reading::Choice(choice) if choice == letter => return Reading::Choice(letter),
        Reading::Choice(_) | Reading::Conflict if first.text != "a" => return Reading::Conflict,
        _ => {}
    }
    if matches!(rest[0].text.as_str(), "or" | "and")
        && rest.get(1).is_some_and(|word| word.letter().is_some())
    {
        return Reading::Conflict;
    }
    let separated = first.ends_clause || matches!(rest[0].text.as_str(), "because" | "since");
    if separated { read_labelled(letter, rest, options, first) } else { Reading::None }
}

/// Whether `rest` names another letter: `(B)`, `B)`, `or B`, or `B.` where a clause begins.
fn lists_letters(rest: &[Word], options: usize, letter: usize) -> bool {
    rest.iter().enumerate().any(|(at, word)| {
        let begins = at == 0 || rest[at - 1].ends_clause;
        let joined = at > 0 && matches!(rest[at - 1].text.as_str(), "or" | "and");
        let labels =
            word.delimited && (begins || !word.ends_sentence) || begins && word.text != "a" || joined;
        let other = word.letter().is_some_and(|other| other < options && other != letter);
        other && (word.opened || word.upper && labels)
    })
}

fn begins_explanation(rest: &[Word], first: &Word) -> bool {
    const STARTS: [&str; 23] = [
        "according",
        "although",
        "but",
        "however",
        "though",
        "as",
        "because",
        "based",
        "due",
        "from",
        "given",
        "i",
        "in",
        "it",
        "its",
        "it's",
        "my",
        "since",
        "that",
        "there",
        "this",
        "we",
        "you",
    ];
    const SUBJECTS: [&str; 9] =
        ["answer", "audio", "clip", "music", "reason", "recording", "sound", "speaker", "speakers"];
    let subject =
        || rest[0].text == "the" && rest.get(1).is_some_and(|word| SUBJECTS.contains(&word.text.as_str()));
    first.ends_line || STARTS.contains(&rest[0].text.as_str()) || subject()
}
