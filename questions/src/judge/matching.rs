//! What a reply says: options first, then refusals, and never a guess.

use std::ops::Range;

use crate::judge::Judgement;
use crate::judge::mentions::{Mention, occurrences, same};
use crate::judge::open::judge_open;
use crate::judge::reading::{Reading, correction, lettered, read_reply, replacement, restated_options_end};
use crate::judge::refusal::{Refused, refuses_without_option};
use crate::judge::text::{Word, answer_part, normalise, words};
use crate::question::Question;

/// Words of a reply that are read, its last ones. Stops a stored answer of megabytes from taking hours: reading takes
/// more than linear time.
const MAX_REPLY_WORDS: usize = 2048;

/// Bytes of a reply that are read, its last ones. Same reason, for replies without spaces.
const MAX_REPLY_BYTES: usize = 1 << 16;

/// Judges the reply `text` to `question`.
///
/// Markup, thoughts, what follows an end token, the question's options where a reply begins with all of them, and what it
/// takes back (`a dog - no wait, a cat`) are left out. Then, in this order:
/// 1. the whole reply is an option's text, a letter (`B`, `b.`, `(B)`), or a letter with its text or an explanation;
/// 2. a phrase announces the answer: `The answer is (B) text`, `answer: text`, `option B`;
/// 3. exactly one letter that is given as an answer (`(B)`, `probably B`, `B is correct`), or exactly one option's text,
///    stands somewhere in the reply as whole words (the longest one where options contain each other), neither denied
///    nor asked about, supposed or listed;
/// 4. the reply refuses.
///
/// Anything else, a letter with another option's text and several options included, is wrong and `unparsed`. A
/// mention after a refusal in the same sentence is no answer (`I don't know if it is a dog`), unless a word like
/// `but` or `maybe` stands between. Letters refer to `question.choices` in their order: pass the question as it was
/// shown. `docs/reference/scorers.md` has the choices behind it.
///
/// A reply to an open question is right if it is or contains one of its answers, as [`Question::answer_match`] says,
/// and is never `unparsed` unless it is empty.
#[must_use]
pub fn judge(text: &str, question: &Question) -> Judgement {
    let answer = answer_part(text);
    let answer = &answer[answer.ceil_char_boundary(answer.len().saturating_sub(MAX_REPLY_BYTES))..];
    let mut reply = words(answer);
    reply.drain(..reply.len().saturating_sub(MAX_REPLY_WORDS));
    if question.is_open() {
        return judge_open(answer, &reply, &Refused::of(&reply), question);
    }
    if let Some(choice) = symbol(answer, &reply, &question.choices) {
        return Judgement::of_choice(choice, question);
    }
    let options: Vec<Vec<Word>> = question.choices.iter().map(|choice| words(choice)).collect();
    let reply = lettered(reply, &options);
    let said = &reply[restated_options_end(&reply, &options)..];
    let judgement = judge_corrected(said, &options, question);
    match without_preposition(&options).or_else(|| without_beginning(&options)) {
        // `a kitchen` to the options `In a kitchen`, `In a car`.
        Some(options) if judgement == Judgement::UNPARSED => {
            let judgement = judge_corrected(said, &options, question);
            let places =
                |choice| occurrences(said, &options).into_iter().filter(move |one| one.choice == choice);
            let is_place = |choice| places(choice).any(|one| ends_name(said, one.end));
            if judgement.choice.is_some_and(is_place) { judgement } else { Judgement::UNPARSED }
        }
        _ => judgement,
    }
}

/// Whether the name of a place ends before word `end`: not `a hospital` in `a hospital visit`.
fn ends_name(text: &[Word], end: usize) -> bool {
    const NEXT: [&str; 11] =
        ["with", "where", "because", "since", "in", "at", "after", "before", "when", "during", "about"];
    text[end - 1].ends_clause || text.get(end).is_some_and(|word| NEXT.contains(&word.text.as_str()))
}

/// The options without the prepositions that all of them begin with, if they still differ.
fn without_preposition(options: &[Vec<Word>]) -> Option<Vec<Vec<Word>>> {
    const PREPOSITIONS: [&str; 8] = ["in", "at", "on", "inside", "by", "with", "from", "to"];
    let rest = |option: &Vec<Word>| {
        let (first, rest) = option.split_first()?;
        (PREPOSITIONS.contains(&first.text.as_str()) && !rest.is_empty()).then(|| rest.to_vec())
    };
    let rests = options.iter().map(rest).collect::<Option<Vec<_>>>()?;
    let repeats = |at: usize| rests[..at].iter().any(|other| same(other, &rests[at]));
    (!(0..rests.len()).any(repeats)).then_some(rests)
}

