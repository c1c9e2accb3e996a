//! The judge as a whole, form by form.

use super::{Judgement, Verdict, judge};
use crate::question::Question;

fn question(choices: &[&str], answer: &str) -> Question {
    Question {
        choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        answer: answer.to_owned(),
        ..Question::default()
    }
}

/// `Some(i)`: option i; `None`: unparsed.
fn choice(text: &str, choices: &[&str]) -> Option<usize> {
    let judgement = judge(text, &question(choices, choices[0]));
    assert_ne!(judgement.verdict, Verdict::Refused, "refused: {text}");
    assert_eq!(judgement.unparsed, judgement.choice.is_none(), "{text}");
    assert_eq!(judgement.verdict == Verdict::Correct, judgement.choice == Some(0), "{text}");
    judgement.choice
}

fn is_refused(text: &str, choices: &[&str]) -> bool {
    judge(text, &question(choices, choices[0])) == Judgement::REFUSED
}

const ANIMALS: [&str; 5] = ["a dog", "a cat", "a hen", "a pig", "a cow"];
const STEPS: [&str; 4] = ["footsteps", "footsteps on snow", "rain", "snow"];

#[test]
fn letters_are_read_in_every_usual_form() {
    for text in [
        "B",
        "b",
        "(B)",
        "(b)",
        "B.",
        "B)",
        "[B]",
        "**B**",
        "B\n",
        "\"B\"",
        "(B).",
        "Option B",
        "option (b)",
        "The answer is B",
        "The answer is (B).",
        "The answer is (b)",
        "the answer is: B",
        "Answer: B",
        "answer:b",
        "ANSWER: (B)",
        "The correct answer is option B.",
        "The correct option is B.",
        "I choose B",
        "I would choose option (B)",
        "I think it's B",
        "It is (B).",
        "<answer>B</answer>",
        "<think>A or C? maybe a dog</think>\nB",
        "The answer is B because I hear it clearly.",
        "The answer is B. This is because it purrs.",
        "B. The sound is high.",
        "B, because it purrs",
        "（B）",
        "My choice is B.",
        "The answer would be B",
        "The answer to this question is B.",
        "Answer:\nB",
        "Answer = B",
        "I would say B",
        "\\boxed{B}",
        "$\\boxed{\\text{B}}$",
        "B\n\nExplanation: it purrs",
    ] {
        assert_eq!(choice(text, &ANIMALS), Some(1), "{text}");
    }
}

#[test]
fn texts_are_read_in_every_usual_form() {
    for text in [
        "footsteps on snow",
        "Footsteps on Snow.",
        " footsteps  on snow\n",
        "(B) footsteps on snow",
        "(B)footsteps on snow",
        "B) footsteps on snow",
        "B. Footsteps on snow.",
        "B: footsteps on snow",
        "B - footsteps on snow",
        "B footsteps on snow",
        "B.footsteps on snow",
        "B:footsteps on snow",
        "footsteps on the snow",
        "B. footsteps on snow\nExplanation: rain would be steady.",
        "(B) footsteps on snow. Rain sounds different.",
        "The answer is (B) footsteps on snow",
        "The answer is footsteps on snow.",
        "answer: footsteps on snow",
        "I hear footsteps on snow in the clip.",
        "The sound is most likely footsteps on snow, (B)",
        "The audio contains footsteps on snow",
        "The answer is (B) footsteps on snow, not rain.",
        "\u{201c}Footsteps on snow\u{201d}",
        "It is not rain but footsteps on snow",
        "I first think of a walk. The answer is: footsteps on snow",
    ] {
        assert_eq!(choice(text, &STEPS), Some(1), "{text}");
    }
}

#[test]
fn letter_and_text_that_disagree_are_never_resolved() {
    for text in [
        "(B) rain",
        "B. rain",
        "B rain",
        "The answer is (B) rain",
        "(C) footsteps on snow",
        "(A) footsteps on snow",
        "(B) footsteps",
        "answer: C. snow",
        "(B) footsteps on gravel",
        "(C) because of the footsteps on snow",
        "rain (A)",
    ] {
        assert_eq!(choice(text, &STEPS), None, "{text}");
    }
}

#[test]
fn several_options_are_never_resolved() {
    for text in [
        "A or B",
        "(A) and (B)",
        "(A) (B)",
        "A, B",
        "B, C",
        "A/B",
        "a dog or a cat",
        "The answer is A or B",
        "The answer is a dog or a cat",
        "It could be a dog, a cat or a hen",
        "The answer is A. The answer is B.",
        "(A) a dog (B) a cat (C) a hen",
        "A. a dog\nB. a cat",
        "either (B) or a dog",
    ] {
        assert_eq!(choice(text, &ANIMALS), None, "{text}");
    }
}

