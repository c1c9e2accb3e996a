//! Whole question sets of fixed size, balanced exactly.

use idk_common::seed::{Rng, derive_seed};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::bank::{Bank, Split};
use crate::deck::{Offers, deal};
use crate::dials::MAX_COMPOSED_QUESTIONS;
use crate::error::ComposeError;
use crate::family::{Family, families};
use crate::item::{ComposedItem, ItemPlan, id_part, plan};

/// What to compose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComposeConfig {
    /// `base`, `idk`, `val` or `test`.
    pub split: String,
    /// `None`: the split's own size (3,600, 600, 120 or 300).
    pub questions_per_modality: Option<usize>,
    /// Empty: every modality of the bank.
    pub modalities: Vec<String>,
    /// Another seed gives other questions and clips, from the same recordings.
    pub seed: u64,
}

impl Default for ComposeConfig {
    fn default() -> Self {
        Self { split: "test".to_owned(), questions_per_modality: None, modalities: Vec::new(), seed: 0 }
    }
}

/// Composes a question set: the families of a modality one after the other, each with its share of the questions.
///
/// Answers, places of the right option, difficulties and kinds of wording are dealt from full decks; the clips are
/// rendered in parallel. The result depends on nothing but the arguments.
///
/// # Errors
/// An unknown split or modality; no questions, or too many; a split with too few recordings for any family of a modality.
pub fn compose(bank: &Bank, config: &ComposeConfig) -> Result<Vec<ComposedItem>, ComposeError> {
    Ok(plans(bank, config)?.into_par_iter().map(|plan| plan.render(bank)).collect())
}

/// The questions of a set, drawn up one after the other but not rendered.
pub(crate) fn plans(bank: &Bank, config: &ComposeConfig) -> Result<Vec<ItemPlan>, ComposeError> {
    let split: Split = config.split.parse()?;
    if let Some(asked) =
        config.questions_per_modality.filter(|asked| !(1..=MAX_COMPOSED_QUESTIONS).contains(asked))
    {
        return Err(ComposeError::QuestionCount { asked });
    }
    let mut plans = Vec::new();
    for modality in modalities(bank, config)? {
        plans.extend(plan_modality(bank, split, &modality, config)?);
    }
    Ok(plans)
}

fn modalities(bank: &Bank, config: &ComposeConfig) -> Result<Vec<String>, ComposeError> {
    let known = bank.modalities();
    if config.modalities.is_empty() {
        return Ok(known);
    }
    let unknown = config.modalities.iter().find(|name| !known.contains(name));
    match unknown {
        Some(name) => Err(ComposeError::UnknownModality { name: name.clone(), known }),
        None => Ok(config.modalities.clone()),
    }
}

fn plan_modality(
    bank: &Bank,
    split: Split,
    modality: &str,
    config: &ComposeConfig,
) -> Result<Vec<ItemPlan>, ComposeError> {
    let families = families(bank, modality, split);
    if families.is_empty() {
        return Err(ComposeError::NothingToAsk { modality: modality.to_owned(), split: split.name() });
    }
    let total = config.questions_per_modality.unwrap_or(split.default_questions());
    let mut offers = Offers::default();
    let mut plans = Vec::new();
    for (number, family) in families.iter().enumerate() {
        let count = total / families.len() + usize::from(number < total % families.len());
        let offset = plans.len();
        plans.extend(plan_family(bank, split, family, count, offset, config.seed, &mut offers));
    }
    Ok(plans)
}

fn plan_family(
    bank: &Bank,
    split: Split,
    family: &Family,
    count: usize,
    offset: usize,
    seed: u64,
    offers: &mut Offers,
) -> Vec<ItemPlan> {
    let parts = [split.name(), &family.modality, &family.name];
    let mut rng = Rng::new(derive_seed(seed, "compose-deck", &parts));
    let cards = deal(count, &family.answer_weights(bank, split), offset, &mut rng);
    cards
        .into_iter()
        .enumerate()
        .map(|(number, card)| {
            let id = format!("{split}-{}-{}-{number:04}", id_part(&family.modality), id_part(&family.name));
            let mut rng = Rng::new(derive_seed(seed, "compose-question", &[&id]));
            plan(bank, family, split, card, id, &mut rng, Some(&mut *offers))
        })
        .collect()
}
