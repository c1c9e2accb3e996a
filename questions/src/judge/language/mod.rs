//! What the judge knows of languages, one file of data for each: how they refuse, deny, and lead up to an answer.
//!
//! Phrases are written as plain text with `; ` between them, and compared word by word. In them
//! - a word in capitals is one of the words of that name in [`Language::classes`], or any word if it is `ANY`;
//! - `stem*` is every word that begins with `stem`;
//! - `~` stands for up to four words of the same clause.

mod arabic;
mod chinese;
mod english;
mod french;
mod german;
mod italian;
mod japanese;
mod korean;
mod phrase;
mod portuguese;
mod russian;
mod spanish;

use std::collections::BTreeSet;
use std::sync::LazyLock;

pub(crate) use english::{is_filler, written_out};
pub(crate) use phrase::{Phrases, Token, tokens};

/// The phrases of one language; every list may be empty.
pub(crate) struct Language {
    /// Lists of words, each after the name in capitals that phrases have for it.
    pub(crate) classes: &'static [&'static str],
    /// Refusals wherever they stand.
    pub(crate) refuses: &'static str,
    /// Refusals where a clause begins; elsewhere they would be about somebody else.
    pub(crate) refuses_first: &'static str,
    /// Refusals as a whole clause: `unknown`.
    pub(crate) refuses_alone: &'static str,
    /// Refusals of a reply that names no option at all; next to one they may be about something else.
    pub(crate) refuses_without_option: &'static str,
    /// Words after which a clause begins although no comma shows it.
    pub(crate) clause_starts: &'static str,
    /// Verbs of speech: what they report is no refusal.
    pub(crate) reports: &'static str,
    /// What turns a refusal into an answer that follows: `but`, `probably`.
    pub(crate) turns: &'static str,
    /// What before an option, in its clause, denies it: `not`, `rather than`.
    pub(crate) denies_before: &'static str,
    /// What looks like one of those and denies nothing: `no doubt`, `not only`.
    pub(crate) affirms: &'static str,
    /// What ends a denial in its clause: `not a dog but a cat`.
    pub(crate) contrasts: &'static str,
    /// What right after an option, in its clause, denies it: `is ruled out`.
    pub(crate) denies_after: &'static str,
    /// What before an option makes its clause a question or a supposition: `whether`, `if`.
    pub(crate) supposes: &'static str,
    /// What right before a letter makes it an answer: `the answer is B`, `probably B`.
    pub(crate) introduces: &'static str,
    /// What right after a letter, where it begins a clause, makes it an answer: `B is correct`.
    pub(crate) confirms: &'static str,
    /// Words that may surround an option in a question that only sounds unsure: `maybe a dog?`.
    pub(crate) softens: &'static str,
    /// What leads from reasons to what follows from them: `so`, `which leaves`.
    pub(crate) concludes: &'static str,
    /// How a list of the options begins.
    pub(crate) lists: &'static str,
    /// What takes back what stands before it; one word alone may also be a pause: `no wait`; `wait`.
    pub(crate) corrects: &'static str,
    /// What takes back what stands before it if nothing but another answer follows: `B, sorry, C`.
    pub(crate) replaces: &'static str,
}

impl Language {
    /// A language without phrases.
    pub(crate) const EMPTY: Self = Self {
        classes: &[],
        refuses: "",
        refuses_first: "",
        refuses_alone: "",
        refuses_without_option: "",
        clause_starts: "",
        reports: "",
        turns: "",
        denies_before: "",
        affirms: "",
        contrasts: "",
        denies_after: "",
        supposes: "",
        introduces: "",
        confirms: "",
        softens: "",
        concludes: "",
        lists: "",
        corrects: "",
        replaces: "",
    };
}

/// Every language: those that the audio models speak.
const LANGUAGES: [&Language; 11] = [
    &english::ENGLISH,
    &chinese::CHINESE,
    &japanese::JAPANESE,
    &korean::KOREAN,
    &german::GERMAN,
    &french::FRENCH,
    &spanish::SPANISH,
    &italian::ITALIAN,
    &portuguese::PORTUGUESE,
    &russian::RUSSIAN,
    &arabic::ARABIC,
];

/// The phrases of all languages, ready to be looked up.
pub(crate) struct Lexicon {
    pub(crate) refuses: Phrases,
    pub(crate) refuses_first: Phrases,
    pub(crate) refuses_alone: Phrases,
    pub(crate) refuses_without_option: Phrases,
    pub(crate) clause_starts: Phrases,
    pub(crate) reports: Phrases,
    pub(crate) turns: Phrases,
    pub(crate) denies_before: Phrases,
    pub(crate) affirms: Phrases,
    pub(crate) contrasts: Phrases,
    pub(crate) denies_after: Phrases,
    pub(crate) supposes: Phrases,
    pub(crate) introduces: Phrases,
    pub(crate) confirms: Phrases,
    pub(crate) softens: BTreeSet<&'static str>,
    pub(crate) concludes: Phrases,
    pub(crate) lists: Phrases,
    pub(crate) corrects: Phrases,
    pub(crate) replaces: Phrases,
}

/// The phrases of all languages.
pub(crate) static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let all = |list: fn(&Language) -> &'static str| Phrases::new(&LANGUAGES, list);
    Lexicon {
        refuses: all(|language| language.refuses),
        refuses_first: all(|language| language.refuses_first),
        refuses_alone: all(|language| language.refuses_alone),
        refuses_without_option: all(|language| language.refuses_without_option),
        clause_starts: all(|language| language.clause_starts),
        reports: all(|language| language.reports),
        turns: all(|language| language.turns),
        denies_before: all(|language| language.denies_before),
        affirms: all(|language| language.affirms),
        contrasts: all(|language| language.contrasts),
        denies_after: all(|language| language.denies_after),
        supposes: all(|language| language.supposes),
        introduces: all(|language| language.introduces),
        confirms: all(|language| language.confirms),
        softens: LANGUAGES.iter().flat_map(|language| language.softens.split("; ")).collect(),
        concludes: all(|language| language.concludes),
        lists: all(|language| language.lists),
        corrects: all(|language| language.corrects),
        replaces: all(|language| language.replaces),
    }
});
