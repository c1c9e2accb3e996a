//! Replies to open questions.

use crate::judge::mentions::{Mention, mentions};
use crate::judge::option_match::is_article;
use crate::judge::refusal::{Refused, is_hedged, refusals};
use crate::judge::text::{Word, normalise, words};
use crate::judge::{Judgement, Verdict};
use crate::question::{AnswerMatch, Question};

/// Judges the reply `text`, whose words are `reply`, to an open question; `refused` are its refusals.
pub(crate) fn judge_open(text: &str, reply: &[Word], refused: &Refused, question: &Question) -> Judgement {
    let normal = normalise(text);
    let exact = !normal.is_empty() && question.right_answers().any(|answer| normalise(answer) == normal);
    let contains =
        || question.answer_match == AnswerMatch::Contains && holds_answer(reply, refused, question);
    if exact || contains() {
        Verdict::Correct.into()
    } else if !refused.is_empty() {
        Judgement::REFUSED
    } else {
        Judgement { unparsed: text.trim().is_empty(), ..Verdict::Wrong.into() }
    }
}

/// Whether the reply has an answer as whole words, which it neither denies nor names in a refusal.
fn holds_answer(reply: &[Word], refused: &Refused, question: &Question) -> bool {
    let answers: Vec<Vec<Word>> = question.right_answers().map(words).collect();
    let refuses = |mention: &Mention| !refusals(&answers[mention.choice]).is_empty();
    let found = mentions(reply, &answers);
    let counts = |mention: &Mention| {
        refuses(mention)
            || !is_hedged(reply, mention, refused)
                && alternatives(reply, mention)
                    .all(|at| found.iter().any(|other| other.start <= at && at < other.end))
    };
    found.iter().any(counts)
}

/// Where what `or` joins to a mention begins or ends: `either a violin or a viola` gives two answers.
fn alternatives<'a>(reply: &'a [Word], mention: &Mention) -> impl Iterator<Item = usize> + use<'a> {
    /// `rain or something similar` is one answer.
    const VAGUE: [&str; 9] =
        ["so", "something", "similar", "rather", "more", "less", "other", "anything", "not"];
    let joins = |word: &&Word| word.text == "or" && !word.ends_clause;
    let word_of_answer = |at: usize| {
        let at = if reply.get(at).is_some_and(is_article) { at + 1 } else { at };
        reply.get(at).filter(|word| !VAGUE.contains(&word.text.as_str())).map(|_| at)
    };
    let after = reply.get(mention.end).filter(joins).and_then(|_| word_of_answer(mention.end + 1));
    let start = mention.start - usize::from(mention.start > 0 && is_article(&reply[mention.start - 1]));
    let before = start.checked_sub(2).filter(|&at| joins(&&reply[at + 1]) && !reply[at].ends_sentence);
    before.into_iter().chain(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::judge;

    fn open(answer: &str, aliases: &[&str]) -> Question {
        Question {
            answer: answer.to_owned(),
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            ..Question::default()
        }
    }

    #[test]
    fn open_questions_are_right_if_the_answer_is_there_and_not_denied() {
        let open = open("A dog", &[]);
        let verdict = |text: &str| judge(text, &open);
        assert_eq!(verdict("a dog.").verdict, Verdict::Correct);
        assert_eq!(verdict("I hear a dog barking").verdict, Verdict::Correct);
        assert_eq!(verdict("It is not a dog").verdict, Verdict::Wrong);
        assert_eq!(verdict("I don't know if it is a dog"), Judgement::REFUSED);
        assert_eq!(verdict("a cat"), Judgement { verdict: Verdict::Wrong, choice: None, unparsed: false });
        assert_eq!(verdict(" "), Judgement::UNPARSED);
    }

    #[test]
    fn any_alias_is_as_good_as_the_answer() {
        let open = open("New York City", &["NYC", "the Big Apple"]);
        for right in ["new york city", "NYC.", "It is the big apple", "I think NYC, maybe"] {
            assert_eq!(judge(right, &open).verdict, Verdict::Correct, "{right}");
        }
        assert_eq!(judge("NYC or the big apple", &open).verdict, Verdict::Correct);
        for wrong in
            ["either NYC or Boston", "Boston or NYC", "New York", "nyccc", "Not NYC", "an apple", "London"]
        {
            assert_eq!(judge(wrong, &open).verdict, Verdict::Wrong, "{wrong}");
        }
        assert_eq!(judge("I don't know if it is NYC", &open), Judgement::REFUSED);
    }

    #[test]
    fn an_exact_question_wants_the_answer_and_nothing_else() {
        let open = Question { answer_match: AnswerMatch::Exact, ..open("two", &["2"]) };
        for (text, verdict) in [
            ("Two.", Verdict::Correct),
            (" 2 ", Verdict::Correct),
            ("two or three", Verdict::Wrong),
            ("I hear two", Verdict::Wrong),
            ("I'm not sure, two?", Verdict::Refused),
        ] {
            assert_eq!(judge(text, &open).verdict, verdict, "{text}");
        }
    }

    #[test]
    fn yes_and_no_count_where_the_reply_begins() {
        let open = open("yes", &[]);
        assert_eq!(judge("Yes, it rains.", &open).verdict, Verdict::Correct);
        assert_eq!(judge("No, and yes is not what I hear", &open).verdict, Verdict::Wrong);
    }
}
