//! Questions without a right answer next to one about the same clip that has one: does a model refuse what it could have
//! answered had it been asked? (Conditional accuracy of AQUA-Bench, arXiv 2601.12248.)

use std::collections::BTreeMap;

use idk_questions::score::clusters;
use idk_questions::{Judgement, Question, Verdict};

/// For each question whether it has no right answer while all questions about the same clips that have one, at least one, are
/// answered correctly. `judgements`: of the same questions. A question without a clip never counts.
pub(crate) fn is_conditional(questions: &[Question], judgements: &[Judgement]) -> Vec<bool> {
    let clips = clusters(questions);
    let mut understood: BTreeMap<&str, bool> = BTreeMap::new();
    for ((question, clips), judgement) in questions.iter().zip(&clips).zip(judgements) {
        if question.is_answerable() && !question.audio.is_empty() {
            *understood.entry(clips).or_insert(true) &= judgement.verdict == Verdict::Correct;
        }
    }
    let counts = |(question, clips): (&Question, &String)| {
        !question.is_answerable() && understood.get(clips.as_str()).copied().unwrap_or(false)
    };
    questions.iter().zip(&clips).map(counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Correct as C, Refused as R, Wrong as W};

    fn question(clips: &[&str], kind: Option<&str>) -> Question {
        Question {
            audio: clips.iter().map(|&clip| clip.into()).collect(),
            unanswerable: kind.map(str::to_owned),
            ..Question::default()
        }
    }

    #[test]
    fn every_question_about_the_clip_that_has_an_answer_must_be_right() {
        let absent = Some("absent");
        let cases = [
            (question(&["a"], None), C, false),
            (question(&["a"], absent), W, true),
            (question(&["b"], None), C, false),
            (question(&["b"], absent), R, false),
            (question(&["b"], None), R, false),
            // No question with an answer is about these clips.
            (question(&["a", "b"], absent), R, false),
            (question(&["c"], absent), R, false),
            (question(&[], None), C, false),
            (question(&[], absent), R, false),
        ];
        let questions: Vec<Question> = cases.iter().map(|case| case.0.clone()).collect();
        let judgements: Vec<Judgement> = cases.iter().map(|case| case.1.into()).collect();
        assert_eq!(is_conditional(&questions, &judgements), cases.map(|case| case.2));
    }
}
