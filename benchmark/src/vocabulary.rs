//! The texts that a tokenizer must know.

use std::collections::BTreeSet;

use crate::bank::Bank;
use crate::dials::OPTIONS;
use crate::families::{count, odd, order, shape};
use crate::family::{Family, Skill, families};
use crate::split::Split;
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
    let next = |index: usize| labels[(index + 1) % labels.len()];
    let pairs = |join: fn(&str, &str) -> String| {
        labels.iter().enumerate().map(|(index, label)| join(label, next(index))).collect::<Vec<_>>()
    };
    let fixed: Vec<String> = match family.skill {
        Skill::Identify => return labels.iter().map(|label| (*label).to_owned()).collect(),
        Skill::Order => return pairs(order::then_text),
        Skill::Duo => return pairs(order::and_text),
        Skill::Sequence => return pairs(|a, b| format!("{a} {b} {a}")),
        Skill::Count(noun) => (1..=count::MOST).map(|number| count::text(number, noun)).collect(),
        Skill::Odd(noun) => (0..OPTIONS).map(|place| odd::text(place, noun)).collect(),
        Skill::Loudness => shape::LOUDNESS.map(str::to_owned).to_vec(),
        Skill::Contour => shape::CONTOUR.map(str::to_owned).to_vec(),
        Skill::Tempo => shape::TEMPO.map(str::to_owned).to_vec(),
    };
    if matches!(family.skill, Skill::Count("word") | Skill::Odd("voice")) {
        return fixed;
    }
    let captions = labels.iter().flat_map(|label| fixed.iter().map(move |text| format!("{label} {text}")));
    captions.chain(fixed.clone()).collect()
}
