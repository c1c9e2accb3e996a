//! How many sounds, notes or words are heard.

use super::draw::with_labels;
use super::skill::{Answers, Family, Skill, SkillDraw};
use crate::dials::OPTIONS;
use crate::scene::{Scene, SoundEvent};

/// How often a sound is heard.
pub(crate) const TIMES: Skill = Skill {
    noun: "time",
    answers: Answers::Fixed(MOST),
    min_labels: 1,
    draw_up,
    wordings: ["How many times does it sound?", "How often is the sound heard?"],
    texts: |noun, labels| with_labels(&texts(noun), labels),
};
/// How many notes a melody has.
pub(crate) const NOTES: Skill =
    Skill { noun: "note", wordings: ["How many notes are played?", "What is the number of notes?"], ..TIMES };
/// How many words are said.
pub(crate) const WORDS: Skill = Skill {
    noun: "word",
    wordings: ["How many words are spoken?", "What is the number of words?"],
    texts: |noun, _| texts(noun),
    ..TIMES
};

/// The largest count.
const MOST: usize = 5;
/// The numbers as words.
const NUMBERS: [&str; MOST] = ["one", "two", "three", "four", "five"];
/// Onsets move by up to this share of the step.
const JITTER: f64 = 0.15;
const GAIN_SPREAD_DB: f64 = 3.0;
/// A sound is cut off after this, a word and a note a little later: a whole word must be understood as one.
const SOUND_S: f64 = 0.35;
const WORD_S: f64 = 0.5;
const NOTE_S: f64 = 0.6;
const MELODY_SEMITONES: f64 = 6.0;

/// "one word", "two words".
fn text(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", NUMBERS[number - 1])
}

fn texts(noun: &str) -> Vec<String> {
    (1..=MOST).map(|number| text(number, noun)).collect()
}

/// Sounds are one recording again and again; notes one recording at changing pitch; words are different words.
fn draw_up(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let noun = family.skill.noun;
    let (class, number, step_s) = (family.class, answer + 1, draw.level.step);
    let label = draw.label(class, &[]);
    let clip = draw.take(class, label);
    let mut heard = vec![label];
    let start_s = draw.start(step_s * (number - 1) as f64 + SOUND_S);
    let mut events: Vec<SoundEvent> = Vec::new();
    for i in 0..number {
        let at_s = (start_s + step_s * (i as f64 + draw.spread(JITTER))).max(0.0);
        let mut event = match noun {
            "word" => {
                let word = if i == 0 { label } else { draw.label(class, &heard) };
                heard.push(word);
                let clip = draw.take(class, word);
                draw.event(clip, at_s, WORD_S)
            }
            "note" => {
                let semitones = draw.spread(MELODY_SEMITONES).round();
                let event = draw.event(clip, at_s, NOTE_S);
                SoundEvent { semitones: event.semitones + semitones, ..event }
            }
            _ => draw.event(clip, at_s, SOUND_S),
        };
        event.gain_db = draw.spread(GAIN_SPREAD_DB);
        events.push(event);
    }
    draw.interfere(class, &heard, &mut events);
    let caption = match noun {
        "word" => text(number, noun),
        _ => format!("{} {}", draw.text(class, label), text(number, noun)),
    };
    // One of the five numbers is left out, each wrong one equally often: no number gives itself away.
    let mut wrong: Vec<usize> = (1..=MOST).filter(|other| *other != number).collect();
    draw.rng.shuffle(&mut wrong);
    wrong.truncate(OPTIONS - 1);
    wrong.insert(0, number);
    let options = wrong.into_iter().map(|number| text(number, noun)).collect();
    heard.dedup();
    draw.scene(events, options, caption, class, &heard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_words() {
        assert_eq!(text(1, "time"), "one time");
        assert_eq!(text(3, "word"), "three words");
    }
}
