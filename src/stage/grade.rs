//! What answers are worth where a method grades them: the judge's verdict, with the rewards of `[rl]`.

use std::collections::HashMap;
use std::path::Path;

use idk_dataset_builder::read_asked;
use idk_questions::{AskedQuestion, Judgement, Question, Verdict};
use idk_trainer::{Graded, RlConfig, RowKind};

use crate::recipe::Recipe;
use crate::terminal::Failure;

/// A question whose options are in the order in which they were shown.
fn asked(question: Question) -> AskedQuestion {
    AskedQuestion::new(question, None)
}

/// The questions of a dataset, by id.
pub(super) struct Grades<'a> {
    rewards: &'a RlConfig,
    /// Whether all answers are options or refusals, letter for letter.
    are_given: bool,
    questions: HashMap<String, AskedQuestion>,
}

impl<'a> Grades<'a> {
    /// The questions of the dataset in `dir`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(recipe: &'a Recipe, dir: &Path) -> Result<Self, Failure> {
        let of_row = |row: idk_dataset_builder::QuestionRow| (row.id.clone(), asked(row.judged()));
        let questions = read_asked(dir)?.into_iter().map(of_row).collect();
        let are_given = recipe.method().rows() == RowKind::GivenAnswers;
        Ok(Self { rewards: &recipe.rl, are_given, questions })
    }

    /// The worth of an answer to the question `id`. Sampled answers are read as any other; of given ones nothing has to be
    /// read. A refusal is right where the question has no right answer.
    pub(super) fn grade(&self, id: &str, text: &str) -> Graded {
        let judgement = match self.questions.get(id) {
            None => Judgement::UNPARSED,
            Some(question) if self.are_given => question.judge_chosen(text),
            Some(question) => question.judge(text),
        };
        let verdict = judgement.verdict;
        let has_answer = self.questions.get(id).is_none_or(|question| question.original.is_answerable());
        let is_right = verdict == if has_answer { Verdict::Correct } else { Verdict::Refused };
        let reward = match verdict {
            _ if is_right => self.rewards.correct_reward,
            Verdict::Refused => self.rewards.refusal_reward,
            _ => self.rewards.wrong_reward,
        };
        Graded { reward, is_right, is_refusal: verdict == Verdict::Refused }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_answer_a_refusal_and_a_wrong_answer_have_the_rewards_of_the_recipe() {
        let question = Question {
            choices: ["dog", "cat"].map(str::to_owned).to_vec(),
            answer: "dog".to_owned(),
            ..Question::default()
        };
        for are_given in [false, true] {
            let config = RlConfig { refusal_reward: 0.25, wrong_reward: -2.0, ..RlConfig::default() };
            let grades = Grades {
                rewards: &config,
                are_given,
                questions: HashMap::from([("q".to_owned(), asked(question.clone()))]),
            };
            let reward = |text: &str| grades.grade("q", text).reward;
            assert_eq!(["dog", "I don't know", "cat"].map(reward), [1.0, 0.25, -2.0]);
            assert!(grades.grade("q", "I don't know").is_refusal);
        }
        let nothing_is_right =
            Question { answer: String::new(), unanswerable: Some("absent".to_owned()), ..question.clone() };
        for are_given in [false, true] {
            let config = RlConfig { refusal_reward: 0.25, wrong_reward: -2.0, ..RlConfig::default() };
            let questions = HashMap::from([("q".to_owned(), asked(nothing_is_right.clone()))]);
            let grades = Grades { rewards: &config, are_given, questions };
            assert_eq!(["dog", "I don't know"].map(|text| grades.grade("q", text).reward), [-2.0, 1.0]);
            assert!(grades.grade("q", "I don't know").is_right);
        }
        let config = RlConfig::default();
        let grades = Grades {
            rewards: &config,
            are_given: false,
            questions: HashMap::from([("q".to_owned(), asked(question))]),
        };
        assert_eq!(grades.grade("q", "It is (A), a dog.").reward, 1.0);
        assert_eq!(grades.grade("q", "a train").reward, -1.0, "an answer that names no option is wrong");
    }
}