#[test]
fn what_names_no_option_is_never_guessed() {
    for text in [
        "",
        " ",
        "...",
        "F",
        "(F)",
        "z",
        "horse",
        "The answer is",
        "The answer is a",
        "A horse",
        "An animal",
        "catalogue",
        "the answer",
        "It is not a dog",
        "There is no cat",
        "A hensome pigment",
        "12",
        "it is a",
        "i i i",
        "The answer is a horse",
    ] {
        assert_eq!(choice(text, &ANIMALS), None, "{text:?}");
    }
}

#[test]
fn the_answer_is_b_is_not_e() {
    assert_eq!(choice("The answer is (b)", &ANIMALS), Some(1));
    assert_eq!(choice("the answer is (e)", &ANIMALS), Some(4));
}

#[test]
fn the_article_a_is_no_letter() {
    let animals = ["dog", "cat", "hen"];
    assert_eq!(choice("A cat", &animals), Some(1));
    assert_eq!(choice("The answer is a cat.", &animals), Some(1));
    assert_eq!(choice("It is a small cat", &animals), Some(1));
    assert_eq!(choice("A. dog", &animals), Some(0));
    assert_eq!(choice("A. cat", &animals), None);
    assert_eq!(choice("A", &animals), Some(0));
}

#[test]
fn longer_options_beat_those_inside_them() {
    assert_eq!(choice("I hear footsteps on snow", &STEPS), Some(1));
    assert_eq!(choice("I hear footsteps there", &STEPS), Some(0));
    assert_eq!(choice("twenty three", &["twenty", "twenty three"]), Some(1));
    assert_eq!(choice("the answer is twenty three", &["twenty", "twenty three"]), Some(1));
    assert_eq!(choice("twenty-two", &["two", "seven"]), None);
    assert_eq!(choice("not sure", &["sure", "not sure"]), Some(1));
    assert_eq!(choice("I am not sure.", &["sure", "not sure"]), Some(1));
}

#[test]
fn options_that_look_like_refusals_are_options() {
    let choices = ["Yes", "Not sure", "Cannot be determined.", "none of the speakers"];
    assert_eq!(choice("Not sure", &choices), Some(1));
    assert_eq!(choice("not sure.", &choices), Some(1));
    assert_eq!(choice("(B) Not sure", &choices), Some(1));
    assert_eq!(choice("The answer is: not sure", &choices), Some(1));
    assert_eq!(choice("It cannot be determined.", &choices), Some(2));
    assert_eq!(choice("None of the speakers", &choices), Some(3));
    assert!(is_refused("I don't know", &choices));
    let friends = ["They don't know Joey and Chandler.", "They do."];
    assert_eq!(choice("They don't know Joey and Chandler", &friends), Some(0));
    assert_eq!(choice("I don\u{2019}t know", &["I don't know", "I do"]), Some(0));
}

#[test]
fn words_inside_a_refusal_are_no_options() {
    assert!(is_refused("I am not sure", &["sure", "maybe"]));
    assert!(is_refused("I don't know which one it is", &["one", "two"]));
    assert!(is_refused("I don't know if it is a dog", &ANIMALS));
    assert!(is_refused("I don't know if it is a dog or a cat", &ANIMALS));
    assert!(is_refused("I cannot determine whether the answer is (B)", &ANIMALS));
    assert!(is_refused("I don't know.", &["know", "don't"]));
    assert!(is_refused("The answer is not clear, I don't know", &ANIMALS));
    assert!(is_refused("The answer is I don't know", &ANIMALS));
    assert!(is_refused("Answer: I'm not sure", &ANIMALS));
    assert!(is_refused("(B) I don't know the answer.", &ANIMALS));
    assert!(is_refused("B. I'm not sure", &ANIMALS));
}

#[test]
fn an_answer_given_beside_a_refusal_is_an_answer() {
    for text in [
        "I'm not sure, but I think it is a cat",
        "I don't know, maybe a cat",
        "I am not sure. The answer is (B).",
        "It is a cat, but I'm not sure",
        "The answer is (B), but I am not sure",
        "I don't know. It may be a cat.",
    ] {
        assert_eq!(choice(text, &ANIMALS), Some(1), "{text}");
    }
}

#[test]
fn what_a_correction_takes_back_is_no_answer() {
    for text in [
        "a dog... no wait, a cat",
        "A. Actually, no: B.",
        "A dog. Wait, it is not a dog but a cat.",
        "A dog. Wait, B.",
    ] {
        assert_eq!(choice(text, &ANIMALS), Some(1), "{text}");
    }
    for text in [
        "A cat. Actually, it is not a cat.",
        "A cat. Wait, is it a cat?",
        "(B). On second thought, it is not a cat.",
    ] {
        assert_eq!(choice(text, &ANIMALS), None, "{text}");
    }
    assert_eq!(
        choice("It is a cat. Wait, one more remark: it purrs.", &ANIMALS),
        Some(1),
        "nothing is taken back"
    );
    assert!(is_refused("A cat. No wait, I don't know.", &ANIMALS));
}

