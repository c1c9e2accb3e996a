//! Which recording belongs to which split: a pure function of the bank, whatever the seed of the questions.
//!
//! The unit is the recording (all clips cut from it, or rendered from one instrument sample, go together). Within a
//! label the recordings are ordered by speaker or source, then dealt over the splits; the start of the deal moves on
//! with every label, so that each speaker serves every split about equally often (a Latin square).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use idk_common::seed::derive_seed;

use crate::dials;
use crate::error::ComposeError;

/// The part of the bank that a question may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// Trains the base model.
    Base,
    /// Probed for what the base model knows, and fine-tuned on.
    Idk,
    /// Watches the fine-tuning.
    Val,
    /// Measures the result.
    Test,
}

impl Split {
    /// All splits, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Base, Self::Idk, Self::Val, Self::Test];
    /// Their names.
    pub const NAMES: [&'static str; 4] = ["base", "idk", "val", "test"];

    /// The split's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// How many questions a modality gets unless told otherwise.
    #[must_use]
    pub fn default_questions(self) -> usize {
        dials::QUESTIONS_PER_MODALITY[self as usize]
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = ComposeError;

    fn from_str(name: &str) -> Result<Self, ComposeError> {
        let found = Self::ALL.into_iter().find(|split| split.name() == name);
        found.ok_or_else(|| ComposeError::UnknownSplit { name: name.to_owned(), known: Self::NAMES.to_vec() })
    }
}

use Split::{Base, Idk, Test, Val};

/// Labels with six recordings or more: half to base, a fifth each to idk and test, a tenth to val.
const LONG_DEAL: [Split; 10] = [Base, Idk, Base, Test, Base, Val, Base, Idk, Base, Test];
const DEALS_OF_5: [[Split; 5]; 2] = [[Base, Idk, Base, Test, Base], [Base, Idk, Base, Test, Val]];
const DEALS_OF_4: [[Split; 4]; 3] = [[Base, Idk, Val, Test], [Base, Idk, Base, Test], [Base, Idk, Val, Test]];
/// Two in five labels with three recordings also serve val, else val would hardly have any.
const DEALS_OF_3: [[Split; 3]; 5] =
    [[Base, Idk, Test], [Base, Val, Test], [Base, Idk, Test], [Base, Idk, Val], [Base, Idk, Test]];
const DEALS_OF_2: [[Split; 2]; 2] = [[Base, Idk], [Base, Test]];
/// The order in which the splits get recordings of labels that base never meets: two in five for idk and for test.
const NEVER_MET_DEAL: [Split; 5] = [Idk, Test, Val, Idk, Test];

/// One label of a class and the recordings that it is heard in.
#[derive(Clone, Debug)]
pub(crate) struct LabelRecordings {
    /// The class and label, for a stable order.
    pub(crate) name: String,
    /// (speaker or source, recording), each recording once.
    pub(crate) recordings: Vec<(String, String)>,
}

/// Deals the recordings of one class. `taken` holds what was dealt before (a recording of two labels goes where its
/// first label sent it) and receives the result; recordings of labels that are left out are not in it.
pub(crate) fn deal_class(labels: &[LabelRecordings], taken: &mut BTreeMap<String, Split>) {
    let mut labels: Vec<LabelRecordings> = labels.to_vec();
    for label in &mut labels {
        let hash = |recording: &str| derive_seed(0, "bank-split", &[recording]);
        label
            .recordings
            .sort_by_cached_key(|(source, recording)| (source.clone(), hash(recording), recording.clone()));
    }
    labels.sort_by_cached_key(|label| (label.recordings.len(), derive_seed(0, "bank-label", &[&label.name])));
    let (single, several): (Vec<_>, Vec<_>) =
        labels.into_iter().partition(|label| label.recordings.len() < 2);
    if several.len() < dials::OPTIONS {
        // No class to speak of without the labels that were recorded once: they are dealt as if they were one label.
        let recordings = single.iter().flat_map(|label| label.recordings.clone()).collect();
        deal_label(&LabelRecordings { name: String::new(), recordings }, 0, taken);
        several.iter().enumerate().for_each(|(rank, label)| deal_label(label, rank, taken));
        return;
    }
    let never_met = never_met_count(several.len());
    // A label that was recorded once serves one split; where such labels are too few, the rarest others follow.
    let singles = single.len().min(NEVER_MET_DEAL.len() * never_met / 2);
    for (rank, label) in single.iter().take(singles).enumerate() {
        deal_never_met(label, rank, taken);
    }
    // Two in five singles serve each of idk and test; rounded.
    let rare = never_met - (4 * singles + 5) / 10;
    for (rank, label) in several.iter().take(rare).enumerate() {
        deal_never_met(label, singles + rank, taken);
    }
    for (rank, label) in several.iter().skip(rare).enumerate() {
        deal_label(label, rank, taken);
    }
}

/// How many labels of a class one split gets that base never meets.
fn never_met_count(labels: usize) -> usize {
    if labels < dials::NEVER_MET_MIN_LABELS {
        return 0;
    }
    (labels as f64 * dials::NEVER_MET_SHARE).round() as usize
}

fn deal_never_met(label: &LabelRecordings, rank: usize, taken: &mut BTreeMap<String, Split>) {
    for (place, (_, recording)) in label.recordings.iter().enumerate() {
        let split = NEVER_MET_DEAL[(rank + place) % NEVER_MET_DEAL.len()];
        taken.entry(recording.clone()).or_insert(split);
    }
}

fn deal_label(label: &LabelRecordings, rank: usize, taken: &mut BTreeMap<String, Split>) {
    let count = label.recordings.len();
    let deal: &[Split] = match count {
        0 => return,
        1 => &LONG_DEAL[..1],
        2 => &DEALS_OF_2[rank % DEALS_OF_2.len()],
        3 => &DEALS_OF_3[rank % DEALS_OF_3.len()],
        4 => &DEALS_OF_4[rank % DEALS_OF_4.len()],
        5 => &DEALS_OF_5[rank % DEALS_OF_5.len()],
        _ => &LONG_DEAL,
    };
    for place in 0..count {
        let (_, recording) = &label.recordings[(place + rank) % count];
        taken.entry(recording.clone()).or_insert(deal[place % deal.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str, speakers: &[&str]) -> LabelRecordings {
        let recordings =
            speakers.iter().map(|speaker| ((*speaker).to_owned(), format!("{speaker}-{name}"))).collect();
        LabelRecordings { name: name.to_owned(), recordings }
    }

    #[test]
    fn every_speaker_serves_every_split_when_all_say_all_words() {
        let labels: Vec<_> =
            (0..21).map(|word| label(&format!("w{word}"), &["a", "b", "c", "d", "e"])).collect();
        let mut taken = BTreeMap::new();
        deal_class(&labels, &mut taken);
        let mut counts: BTreeMap<(char, Split), usize> = BTreeMap::new();
        for (recording, split) in &taken {
            *counts.entry((recording.chars().next().unwrap(), *split)).or_default() += 1;
        }
        for speaker in 'a'..='e' {
            for split in Split::ALL {
                let count = counts[&(speaker, split)];
                let fair = [9.5, 3.8, 1.9, 3.8][split as usize];
                assert!((count as f64 - fair).abs() <= 2.0, "{speaker} {split}: {count}");
            }
        }
    }

    #[test]
    fn about_a_tenth_of_the_labels_of_a_split_is_never_in_base() {
        let labels: Vec<_> =
            (0..20).map(|word| label(&format!("w{word}"), &["a", "b", "c", "d", "e"])).collect();
        let mut taken = BTreeMap::new();
        deal_class(&labels, &mut taken);
        let unmet = |split: Split| {
            let of = |wanted: Split| {
                taken
                    .iter()
                    .filter(move |(_, found)| **found == wanted)
                    .map(|(recording, _)| recording.split_once('-').unwrap().1)
            };
            of(split).filter(|word| of(Base).all(|met| met != *word)).count()
        };
        assert_eq!((unmet(Idk), unmet(Test)), (4, 4), "two labels of five recordings, two recordings each");
    }

    #[test]
    fn a_recording_of_two_labels_goes_to_one_split() {
        let mut taken = BTreeMap::new();
        let shared = |name: &str| LabelRecordings {
            name: name.to_owned(),
            recordings: (0..8).map(|i| (String::new(), format!("r{i}"))).collect(),
        };
        deal_class(&[shared("x"), shared("y"), shared("z"), shared("w")], &mut taken);
        assert_eq!(taken.len(), 8);
    }
}
