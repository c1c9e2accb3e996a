//! Two events in a row, two instruments at once, three digits in a row.
//!
//! The options of every question are symmetric (each is to the others as any other is), so that the right one cannot
//! be told from the texts.

use super::draw::neighbours;
use super::skill::{Answers, Family, Skill, SkillDraw};
use crate::dials::{Distractors, OPTIONS};
use crate::scene::{Scene, SoundEvent};

/// Which of two comes first.
pub(crate) const ORDER: Skill = Skill {
    noun: "",
    answers: Answers::Labels,
    min_labels: 2,
    draw_up: draw_up_order,
    wordings: ["In which order are the sounds heard?", "Which sound follows which?"],
    texts: |_, labels| neighbours(labels, then_text),
};
/// Which two are heard at once.
pub(crate) const DUO: Skill = Skill {
    draw_up: draw_up_duo,
    wordings: ["Which two instruments play together?", "Who plays this duo?"],
    texts: |_, labels| neighbours(labels, and_text),
    ..ORDER
};
/// Which three come in a row.
pub(crate) const SEQUENCE: Skill = Skill {
    draw_up: draw_up_sequence,
    wordings: ["Which three words are spoken in a row?", "What is said, in order?"],
    texts: |_, labels| neighbours(labels, |a, b| format!("{a} {b} {a}")),
    ..ORDER
};

const EVENT_S: f64 = 1.2;
const DIGIT_S: f64 = 0.75;
const NOTE_S: f64 = 0.8;
const DUO_NOTES: usize = 3;

/// "pig then door".
fn then_text(first: &str, second: &str) -> String {
    format!("{first} then {second}")
}

/// "flute and piano": in alphabetical order, because both are heard at once.
fn and_text(a: &str, b: &str) -> String {
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    format!("{first} and {second}")
}

/// Takes of the labels one after the other, each overlapping the one before by `step`.
fn in_a_row(class: usize, labels: &[usize], max_s: f64, draw: &mut SkillDraw) -> Vec<SoundEvent> {
    let mut events: Vec<SoundEvent> = Vec::new();
    let mut end_s: f64 = 0.0;
    for label in labels {
        let clip = draw.take(class, *label);
        let length_s = draw.bank.clips[clip].duration_s().min(max_s);
        let gap_s = draw.rng.range(0.02, 0.12);
        let at_s =
            if events.is_empty() { 0.0 } else { (end_s + gap_s - draw.level.step * length_s).max(0.0) };
        events.push(draw.event(clip, at_s, max_s));
        end_s = at_s + length_s;
    }
    let start_s = draw.start(end_s);
    events.iter_mut().for_each(|event| event.at_s += start_s);
    events
}

/// Two events; `pig then door` among the same and another pair, either way round.
fn draw_up_order(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let class = family.class;
    let a = draw.class(class).present(draw.split)[answer];
    let b = partner(class, a, draw);
    let events = in_a_row(class, &[a, b], EVENT_S, draw);
    let pairs = if draw.level.options == Distractors::Far {
        let others = draw.wrong_options(class, &[a, b], 2);
        match others[..] {
            [c, d] => [(a, b), (b, a), (c, d), (d, c)],
            [c] => [(a, b), (b, a), (a, c), (c, a)],
            _ => [(a, b), (b, a), (a, a), (b, b)],
        }
    } else {
        let c = draw.wrong_options(class, &[a, b], 1).first().copied().unwrap_or(a);
        [(a, b), (b, a), (a, c), (c, a)]
    };
    let text = |label: usize| draw.text(class, label);
    let options: Vec<String> = pairs.iter().map(|(x, y)| then_text(&text(*x), &text(*y))).collect();
    let caption = options[0].clone();
    draw.scene(events, options, caption, class, &[a, b])
}

