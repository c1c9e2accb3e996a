//! K@N labels, and the targets and preference pairs that follow from them.

use std::collections::BTreeSet;

use idk_common::Problem;
use idk_common::chat::AUDIO_TAG;
use idk_common::seed::{Rng, derive_seed};
use idk_questions::rows::{Label, LabelRow, SampleRow};
use idk_questions::{Verdict, judge};

use crate::config::{BuildConfig, Target};
use crate::error::{BuildError, SECTION};
use crate::format::question_row::QuestionRow;
use crate::label::own_answer::commonest;

/// Counts the verdicts of a question's samples and labels it. No sample is right where the question has no right answer, so
/// it is unknown.
pub(crate) fn label(question: &QuestionRow, samples: &[SampleRow], k: usize) -> LabelRow {
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
        unanswerable: question.unanswerable.clone(),
    }
}

/// Whether the samples of a question settle its label at `k` of `n_samples`: enough are right, or those that were not
/// drawn could not make them enough.
pub(crate) fn is_decided(row: &LabelRow, k: usize, n_samples: usize) -> bool {
    row.correct >= k || row.correct + n_samples.saturating_sub(row.n) < k
}

/// The text with which the question is refused: one of the templates by the seed.
///
/// # Errors
/// [`BuildError::Config`] if the judge reads it as an answer to this question.
pub(crate) fn refusal_text<'a>(
    question: &QuestionRow,
    config: &'a BuildConfig,
    run_seed: u64,
) -> Result<&'a str, BuildError> {
    let mut rng = Rng::new(derive_seed(run_seed, "refusal", &[&question.id]));
    let text = rng.choose(config.refusal_texts()).unwrap_or(&config.refusal);
    if judge(text, &question.judged()).verdict == Verdict::Refused {
        return Ok(text);
    }
    let key = if config.refusals.is_empty() { "refusal" } else { "refusals" };
    let what = format!("has `{text}`, which reads as an answer to question `{}`", question.id);
    Err(BuildError::Config { problems: vec![Problem::of_key(SECTION, key, what)] })
}

/// Whether only the model's own answer to the question is kept, whatever is right.
pub(crate) fn only_keeps(question: &QuestionRow, config: &BuildConfig) -> bool {
    config.keep_tasks.contains(&question.task)
}

/// The answer that the question is trained to give.
///
/// `own` takes the commonest of the correct samples. `sampled` takes one of the correct samples by the seed; samples that contain an audio tag are passed over, as a
/// reader of the rows would take the tag for a recording.
pub(crate) fn target_text(
    question: &QuestionRow,
    label: Label,
    samples: &[SampleRow],
    refusal: &str,
    target: Target,
    run_seed: u64,
) -> String {
    if label == Label::Unknown {
        return refusal.to_owned();
    }
    match target {
        Target::Gold => question.answer.clone(),
        Target::Sampled => {
            let usable = |row: &&SampleRow| row.verdict == Verdict::Correct && !row.text.contains(AUDIO_TAG);
            let correct: Vec<&SampleRow> = samples.iter().filter(usable).collect();
            let mut rng = Rng::new(derive_seed(run_seed, "target", &[&question.id]));
            rng.choose(&correct).map_or_else(|| question.answer.clone(), |row| row.text.trim().to_owned())
        }
        Target::Own => {
            let own = commonest(samples, |verdict| verdict == Verdict::Correct);
            own.map_or_else(|| question.answer.clone(), str::to_owned)
        }
    }
}

