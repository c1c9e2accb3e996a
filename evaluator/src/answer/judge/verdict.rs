//! What a judge model replies: one of three words, or nothing that counts.

use idk_questions::Verdict;

/// Words that may stand before the verdict.
const LABELS: [&str; 4] = ["verdict", "grade", "the", "is"];

/// The end of what a model thinks aloud before it replies.
const END_OF_THOUGHT: &str = "</think>";

/// The verdict of a reply that is one of the three words, in any case and punctuation. `None` for all others: "not correct"
/// is not "correct", and a reply that names two of them decides nothing.
pub(crate) fn read_verdict(reply: &str) -> Option<Verdict> {
    let said = reply.rsplit_once(END_OF_THOUGHT).map_or(reply, |(_, said)| said).to_lowercase();
    let words = said.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words = words.skip_while(|word| LABELS.contains(word));
    let verdict = match words.next()? {
        "correct" => Verdict::Correct,
        "wrong" => Verdict::Wrong,
        "refused" => Verdict::Refused,
        _ => return None,
    };
    words.next().is_none().then_some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_three_words_is_a_verdict_in_any_case_and_punctuation() {
        for (reply, expected) in [
            ("correct", Verdict::Correct),
            ("  **Wrong**.\n", Verdict::Wrong),
            ("\"REFUSED\"", Verdict::Refused),
            ("Verdict: correct", Verdict::Correct),
            ("The grade is: wrong.", Verdict::Wrong),
            ("<think>It says dog, so correct or wrong?</think>\nrefused", Verdict::Refused),
            ("{\"verdict\": \"wrong\"}", Verdict::Wrong),
        ] {
            assert_eq!(read_verdict(reply), Some(expected), "{reply}");
        }
    }

    #[test]
    fn whatever_else_a_judge_replies_is_no_verdict() {
        for reply in [
            "",
            " \n",
            "maybe",
            "incorrect",
            "not correct",
            "correct, not wrong",
            "correct correct",
            "It is correct that I cannot grade this",
            "<think>correct",
            "correct</think>",
            "r i g h t",
            "ｃｏｒｒｅｃｔ",
            "correct\u{200b}ly",
            "verdict:",
        ] {
            assert_eq!(read_verdict(reply), None, "{reply}");
        }
    }
}
