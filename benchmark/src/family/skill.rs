//! What a question family is made of.

use idk_common::seed::Rng;

use crate::bank::{Bank, Split};
use crate::deck::Offers;
use crate::dials::{Level, Levels};
use crate::scene::Scene;

/// What is asked for, and how: a record that each kind of question fills in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Skill {
    /// What is counted or compared, in the texts of the options: "word".
    pub(crate) noun: &'static str,
    /// What can be right.
    pub(crate) answers: Answers,
    /// Labels that a split must have.
    pub(crate) min_labels: usize,
    /// Draws up a question whose answer has this number.
    pub(crate) draw_up: fn(&Family, usize, &mut SkillDraw) -> Scene,
    /// The question in its own words; `{}` is the family's name.
    pub(crate) wordings: [&'static str; 2],
    /// Options and captions by noun and labels; between them they have every word in every frame.
    pub(crate) texts: fn(&str, &[&str]) -> Vec<String>,
}

/// The answers of a skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// Each label of the class, as one of several labels that the options name.
    Labels,
    /// This many, whatever the class.
    Fixed(usize),
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
pub(crate) struct SkillDraw<'a> {
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
        match self.skill.answers {
            Answers::Labels => class.present(split).iter().map(|label| class.weight(*label, split)).collect(),
            Answers::Fixed(count) => vec![1.0; count],
        }
    }

    /// Draws up a question with the given answer.
    pub(crate) fn draw_up(&self, answer: usize, draw: &mut SkillDraw) -> Scene {
        (self.skill.draw_up)(self, answer, draw)
    }

    /// Whether the split has what the family needs.
    pub(crate) fn is_possible(&self, bank: &Bank, split: Split) -> bool {
        let class = &bank.classes[self.class];
        let has_options = self.skill.answers != Answers::Labels || class.can_ask(split);
        has_options && class.present(split).len() >= self.skill.min_labels
    }
}