/// (better, worse) answers, as in Cheng et al. 2024: the right answer before the refusal if the question is known,
/// else the refusal before each different wrong sample, in the order of the samples and at most `max_pairs`.
pub(crate) fn preferences(
    label: Label,
    target: &str,
    refusal: &str,
    samples: &[SampleRow],
    max_pairs: Option<usize>,
) -> Vec<(String, String)> {
    if label == Label::Known {
        return vec![(target.to_owned(), refusal.to_owned())];
    }
    let mut seen = BTreeSet::new();
    let wrong = samples.iter().filter(|row| row.verdict == Verdict::Wrong).map(|row| row.text.trim());
    wrong
        .filter(|text| !text.is_empty() && !text.contains(AUDIO_TAG) && seen.insert(text.to_owned()))
        .take(max_pairs.unwrap_or(usize::MAX))
        .map(|text| (target.to_owned(), text.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> QuestionRow {
        QuestionRow {
            id: "q".to_owned(),
            answer: "dog".to_owned(),
            choices: vec!["dog".to_owned(), "cat".to_owned()],
            task: "sound".to_owned(),
            sub_category: "event".to_owned(),
            ..QuestionRow::default()
        }
    }

    fn sample(sample: usize, text: &str, verdict: Verdict) -> SampleRow {
        SampleRow {
            id: "q".to_owned(),
            sample,
            seed: 0,
            text: text.to_owned(),
            verdict,
            choice: None,
            log_prob: Some(-1.0),
            tokens: None,
        }
    }

    fn samples(verdicts: &[Verdict]) -> Vec<SampleRow> {
        let row = |(place, &verdict): (usize, &Verdict)| sample(place, &format!(" text {place}"), verdict);
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
    fn fewer_samples_than_n_decide_only_the_labels_that_no_further_sample_could_change() {
        use Verdict::{Correct, Wrong};
        // 2 right of 3 of 5: between 2 and 4 right of 5.
        let row = label(&question(), &samples(&[Correct, Wrong, Correct]), 1);
        let decided: Vec<usize> = (1..=5).filter(|&k| is_decided(&row, k, 5)).collect();
        assert_eq!(decided, [1, 2, 5]);
        assert!((1..=3).all(|k| is_decided(&row, k, 3)));
    }

    #[test]
    fn targets_are_the_answer_a_correct_sample_or_the_refusal() {
        use Verdict::{Correct, Wrong};
        let rows = samples(&[Wrong, Correct, Wrong, Correct]);
        let text = |label, target, seed| target_text(&question(), label, &rows, "no idea", target, seed);
        assert_eq!(text(Label::Known, Target::Gold, 1), "dog");
        let found: BTreeSet<String> = (0..20).map(|seed| text(Label::Known, Target::Sampled, seed)).collect();
        assert_eq!(found, BTreeSet::from(["text 1".to_owned(), "text 3".to_owned()]));
        assert_eq!(text(Label::Unknown, Target::Sampled, 1), "no idea");
        assert_eq!(text(Label::Known, Target::Own, 1), "text 1");
        assert_eq!(text(Label::Unknown, Target::Own, 1), "no idea");
    }

    #[test]
    fn each_question_gets_one_of_the_refusals_by_the_seed() {
        let refusals = ["I don't know", "I am not sure", "I cannot tell"].map(str::to_owned).to_vec();
        let config = BuildConfig { refusals: refusals.clone(), ..BuildConfig::default() };
        let texts: Vec<&str> = (0..60)
            .map(|number| {
                let question = QuestionRow { id: format!("q{number}"), ..question() };
                refusal_text(&question, &config, 7).unwrap()
            })
            .collect();
        for refusal in &refusals {
            // 20 of 60 are expected, with a standard deviation of 3.7.
            let count = texts.iter().filter(|text| *text == refusal).count();
            assert!((8..=32).contains(&count), "{refusal}: {count}");
        }
        assert_eq!(
            refusal_text(&question(), &config, 7).unwrap(),
            refusal_text(&question(), &config, 7).unwrap()
        );
        assert_eq!(refusal_text(&question(), &BuildConfig::default(), 7).unwrap(), "I don't know");
    }

    #[test]
    fn a_refusal_that_is_one_of_the_options_is_refused_with_the_question() {
        let question = QuestionRow { choices: vec!["dog".into(), "I don't know".into()], ..question() };
        let error = refusal_text(&question, &BuildConfig::default(), 7).unwrap_err();
        assert!(error.to_string().starts_with("`refusal` in [build] "), "{error}");
        assert!(error.to_string().contains("`q`"), "{error}");
    }

    #[test]
    fn preference_pairs_put_the_refusal_below_a_known_and_above_each_wrong_answer() {
        let samples = [
            sample(0, "dog", Verdict::Correct),
            sample(1, "cat", Verdict::Wrong),
            sample(2, " cat", Verdict::Wrong),
            sample(3, "", Verdict::Wrong),
            sample(4, "cow", Verdict::Wrong),
            sample(5, "hen", Verdict::Wrong),
        ];
        let pair = |better: &str, worse: &str| (better.to_owned(), worse.to_owned());
        let pairs = |label, target: &str, cap| preferences(label, target, "no idea", &samples, cap);
        assert_eq!(pairs(Label::Known, "dog", None), [pair("dog", "no idea")]);
        let all = [pair("no idea", "cat"), pair("no idea", "cow"), pair("no idea", "hen")];
        assert_eq!(pairs(Label::Unknown, "no idea", None), all);
        assert_eq!(pairs(Label::Unknown, "no idea", Some(2)), all[..2]);
        assert_eq!(pairs(Label::Unknown, "no idea", Some(9)), all);
    }
}
