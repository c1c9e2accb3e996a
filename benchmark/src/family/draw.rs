//! Draws that several skills share.

use super::skill::SkillDraw;
use crate::bank::Class;
use crate::dials::{self, CLIP_S, Distractors};
use crate::scene::{Scene, SoundEvent};

impl<'a> SkillDraw<'a> {
    pub(crate) fn class(&self, class: usize) -> &'a Class {
        &self.bank.classes[class]
    }

    /// One of several things with the given weights; 0 if there are none.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut point = self.rng.uniform() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            point -= weight;
            if point < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// A label of the class that the split has clips of, other than those of `without` where there is another.
    pub(crate) fn label(&mut self, class: usize, without: &[usize]) -> usize {
        let (split, found) = (self.split, self.class(class));
        let present = found.present(split);
        let weight = |label: usize, without: &[usize]| {
            if without.contains(&label) { 0.0 } else { found.weight(label, split) }
        };
        let mut weights: Vec<f64> = present.iter().map(|label| weight(*label, without)).collect();
        if weights.iter().sum::<f64>() <= 0.0 {
            weights = present.iter().map(|label| weight(*label, &[])).collect();
        }
        let index = self.weighted(&weights);
        self.class(class).present(split)[index]
    }

    /// A clip of the label in the split.
    pub(crate) fn take(&mut self, class: usize, label: usize) -> usize {
        let clips = &self.bank.classes[class].labels[label].clips[self.split as usize];
        clips[self.rng.below(clips.len())]
    }

    /// Places a clip, with the random change of pitch that every sound gets.
    pub(crate) fn event(&mut self, clip: usize, at_s: f64, max_s: f64) -> SoundEvent {
        let semitones = self.spread(dials::PITCH_SPREAD_SEMITONES);
        SoundEvent { clip, at_s, max_s, gain_db: 0.0, semitones }
    }

    /// A number within `spread` of 0.
    pub(crate) fn spread(&mut self, spread: f64) -> f64 {
        self.rng.range(-spread, spread)
    }

    /// Starts for sounds that take `length_s` in all: somewhere in the clip.
    pub(crate) fn start(&mut self, length_s: f64) -> f64 {
        self.rng.range(0.0, (CLIP_S - length_s - 0.05).max(0.02))
    }

    /// One more label for a set of options of which `chosen` are there: `from` narrows what may be chosen.
    pub(crate) fn option(&mut self, class: usize, chosen: &[usize], from: &[usize]) -> Option<usize> {
        let mut candidates: Vec<usize> =
            from.iter().copied().filter(|label| !chosen.contains(label)).collect();
        let near = &self.class(class).near;
        // Symmetric in the options: each new one is far from (near to) all that are there, the answer or not.
        let distance = |label: usize, far: bool| {
            let distances = chosen.iter().map(|other| near[label][*other]);
            if far { distances.fold(f32::INFINITY, f32::min) } else { distances.sum() }
        };
        let kept = match self.level.options {
            Distractors::Mixed => candidates.len(),
            Distractors::Far => {
                candidates.sort_by(|a, b| distance(*b, true).total_cmp(&distance(*a, true)));
                candidates.len().div_ceil(2)
            }
            Distractors::Near => {
                candidates.sort_by(|a, b| distance(*a, false).total_cmp(&distance(*b, false)));
                (candidates.len() / 4).max(3)
            }
        };
        candidates.truncate(kept);
        let (bank, split) = (self.bank, self.split);
        match &mut self.offers {
            Some(offers) => offers.take(class, &candidates, self.rng),
            None => {
                let weights: Vec<f64> =
                    candidates.iter().map(|label| bank.classes[class].weight(*label, split)).collect();
                let index = self.weighted(&weights);
                candidates.get(index).copied()
            }
        }
    }

    /// `count` labels that are options in addition to `chosen`.
    pub(crate) fn wrong_options(&mut self, class: usize, chosen: &[usize], count: usize) -> Vec<usize> {
        let from = self.class(class).options[self.split as usize].clone();
        let mut all = chosen.to_vec();
        while all.len() < chosen.len() + count {
            let Some(label) = self.option(class, &all, &from) else { break };
            all.push(label);
        }
        all.split_off(chosen.len())
    }

    /// Adds another recording of the modality as an interferer, if the level has one: of none of the `heard` labels.
    pub(crate) fn interfere(&mut self, class: usize, heard: &[usize], events: &mut Vec<SoundEvent>) {
        let Some(gain_db) = self.level.interferer_db else { return };
        let own = self.class(class).present(self.split);
        if own.iter().all(|label| heard.contains(label)) {
            return;
        }
        let label = self.label(class, heard);
        let clip = self.take(class, label);
        let length_s = self.bank.clips[clip].duration_s().min(1.2);
        let at_s = self.start(length_s);
        let mut event = self.event(clip, at_s, 1.2);
        event.gain_db = gain_db;
        events.push(event);
    }

    /// Finishes a scene: noise, gain, and whether base training meets all that is asked about.
    pub(crate) fn scene(
        &mut self,
        events: Vec<SoundEvent>,
        options: Vec<String>,
        caption: String,
        class: usize,
        heard: &[usize],
    ) -> Scene {
        let seen_in_base = heard.iter().all(|label| self.class(class).labels[*label].in_base());
        Scene {
            events,
            snr_db: self.level.snr_db + self.spread(dials::SNR_SPREAD_DB),
            pink: self.rng.below(2) == 1,
            noise_offset: self.rng.below(1 << 30),
            gain_db: self.rng.range(dials::GAIN_DB.0, dials::GAIN_DB.1),
            options,
            caption,
            seen_in_base,
        }
    }

    /// The text of a label.
    pub(crate) fn text(&self, class: usize, label: usize) -> String {
        self.bank.classes[class].labels[label].text.clone()
    }
}

/// Texts of two labels each, for neighbouring labels only: all of them would be tens of thousands.
pub(crate) fn neighbours(labels: &[&str], join: fn(&str, &str) -> String) -> Vec<String> {
    let next = |index: usize| labels[(index + 1) % labels.len()];
    labels.iter().enumerate().map(|(index, label)| join(label, next(index))).collect()
}

/// The texts, and each of them after each label.
pub(crate) fn with_labels(texts: &[String], labels: &[&str]) -> Vec<String> {
    let captions = labels.iter().flat_map(|label| texts.iter().map(move |text| format!("{label} {text}")));
    captions.chain(texts.iter().cloned()).collect()
}
