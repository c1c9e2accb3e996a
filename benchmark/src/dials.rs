//! Every number that sets how hard the benchmark is, in one place.
//!
//! A family has one [`Level`] for each difficulty. To make a family harder, lower `snr_db`, choose [`Distractors::Near`],
//! add an interferer, or move `step` in the direction that its comment says.

use std::fmt;

/// Options of every question.
pub(crate) const OPTIONS: usize = 4;
/// Length of every composed clip.
pub(crate) const CLIP_S: f64 = 3.0;
/// Questions a modality in base, idk, val and test.
pub(crate) const QUESTIONS_PER_MODALITY: [usize; 4] = [3600, 600, 120, 300];

/// Most questions a modality; each clip takes 96 kB on the disk.
pub(crate) const MAX_COMPOSED_QUESTIONS: usize = 100_000;

/// Base training meets the label of rank r this often: r to the power of minus this.
pub(crate) const LABEL_RANK_POWER: f64 = 0.7;
/// Labels that base never meets, as a share of the labels of a class, for each of idk and test (and half for val).
pub(crate) const NEVER_MET_SHARE: f64 = 0.11;
/// Smaller classes have none.
pub(crate) const NEVER_MET_MIN_LABELS: usize = 8;
/// Every second row is worded as any other family's rows are.
pub(crate) const GENERIC_EVERY: usize = 2;

/// The noise level of a clip is drawn this far around its level's `snr_db`.
pub(crate) const SNR_SPREAD_DB: f64 = 2.0;
/// Random change of pitch and speed of every sound, so that no clip is heard twice in the same way.
pub(crate) const PITCH_SPREAD_SEMITONES: f64 = 0.4;
/// Overall gain of a clip.
pub(crate) const GAIN_DB: (f64, f64) = (-6.0, 3.0);

/// How hard a question is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difficulty {
    /// Clean, with options that sound different.
    Easy,
    /// In between.
    Medium,
    /// Noisy or close, with options that sound alike.
    Hard,
}

impl Difficulty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Easy, Self::Medium, Self::Hard];

    /// MMAU's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["easy", "medium", "hard"][self as usize]
    }
}

impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the wrong options are chosen among the labels of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distractors {
    /// All options sound different.
    Far,
    /// Any labels.
    Mixed,
    /// All options sound alike.
    Near,
}

impl Distractors {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Far => "far",
            Self::Mixed => "mixed",
            Self::Near => "near",
        }
    }
}

/// How hard one difficulty of one family is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// Level of the sounds over that of the background noise.
    pub(crate) snr_db: f64,
    /// The wrong options.
    pub(crate) options: Distractors,
    /// Another recording plays at this gain at the same time; its label is never an option.
    pub(crate) interferer_db: Option<f64>,
    /// What makes this family hard; its unit is in the family's comment.
    pub(crate) step: f64,
}

const fn level(snr_db: f64, options: Distractors, interferer_db: Option<f64>, step: f64) -> Level {
    Level { snr_db, options, interferer_db, step }
}

/// Easy, medium, hard.
pub(crate) type Levels = [Level; 3];

use Distractors::{Far, Mixed, Near};

// sound

/// Which event; `step`: seconds of it that are heard (lower is harder).
pub(crate) const EVENT: Levels =
    [level(20.0, Far, None, 1.6), level(8.0, Mixed, Some(-14.0), 1.2), level(1.0, Near, Some(-6.0), 0.8)];
/// Which ground under the footsteps; `step`: seconds of steps (lower is harder).
pub(crate) const SURFACE: Levels =
    [level(20.0, Far, None, 2.0), level(8.0, Mixed, None, 1.2), level(0.0, Near, Some(-8.0), 0.7)];
/// How many times; `step`: seconds from one onset to the next (lower is harder).
pub(crate) const COUNT: Levels = [
    level(12.0, Mixed, None, 0.5),
    level(3.0, Mixed, Some(-6.0), 0.36),
    level(-3.0, Mixed, Some(-2.0), 0.24),
];
/// Which of two events first; `step`: share of the first that the second overlaps (higher is harder).
pub(crate) const ORDER: Levels =
    [level(20.0, Far, None, 0.0), level(10.0, Mixed, None, 0.1), level(3.0, Near, None, 0.35)];
