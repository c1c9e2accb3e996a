//! Scoring rules of other projects, in addition to our own.
//!
//! Scores are only comparable under one rule: `docs/reference/scorers.md` shows what each makes of the usual traps.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::judge::judge;
use crate::judge::{Judgement, Verdict};
use crate::question::Question;

/// A rule that says whether a reply is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scorer {
    /// [`judge`]: options, then refusals, never a guess.
    #[default]
    Ours,
    /// The rule of MMAU's `evaluation.py` since January 2025: all words of the answer are in the reply, and none that
    /// only wrong options have. Words are compared as sets.
    MmauWordset,
    /// The rule before it: the answer is part of the reply, and no other option is.
    MmauSubstring,
}

impl Scorer {
    /// Every scorer, the default first.
    pub const ALL: [Self; 3] = [Self::Ours, Self::MmauWordset, Self::MmauSubstring];

    /// As recipes and reports write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::MmauWordset => "mmau-wordset",
            Self::MmauSubstring => "mmau-substring",
        }
    }
}

/// Judges the reply `text` by `scorer`.
///
/// MMAU's rules know right and wrong only: a refusal is wrong, no reply is unreadable, and the option is known only
/// where it is the right one. They see neither letters, nor aliases, nor where in a reply its answer stands.
#[must_use]
pub fn judge_with(scorer: Scorer, text: &str, question: &Question) -> Judgement {
    let right = match scorer {
        Scorer::Ours => return judge(text, question),
        // The empty answer of such a question is part of every reply.
        _ if !question.is_answerable() => false,
        Scorer::MmauWordset => matches_word_set(text, question),
        Scorer::MmauSubstring => matches_substring(text, question),
    };
    if right {
        Judgement { verdict: Verdict::Correct, choice: question.answer_index(), unparsed: false }
    } else {
        Verdict::Wrong.into()
    }
}

fn matches_word_set(text: &str, question: &Question) -> bool {
    let (reply, answer) = (word_set(text), word_set(&question.answer));
    let others = question.choices.iter().map(|choice| word_set(choice)).filter(|words| *words != answer);
    let wrong: BTreeSet<String> = others.flatten().filter(|word| !answer.contains(word)).collect();
    !reply.is_empty() && answer.is_subset(&reply) && reply.is_disjoint(&wrong)
}

/// Runs of letters, digits and underscores, in lower case.
fn word_set(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn matches_substring(text: &str, question: &Question) -> bool {
    let reply = text.to_lowercase();
    let holds = |part: &String| reply.contains(&part.to_lowercase());
    let mut others = question.choices.iter().filter(|choice| **choice != question.answer);
    !text.is_empty() && holds(&question.answer) && !others.any(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(choices: &[&str], answer: &str) -> Question {
        Question {
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
            answer: answer.to_owned(),
            ..Question::default()
        }
    }

    fn right(scorer: Scorer, text: &str, question: &Question) -> bool {
        judge_with(scorer, text, question).verdict == Verdict::Correct
    }

    #[test]
    fn names_are_those_of_the_recipes() {
        for scorer in Scorer::ALL {
            assert_eq!(serde_json::to_value(scorer).unwrap(), scorer.name());
        }
        assert_eq!(Scorer::default(), Scorer::Ours);
        assert!(serde_json::from_str::<Scorer>("\"mmau\"").is_err());
    }

    #[test]
    fn word_sets_forget_order_and_repeats_but_not_the_words_of_wrong_options() {
        let moods = question(
            &["first: neutral, second: sad", "first: sad, second: neutral"],
            "first: neutral, second: sad",
        );
        let by_set = |text: &str, question: &Question| right(Scorer::MmauWordset, text, question);
        assert!(by_set("first: sad, second: neutral", &moods), "another order of the same words");
        let steps = question(&["Man is walking", "A woman_runs"], "A woman_runs");
        assert!(by_set("hear a WOMAN_RUNS, runs!", &steps), "underscores join, other words are free");
        assert!(!by_set("The answer is a woman_runs", &steps), "`is` stands in a wrong option");
        assert!(!by_set("a woman", &steps));
        for empty in ["", "...", " "] {
            assert!(!by_set(empty, &question(&["...", "x"], "...")), "no words in {empty:?}");
        }
    }

    #[test]
    fn substrings_ignore_where_words_end() {
        let numbers = question(&["four", "fourteen"], "four");
        let by_part = |text: &str, question: &Question| right(Scorer::MmauSubstring, text, question);
        assert!(by_part("FOUR times", &numbers));
        assert!(by_part("fourty", &numbers), "part of another word");
        assert!(!by_part("fourteen", &numbers));
        assert!(!by_part("fourteen", &question(&["four", "fourteen"], "fourteen")), "holds the other option");
    }

    #[test]
    fn a_refusal_and_a_letter_are_wrong_by_both_rules_of_mmau() {
        let question = question(&["dog", "cat"], "cat");
        for scorer in [Scorer::MmauWordset, Scorer::MmauSubstring] {
            for text in ["I don't know", "(B)", ""] {
                assert_eq!(judge_with(scorer, text, &question), Verdict::Wrong.into(), "{text}");
            }
            let judgement = judge_with(scorer, "It is a cat", &question);
            assert_eq!((judgement.verdict, judgement.choice), (Verdict::Correct, Some(1)));
        }
        assert_eq!(judge_with(Scorer::Ours, "I don't know", &question), Judgement::REFUSED);
    }
}
