//! The classes of a bank: which labels can be told apart by which question.
//!
//! A class is a set of labels of one modality, one of which a question asks for ("event", "instrument", "word").
//! Classes come from the manifest's `family`; a few names of families have a meaning here, any other name is a class
//! of its own.

/// The class of languages: phrases and foreign numbers, labelled with the name of the language.
pub(crate) const LANGUAGE: &str = "language";
/// The class of voices, made from the speakers of the other speech classes. No question asks for its labels.
pub(crate) const SPEAKER: &str = "speaker";
/// Footsteps by the ground that they are on.
pub(crate) const SURFACE: &str = "surface";
/// Pitched notes by their instrument.
pub(crate) const INSTRUMENT: &str = "instrument";
/// Unpitched hits.
pub(crate) const PERCUSSION: &str = "percussion";
/// Spoken English digits.
pub(crate) const DIGIT: &str = "digit";

/// The class and label of a clip by its manifest row.
pub(crate) fn class_of(family: &str, label: &str) -> (String, String) {
    let label = label.trim().to_lowercase();
    match family {
        "event" if label.starts_with("footsteps ") => (SURFACE.to_owned(), label),
        "note" => (INSTRUMENT.to_owned(), label),
        "digit-en" => (DIGIT.to_owned(), label),
        "phrase" => (LANGUAGE.to_owned(), language_name(&label).to_owned()),
        _ => match family.strip_prefix("digit-") {
            Some(code) => (LANGUAGE.to_owned(), language_name(code).to_owned()),
            None => (family.trim().to_lowercase().replace(['-', '_'], " "), label),
        },
    }
}

/// The English name of a language by its ISO 639-1 code; other codes stay as they are.
fn language_name(code: &str) -> &str {
    const NAMES: [(&str, &str); 12] = [
        ("de", "german"),
        ("en", "english"),
        ("es", "spanish"),
        ("fr", "french"),
        ("it", "italian"),
        ("ja", "japanese"),
        ("nl", "dutch"),
        ("pl", "polish"),
        ("pt", "portuguese"),
        ("ru", "russian"),
        ("sv", "swedish"),
        ("zh", "chinese"),
    ];
    NAMES.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(family: &str, label: &str) -> (String, String) {
        class_of(family, label)
    }

    #[test]
    fn families_of_the_shipped_bank_become_classes() {
        assert_eq!(named("event", "footsteps on snow"), ("surface".into(), "footsteps on snow".into()));
        assert_eq!(named("event", "footsteps"), ("event".into(), "footsteps".into()));
        assert_eq!(named("note", "piano"), ("instrument".into(), "piano".into()));
        assert_eq!(named("digit-en", "two"), ("digit".into(), "two".into()));
        assert_eq!(named("digit-fr", "two"), ("language".into(), "french".into()));
        assert_eq!(named("phrase", "ru"), ("language".into(), "russian".into()));
    }

    #[test]
    fn an_unknown_family_is_a_class_of_its_own() {
        assert_eq!(named("Bird_song", "Great Tit"), ("bird song".into(), "great tit".into()));
    }
}