/// The options without the beginning that all of them share, up to its last verb or pronoun: `He is a pilot`, `He is a
/// chef`.
fn without_beginning(options: &[Vec<Word>]) -> Option<Vec<Vec<Word>>> {
    const LAST: [&str; 9] = ["is", "are", "was", "were", "it", "he", "she", "they", "because"];
    let (first, others) = options.split_first()?;
    let shared = |at: &usize| {
        others.iter().all(|other| other.get(*at).is_some_and(|word| word.text == first[*at].text))
    };
    let length = (0..first.len()).take_while(shared).count();
    let last = first[..length].iter().rposition(|word| LAST.contains(&word.text.as_str()))?;
    let rests: Vec<Vec<Word>> = options.iter().map(|option| option[last + 1..].to_vec()).collect();
    (options.len() > 1 && rests.iter().all(|rest| !rest.is_empty())).then_some(rests)
}

/// Judges the words `reply`, of which a correction replaces what stands before it.
fn judge_corrected(reply: &[Word], options: &[Vec<Word>], question: &Question) -> Judgement {
    if let Some(choice) = replacement(reply, options) {
        return Judgement::of_choice(choice, question);
    }
    let Some(correction) = correction(reply) else { return judge_words(reply, options, question) };
    let corrected = judge_words(&reply[correction.end..], options, question);
    // `Wait` that is followed by nothing about an option is a pause.
    let silent = || occurrences(&reply[correction.end..], options).is_empty();
    let stays = corrected == Judgement::UNPARSED && !correction.retracts && silent();
    if stays { judge_words(reply, options, question) } else { corrected }
}

/// Judges the words `reply` to a question with `options`.
fn judge_words(reply: &[Word], options: &[Vec<Word>], question: &Question) -> Judgement {
    let refused = Refused::of(reply);
    match read_reply(reply, options, &refused) {
        Reading::Choice(choice) => Judgement::of_choice(choice, question),
        Reading::None | Reading::Conflict if refuses(reply, options, &refused) => Judgement::REFUSED,
        Reading::None | Reading::Conflict => Judgement::UNPARSED,
    }
}

/// Whether the reply refuses, and not only by naming an option such as `Cannot be determined`.
fn refuses(reply: &[Word], options: &[Vec<Word>], refused: &Refused) -> bool {
    let named = occurrences(reply, options);
    if refused.is_empty() {
        return named.is_empty() && !has_letter(reply, options.len()) && refuses_without_option(reply);
    }
    let is_named =
        |range: &Range<usize>| named.iter().any(|one| one.start <= range.start && range.end <= one.end);
    // `I can't hear any dog.`, `A dog is not mentioned in the audio.`
    let denies = |range: &Range<usize>| {
        let has =
            |words: [&str; 3]| reply[range.clone()].iter().any(|word| words.contains(&word.text.as_str()));
        let (hears, says) = (has(["hear"; 3]), has(["mentioned", "indicated", "given"]));
        let is_object = |one: &Mention| one.start == range.end && reply[one.end - 1].ends_sentence;
        let is_subject = |one: &Mention| one.end + 1 == range.start && !reply[one.end - 1].ends_clause;
        named.iter().any(|one| hears && is_object(one) || says && is_subject(one))
    };
    refused.ranges.iter().any(|range| !is_named(range) && !denies(range))
}

/// Whether the reply has a letter of one of `options` options that is no article.
fn has_letter(reply: &[Word], options: usize) -> bool {
    let is_one = |word: &Word| word.letter().is_some_and(|letter| letter < options);
    reply.iter().any(|word| is_one(word) && (word.opened || word.delimited || word.upper && word.text != "a"))
}

/// A reply without any word (`?`) is compared with the options by its characters.
fn symbol(text: &str, reply: &[Word], choices: &[String]) -> Option<usize> {
    if !reply.is_empty() {
        return None;
    }
    let text = Some(normalise(text)).filter(|text| !text.is_empty())?;
    let mut equal = choices.iter().enumerate().filter(|(_, choice)| normalise(choice) == text);
    let (choice, _) = equal.next()?;
    equal.next().is_none().then_some(choice)
}
