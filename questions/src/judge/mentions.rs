//! Options that occur somewhere in a text, as whole words.

use crate::judge::denial::is_denied;
use crate::judge::option_match::{is_article, is_name, match_end};
use crate::judge::text::{Word, is_bounded};

/// One occurrence of an option: the words `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) choice: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// It is not, or might not be, part of another word: the owl `猫头鹰` is hardly a cat, `猫`.
    pub(crate) whole: bool,
}

impl Mention {
    /// The letter of option `choice` at word `at`.
    pub(crate) fn letter(choice: usize, at: usize) -> Self {
        Self { choice, start: at, end: at + 1, whole: true }
    }
}

/// Every option that `text` mentions and does not deny, in the order of the text.
///
/// Of two options where one contains the other the longer one counts: `footsteps on snow` is no mention of
/// `footsteps`. Where another option has exactly the words of the text, an inflected form is no mention.
pub(crate) fn mentions(text: &[Word], options: &[Vec<Word>]) -> Vec<Mention> {
    let found = occurrences(text, options);
    found.into_iter().filter(|one| !is_denied(text, one)).collect()
}

/// The option that all mentions agree on, if there is one; one of them at least must be whole.
pub(crate) fn only_choice(mentions: &[Mention]) -> Option<usize> {
    let first = mentions.iter().find(|mention| mention.whole)?.choice;
    mentions.iter().all(|mention| mention.choice == first).then_some(first)
}

/// The end of `option` if `text` begins with it, an article aside.
pub(crate) fn prefix_end(text: &[Word], option: &[Word]) -> Option<usize> {
    let after_article = usize::from(text.first().is_some_and(is_article));
    let end = |start| {
        match_end(text, start, option).map(|(end, _)| end).filter(|&end| is_bounded(text, start, end))
    };
    end(0).or_else(|| end(after_article))
}

/// Whether two texts have the same words.
pub(crate) fn same(one: &[Word], other: &[Word]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.text == other.text)
}

/// Every option that `text` mentions, denied or not; see [`mentions`].
pub(crate) fn occurrences(text: &[Word], options: &[Vec<Word>]) -> Vec<Mention> {
    let longest = options.iter().map(Vec::len).max().unwrap_or(0);
    let mut all: Vec<(Mention, bool)> = Vec::new();
    for start in 0..text.len() {
        for (choice, option) in options.iter().enumerate() {
            let Some((end, exact)) = match_end(text, start, option) else { continue };
            if counts(text, start, end, option) {
                let whole = is_bounded(text, start, end) && !is_one_of_two_numbers(text, start);
                all.push((Mention { choice, start, end, whole }, exact));
            }
        }
    }
    let beaten = |at: usize| {
        let (one, exact) = &all[at];
        // Articles make a mention a little longer than its option.
        let reach = 2 * longest + 2;
        let before = all[..at].iter().rev().take_while(|(other, _)| other.start + reach > one.start);
        let after = all[at + 1..].iter().take_while(|(other, _)| other.start < one.end);
        let mut near = before.chain(after);
        near.any(|(other, other_exact)| {
            let longer = other.end - other.start > one.end - one.start;
            let overlaps = other.start < one.end && one.start < other.end;
            let covers = other.start <= one.start && one.end <= other.end;
            (covers && longer) || (overlaps && !exact && *other_exact && other.choice != one.choice)
        })
    };
    let is_sure = |mention: &Mention| !is_torn(text, mention, options) && !ends_list(text, mention);
    (0..all.len()).filter(|&at| !beaten(at)).map(|at| all[at].0).filter(is_sure).collect()
}

/// Whether word `at` is the second of two numbers that `or` or `to` joins: `2 or 3 s`.
fn is_one_of_two_numbers(text: &[Word], at: usize) -> bool {
    let digit = |word: &Word| word.text.starts_with(|c: char| c.is_ascii_digit());
    let joins = |word: &Word| matches!(word.text.as_str(), "or" | "to");
    let before = &text[at.saturating_sub(3)..at];
    let joined = before.last().is_some_and(joins);
    digit(&text[at]) && joined && before.iter().any(digit)
}

/// Whether an option with `and` is only the end of a longer list: `guitar, drums, bass and saxophone`.
fn ends_list(text: &[Word], mention: &Mention) -> bool {
    let joins = |word: &Word| word.text == "and";
    let comma = |word: &Word| word.ends_clause && !word.ends_sentence && !word.delimited;
    let end_of_item = |end: usize| end.checked_sub(1).filter(|&at| comma(&text[at]));
    let item = |end: usize| {
        let last = end_of_item(end)?;
        // An item has one or two words.
        (last.saturating_sub(1)..=last).rev().find(|&start| start == 0 || text[start - 1].ends_clause)
    };
    text[mention.start..mention.end].iter().any(joins)
        && item(mention.start).is_some_and(|start| item(start).is_some())
}

/// Whether the word next to a mention belongs to a longer option that has its words as well: `drum bass` is neither `bass`
/// nor `bass drum`.
fn is_torn(text: &[Word], mention: &Mention, options: &[Vec<Word>]) -> bool {
    let own = &options[mention.choice];
    let before = mention.start.checked_sub(1).map(|at| &text[at]).filter(|word| !word.ends_clause);
    let after = text.get(mention.end).filter(|_| !text[mention.end - 1].ends_clause);
    let has = |option: &[Word], word: &Word| option.iter().any(|one| one.text == word.text);
    options.iter().any(|longer| {
        let holds = longer.len() > own.len() && own.iter().all(|word| has(longer, word));
        let belongs =
            |word: &Word| !is_article(word) && word.text.len() > 2 && has(longer, word) && !has(own, word);
        holds && before.into_iter().chain(after).any(belongs)
    })
}

