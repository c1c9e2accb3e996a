//! Changes over time: of loudness, of pitch, of tempo. Each has four shapes, which are the options of every row.

use super::draw::with_labels;
use super::skill::{Answers, Family, Skill, SkillDraw};
use crate::dials::{CLIP_S, OPTIONS};
use crate::scene::{Scene, SoundEvent};

/// How loudness changes.
pub(crate) const LOUDNESS: Skill = Skill {
    noun: "",
    answers: Answers::Fixed(OPTIONS),
    min_labels: 1,
    draw_up: draw_up_loudness,
    wordings: ["How does the loudness change?", "What does the loudness do?"],
    texts: |_, labels| texts(LOUDNESS_SHAPES, labels),
};
/// How a melody moves.
pub(crate) const CONTOUR: Skill = Skill {
    draw_up: draw_up_contour,
    wordings: ["How does the melody move?", "What does the pitch do?"],
    texts: |_, labels| texts(CONTOUR_SHAPES, labels),
    ..LOUDNESS
};
/// How a beat changes.
pub(crate) const TEMPO: Skill = Skill {
    draw_up: draw_up_tempo,
    wordings: ["How does the beat change?", "What does the tempo do?"],
    texts: |_, labels| texts(TEMPO_SHAPES, labels),
    ..LOUDNESS
};

const LOUDNESS_SHAPES: [&str; 4] =
    ["getting louder", "getting softer", "same loudness", "louder then softer"];
const CONTOUR_SHAPES: [&str; 4] = ["rising", "falling", "rising then falling", "falling then rising"];
const TEMPO_SHAPES: [&str; 4] = ["speeding up", "slowing down", "steady beat", "uneven beat"];

const HITS: usize = 5;
const HIT_STEP_S: f64 = 0.52;
const HIT_S: f64 = 0.4;
const HIT_SPREAD_DB: f64 = 1.0;
const NOTES: usize = 5;
const NOTE_STEP_S: f64 = 0.48;
const NOTE_S: f64 = 0.55;
/// The size of each interval of a melody is drawn between these shares of the step.
const INTERVAL_SHARE: (f64, f64) = (0.7, 1.3);
const BEATS: usize = 6;
const BEAT_S: f64 = 0.3;
/// The beats take this long in all, so that the mean tempo tells nothing.
const BEATS_S: (f64, f64) = (2.1, 2.5);

fn texts(shapes: [&str; 4], labels: &[&str]) -> Vec<String> {
    with_labels(&shapes.map(str::to_owned), labels)
}

/// Puts the right shape first.
fn shapes(texts: [&str; 4], answer: usize) -> Vec<String> {
    let rest = texts.iter().enumerate().filter(|(index, _)| *index != answer).map(|(_, text)| text);
    std::iter::once(&texts[answer]).chain(rest).map(|text| (*text).to_owned()).collect()
}

/// One sound five times at changing gain; `step` is the whole change in decibels.
fn draw_up_loudness(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let class = family.class;
    let label = draw.label(class, &[]);
    let clip = draw.take(class, label);
    let last = (HITS - 1) as f64;
    let start_s = draw.start(HIT_STEP_S * last + HIT_S);
    let mut events: Vec<SoundEvent> = Vec::new();
    for hit in 0..HITS {
        let along = hit as f64 / last;
        let shape = [along, 1.0 - along, 0.5, 1.0 - (2.0 * along - 1.0).abs()][answer];
        let gain_db = draw.level.step * (shape - 0.5) + draw.spread(HIT_SPREAD_DB);
        events.push(SoundEvent { gain_db, ..draw.event(clip, start_s + HIT_STEP_S * hit as f64, HIT_S) });
    }
    finish(LOUDNESS_SHAPES, answer, class, label, events, draw)
}

/// One note five times at changing pitch; `step` is the mean interval in semitones.
fn draw_up_contour(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let class = family.class;
    let label = draw.label(class, &[]);
    let clip = draw.take(class, label);
    let start_s = draw.start(NOTE_STEP_S * (NOTES - 1) as f64 + NOTE_S);
    let mut pitches = vec![0.0];
    for note in 1..NOTES {
        let first_half = note <= NOTES / 2;
        let up = [true, false, first_half, !first_half][answer];
        let interval = draw.level.step * draw.rng.range(INTERVAL_SHARE.0, INTERVAL_SHARE.1);
        let before = pitches.last().copied().unwrap_or(0.0);
        pitches.push(before + if up { interval } else { -interval });
    }
    // Centred, so that a high or low start tells nothing about where it goes.
    let (lowest, highest) = pitches.iter().fold((0.0_f64, 0.0_f64), |(lo, hi), p| (lo.min(*p), hi.max(*p)));
    let shift = draw.spread(3.0) - (lowest + highest) / 2.0;
    let place = |(note, pitch): (usize, &f64)| SoundEvent {
        clip,
        at_s: start_s + NOTE_STEP_S * note as f64,
        max_s: NOTE_S,
        gain_db: 0.0,
        semitones: pitch + shift,
    };
    let events = pitches.iter().enumerate().map(place).collect();
    finish(CONTOUR_SHAPES, answer, class, label, events, draw)
}

/// One hit seven times at changing intervals; `step` is the longest interval over the shortest.
fn draw_up_tempo(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let class = family.class;
    let label = draw.label(class, &[]);
    let clip = draw.take(class, label);
    let ratio = draw.level.step;
    let grown: Vec<f64> = (0..BEATS).map(|i| ratio.powf(i as f64 / (BEATS - 1) as f64)).collect();
    let intervals: Vec<f64> = match answer {
        0 => grown.into_iter().rev().collect(),
        1 => grown,
        2 => vec![1.0; BEATS],
        // Long and short in turn, so that it is neither of the others by chance.
        _ => {
            let long_first = draw.rng.below(2);
            (0..BEATS).map(|i| if i % 2 == long_first { 1.0 } else { ratio }).collect()
        }
    };
    let total_s = draw.rng.range(BEATS_S.0, BEATS_S.1);
    let unit_s = total_s / intervals.iter().sum::<f64>();
    let mut at_s = draw.rng.range(0.0, CLIP_S - total_s - BEAT_S);
    let mut events: Vec<SoundEvent> = Vec::new();
    let semitones = draw.spread(1.0);
    for interval in intervals.iter().chain([&0.0]) {
        events.push(SoundEvent { clip, at_s, max_s: BEAT_S, gain_db: draw.spread(HIT_SPREAD_DB), semitones });
        at_s += interval * unit_s;
    }
    finish(TEMPO_SHAPES, answer, class, label, events, draw)
}

fn finish(
    texts: [&str; 4],
    answer: usize,
    class: usize,
    label: usize,
    mut events: Vec<SoundEvent>,
    draw: &mut SkillDraw,
) -> Scene {
    draw.interfere(class, &[label], &mut events);
    let caption = format!("{} {}", draw.text(class, label), texts[answer]);
    draw.scene(events, shapes(texts, answer), caption, class, &[label])
}
