//! Parts of a reply that say nothing about its answer: the options said again, and what the reply takes back.

use crate::judge::language::{LEXICON, tokens};
use crate::judge::mentions::{mentions, only_choice, prefix_end};
use crate::judge::reading::statement::{Reading, read_statement};
use crate::judge::text::Word;

/// Where a reply takes back what it has said: `a dog - no wait, a cat`.
pub(crate) struct Correction {
    /// The word at which the reply continues.
    pub(crate) end: usize,
    /// It says that what stands before is wrong. `Wait` alone may be a pause.
    pub(crate) retracts: bool,
}

/// The last correction of `reply`, if there is one.
pub(crate) fn correction(reply: &[Word]) -> Option<Correction> {
    let tokens = tokens(reply, |_| false);
    let begins = |at: usize| at == 0 || tokens[at - 1].ends_clause;
    // One word may also stand for something else: `wait for the bell`, `a dog, actually`.
    let begins_sentence = |at: usize| at == 0 || tokens[at - 1].ends_sentence;
    let counts = |at: usize, end: usize| end > at + 1 || (tokens[at].ends_clause && begins_sentence(at));
    let found =
        |at: usize| LEXICON.corrects.end_where(&tokens, at, |end| counts(at, end)).map(|end| (at, end));
    let (at, end) = (0..tokens.len()).rev().filter(|&at| begins(at)).find_map(found)?;
    let end_word = tokens[end - 1].word + 1;
    (end_word < reply.len()).then_some(Correction { end: end_word, retracts: end > at + 1 })
}

/// The option that replaces what stands before it, if the reply ends in nothing else: `B, sorry, C`.
pub(crate) fn replacement(reply: &[Word], options: &[Vec<Word>]) -> Option<usize> {
    const LEADS: &str = "it it's is should be that's that the correct answer option choice i i'd i'm meant mean say think \
        rather actually really would";
    if !reply.split_last().is_some_and(|(_, before)| before.iter().any(|word| word.ends_clause)) {
        return None;
    }
    let is_option = |text: &str| options.iter().any(|option| option.iter().any(|word| word.text == text));
    let tokens = tokens(reply, |_| false);
    let phrase_end = |at: usize| {
        let counts = |end: usize| end > at + 1 || tokens[at].ends_clause && !is_option(tokens[at].text);
        LEXICON.replaces.end_where(&tokens, at, counts)
    };
    let ends = (1..tokens.len()).rev().filter(|&at| tokens[at - 1].ends_clause).filter_map(phrase_end);
    let mut ends = ends.map(|end| tokens[end - 1].word + 1);
    let end = ends.find(|&end| end < reply.len())?;
    let leads = reply[end..].iter().take_while(|word| LEADS.split_whitespace().any(|lead| lead == word.text));
    let said = &reply[end + leads.count()..];
    if let Reading::Choice(choice) = read_statement(said, options, true) {
        return Some(choice);
    }
    let found = mentions(said, options);
    let choice = only_choice(&found)?;
    // `Rain... no, it is too rhythmic for that. Applause.`
    let last = said[..said.len() - 1].iter().rposition(|word| word.ends_sentence).map_or(0, |end| end + 1);
    let closes = prefix_end(&said[last..], &options[choice]) == Some(said.len() - last);
    if closes && found.iter().all(|one| one.start >= last) {
        return Some(choice);
    }
    prefix_end(said, &options[choice])
        .filter(|&end| said[end - 1].ends_clause && found[0].start <= 1)
        .map(|_| choice)
}

/// Where the options end that `reply` begins with: all of them in order, each with its letter or number, a line above
/// them aside. 0 if it does not, or if nothing follows.
pub(crate) fn restated_options_end(reply: &[Word], options: &[Vec<Word>]) -> usize {
    /// Longest line above them, in words: `Here are the options:`.
    const HEADING: usize = 6;
    let heading = reply.iter().take(HEADING).position(|word| word.ends_line).map(|at| at + 1);
    let starts = [Some(0), heading];
    let ends = starts.into_iter().flatten().filter_map(|start| options_end(reply, start, options));
    ends.filter(|&end| end < reply.len()).max().unwrap_or(0)
}

/// Where the options end that stand from word `start` on.
fn options_end(reply: &[Word], start: usize, options: &[Vec<Word>]) -> Option<usize> {
    if options.len() < 2 {
        return None;
    }
    let labels = |at: usize, choice: usize| {
        reply.get(at).is_some_and(|label| {
            let number = || label.text.parse() == Ok(choice + 1);
            (label.opened || label.delimited) && (label.letter() == Some(choice) || number())
        })
    };
    options.iter().enumerate().try_fold(start, |at, (choice, option)| {
        if !labels(at, choice) {
            return None;
        }
        let end = at + 1 + prefix_end(&reply[at + 1..], option)?;
        let followed = choice + 1 < options.len() && labels(end, choice + 1);
        (reply[end - 1].ends_clause || followed).then_some(end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::text::words;

    #[test]
    fn a_correction_begins_a_clause_and_something_follows_it() {
        let rest = |text: &str| {
            let words = words(text);
            let correction = correction(&words)?;
            let rest: Vec<_> = words[correction.end..].iter().map(|word| word.text.clone()).collect();
            Some((rest.join(" "), correction.retracts))
        };
        let found = |text: &str, retracts| Some((text.to_owned(), retracts));
        assert_eq!(rest("A dog... no wait, a cat."), found("a cat", true));
        assert_eq!(rest("A dog. On second thought it purrs."), found("it purrs", true));
        assert_eq!(rest("A. Actually, no: B."), found("b", true));
        assert_eq!(rest("A dog. Wait, it purrs."), found("it purrs", false));
        for text in ["A dog. Wait for the bell.", "A dog, no wait", "He says no wait and runs.", "A dog"] {
            assert_eq!(rest(text), None, "{text}");
        }
    }

    #[test]
    fn options_that_are_said_again_end_where_the_reply_begins() {
        let options = ["a dog", "a cat"].map(words);
        let end = |text: &str| restated_options_end(&words(text), &options);
        assert_eq!(end("A. a dog\nB. a cat\nAnswer: B"), 6);
        assert_eq!(end("Here are the options:\n(A) a dog\n(B) a cat\n\nB"), 10);
        assert_eq!(end("1) dog\n2) cat\nThe second."), 4);
        for text in
            ["A. a dog\nB. a cat", "A. a dog: yes\nB. a cat: no", "B. a cat\nA. a dog\nB", "A dog. A cat. B"]
        {
            assert_eq!(end(text), 0, "{text}");
        }
    }
}
