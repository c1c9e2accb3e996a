//! What a reply with words says: a statement, an announced answer, or the options and letters that it names.

mod announced;
mod labels;
mod left_out;
mod numbered;
mod statement;

use std::cell::LazyCell;

use crate::judge::denial::{clause_start, is_denied, leads_nowhere};
use crate::judge::language::{LEXICON, tokens};
use crate::judge::mentions::{Mention, mentions, only_choice, prefix_end, same};
use crate::judge::reading::announced::{announcement_end, sentence};
use crate::judge::reading::labels::labels;
use crate::judge::reading::statement::read_statement;
use crate::judge::refusal::{Refused, follows_refusal, is_hedged, refusals};
use crate::judge::text::Word;

pub(crate) use left_out::{correction, replacement, restated_options_end};
pub(crate) use numbered::lettered;
pub(crate) use statement::Reading;

/// Reads `reply`: as a whole, by what it announces, by what it names, or as the beginning of an option.
///
/// Most replies are read without their refusals, which take long to find.
pub(crate) fn read_reply<F: FnOnce() -> Refused>(
    reply: &[Word],
    options: &[Vec<Word>],
    refused: &LazyCell<Refused, F>,
) -> Reading {
    match read_statement(reply, options, false) {
        Reading::None => {}
        Reading::Choice(choice) => return Reading::Choice(choice),
        // `A and B can be excluded, so C.`
        Reading::Conflict => {
            let (found, letters) = (mentions(reply, options), labels(reply, options.len()));
            return concluded(reply, &found, &letters).map_or(Reading::Conflict, Reading::Choice);
        }
    }
    let announced = read_announced(reply, options, refused);
    if announced != Reading::None {
        return announced;
    }
    match read_mentions(reply, options, refused) {
        Reading::None => read_cut_off(reply, options),
        reading => reading,
    }
}

/// Reads what follows every phrase that announces an answer; all of them must agree.
fn read_announced(reply: &[Word], options: &[Vec<Word>], refused: &Refused) -> Reading {
    let mut result = Reading::None;
    let announced = (0..reply.len()).filter_map(|at| Some((at, announcement_end(reply, at)?)));
    let announced: Vec<(usize, usize)> = announced.collect();
    for (index, &(_, start)) in announced.iter().enumerate() {
        if follows_refusal(reply, start, refused) || leads_nowhere(reply, start) {
            continue;
        }
        let next = announced[index + 1..].iter().map(|&(at, _)| at).find(|&at| at > start);
        let tail = sentence(&reply[start..next.unwrap_or(reply.len())], options);
        let refuses = refused.ranges.iter().any(|range| (start..start + tail.len()).contains(&range.start));
        result = match (result, read_tail(tail, options, refuses)) {
            (Reading::None, reading) => reading,
            (result, Reading::None) => result,
            (result, reading) if result == reading => result,
            _ => return Reading::Conflict,
        };
    }
    result
}

/// Reads the sentence that follows an announcement: a statement, an option at its start, or one anywhere in it.
fn read_tail(tail: &[Word], options: &[Vec<Word>], refuses: bool) -> Reading {
    let statement = read_statement(tail, options, true);
    if statement != Reading::None {
        return statement;
    }
    let found = mentions(tail, options);
    let begins = (0..options.len()).filter_map(|choice| Some((prefix_end(tail, &options[choice])?, choice)));
    if let Some((_, choice)) = begins.max() {
        let names_others = found.iter().any(|mention| mention.choice != choice);
        return if names_others { Reading::Conflict } else { Reading::Choice(choice) };
    }
    match only_choice(&found) {
        Some(choice) if !refuses => Reading::Choice(choice),
        _ => Reading::None,
    }
}

/// Reads the letters that the reply gives as its answer, and options anywhere in it; they must agree.
fn read_mentions(reply: &[Word], options: &[Vec<Word>], refused: &Refused) -> Reading {
    let option_refuses: Vec<bool> = options.iter().map(|option| !refusals(option).is_empty()).collect();
    let mut found = mentions(reply, options);
    found.retain(|mention| option_refuses[mention.choice] || !is_hedged(reply, mention, refused));
    let mut letters = labels(reply, options.len());
    letters.retain(|letter| !is_hedged(reply, letter, refused));
    // `the note A` names the option `A`, whatever letter that option has.
    letters.retain(|letter| letter_counts(reply, letter, &found) && !is_note(reply, letter, options));
    let agreed = match (letters.is_empty(), only_choice(&letters), only_choice(&found)) {
        (true, _, Some(choice)) => Reading::Choice(choice),
        (true, _, None) => Reading::None,
        (false, Some(letter), other) if found.is_empty() || other == Some(letter) => Reading::Choice(letter),
        (false, ..) => Reading::Conflict,
    };
    if let Reading::Choice(choice) = agreed {
        return Reading::Choice(choice);
    }
    let settled = only_choice(&letters).filter(|_| discusses(reply, &found, &letters));
    let counted = || concluded(reply, &found, &letters).or_else(|| total(reply, &found, options));
    settled.or_else(counted).map_or(agreed, Reading::Choice)
}

