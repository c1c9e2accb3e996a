//! What is heard in a clip, as a list of placed recordings; and its rendering.

use crate::bank::Bank;
use crate::dials::CLIP_S;
use crate::mix::{self, LEVEL_RMS, amplitude, samples_of};

/// One recording in a clip.
#[derive(Clone, Debug)]
pub(crate) struct SoundEvent {
    pub(crate) clip: usize,
    pub(crate) at_s: f64,
    /// It is cut off after this.
    pub(crate) max_s: f64,
    pub(crate) gain_db: f64,
    /// Change of pitch and speed.
    pub(crate) semitones: f64,
}

/// A clip before it is rendered, and what it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) events: Vec<SoundEvent>,
    pub(crate) snr_db: f64,
    pub(crate) pink: bool,
    pub(crate) noise_offset: usize,
    pub(crate) gain_db: f64,
    /// The right answer first.
    pub(crate) options: Vec<String>,
    /// The facts of the clip in a fixed order.
    pub(crate) caption: String,
    /// Whether base training meets every label that is heard.
    pub(crate) seen_in_base: bool,
}

impl Scene {
    /// The recordings that are heard, each once, in alphabetical order.
    pub(crate) fn recordings(&self, bank: &Bank) -> Vec<String> {
        let names = self.events.iter().map(|event| bank.clips[event.clip].recording.clone());
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}

/// Renders a scene: [`CLIP_S`] seconds of mono samples at [`mix::SAMPLE_RATE_HZ`].
pub(crate) fn render(bank: &Bank, scene: &Scene) -> Vec<f32> {
    let mut out = vec![0.0; samples_of(CLIP_S)];
    for event in &scene.events {
        let clip = &bank.clips[event.clip].samples;
        let (start, length) = (samples_of(event.at_s), samples_of(event.max_s));
        mix::add(&mut out, clip, start, length, amplitude(event.gain_db), event.semitones);
    }
    let noise_rms = LEVEL_RMS * amplitude(-scene.snr_db);
    bank.noise.add(&mut out, scene.pink, scene.noise_offset, noise_rms);
    mix::scale_within_peak(&mut out, amplitude(scene.gain_db));
    out
}
