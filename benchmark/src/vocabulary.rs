//! The texts that a tokenizer must know.

use std::collections::BTreeSet;

use crate::bank::{Bank, Split};
use crate::family::{Family, families};
use crate::wording;

/// Every question, and options and captions that hold every word in every frame that composing puts it in. Texts of
/// two or three labels are listed for neighbouring labels only: all of them would be tens of thousands.
#[must_use]
pub fn vocabulary(bank: &Bank) -> Vec<String> {
    let mut texts: BTreeSet<String> = wording::GENERIC.iter().map(|text| (*text).to_owned()).collect();
    for modality in bank.modalities() {
        for split in Split::ALL {
            for family in families(bank, &modality, split) {
                texts.extend(wording::specific(&family));
                texts.extend(answers(bank, &family));
            }
        }
    }
    texts.into_iter().collect()
}

fn answers(bank: &Bank, family: &Family) -> Vec<String> {
    let labels: Vec<&str> =
        bank.classes[family.class].labels.iter().map(|label| label.text.as_str()).collect();
    (family.skill.texts)(family.skill.noun, &labels)
}
