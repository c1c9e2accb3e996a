//! Which of four sounds is another sound; which of four words is in another voice.

use super::draw::with_labels;
use super::skill::{Answers, Family, Skill, SkillDraw};
use crate::bank::catalog;
use crate::dials::OPTIONS;
use crate::scene::{Scene, SoundEvent};

/// Which sound differs.
pub(crate) const SOUND: Skill = Skill {
    noun: "sound",
    answers: Answers::Fixed(OPTIONS),
    min_labels: 2,
    draw_up,
    wordings: ["Which sound is another one?", "Where is the odd one?"],
    texts: |noun, labels| with_labels(&texts(noun), labels),
};
/// Which word is said by somebody else.
pub(crate) const VOICE: Skill = Skill {
    noun: "voice",
    wordings: ["Which voice is another one?", "Where does the speaker change?"],
    texts: |noun, _| texts(noun),
    ..SOUND
};

const PLACES: [&str; OPTIONS] = ["first", "second", "third", "fourth"];

/// "second voice differs".
fn text(place: usize, noun: &str) -> String {
    format!("{} {noun} differs", PLACES[place])
}

fn texts(noun: &str) -> Vec<String> {
    (0..OPTIONS).map(|place| text(place, noun)).collect()
}

/// Three sounds of one label and one of another, whose place is the answer. The three are one recording where sounds
/// are compared, and different words where voices are.
fn draw_up(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let noun = family.skill.noun;
    let class = family.class;
    let same = draw.label(class, &[]);
    let present = draw.class(class).present(draw.split).to_vec();
    let other = draw.option(class, &[same], &present).unwrap_or(same);
    let voices = draw.class(class).name == catalog::SPEAKER;
    let step_s = draw.level.step;
    let max_s = step_s + 0.05;
    let start_s = draw.start(step_s * OPTIONS as f64);
    let clip = draw.take(class, same);
    let mut events: Vec<SoundEvent> = Vec::new();
    for place in 0..OPTIONS {
        let clip = match (place == answer, voices) {
            (true, _) => draw.take(class, other),
            (false, true) => draw.take(class, same),
            (false, false) => clip,
        };
        events.push(draw.event(clip, start_s + step_s * place as f64, max_s));
    }
    draw.interfere(class, &[same, other], &mut events);
    let options = (0..OPTIONS).map(|i| text((answer + i) % OPTIONS, noun)).collect();
    let caption = if voices {
        text(answer, noun)
    } else {
        format!("{} {}", draw.text(class, same), text(answer, noun))
    };
    draw.scene(events, options, caption, class, &[same, other])
}
