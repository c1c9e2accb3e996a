//! K@N labels, the targets that follow from them, and the IDK share for every K.

use std::collections::BTreeMap;

use idk_common::seed::{Rng, derive_seed};
use idk_questions::rows::{Label, LabelRow, SampleRow};
use idk_questions::{Question, Verdict};
use serde::{Deserialize, Serialize};

use crate::config::{BuildConfig, Target};
use crate::screen::AUDIO_TAG;

/// The share of unknown (IDK) questions of a group, for every K from 1 to N.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Questions in the group.
    pub n: usize,
    /// K -> share of the questions with fewer than K right answers.
    pub unknown: BTreeMap<usize, f64>,
}

/// The IDK share, for every K, of all questions and of their groups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IdkShares {
    /// All questions.
    pub overall: Share,
    /// By task (`sound`, `music`, `speech`).
    pub task: BTreeMap<String, Share>,
    /// By `task/sub-category`.
    pub sub_category: BTreeMap<String, Share>,
}

/// Counts the verdicts of a question's samples and labels it.
pub(crate) fn label(question: &Question, samples: &[SampleRow], k: usize) -> LabelRow {
    let count = |verdict| samples.iter().filter(|row| row.verdict == verdict).count();
    let correct = count(Verdict::Correct);
    LabelRow {
        id: question.id.clone(),
        n: samples.len(),
        correct,
        refused: count(Verdict::Refused),
        wrong: count(Verdict::Wrong),
        label: if correct >= k { Label::Known } else { Label::Unknown },
        task: question.task.clone(),
        sub_category: question.sub_category.clone(),
    }
}

/// The answer that the question is trained to give.
///
/// `sampled` takes one of the correct samples by the seed; samples that contain an audio tag are passed over, as a
/// reader of the rows would take the tag for a recording.
pub(crate) fn target_text(
    question: &Question,
    label: &LabelRow,
    samples: &[SampleRow],
    config: &BuildConfig,
    run_seed: u64,
) -> String {
    if label.label == Label::Unknown {
        return config.refusal.clone();
    }
    match config.target {
        Target::Gold => question.answer.clone(),
        Target::Sampled => {
            let usable = |row: &&SampleRow| row.verdict == Verdict::Correct && !row.text.contains(AUDIO_TAG);
            let correct: Vec<&SampleRow> = samples.iter().filter(usable).collect();
            let mut rng = Rng::new(derive_seed(run_seed, "target", &[&question.id]));
            rng.choose(&correct).map_or_else(|| question.answer.clone(), |row| row.text.trim().to_owned())
        }
    }
}

impl IdkShares {
    /// The shares of a labelled set; `n_samples` is N.
    pub fn of(labels: &[LabelRow], n_samples: usize) -> Self {
        let mut overall = Vec::new();
        let mut task: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut sub_category: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for row in labels {
            overall.push(row.correct);
            task.entry(row.task.clone()).or_default().push(row.correct);
            sub_category.entry(format!("{}/{}", row.task, row.sub_category)).or_default().push(row.correct);
        }
        let shares = |groups: BTreeMap<String, Vec<usize>>| {
            groups.into_iter().map(|(name, correct)| (name, share(&correct, n_samples))).collect()
        };
        Self { overall: share(&overall, n_samples), task: shares(task), sub_category: shares(sub_category) }
    }
}

fn share(correct: &[usize], n_samples: usize) -> Share {
    let below = |k: usize| correct.iter().filter(|&&count| count < k).count();
    let n = correct.len();
    Share { n, unknown: (1..=n_samples).map(|k| (k, below(k) as f64 / n.max(1) as f64)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            id: "q".to_owned(),
            answer: "dog".to_owned(),
            choices: vec!["dog".to_owned(), "cat".to_owned()],
            task: "sound".to_owned(),
            sub_category: "event".to_owned(),
            ..Question::default()
        }
    }

    fn samples(verdicts: &[Verdict]) -> Vec<SampleRow> {
        let row = |(sample, &verdict): (usize, &Verdict)| SampleRow {
            id: "q".to_owned(),
            sample,
            seed: 0,
            text: format!(" text {sample}"),
            verdict,
            choice: None,
            log_prob: -1.0,
        };
        verdicts.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_question_is_known_from_k_right_answers_on() {
        use Verdict::{Correct, Refused, Wrong};
        let rows = samples(&[Correct, Wrong, Correct, Refused, Correct]);
        for (k, expected) in [(1, Label::Known), (3, Label::Known), (4, Label::Unknown), (5, Label::Unknown)]
        {
            let row = label(&question(), &rows, k);
            assert_eq!(row.label, expected, "k = {k}");
            assert_eq!((row.n, row.correct, row.wrong, row.refused), (5, 3, 1, 1));
        }
    }

    #[test]
    fn the_idk_share_counts_questions_with_fewer_than_k_right_answers() {
        let row =
            |task: &str, correct| LabelRow { task: task.to_owned(), correct, ..label(&question(), &[], 1) };
        let shares = IdkShares::of(&[row("sound", 0), row("sound", 1), row("music", 3), row("music", 2)], 3);
        assert_eq!(shares.overall.unknown, BTreeMap::from([(1, 0.25), (2, 0.5), (3, 0.75)]));
        assert_eq!(shares.task["sound"].unknown, BTreeMap::from([(1, 0.5), (2, 1.0), (3, 1.0)]));
        assert_eq!(shares.sub_category["music/event"].n, 2);
    }

    #[test]
    fn targets_are_the_answer_a_correct_sample_or_the_refusal() {
        use Verdict::{Correct, Wrong};
        let rows = samples(&[Wrong, Correct, Wrong, Correct]);
        let known = label(&question(), &rows, 2);
        let gold = BuildConfig::default();
        assert_eq!(target_text(&question(), &known, &rows, &gold, 1), "dog");
        let sampled = BuildConfig { target: Target::Sampled, ..BuildConfig::default() };
        for seed in 0..20 {
            let text = target_text(&question(), &known, &rows, &sampled, seed);
            assert!(text == "text 1" || text == "text 3", "{text}");
        }
        let unknown = label(&question(), &rows, 3);
        assert_eq!(target_text(&question(), &unknown, &rows, &sampled, 1), "I don't know");
    }
}
