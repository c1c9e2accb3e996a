//! A class of labels, and which of them each split can ask for.

use super::clip::BankClip;
use super::split::Split;
use crate::dials;

/// One label and its clips.
#[derive(Debug)]
pub(crate) struct ClassLabel {
    pub(crate) text: String,
    /// The clips of each split.
    pub(crate) clips: [Vec<usize>; 4],
}

impl ClassLabel {
    pub(crate) fn new(text: String, ids: &[usize], clips: &[BankClip]) -> Self {
        let of = |split: Split| ids.iter().copied().filter(|id| clips[*id].split == Some(split)).collect();
        Self { text, clips: Split::ALL.map(of) }
    }

    /// Whether the base model was trained on it.
    pub(crate) fn in_base(&self) -> bool {
        !self.clips[Split::Base as usize].is_empty()
    }
}

/// Labels that one question tells apart.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) modality: String,
    pub(crate) name: String,
    pub(crate) labels: Vec<ClassLabel>,
    /// The labels with a clip in each split, by number.
    pub(crate) present: [Vec<usize>; 4],
    /// The labels that may stand among the options in each split.
    pub(crate) options: [Vec<usize>; 4],
    /// How often base training meets each label: rank by number of recordings to a power; 0 if never.
    pub(crate) base_weight: Vec<f64>,
    /// For each label the acoustic distance to each other label.
    pub(crate) near: Vec<Vec<f32>>,
}

impl Class {
    pub(crate) fn new(modality: String, name: String, labels: Vec<ClassLabel>) -> Self {
        let of = |split: Split| {
            (0..labels.len())
                .filter(|label| !labels[*label].clips[split as usize].is_empty())
                .collect::<Vec<_>>()
        };
        let present = Split::ALL.map(of);
        // Where a split has too few labels of its own, those that base knows fill the options.
        let options = Split::ALL.map(|split| {
            let own = &present[split as usize];
            if own.len() >= dials::OPTIONS {
                return own.clone();
            }
            (0..labels.len()).filter(|label| own.contains(label) || labels[*label].in_base()).collect()
        });
        let mut ranked = present[Split::Base as usize].clone();
        ranked.sort_by_key(|label| (usize::MAX - labels[*label].clips[Split::Base as usize].len(), *label));
        let mut base_weight = vec![0.0; labels.len()];
        for (rank, label) in ranked.into_iter().enumerate() {
            base_weight[label] = ((rank + 1) as f64).powf(-dials::LABEL_RANK_POWER);
        }
        Self { modality, name, labels, present, options, base_weight, near: Vec::new() }
    }

    /// The labels that the split can ask for.
    pub(crate) fn present(&self, split: Split) -> &[usize] {
        &self.present[split as usize]
    }

    /// How often a question of the split asks for the label, up to a factor.
    pub(crate) fn weight(&self, label: usize, split: Split) -> f64 {
        if split == Split::Base { self.base_weight[label] } else { 1.0 }
    }

    /// Whether the split has a clip and enough options to ask which label is heard.
    pub(crate) fn can_ask(&self, split: Split) -> bool {
        !self.present(split).is_empty() && self.options[split as usize].len() >= dials::OPTIONS
    }
}
