//! The texts of questions.
//!
//! Half of the rows of every family are worded as any other family's: a model that can tell families apart by the
//! question alone learns which family is hard, and nothing about what it hears.

use crate::catalog;
use crate::family::{Family, Skill};

/// Worded for every family and modality; the options say what is asked for.
pub(crate) const GENERIC: [&str; 4] = [
    "What is heard in this recording?",
    "Which option fits this audio?",
    "What can be heard here?",
    "Which description is right?",
];

/// The family's own wordings.
pub(crate) fn specific(family: &Family) -> Vec<String> {
    let fixed: &[&str] = match (family.skill, family.name.as_str()) {
        (Skill::Identify, "event") => &["Which sound is this?", "What makes this sound?"],
        (Skill::Identify, catalog::SURFACE) => &["Where are the footsteps?", "Which ground is walked on?"],
        (Skill::Identify, catalog::INSTRUMENT) => &["Which instrument plays?", "What instrument is this?"],
        (Skill::Identify, catalog::PERCUSSION) => &["Which drum is played?", "Which percussion is this?"],
        (Skill::Identify, catalog::DIGIT) => &["Which digit is spoken?", "What number is said?"],
        (Skill::Identify, "word") => &["Which word is spoken?", "What word is said?"],
        (Skill::Identify, catalog::LANGUAGE) => &["Which language is spoken?", "What language is this?"],
        (Skill::Identify, _) => {
            return vec![
                format!("Which {} is heard?", family.name),
                format!("What {} is this?", family.name),
            ];
        }
        (Skill::Count("time"), _) => &["How many times does it sound?", "How often is the sound heard?"],
        (Skill::Count("note"), _) => &["How many notes are played?", "What is the number of notes?"],
        (Skill::Count(_), _) => &["How many words are spoken?", "What is the number of words?"],
        (Skill::Order, _) => &["In which order are the sounds heard?", "Which sound follows which?"],
        (Skill::Duo, _) => &["Which two instruments play together?", "Who plays this duo?"],
        (Skill::Sequence, _) => &["Which three words are spoken in a row?", "What is said, in order?"],
        (Skill::Loudness, _) => &["How does the loudness change?", "What does the loudness do?"],
        (Skill::Contour, _) => &["How does the melody move?", "What does the pitch do?"],
        (Skill::Tempo, _) => &["How does the beat change?", "What does the tempo do?"],
        (Skill::Odd("voice"), _) => &["Which voice is another one?", "Where does the speaker change?"],
        (Skill::Odd(_), _) => &["Which sound is another one?", "Where is the odd one?"],
    };
    fixed.iter().map(|text| (*text).to_owned()).collect()
}

/// The question of a row: `wording` chooses among those of its kind.
pub(crate) fn question(family: &Family, generic: bool, wording: usize) -> String {
    if generic {
        return GENERIC[wording % GENERIC.len()].to_owned();
    }
    let own = specific(family);
    own[wording % own.len()].clone()
}
