//! One question with its clip.

use idk_common::seed::{Rng, derive_seed};
use idk_questions::Question;
use serde_json::{Map, Value, json};

use crate::bank::{Bank, Split};
use crate::deck::{Card, Offers};
use crate::dials::{Difficulty, GENERIC_EVERY, OPTIONS};
use crate::error::ComposeError;
use crate::family::{Family, SkillDraw, families};
use crate::scene::{Scene, render};
use crate::wording;

/// The rows' `dataset`.
pub const DATASET: &str = "idk-bank";
const CATEGORY: &str = "perception";

/// A question and the clip that it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct ComposedItem {
    /// The question; its audio is `audio/<id>.wav`, relative to where the set is written.
    pub question: Question,
    /// The clip: three seconds, mono, [`crate::SAMPLE_RATE_HZ`], within ±1.
    pub samples: Vec<f32>,
    /// What is heard, as short text in a fixed order: "dog three times", "pig then door".
    pub caption: String,
}

/// A question that is drawn up but not rendered: cheap to make one after the other.
pub(crate) struct ItemPlan {
    question: Question,
    scene: Scene,
}

/// Draws up the question of a card.
pub(crate) fn plan(
    bank: &Bank,
    family: &Family,
    split: Split,
    card: Card,
    id: String,
    rng: &mut Rng,
    offers: Option<&mut Offers>,
) -> ItemPlan {
    let level = family.levels[card.difficulty as usize];
    let scene = family.draw_up(card.answer, &mut SkillDraw { bank, split, level, rng, offers });
    let answer = scene.options[0].clone();
    let mut choices: Vec<String> = scene.options[1..].to_vec();
    rng.shuffle(&mut choices);
    choices.insert(card.place.min(choices.len()), answer.clone());
    let dials = json!({
        "snr_db": rounded(scene.snr_db),
        "options": level.options.name(),
        "interferer_db": level.interferer_db,
        "step": level.step,
    });
    let own = json!({
        "recordings": scene.recordings(bank),
        "dials": dials,
        "seen_in_base": scene.seen_in_base,
        "generic_wording": card.generic,
    });
    let question = Question {
        audio: vec![format!("audio/{id}.wav").into()],
        id,
        question: wording::question(family, card.generic, card.wording),
        choices,
        answer,
        task: family.modality.clone(),
        category: CATEGORY.to_owned(),
        sub_category: family.name.clone(),
        difficulty: card.difficulty.name().to_owned(),
        dataset: DATASET.to_owned(),
        split: split.name().to_owned(),
        extra: Map::from_iter([("idk".to_owned(), own)]),
        ..Question::default()
    };
    ItemPlan { question, scene }
}

fn rounded(value: f64) -> Value {
    json!((value * 10.0).round() / 10.0)
}

impl ItemPlan {
    /// Renders the clip.
    pub(crate) fn render(self, bank: &Bank) -> ComposedItem {
        ComposedItem {
            samples: render(bank, &self.scene),
            question: self.question,
            caption: self.scene.caption,
        }
    }
}

/// The names of the question families that the bank gives in a split: `sound/event`, `music/duo`.
#[must_use]
pub fn family_names(bank: &Bank, split: Split) -> Vec<String> {
    all_families(bank, split).iter().map(|family| format!("{}/{}", family.modality, family.name)).collect()
}

fn all_families(bank: &Bank, split: Split) -> Vec<Family> {
    bank.modalities().iter().flat_map(|modality| families(bank, modality, split)).collect()
}

/// Endless questions of a split: item `index` of the stream `seed`, a pure function of its arguments.
#[derive(Debug)]
pub struct Stream<'a> {
    bank: &'a Bank,
    split: Split,
    families: Vec<(Family, Vec<f64>)>,
}

impl<'a> Stream<'a> {
    /// The stream over all families of the split, evenly.
    ///
    /// # Errors
    /// [`ComposeError::NothingToAsk`] if the split gives no family at all.
    pub fn new(bank: &'a Bank, split: Split) -> Result<Self, ComposeError> {
        Self::of(bank, split, all_families(bank, split))
    }

    /// The stream over some families, named as by [`family_names`]; name one twice to draw it twice as often.
    ///
    /// # Errors
    /// [`ComposeError::UnknownFamily`], and as [`Self::new`].
    pub fn over(bank: &'a Bank, split: Split, names: &[&str]) -> Result<Self, ComposeError> {
        let all = all_families(bank, split);
        let full = |family: &Family| format!("{}/{}", family.modality, family.name);
        let find = |name: &&str| {
            all.iter().find(|family| full(family) == **name).cloned().ok_or_else(|| {
                ComposeError::UnknownFamily {
                    name: (*name).to_owned(),
                    split: split.name(),
                    known: all.iter().map(full).collect(),
                }
            })
        };
        Self::of(bank, split, names.iter().map(find).collect::<Result<_, _>>()?)
    }

    fn of(bank: &'a Bank, split: Split, families: Vec<Family>) -> Result<Self, ComposeError> {
        if families.is_empty() {
            return Err(ComposeError::NothingToAsk { modality: "any".to_owned(), split: split.name() });
        }
        let with_weights = |family: Family| {
            let weights = family.answer_weights(bank, split);
            (family, weights)
        };
        Ok(Self { bank, split, families: families.into_iter().map(with_weights).collect() })
    }

    /// Item `index`. In base the answers follow the labels' frequency dial; elsewhere they are drawn evenly.
    #[must_use]
    pub fn item(&self, seed: u64, index: u64) -> ComposedItem {
        let index_text = index.to_string();
        let mut rng = Rng::new(derive_seed(seed, "compose-item", &[self.split.name(), &index_text]));
        let (family, weights) = &self.families[rng.below(self.families.len())];
        let difficulty = Difficulty::ALL[rng.below(Difficulty::ALL.len())];
        let wording = rng.below(1 << 16);
        let card = Card {
            answer: weighted(weights, &mut rng),
            difficulty,
            place: rng.below(OPTIONS),
            generic: wording.is_multiple_of(GENERIC_EVERY),
            wording: wording / GENERIC_EVERY,
        };
        let id = format!("{}-{}-{}-{seed}-{index}", self.split, family.modality, id_part(&family.name));
        plan(self.bank, family, self.split, card, id, &mut rng, None).render(self.bank)
    }
}

/// One of the numbers below `weights.len()`, by weight.
fn weighted(weights: &[f64], rng: &mut Rng) -> usize {
    let mut point = rng.uniform() * weights.iter().sum::<f64>();
    let hit = weights.iter().position(|weight| {
        point -= weight;
        point < 0.0
    });
    hit.unwrap_or(weights.len().saturating_sub(1))
}

/// A family's name inside an id, which is also a file's name: letters and digits of ASCII, `-` for all else.
pub(crate) fn id_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
