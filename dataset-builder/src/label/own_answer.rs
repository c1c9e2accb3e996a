//! The answer that the model itself gives most often.

use idk_common::chat::AUDIO_TAG;
use idk_questions::Verdict;
use idk_questions::rows::SampleRow;

/// The commonest text among the samples that are wanted, trimmed; the first seen of equally common ones. `None` if no
/// sample can be used: empty ones cannot, nor those with an audio tag, which a reader of the rows would take for a
/// recording.
pub(crate) fn commonest(samples: &[SampleRow], is_wanted: impl Fn(Verdict) -> bool) -> Option<&str> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in samples.iter().filter(|row| is_wanted(row.verdict)) {
        let text = row.text.trim();
        if text.is_empty() || text.contains(AUDIO_TAG) {
            continue;
        }
        match counts.iter_mut().find(|(seen, _)| *seen == text) {
            Some((_, count)) => *count += 1,
            None => counts.push((text, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.into_iter().find(|(_, count)| *count == most).map(|(text, _)| text)
}

/// What the model answers where it does not refuse: the commonest of its samples that are not refusals.
pub(crate) fn own_answer(samples: &[SampleRow]) -> Option<&str> {
    commonest(samples, |verdict| verdict != Verdict::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(texts: &[(&str, Verdict)]) -> Vec<SampleRow> {
        let row = |(sample, &(text, verdict)): (usize, &(&str, Verdict))| SampleRow {
            id: "q".to_owned(),
            sample,
            seed: 0,
            text: text.to_owned(),
            verdict,
            choice: None,
            log_prob: Some(-1.0),
            tokens: None,
        };
        texts.iter().enumerate().map(row).collect()
    }

    #[test]
    fn the_own_answer_is_the_commonest_text_and_the_first_seen_of_equals() {
        use Verdict::{Correct, Wrong};
        let rows =
            samples(&[("cat", Wrong), ("dog", Correct), (" dog ", Correct), ("cat\n", Wrong), ("x", Wrong)]);
        assert_eq!(own_answer(&rows), Some("cat"));
        assert_eq!(own_answer(&rows[1..]), Some("dog"));
        assert_eq!(commonest(&rows, |verdict| verdict == Correct), Some("dog"));
        assert_eq!(
            own_answer(&samples(&[("Dog", Correct), ("dog", Correct), ("dog", Correct)])),
            Some("dog")
        );
    }

    #[test]
    fn refusals_empty_texts_and_audio_tags_are_no_own_answer() {
        use Verdict::{Refused, Wrong};
        let refused = [("I don't know", Refused), ("I don't know", Refused)];
        assert_eq!(own_answer(&samples(&refused)), None);
        let unusable =
            [refused[0], refused[1], (" ", Wrong), (" ", Wrong), ("<audio>", Wrong), ("cow", Wrong)];
        assert_eq!(own_answer(&samples(&unusable)), Some("cow"));
    }
}
