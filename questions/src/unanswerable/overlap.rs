//! Whether one text could be right where another is.

use std::collections::BTreeSet;

use crate::judge::{Verdict, judge, normalise};
use crate::question::Question;

/// Words of options that fit what the others do not, or a range of answers.
const CATCH_ALL: [&str; 34] = [
    "all",
    "any",
    "anything",
    "above",
    "at",
    "below",
    "between",
    "both",
    "can't",
    "cannot",
    "determined",
    "either",
    "else",
    "fewer",
    "least",
    "less",
    "more",
    "most",
    "neither",
    "never",
    "no",
    "nobody",
    "none",
    "not",
    "nothing",
    "other",
    "others",
    "over",
    "something",
    "unclear",
    "under",
    "unknown",
    "unsure",
    "zero",
];

/// Whether an option may become right because another one is not there, or for another clip: `none of these`, `other`,
/// `more than two`.
pub(super) fn is_catch_all(option: &str) -> bool {
    option_words(option).iter().any(|word| CATCH_ALL.contains(&word.as_str()))
}

/// Whether the words of one text are all in the other, in any order.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (option_words(one), option_words(other));
    one.is_subset(&other) || other.is_subset(&one)
}

/// Whether the words of `part` are all in `text`.
pub(super) fn mentions(text: &str, part: &str) -> bool {
    option_words(part).is_subset(&option_words(text))
}

/// Whether a reply with the right answer of `source` would be read as one of the options of `made`, or one of these options
/// as a right answer to `source`.
pub(super) fn is_read_as_right(source: &Question, made: &[String]) -> bool {
    let with_options = |choices: &[String], answer: &str| Question {
        choices: choices.to_vec(),
        answer: answer.to_owned(),
        ..Question::default()
    };
    let right = source.right_answers().any(|answer| judge(answer, &with_options(made, "")).choice.is_some());
    let open = Question { choices: Vec::new(), ..source.clone() };
    right || made.iter().any(|option| judge(option, &open).verdict == Verdict::Correct)
}

fn option_words(text: &str) -> BTreeSet<String> {
    let text = normalise(text);
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '#' && c != '+' && c != '-');
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_overlap_if_the_words_of_one_are_all_in_the_other() {
        for (one, other) in [
            ("dog", "A dog."),
            ("oboe and sitar", "sitar and oboe"),
            ("rising", "rising then falling"),
            ("", "x"),
        ] {
            assert!(overlap(one, other) && overlap(other, one), "{one} {other}");
        }
        for (one, other) in
            [("two times", "three times"), ("dog", "hot dogs"), ("C#", "C"), ("A minor", "A major")]
        {
            assert!(!overlap(one, other), "{one} {other}");
        }
        assert!(mentions("How many times does the dog bark?", "dog") && !mentions("dog", "a dog"));
    }

    #[test]
    fn options_that_fit_what_the_others_do_not_are_known_by_their_words() {
        for option in [
            "None of the above",
            "no",
            "neither",
            "other",
            "Cannot be determined",
            "more than two",
            "0 or zero",
        ] {
            assert!(is_catch_all(option), "{option}");
        }
        for option in ["north", "a dog", "two times", "overture", "another brick"] {
            assert!(!is_catch_all(option), "{option}");
        }
    }

    #[test]
    fn an_answer_that_is_the_letter_of_an_option_is_read_as_it() {
        let note =
            Question { choices: vec!["A".into(), "C".into()], answer: "A".into(), ..Question::default() };
        let options = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        assert!(is_read_as_right(&note, &options(["C", "D"])), "a reply of A names the first option");
        let dog = Question {
            choices: vec!["dog".into(), "cat".into()],
            answer: "dog".into(),
            ..Question::default()
        };
        assert!(!is_read_as_right(&dog, &options(["cat", "hen"])));
        assert!(is_read_as_right(&dog, &options(["a dog", "hen"])));
    }
}