/// Words that every sentence has are an option only where they begin the text, single letters only as capitals:
/// `a` in `it is a dog` is no answer.
fn counts(text: &[Word], start: usize, end: usize, option: &[Word]) -> bool {
    const EVERYWHERE: [&str; 18] = [
        "a", "an", "and", "are", "as", "at", "by", "for", "from", "i", "in", "is", "it", "of", "on", "the",
        "this", "to",
    ];
    let [word] = option else {
        // `It is a minor key` does not name the key `A minor`.
        let article = is_name(option, 0) && !text[start].upper && !text[end - 1].ends_clause;
        return !article;
    };
    let begins = start == 0 || text[start - 1].ends_clause;
    let ends = end == text.len() || text[end - 1].ends_clause;
    let joins = |word: &Word| matches!(word.text.as_str(), "and" | "or");
    let joined = text.get(end).is_some_and(joins) || start > 0 && joins(&text[start - 1]);
    match word.text.as_str() {
        "a" => text[start].upper && !begins,
        "yes" | "no" => ends || joined || is_chosen(text, start) || (start == 0 && !is_idiom(text, start)),
        "one" => is_count(text, start, end),
        common if EVERYWHERE.contains(&common) => start == 0 && ends,
        _ => word.letter().is_none() || text[start].upper,
    }
}

/// `I'd go with no here`
fn is_chosen(text: &[Word], at: usize) -> bool {
    let next = text.get(at + 1).map_or("", |word| word.text.as_str());
    let goes = at > 1 && text[at - 1].text == "with" && matches!(text[at - 2].text.as_str(), "go" | "going");
    goes && matches!(next, "here" | "because" | "since" | "as" | "for" | "on" | "this")
}

/// Whether `no` at word `at` begins a phrase that says neither yes nor no: `no problem`.
fn is_idiom(text: &[Word], at: usize) -> bool {
    let next = text.get(at + 1).map_or("", |word| word.text.as_str());
    text[at].text == "no"
        && !text[at].ends_clause
        && matches!(
            next,
            "problem" | "worries" | "doubt" | "question" | "matter" | "information" | "info" | "details"
        )
}

/// Whether `one` is a number: not in `one of them`, `one can hear`, `no one`, `which one`.
fn is_count(text: &[Word], start: usize, end: usize) -> bool {
    const VERBS: &str = "of can could may might must hears should would";
    const BEFORE: &str = "no which this that another each every any first last right correct the least most";
    let has = |words: &str, word: &str| words.split(' ').any(|one| one == word);
    let next = text.get(end).map_or("", |word| word.text.as_str());
    let before = start.checked_sub(1).map_or("", |at| text[at].text.as_str());
    let pronoun = !text[end - 1].ends_clause && has(VERBS, next);
    !pronoun && !has(BEFORE, before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::text::words;

    fn found(text: &str, options: &[&str]) -> Vec<usize> {
        let options: Vec<_> = options.iter().map(|option| words(option)).collect();
        mentions(&words(text), &options).iter().map(|mention| mention.choice).collect()
    }

    #[test]
    fn the_longest_option_wins_over_those_inside_it() {
        assert_eq!(found("I hear footsteps on snow.", &["footsteps", "footsteps on snow", "snow"]), [1]);
        assert_eq!(found("not sure", &["sure", "not sure"]), [1]);
        assert_eq!(found("footsteps on the snow", &["footsteps", "footsteps on snow"]), [1]);
        assert_eq!(found("I hear the dog", &["a dog", "a cat"]), [0]);
        assert_eq!(found("I hear the dog", &["a dog", "the dog"]), [0, 1]);
        assert_eq!(
            found("footsteps, then more footsteps on snow", &["footsteps", "footsteps on snow"]),
            [0, 1]
        );
    }

    #[test]
    fn only_whole_words_are_mentions() {
        assert_eq!(found("a catalogue in F#", &["cat", "F"]), Vec::<usize>::new());
        assert_eq!(found("the chord is F# here", &["F", "F#"]), [1]);
    }

    #[test]
    fn denied_options_are_no_mentions() {
        for text in [
            "It is not a dog",
            "there is no dog",
            "The dog isn't heard",
            "dog is wrong",
            "neither dog nor anything",
        ] {
            assert_eq!(found(text, &["dog", "cat"]), Vec::<usize>::new(), "{text}");
        }
        assert_eq!(found("a cat rather than a dog", &["dog", "cat"]), [1]);
        assert_eq!(found("It is not a dog but a cat", &["dog", "cat"]), [1]);
        assert_eq!(found("No, it is a dog", &["dog", "cat"]), [0]);
    }

    #[test]
    fn words_of_every_sentence_are_no_mentions_in_the_middle_of_one() {
        assert_eq!(found("it is a dog, for example", &["a", "for", "said"]), Vec::<usize>::new());
        assert_eq!(found("I see no one", &["yes", "no"]), Vec::<usize>::new());
        assert_eq!(found("No, there is nobody", &["yes", "no"]), [1]);
        assert_eq!(found("the note C is heard", &["C", "D"]), [0]);
    }
}
