//! Questions without a right answer next to one about the same clip that has one: does a model refuse what it could have
//! answered had it been asked? (Conditional accuracy of AQUA-Bench, arXiv 2601.12248.)

use std::collections::BTreeMap;

use idk_questions::metrics::Clusters;
use idk_questions::{Judgement, Verdict};

/// For each question whether it has no right answer while all questions about the same clips that have one, at least one, are
/// answered correctly.
///
/// `kind_of`: `None` with a right answer; `clusters`: by clips; `judgements`: of the same questions.
pub(crate) fn is_conditional(
    kind_of: &[Option<&str>],
    clusters: &Clusters,
    judgements: &[Judgement],
) -> Vec<bool> {
    let mut understood: BTreeMap<u32, bool> = BTreeMap::new();
    for ((kind, &clips), judgement) in kind_of.iter().zip(clusters.numbers()).zip(judgements) {
        if kind.is_none() {
            *understood.entry(clips).or_insert(true) &= judgement.verdict == Verdict::Correct;
        }
    }
    let counts =
        |(kind, clips): (&Option<&str>, &u32)| kind.is_some() && understood.get(clips) == Some(&true);
    kind_of.iter().zip(clusters.numbers()).map(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Correct as C, Refused as R, Wrong as W};

    #[test]
    fn every_question_about_the_clip_that_has_an_answer_must_be_right() {
        let absent = Some("absent");
        let cases = [
            ("a", None, C, false),
            ("a", absent, W, true),
            ("b", None, C, false),
            ("b", absent, R, false),
            ("b", None, R, false),
            // No question with an answer is about these clips.
            ("a, b", absent, R, false),
            ("c", absent, R, false),
        ];
        let kinds: Vec<Option<&str>> = cases.iter().map(|case| case.1).collect();
        let judgements: Vec<Judgement> = cases.iter().map(|case| case.2.into()).collect();
        let clusters = Clusters::of(cases.iter().map(|case| case.0));
        assert_eq!(is_conditional(&kinds, &clusters, &judgements), cases.map(|case| case.3));
    }
}