/// Two instruments at once; the second is `step` decibels softer.
fn draw_up_duo(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let class = family.class;
    let a = draw.class(class).present(draw.split)[answer];
    let b = partner(class, a, draw);
    let mut events: Vec<SoundEvent> = Vec::new();
    let start_s = draw.start(DUO_NOTES as f64 * NOTE_S);
    for (label, gain_db) in [(a, 0.0), (b, -draw.level.step)] {
        for note in 0..DUO_NOTES {
            let clip = draw.take(class, label);
            let at_s = start_s + note as f64 * NOTE_S + draw.rng.range(0.0, 0.1);
            events.push(SoundEvent { gain_db, ..draw.event(clip, at_s, NOTE_S) });
        }
    }
    let pairs = if draw.level.options == Distractors::Far { far_pairs(class, a, b, draw) } else { None };
    let pairs = pairs.unwrap_or_else(|| {
        let (c, d) = alternatives(class, a, b, draw);
        [(a, b), (a, d), (c, b), (c, d)]
    });
    let text = |label: usize| draw.text(class, label);
    let options: Vec<String> = pairs.iter().map(|(x, y)| and_text(&text(*x), &text(*y))).collect();
    let caption = options[0].clone();
    draw.scene(events, options, caption, class, &[a, b])
}

/// Four pairs with no instrument in common, if the class has eight.
fn far_pairs(class: usize, a: usize, b: usize, draw: &mut SkillDraw) -> Option<[(usize, usize); OPTIONS]> {
    if draw.class(class).options[draw.split as usize].len() < 2 * OPTIONS {
        return None;
    }
    match draw.wrong_options(class, &[a, b], 2 * (OPTIONS - 1))[..] {
        [c, d, e, f, g, h] => Some([(a, b), (c, d), (e, f), (g, h)]),
        _ => None,
    }
}

/// Three digits. Easy: the options differ in every place where the class is large enough. Else in two places, with
/// two labels each.
fn draw_up_sequence(family: &Family, answer: usize, draw: &mut SkillDraw) -> Scene {
    let class = family.class;
    let a = draw.class(class).present(draw.split)[answer];
    let b = draw.label(class, &[a]);
    let c = draw.label(class, &[a, b]);
    let mut row = [a, b, c];
    draw.rng.shuffle(&mut row);
    let events = in_a_row(class, &row, DIGIT_S, draw);
    let mut rows = vec![row];
    if draw.level.options == Distractors::Far {
        while rows.len() < OPTIONS {
            let mut other = row;
            for place in 0..row.len() {
                let used: Vec<usize> =
                    rows.iter().map(|row| row[place]).chain(other[..place].to_vec()).collect();
                other[place] = draw.wrong_options(class, &used, 1).first().copied().unwrap_or(row[place]);
            }
            if rows.contains(&other) {
                break;
            }
            rows.push(other);
        }
    }
    if rows.len() < OPTIONS {
        rows.truncate(1);
        let places = draw.rng.permutation(row.len());
        let (p, q) = (places[0], places[1]);
        let (x, y) = (replacement(class, &row, p, draw), replacement(class, &row, q, draw));
        for (change_p, change_q) in [(true, false), (false, true), (true, true)] {
            let mut other = row;
            other[p] = if change_p { x } else { row[p] };
            other[q] = if change_q { y } else { row[q] };
            rows.push(other);
        }
    }
    let text = |row: &[usize; 3]| row.map(|label| draw.text(class, label)).join(" ");
    let options: Vec<String> = rows.iter().map(text).collect();
    let caption = options[0].clone();
    draw.scene(events, options, caption, class, &row)
}

/// A second label that is heard with `a`.
fn partner(class: usize, a: usize, draw: &mut SkillDraw) -> usize {
    let present = draw.class(class).present(draw.split).to_vec();
    draw.option(class, &[a], &present).unwrap_or(a)
}

/// One label instead of `a` and another instead of `b`.
fn alternatives(class: usize, a: usize, b: usize, draw: &mut SkillDraw) -> (usize, usize) {
    match draw.wrong_options(class, &[a, b], 2)[..] {
        [c, d] => (c, d),
        _ => (a, b),
    }
}

/// A label that replaces one of the row's.
fn replacement(class: usize, row: &[usize; 3], place: usize, draw: &mut SkillDraw) -> usize {
    let from: Vec<usize> =
        draw.class(class).options[draw.split as usize].iter().copied().filter(|l| !row.contains(l)).collect();
    draw.option(class, &[row[place]], &from).unwrap_or(row[place])
}
