//! The texts of questions.
//!
//! Half of the rows of every family are worded as any other family's: a model that can tell families apart by the
//! question alone learns which family is hard, and nothing about what it hears.

use crate::family::Family;

/// Worded for every family and modality; the options say what is asked for.
pub(crate) const GENERIC: [&str; 4] = [
    "What is heard in this recording?",
    "Which option fits this audio?",
    "What can be heard here?",
    "Which description is right?",
];

/// The family's own wordings.
pub(crate) fn specific(family: &Family) -> [String; 2] {
    family.skill.wordings.map(|wording| wording.replace("{}", &family.name))
}

/// The question of a row: `wording` chooses among those of its kind.
pub(crate) fn question(family: &Family, generic: bool, wording: usize) -> String {
    if generic {
        return GENERIC[wording % GENERIC.len()].to_owned();
    }
    let own = specific(family);
    own[wording % own.len()].clone()
}
