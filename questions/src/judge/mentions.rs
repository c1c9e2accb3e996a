//! Options that occur somewhere in a text, as whole words.

use crate::judge::words::Word;

/// One occurrence of an option: the words `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) choice: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Every option that `text` mentions and does not deny, in the order of the text.
///
/// Of two options where one contains the other the longer one counts: `footsteps on snow` is no mention of
/// `footsteps`.
pub(crate) fn mentions(text: &[Word], options: &[Vec<Word>]) -> Vec<Mention> {
    let all = occurrences(text, options);
    let inside_a_longer = |one: &Mention| {
        all.iter().any(|other| {
            other.start <= one.start && one.end <= other.end && other.end - other.start > one.end - one.start
        })
    };
    all.iter().filter(|one| !inside_a_longer(one) && !is_denied(text, one)).copied().collect()
}

/// The option that all mentions agree on, if there is one.
pub(crate) fn only_choice(mentions: &[Mention]) -> Option<usize> {
    let first = mentions.first()?.choice;
    mentions.iter().all(|mention| mention.choice == first).then_some(first)
}

/// The end of `option` if `text` begins with it, an article aside.
pub(crate) fn prefix_end(text: &[Word], option: &[Word]) -> Option<usize> {
    let after_article = usize::from(text.first().is_some_and(is_article));
    match_end(text, 0, option).or_else(|| match_end(text, after_article, option))
}

/// Whether two texts have the same words.
pub(crate) fn same(one: &[Word], other: &[Word]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.text == other.text)
}

fn is_article(word: &Word) -> bool {
    matches!(word.text.as_str(), "a" | "an" | "the")
}

fn occurrences(text: &[Word], options: &[Vec<Word>]) -> Vec<Mention> {
    let mut found = Vec::new();
    for start in 0..text.len() {
        for (choice, option) in options.iter().enumerate() {
            if let Some(end) = match_end(text, start, option).filter(|_| counts(text, start, option)) {
                found.push(Mention { choice, start, end });
            }
        }
    }
    found
}

/// The end of `option` if it stands at word `start` of `text`. Articles do not matter, neither those of the text
/// (`footsteps on the snow` is `footsteps on snow`) nor those of the option, unless it is nothing else.
fn match_end(text: &[Word], start: usize, option: &[Word]) -> Option<usize> {
    let only_articles = option.iter().all(is_article);
    let mut at = start;
    for word in option.iter().filter(|word| only_articles || !is_article(word)) {
        while at > start && text.get(at)?.text != word.text && is_article(&text[at]) {
            at += 1;
        }
        if text.get(at)?.text != word.text {
            return None;
        }
        at += 1;
    }
    (at > start).then_some(at)
}

/// Words that every sentence has are an option only where they begin the text, single letters only as capitals:
/// `a` in `it is a dog` is no answer.
fn counts(text: &[Word], start: usize, option: &[Word]) -> bool {
    const EVERYWHERE: [&str; 20] = [
        "a", "an", "and", "are", "as", "at", "by", "for", "from", "i", "in", "is", "it", "no", "of", "on",
        "the", "this", "to", "yes",
    ];
    let [word] = option else { return true };
    let begins = start == 0 || text[start - 1].ends_clause;
    if word.text == "a" {
        return text[start].upper && !begins;
    }
    if EVERYWHERE.contains(&word.text.as_str()) {
        return start == 0;
    }
    word.letter().is_none() || text[start].upper
}

/// Whether the text denies the mention: `not a dog`, `the dog is not heard`, `rather than a dog`.
pub(crate) fn is_denied(text: &[Word], mention: &Mention) -> bool {
    /// How far before an option its negation may stand: `not the sound of a dog`.
    const REACH: usize = 5;
    let before = text[..mention.start].iter().rev().take(REACH);
    let clause = before
        .take_while(|word| !word.ends_clause && !matches!(word.text.as_str(), "but" | "doubt" | "only"));
    if clause.map(|word| word.text.as_str()).any(denies) {
        return true;
    }
    if text[mention.end - 1].ends_clause {
        return false;
    }
    let after: Vec<&str> = text[mention.end..].iter().take(2).map(|word| word.text.as_str()).collect();
    match after.as_slice() {
        [verb, next, ..] if is_auxiliary(verb) => denies(next) || is_rejection(next),
        [verb, ..] => verb.ends_with("n't"),
        [] => false,
    }
}

fn denies(word: &str) -> bool {
    const NEGATIONS: [&str; 13] = [
        "not",
        "no",
        "never",
        "neither",
        "nor",
        "without",
        "except",
        "excluding",
        "unlike",
        "cannot",
        "rather",
        "instead",
        "isnt",
    ];
    NEGATIONS.contains(&word) || word.ends_with("n't")
}

fn is_auxiliary(word: &str) -> bool {
    matches!(word, "is" | "are" | "was" | "were" | "does" | "do" | "did" | "can" | "could" | "has" | "seems")
}

fn is_rejection(word: &str) -> bool {
    matches!(word, "wrong" | "incorrect" | "absent" | "unlikely" | "excluded" | "impossible" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::words::words;

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
