//! The question families that a bank gives, and how one question of a family is drawn up.

use std::fmt;

use idk_common::seed::Rng;

use crate::bank::Bank;
use crate::catalog;
use crate::class::Class;
use crate::deck::Offers;
use crate::dials::{self, Level, Levels};
use crate::families::{count, identify, odd, order, shape};
use crate::scene::Scene;
use crate::split::Split;

/// How hard a question is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difficulty {
    /// Clean, with options that sound different.
    Easy,
    /// In between.
    Medium,
    /// Noisy or close, with options that sound alike.
    Hard,
}

impl Difficulty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Easy, Self::Medium, Self::Hard];

    /// MMAU's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["easy", "medium", "hard"][self as usize]
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skill {
    /// Which label of a class.
    Identify,
    /// How many of them; the noun that is counted.
    Count(&'static str),
    /// The order of two labels.
    Order,
    /// Two labels at once.
    Duo,
    /// A row of three labels.
    Sequence,
    Loudness,
    Contour,
    Tempo,
    /// Which of four differs; the noun for one of them.
    Odd(&'static str),
}

/// One kind of question about one class of one modality.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    pub(crate) modality: String,
    /// The rows' `sub-category`.
    pub(crate) name: String,
    pub(crate) skill: Skill,
    /// The class that its sounds are taken from.
    pub(crate) class: usize,
    pub(crate) levels: Levels,
}

/// What a family needs to draw up one question.
pub(crate) struct Draw<'a> {
    pub(crate) bank: &'a Bank,
    pub(crate) split: Split,
    pub(crate) level: Level,
    pub(crate) rng: &'a mut Rng,
    /// `None`: wrong options are drawn by the labels' frequency, as for endless training data.
    pub(crate) offers: Option<&'a mut Offers>,
}

impl Family {
    /// How often each answer of the family is to be right, up to a factor; its length is the number of answers.
    pub(crate) fn answer_weights(&self, bank: &Bank, split: Split) -> Vec<f64> {
        let class = &bank.classes[self.class];
        match self.skill {
            Skill::Identify | Skill::Order | Skill::Duo | Skill::Sequence => {
                class.present(split).iter().map(|label| class.weight(*label, split)).collect()
            }
            Skill::Count(_) => vec![1.0; count::MOST],
            Skill::Loudness | Skill::Contour | Skill::Tempo | Skill::Odd(_) => vec![1.0; dials::OPTIONS],
        }
    }

    /// Draws up a question with the given answer.
    pub(crate) fn draw_up(&self, answer: usize, draw: &mut Draw) -> Scene {
        match self.skill {
            Skill::Identify => identify::draw_up(self, answer, draw),
            Skill::Count(noun) => count::draw_up(self, noun, answer, draw),
            Skill::Order => order::draw_up_order(self, answer, draw),
            Skill::Duo => order::draw_up_duo(self, answer, draw),
            Skill::Sequence => order::draw_up_sequence(self, answer, draw),
            Skill::Loudness => shape::draw_up_loudness(self, answer, draw),
            Skill::Contour => shape::draw_up_contour(self, answer, draw),
            Skill::Tempo => shape::draw_up_tempo(self, answer, draw),
            Skill::Odd(noun) => odd::draw_up(self, noun, answer, draw),
        }
    }

    /// Whether the split has what the family needs.
    fn possible(&self, bank: &Bank, split: Split) -> bool {
        let class = &bank.classes[self.class];
        let labels = class.present(split).len();
        match self.skill {
            Skill::Identify | Skill::Order | Skill::Duo | Skill::Sequence => {
                class.can_ask(split) && labels >= 2
            }
            Skill::Odd(_) => labels >= 2,
            Skill::Count(_) | Skill::Loudness | Skill::Contour | Skill::Tempo => labels >= 1,
        }
    }
}

/// The question families of a modality in a split, in a fixed order.
pub(crate) fn families(bank: &Bank, modality: &str, split: Split) -> Vec<Family> {
    let classes: Vec<usize> =
        (0..bank.classes.len()).filter(|class| bank.classes[*class].modality == modality).collect();
    let mut all = Vec::new();
    let mut add = |name: &str, skill: Skill, class: usize, levels: Levels| {
        let family = Family { modality: modality.to_owned(), name: name.to_owned(), skill, class, levels };
        if family.possible(bank, split) {
            all.push(family);
        }
    };
    for &class in &classes {
        let name = &bank.classes[class].name;
        if name != catalog::SPEAKER {
            add(name, Skill::Identify, class, identify::levels(name));
        }
    }
    let named = |wanted: &str| classes.iter().copied().find(|class| bank.classes[*class].name == wanted);
    let Some(main) = main_class(bank, &classes, split) else { return all };
    match modality {
        "music" => {
            let pitched = named(catalog::INSTRUMENT).unwrap_or(main);
            add("contour", Skill::Contour, pitched, dials::CONTOUR);
            add("duo", Skill::Duo, pitched, dials::DUO);
            add("notes", Skill::Count("note"), pitched, dials::NOTES);
            add("tempo", Skill::Tempo, named(catalog::PERCUSSION).unwrap_or(main), dials::TEMPO);
        }
        "speech" => {
            add("digits", Skill::Sequence, named(catalog::DIGIT).unwrap_or(main), dials::DIGITS);
            if let Some(voices) = named(catalog::SPEAKER) {
                add("voice", Skill::Odd("voice"), voices, dials::VOICE);
            }
            add("words", Skill::Count("word"), main, dials::WORDS);
        }
        _ => {
            add("count", Skill::Count("time"), main, dials::COUNT);
            add("loudness", Skill::Loudness, main, dials::LOUDNESS);
            add("odd", Skill::Odd("sound"), main, dials::ODD);
            add("order", Skill::Order, main, dials::ORDER);
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
