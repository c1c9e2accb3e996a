//! Phrases of several words, looked up by their first one.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{Language, written_out};
use crate::judge::text::{Word, words};

/// Words that `~` stands for, at most.
const GAP: usize = 4;

/// A word with contractions written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Lower case.
    pub(crate) text: &'a str,
    /// Its place among the words.
    pub(crate) word: usize,
    /// A clause ends after it.
    pub(crate) ends_clause: bool,
    /// A sentence ends after it.
    pub(crate) ends_sentence: bool,
}

/// The tokens of `text`; `skip` says which words are left out.
pub(crate) fn tokens(text: &[Word], skip: impl Fn(&str) -> bool) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token> = Vec::with_capacity(text.len());
    for (word, Word { text, ends_clause, ends_sentence, .. }) in text.iter().enumerate() {
        if skip(text) {
            // A clause that ends in a filler ends.
            if let Some(last) = tokens.last_mut() {
                last.ends_clause |= ends_clause;
                last.ends_sentence |= ends_sentence;
            }
            continue;
        }
        tokens.extend(written_out(text).map(|text| Token {
            text,
            word,
            ends_clause: false,
            ends_sentence: false,
        }));
        if let Some(last) = tokens.last_mut() {
            last.ends_clause = *ends_clause;
            last.ends_sentence = *ends_sentence;
        }
    }
    tokens
}

/// One word of a phrase.
enum PhrasePart {
    Word(String),
    Stem(String),
    Class(Vec<&'static str>),
    Any,
    Gap,
}

impl PhrasePart {
    fn fits(&self, token: &str) -> bool {
        match self {
            Self::Word(word) => word == token,
            Self::Stem(stem) => token.starts_with(stem.as_str()),
            Self::Class(words) => words.contains(&token),
            Self::Any => true,
            Self::Gap => false,
        }
    }
}

/// Phrases of all languages.
pub(crate) struct Phrases {
    phrases: Vec<Vec<PhrasePart>>,
    /// Those that begin with a word, by it; a class has several.
    by_word: HashMap<String, Vec<usize>, FixedState>,
    /// Those that begin with a stem, by its first character.
    by_stem: HashMap<char, Vec<usize>, FixedState>,
    /// Those that any word may begin.
    others: Vec<usize>,
}

impl Phrases {
    /// The phrases that `list` names in each of `languages`.
    pub(super) fn new(languages: &[&'static Language], list: fn(&Language) -> &'static str) -> Self {
        let mut phrases = Self {
            phrases: Vec::new(),
            by_word: HashMap::default(),
            by_stem: HashMap::default(),
            others: Vec::new(),
        };
        for language in languages {
            for phrase in list(language).split("; ").filter(|phrase| !phrase.is_empty()) {
                phrases.add(parts(phrase, language));
            }
        }
        phrases
    }

    fn add(&mut self, parts: Vec<PhrasePart>) {
        let number = self.phrases.len();
        let first_char = |stem: &str| stem.chars().next();
        match parts.first() {
            Some(PhrasePart::Word(word)) => self.by_word.entry(word.clone()).or_default().push(number),
            Some(PhrasePart::Class(words)) => {
                words.iter().for_each(|&word| self.by_word.entry(word.to_owned()).or_default().push(number));
            }
            Some(PhrasePart::Stem(stem)) => match first_char(stem) {
                Some(first) => self.by_stem.entry(first).or_default().push(number),
                None => self.others.push(number),
            },
            _ => self.others.push(number),
        }
        self.phrases.push(parts);
    }

    /// The end of the longest phrase that begins with token `at`.
    pub(crate) fn end(&self, tokens: &[Token], at: usize) -> Option<usize> {
        self.end_where(tokens, at, |_| true)
    }

    /// The same of those whose end `counts`.
    pub(crate) fn end_where(
        &self,
        tokens: &[Token],
        at: usize,
        counts: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let first = tokens.get(at)?.text;
        let named = self.by_word.get(first).into_iter().flatten();
        let stems = first.chars().next().and_then(|first| self.by_stem.get(&first)).into_iter().flatten();
        let found = named.chain(stems).chain(&self.others).map(|&number| &self.phrases[number]);
        let ends = found.filter_map(|parts| phrase_end(parts, tokens, at));
        ends.filter(|&end| counts(end)).max()
    }

    /// Whether a phrase ends with the last of `tokens`.
    pub(crate) fn ends(&self, tokens: &[Token]) -> bool {
        (0..tokens.len()).any(|at| self.end_where(tokens, at, |end| end == tokens.len()).is_some())
    }
}

/// The words of a phrase; each script is split as in a reply.
fn parts(phrase: &str, language: &Language) -> Vec<PhrasePart> {
    let mut parts = Vec::new();
    for word in phrase.split(' ') {
        let mut classes = language.classes.iter().filter_map(|class| class.split_once(": "));
        let class = classes.find(|(name, _)| *name == word);
        let class = class.map(|(_, words)| words.split(' ').collect::<Vec<_>>());
        match (word, class, word.strip_suffix('*')) {
            ("ANY", ..) => parts.push(PhrasePart::Any),
            ("~", ..) => parts.push(PhrasePart::Gap),
            (_, Some(words), _) => parts.push(PhrasePart::Class(words)),
            (_, _, Some(stem)) => parts.push(PhrasePart::Stem(stem.to_owned())),
            _ => parts.extend(words(word).into_iter().map(|word| PhrasePart::Word(word.text.into()))),
        }
    }
    parts
}

fn phrase_end(parts: &[PhrasePart], tokens: &[Token], at: usize) -> Option<usize> {
    let mut end = at;
    for (index, part) in parts.iter().enumerate() {
        if matches!(part, PhrasePart::Gap) {
            let rest = &parts[index + 1..];
            let reach = (end..=end + GAP).take_while(|&start| start == 0 || !tokens_end(tokens, start - 1));
            return reach.filter_map(|start| phrase_end(rest, tokens, start)).next();
        }
        // `B: no. Answer: C` is no `no answer`.
        let crosses = end > at && tokens[end - 1].ends_sentence;
        if crosses || !part.fits(tokens.get(end)?.text) {
            return None;
        }
        end += 1;
    }
    Some(end)
}

/// Whether a clause ends after token `at`, or the text.
fn tokens_end(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_none_or(|token| token.ends_clause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_has_classes_stems_and_gaps() {
        static TEST: Language = Language {
            classes: &["SEE: see hear"],
            refuses: "can not SEE; seg*; no ~ idea",
            ..Language::EMPTY
        };
        let phrases = Phrases::new(&[&TEST], |language| language.refuses);
        let end = |text: &str| phrases.end(&tokens(&words(text), |_| false), 0);
        assert_eq!(end("can't hear it"), Some(3));
        assert_eq!(end("can't go"), None);
        assert_eq!(end("segura"), Some(1));
        assert_eq!(end("no idea"), Some(2));
        assert_eq!(end("no good idea"), Some(3));
        assert_eq!(end("no, an idea"), None, "the clause has ended");
        assert_eq!(end("no a b c d e idea"), None, "too far");
        assert_eq!(end("can't. Hear it"), None, "another sentence");
    }
}
