//! What the model is asked, and in which order it sees the options.

use idk_common::seed::{Rng, derive_seed};
use serde::{Deserialize, Serialize};

use crate::question::Question;

/// How question and options are put into one text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptStyle {
    /// The question, a line that asks to choose, then `(A) first` and so on, one per line; as MMAU is usually asked.
    #[default]
    Lettered,
    /// The question, then one option per line, without letters.
    Lines,
}

/// The letter of option `index`; `?` beyond Z, which no question of the reader reaches.
pub(crate) fn letter(index: usize) -> char {
    u8::try_from(index).ok().filter(|&index| index < 26).map_or('?', |index| char::from(b'A' + index))
}

/// The text part of the prompt. An open question is its own prompt.
#[must_use]
pub fn prompt_text(question: &Question, style: PromptStyle) -> String {
    let mut text = question.question.clone();
    if question.is_open() {
        return text;
    }
    if style == PromptStyle::Lettered {
        text.push_str("\nChoose the correct option from the following options:");
    }
    for (index, choice) in question.choices.iter().enumerate() {
        text.push('\n');
        if style == PromptStyle::Lettered {
            text.push_str(&format!("({}) ", letter(index)));
        }
        text.push_str(choice);
    }
    text
}

/// The question with its options in another order, a pure function of `(seed, question.id)`.
///
/// In MMAU test-mini the right option comes first in 395 of 1000 questions, so a model that always says the first one
/// would score 39.5 %.
#[must_use]
pub fn shuffled(question: &Question, seed: u64) -> Question {
    let mut rng = Rng::new(derive_seed(seed, "option-order", &[&question.id]));
    let mut shuffled = question.clone();
    rng.shuffle(&mut shuffled.choices);
    shuffled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(id: &str) -> Question {
        Question {
            id: id.to_owned(),
            question: "Which animal is heard?".to_owned(),
            choices: ["dog", "cat", "hen", "pig"].map(str::to_owned).to_vec(),
            answer: "dog".to_owned(),
            ..Question::default()
        }
    }

    #[test]
    fn a_lettered_prompt_has_one_lettered_option_a_line() {
        let expected = "Which animal is heard?\nChoose the correct option from the following options:\n(A) dog\n(B) cat\n(C) hen\n(D) pig";
        assert_eq!(prompt_text(&question("q"), PromptStyle::Lettered), expected);
    }

    #[test]
    fn a_prompt_of_lines_has_no_letters_and_an_open_question_no_options() {
        assert_eq!(
            prompt_text(&question("q"), PromptStyle::Lines),
            "Which animal is heard?\ndog\ncat\nhen\npig"
        );
        let open = Question { choices: Vec::new(), ..question("q") };
        assert_eq!(prompt_text(&open, PromptStyle::Lettered), "Which animal is heard?");
    }

    #[test]
    fn the_order_depends_on_seed_and_id_alone() {
        let order = |id: &str, seed| shuffled(&question(id), seed).choices;
        assert_eq!(order("q1", 7), order("q1", 7));
        let orders: std::collections::BTreeSet<_> = (0..200).map(|seed| order("q1", seed)).collect();
        assert_eq!(orders.len(), 24, "every order of four options turns up");
        assert!((0..20).any(|i| order(&format!("a{i}"), 7) != order(&format!("b{i}"), 7)));
    }

    #[test]
    fn shuffling_puts_the_right_answer_in_every_place_equally_often() {
        let mut places = [0_usize; 4];
        for i in 0..4000 {
            let place = shuffled(&question(&format!("q{i}")), 3).answer_index();
            places[place.expect("the answer stays among the options")] += 1;
        }
        // 1000 each is expected, with a standard deviation of 27.
        assert!(places.iter().all(|&count| (890..1110).contains(&count)), "{places:?}");
    }
}
