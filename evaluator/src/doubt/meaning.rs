//! What an answer means: answers of one meaning are the same answer.

use idk_questions::{Verdict, normalise};

/// The meaning of an answer, comparable between two orders of the options.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// The text of the option that it names; of an open question the answer itself, normalised.
    Said(String),
    /// It refuses: all refusals mean the same.
    Refused,
    /// It names none of the options: each such text, normalised, is a meaning of its own.
    Unreadable(String),
}

impl Meaning {
    /// What `text` means, which was read as `verdict` and `choice`, an index into `choices` as they were shown.
    pub fn of(choices: &[String], choice: Option<usize>, verdict: Verdict, text: &str) -> Self {
        match choice.and_then(|choice| choices.get(choice)) {
            _ if verdict == Verdict::Refused => Self::Refused,
            Some(option) => Self::Said(option.clone()),
            None if choices.is_empty() => Self::Said(normalise(text)),
            None => Self::Unreadable(normalise(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use idk_questions::{Question, judge};

    use super::*;

    fn meaning(choices: &[&str], text: &str) -> Meaning {
        let choices: Vec<String> = choices.iter().map(|&choice| choice.to_owned()).collect();
        let question = Question { choices, answer: "dog".to_owned(), ..Question::default() };
        let judgement = judge(text, &question);
        Meaning::of(&question.choices, judgement.choice, judgement.verdict, text)
    }

    #[test]
    fn an_option_means_the_same_under_any_letter_and_in_any_wording() {
        let said = Meaning::Said("dog".to_owned());
        for (choices, text) in
            [(["dog", "cat"], "(A)"), (["cat", "dog"], "(B)"), (["cat", "dog"], "It is a dog.")]
        {
            assert_eq!(meaning(&choices, text), said, "{text}");
        }
    }

    #[test]
    fn all_refusals_mean_the_same_and_each_unreadable_text_something_else() {
        let of = |text: &str| meaning(&["dog", "cat"], text);
        assert_eq!((of("I don't know"), of("I'm not sure.")), (Meaning::Refused, Meaning::Refused));
        assert_eq!(of("  What? "), Meaning::Unreadable("what".to_owned()));
        assert_ne!(of("rain"), of("wind"));
    }

    #[test]
    fn an_open_answer_means_its_own_text_without_case_and_punctuation() {
        assert_eq!(meaning(&[], "A  Dog."), meaning(&[], "a dog"));
        assert_ne!(meaning(&[], "a dog"), meaning(&[], "a cat"));
    }
}
