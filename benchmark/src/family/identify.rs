//! Which label of a class is heard.

use super::skill::{Answers, Family, Skill, SkillDraw};
use crate::bank::catalog;
use crate::dials::{self, CLIP_S, Levels};
use crate::scene::{Scene, SoundEvent};

/// A take is never cut shorter than this.
const MIN_TAKE_S: f64 = 1.0;
const GAP_S: (f64, f64) = (0.04, 0.2);

/// The dials and wordings of the classes that have their own.
const CLASSES: [(&str, Levels, [&str; 2]); 7] = [
    ("event", dials::EVENT, ["Which sound is this?", "What makes this sound?"]),
    (catalog::SURFACE, dials::SURFACE, ["Where are the footsteps?", "Which ground is walked on?"]),
    (catalog::INSTRUMENT, dials::INSTRUMENT, ["Which instrument plays?", "What instrument is this?"]),
    (catalog::PERCUSSION, dials::PERCUSSION, ["Which drum is played?", "Which percussion is this?"]),
    (catalog::DIGIT, dials::DIGIT_LEVELS, ["Which digit is spoken?", "What number is said?"]),
    ("word", dials::WORD, ["Which word is spoken?", "What word is said?"]),
    (catalog::LANGUAGE, dials::LANGUAGE_LEVELS, ["Which language is spoken?", "What language is this?"]),
];

/// The skill and the dials of a class.
pub(crate) fn of_class(name: &str) -> (Skill, Levels) {
    let own = CLASSES.iter().find(|(class, ..)| *class == name);
    let (levels, wordings) = own
        .map_or((dials::OTHER, ["Which {} is heard?", "What {} is this?"]), |(_, levels, wordings)| {
            (*levels, *wordings)
        });
    let texts = |_: &str, labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
    (Skill { noun: "", answers: Answers::Labels, min_labels: 2, draw_up, wordings, texts }, levels)
}

/// One or more takes of the label after each other, until `step` seconds are heard.
fn draw_up(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let class = family.class;
    let label = draw.class(class).present(draw.split)[answer];
    let wanted_s = draw.level.step;
    let mut events: Vec<SoundEvent> = Vec::new();
    let mut length_s = 0.0;
    let mut heard_s = 0.0;
    while heard_s < wanted_s || events.is_empty() {
        let clip = draw.take(class, label);
        let take_s = draw.bank.clips[clip].duration_s().min((wanted_s - heard_s).max(MIN_TAKE_S));
        if !events.is_empty() && length_s + take_s > CLIP_S - 0.1 {
            break;
        }
        events.push(draw.event(clip, length_s, take_s));
        heard_s += take_s;
        length_s += take_s + draw.rng.range(GAP_S.0, GAP_S.1);
    }
    let start_s = draw.start(length_s);
    events.iter_mut().for_each(|event| event.at_s += start_s);
    let mut options = vec![label];
    options.extend(draw.wrong_options(class, &[label], dials::OPTIONS - 1));
    draw.interfere(class, &options, &mut events);
    let texts: Vec<String> = options.iter().map(|label| draw.text(class, *label)).collect();
    let caption = texts[0].clone();
    draw.scene(events, texts, caption, class, &[label])
}