/// The first number of several if it is the sum of the others, which a colon or a bracket lists: `4 beeps: 2 low, 2 high`.
fn total(reply: &[Word], found: &[Mention], options: &[Vec<Word>]) -> Option<usize> {
    let value = |mention: &Mention| match options[mention.choice].as_slice() {
        [word] => word.text.parse::<usize>().ok(),
        _ => None,
    };
    let [first, second, ..] = found else { return None };
    let colon = |word: &Word| word.ends_clause && word.delimited && !word.ends_sentence;
    let listed = reply[first.start..second.start].iter().any(colon)
        || reply[first.end..=second.start].iter().any(|word| word.opened);
    let sum = found[1..].iter().map(value).sum::<Option<usize>>()?;
    (listed && found.len() > 2 && value(first)? == sum).then_some(first.choice)
}

/// Whether the options that are named as well as letters are only talked about: several, all in later sentences.
fn discusses(reply: &[Word], found: &[Mention], letters: &[Mention]) -> bool {
    let Some(last) = letters.last() else { return false };
    let sentence_end = (last.start..reply.len()).find(|&at| reply[at].ends_sentence).unwrap_or(reply.len());
    only_choice(found).is_none() && found.iter().all(|mention| mention.start > sentence_end)
}

/// Whether a letter without brackets is no word of an option that the reply mentions.
fn letter_counts(reply: &[Word], letter: &Mention, found: &[Mention]) -> bool {
    let word = &reply[letter.start];
    let inside = |mention: &Mention| mention.start <= letter.start && letter.end <= mention.end;
    (word.opened && word.delimited) || !found.iter().any(inside)
}

/// Whether a letter without brackets is a note that an option has as well: `The root is A` to the options `A minor`, `C major`.
fn is_note(reply: &[Word], letter: &Mention, options: &[Vec<Word>]) -> bool {
    const NAMES: [&str; 9] =
        ["tonic", "root", "note", "chord", "key", "center", "centre", "tonality", "bass"];
    let word = &reply[letter.start];
    let before = &reply[clause_start(reply, letter.start)..letter.start];
    let named = before.iter().any(|word| NAMES.contains(&word.text.as_str()));
    let has = |option: &Vec<Word>| option.len() > 1 && option.iter().any(|one| one.text == word.text);
    named && !(word.opened && word.delimited) && options.iter().any(has)
}

/// The only option that is named after the last word that leads from reasons to what follows from them.
fn concluded(reply: &[Word], found: &[Mention], letters: &[Mention]) -> Option<usize> {
    let tokens = tokens(reply, |_| false);
    let begins = |at: usize| at == 0 || tokens[at - 1].ends_clause || tokens[at - 1].text == "and";
    let concludes = |at: &usize| begins(*at) && LEXICON.concludes.end(&tokens, *at).is_some();
    let last = (0..tokens.len()).rev().find(concludes)?;
    let start = tokens[last].word;
    let after: Vec<Mention> =
        found.iter().chain(letters).filter(|mention| mention.start > start).copied().collect();
    only_choice(&after)
}

/// A reply that the limit on tokens cut inside of an option: at least three words, and half of only one option.
fn read_cut_off(reply: &[Word], options: &[Vec<Word>]) -> Reading {
    let begins = |option: &Vec<Word>| {
        let enough = reply.len() >= 3 && 2 * reply.len() >= option.len() && reply.len() < option.len();
        enough && reply.iter().zip(option).all(|(said, word)| said.text == word.text)
    };
    // `A storm is com`
    let begins = |option: &Vec<Word>| {
        let Some((last, before)) = reply.split_last() else { return false };
        let word = option.get(before.len()).map_or("", |word| word.text.as_str());
        let cut = before.len() >= 3
            && !last.delimited
            && 2 * reply.len() >= option.len()
            && last.text.len() < word.len();
        let same = || before.iter().zip(option).all(|(said, word)| said.text == word.text);
        begins(option) || cut && word.starts_with(last.text.as_str()) && same()
    };
    // `It is a slow ballad with acoustic`
    let ends_in = |choice: usize| {
        let option = &options[choice];
        let starts = reply.len().saturating_sub(option.len())..reply.len().saturating_sub(3);
        let said = |at: &usize| {
            2 * (reply.len() - at) >= option.len() && same(&reply[*at..], &option[..reply.len() - at])
        };
        let mention = |start| Mention { choice, start, end: reply.len(), whole: true };
        starts.into_iter().find(said).is_some_and(|start| !is_denied(reply, &mention(start)))
    };
    let mut begun = (0..options.len()).filter(|&choice| begins(&options[choice]) || ends_in(choice));
    match (begun.next(), begun.next()) {
        (Some(choice), None) => Reading::Choice(choice),
        _ => Reading::None,
    }
}