/// Change of loudness; `step`: decibels between the softest and the loudest (lower is harder).
pub(crate) const LOUDNESS: Levels =
    [level(18.0, Mixed, None, 12.0), level(8.0, Mixed, Some(-10.0), 6.5), level(2.0, Mixed, Some(-4.0), 3.5)];
/// Which of four sounds differs; `step`: seconds from one to the next (lower is harder).
pub(crate) const ODD: Levels =
    [level(18.0, Far, None, 0.68), level(7.0, Mixed, None, 0.6), level(0.0, Near, None, 0.45)];

// music

/// Which instrument; `step`: seconds of notes (lower is harder).
pub(crate) const INSTRUMENT: Levels =
    [level(20.0, Far, None, 2.2), level(8.0, Mixed, Some(-12.0), 1.4), level(1.0, Near, Some(-5.0), 0.7)];
/// Which drum; `step`: seconds of hits (lower is harder).
pub(crate) const PERCUSSION: Levels =
    [level(18.0, Far, None, 1.6), level(6.0, Mixed, Some(-12.0), 1.0), level(-1.0, Near, Some(-4.0), 0.5)];
/// Shape of a melody; `step`: semitones from note to note (lower is harder).
pub(crate) const CONTOUR: Levels =
    [level(18.0, Mixed, None, 3.5), level(8.0, Mixed, Some(-12.0), 1.5), level(2.0, Mixed, Some(-6.0), 0.7)];
/// Change of tempo; `step`: the longest over the shortest time between hits (lower is harder).
pub(crate) const TEMPO: Levels =
    [level(15.0, Mixed, None, 3.0), level(5.0, Mixed, Some(-8.0), 1.9), level(-1.0, Mixed, Some(-3.0), 1.4)];
/// How many notes; `step`: seconds from note to note (lower is harder; notes ring on).
pub(crate) const NOTES: Levels =
    [level(15.0, Mixed, None, 0.46), level(4.0, Mixed, Some(-8.0), 0.3), level(-2.0, Mixed, Some(-3.0), 0.2)];
/// Which two instruments at once; `step`: decibels that the second is softer (higher is harder).
pub(crate) const DUO: Levels =
    [level(20.0, Far, None, 0.0), level(10.0, Mixed, None, 3.0), level(4.0, Near, None, 6.0)];

// speech

/// Which digit; `step`: seconds of words, at least one word.
pub(crate) const DIGIT_LEVELS: Levels =
    [level(20.0, Far, None, 0.1), level(8.0, Mixed, Some(-14.0), 0.1), level(1.0, Near, Some(-8.0), 0.1)];
/// Which word; `step` as for digits.
pub(crate) const WORD: Levels =
    [level(20.0, Far, None, 0.1), level(8.0, Mixed, Some(-14.0), 0.1), level(1.0, Near, Some(-8.0), 0.1)];
/// Which language; `step`: seconds of speech (lower is harder).
pub(crate) const LANGUAGE_LEVELS: Levels =
    [level(20.0, Far, None, 2.6), level(8.0, Mixed, None, 1.5), level(0.0, Near, None, 0.8)];
/// How many words; `step`: seconds from word to word (lower is harder; words are cut to 0.5 s).
pub(crate) const WORDS: Levels = [
    level(15.0, Mixed, None, 0.55),
    level(4.0, Mixed, Some(-6.0), 0.42),
    level(-2.0, Mixed, Some(-2.0), 0.3),
];
/// Which three digits; `step`: share of a word that the next one overlaps (higher is harder).
pub(crate) const DIGITS: Levels =
    [level(20.0, Far, None, 0.0), level(9.0, Mixed, None, 0.05), level(2.0, Near, None, 0.15)];
/// Which of four words has another voice; `step`: seconds from word to word (lower is harder).
pub(crate) const VOICE: Levels =
    [level(18.0, Far, None, 0.7), level(8.0, Mixed, None, 0.65), level(1.0, Near, None, 0.5)];

/// Any other class of a bank; `step`: seconds of it that are heard.
pub(crate) const OTHER: Levels =
    [level(20.0, Far, None, 1.6), level(8.0, Mixed, Some(-14.0), 1.2), level(1.0, Near, Some(-6.0), 0.8)];