#[test]
fn chords_and_notes_keep_their_signs_and_go_before_letters() {
    let chords = ["G", "A#", "D", "E"];
    assert_eq!(choice("D", &chords), Some(2), "the text of the third option");
    assert_eq!(choice("(D)", &chords), Some(3), "the letter of the fourth option");
    assert_eq!(choice("The root is A#.", &chords), Some(1));
    assert_eq!(choice("(C) D", &chords), Some(2));
    assert_eq!(choice("(D) D", &chords), None);
    let long = ["A:min7/1", "A:maj/1", "B:maj/1", "E:(1,5)/1"];
    for (index, text) in long.iter().enumerate() {
        assert_eq!(choice(text, &long), Some(index));
        assert_eq!(choice(&format!("The answer is {text}."), &long), Some(index));
    }
    assert_eq!(choice("D major chord", &["C major", "D major", "E major", "F major"]), Some(1));
}

#[test]
fn options_that_begin_with_an_initial_are_read_whole() {
    let authors = ["J.D. Salinger", "F. Scott Fitzgerald", "A. Camus", "B. Brecht", "C. Dickens", "D. Defoe"];
    for (index, author) in authors.iter().enumerate() {
        assert_eq!(choice(author, &authors), Some(index));
        assert_eq!(choice(&format!("The author is {author}"), &authors), Some(index));
    }
    assert_eq!(choice("(B) F. Scott Fitzgerald", &authors), Some(1));
}

#[test]
fn options_of_punctuation_are_matched_as_they_are() {
    assert_eq!(choice("!", &["?", "!"]), Some(1));
    assert_eq!(choice("(B)", &["?", "!"]), Some(1));
}

#[test]
fn of_a_very_long_reply_the_end_is_read() {
    let reasoning = "a dog is heard, then a cat. ".repeat(5000);
    assert_eq!(choice(&format!("{reasoning}The answer is (B)."), &ANIMALS), Some(1));
    assert_eq!(choice(&"the answer is a dog. ".repeat(50_000), &ANIMALS), Some(0));
}

#[test]
fn equal_options_are_never_resolved_by_their_text() {
    assert_eq!(choice("fourteen", &["four", "fourteen", "fourteen"]), None);
}

#[test]
fn an_option_is_named_by_its_place_unless_options_are_numbers() {
    for text in ["option 2", "Choice (2)", "I choose the second option.", "The answer is option number two"] {
        assert_eq!(choice(text, &ANIMALS), Some(1), "{text}");
    }
    assert_eq!(choice("the last option", &ANIMALS), Some(4));
    assert_eq!(choice("The first option is wrong.", &ANIMALS), None);
    assert_eq!(choice("The second option", &["the first sound", "the second sound"]), None);
}

#[test]
fn a_brief_correction_counts_only_if_nothing_but_an_answer_follows() {
    for text in ["A, no, B.", "A, sorry, B", "A dog. I mean, a cat.", "a dog. No, it's too high. A cat."] {
        assert_eq!(choice(text, &ANIMALS), Some(1), "{text}");
    }
    assert_eq!(choice("A cat, no doubt.", &ANIMALS), Some(1));
    assert_eq!(choice("A dog. Sorry, I should add that a cat is there as well.", &ANIMALS), None);
    assert_eq!(choice("Yes. No, wait: yes.", &["yes", "no"]), Some(0));
}

#[test]
fn what_options_share_may_be_left_out() {
    let places = ["In a kitchen", "At a station", "On a street"];
    assert_eq!(choice("a station", &places), Some(1));
    assert_eq!(choice("A station manager speaks.", &places), None);
    assert_eq!(choice("a chef", &["He is a pilot", "He is a chef"]), Some(1));
    assert_eq!(choice("There are three men.", &["There are two men", "There are two women"]), None);
}

#[test]
fn a_gerund_may_stand_before_its_noun() {
    let sounds = ["dog barking", "crying baby"];
    assert_eq!(choice("a barking dog", &sounds), Some(0));
    assert_eq!(choice("the barking of a dog", &sounds), Some(0));
    assert_eq!(choice("A baby is crying.", &sounds), Some(1));
    assert_eq!(choice("a barking dog and a crying baby", &sounds), None);
}

#[test]
fn the_sum_of_what_a_bracket_lists_is_the_number() {
    let numbers = ["1", "2", "3", "4"];
    assert_eq!(choice("4 beeps: 2 low and 2 high", &numbers), Some(3));
    assert_eq!(choice("3 (1 man and 2 women)", &numbers), Some(2));
    assert_eq!(choice("3, 2 or 1", &numbers), None);
}

#[test]
fn a_reply_without_an_option_refuses_in_more_words_than_one_with_an_option() {
    assert!(is_refused("I can't commit to an answer.", &ANIMALS));
    assert!(is_refused("I can't hear the audio.", &ANIMALS));
    assert_eq!(choice("I can't wait to hear more!", &ANIMALS), None);
    assert_eq!(choice("The man says that he cannot come.", &ANIMALS), None);
    assert_eq!(choice("I can't hear any dog.", &["dog", "cat"]), None);
}
