//! The question families that a bank gives. Each file fills in the [`Skill`] of one kind of question: which recordings are
//! placed where, which options are given, and in which words it is asked.

mod count;
mod draw;
mod identify;
mod odd;
mod order;
mod shape;
mod skill;

use crate::bank::{Bank, Class, Split, catalog};
use crate::dials::{self, Levels};

pub(crate) use self::skill::{Family, Skill, SkillDraw};

/// The question families of a modality in a split, in a fixed order.
pub(crate) fn families(bank: &Bank, modality: &str, split: Split) -> Vec<Family> {
    let classes: Vec<usize> =
        (0..bank.classes.len()).filter(|class| bank.classes[*class].modality == modality).collect();
    let mut all = Vec::new();
    let mut add = |name: &str, skill: Skill, class: usize, levels: Levels| {
        let family = Family { modality: modality.to_owned(), name: name.to_owned(), skill, class, levels };
        if family.is_possible(bank, split) {
            all.push(family);
        }
    };
    for &class in &classes {
        let name = &bank.classes[class].name;
        if name != catalog::SPEAKER {
            let (skill, levels) = identify::of_class(name);
            add(name, skill, class, levels);
        }
    }
    let named = |wanted: &str| classes.iter().copied().find(|class| bank.classes[*class].name == wanted);
    let Some(main) = main_class(bank, &classes, split) else { return all };
    match modality {
        "music" => {
            let pitched = named(catalog::INSTRUMENT).unwrap_or(main);
            add("contour", shape::CONTOUR, pitched, dials::CONTOUR);
            add("duo", order::DUO, pitched, dials::DUO);
            add("notes", count::NOTES, pitched, dials::NOTES);
            add("tempo", shape::TEMPO, named(catalog::PERCUSSION).unwrap_or(main), dials::TEMPO);
        }
        "speech" => {
            add("digits", order::SEQUENCE, named(catalog::DIGIT).unwrap_or(main), dials::DIGITS);
            if let Some(voices) = named(catalog::SPEAKER) {
                add("voice", odd::VOICE, voices, dials::VOICE);
            }
            add("words", count::WORDS, main, dials::WORDS);
        }
        _ => {
            add("count", count::TIMES, main, dials::COUNT);
            add("loudness", shape::LOUDNESS, main, dials::LOUDNESS);
            add("odd", odd::SOUND, main, dials::ODD);
            add("order", order::ORDER, main, dials::ORDER);
        }
    }
    all
}

/// The class with the most labels in the split, leaving out those of a special kind.
fn main_class(bank: &Bank, classes: &[usize], split: Split) -> Option<usize> {
    let special =
        |class: &Class| [catalog::SPEAKER, catalog::LANGUAGE, catalog::SURFACE].contains(&&*class.name);
    let size = |class: usize| bank.classes[class].present(split).len();
    let ordinary = classes.iter().copied().filter(|class| !special(&bank.classes[*class]));
    let largest = |candidates: &mut dyn Iterator<Item = usize>| {
        candidates.max_by_key(|class| (size(*class), usize::MAX - class))
    };
    largest(&mut ordinary.into_iter()).or_else(|| largest(&mut classes.iter().copied()))
}
