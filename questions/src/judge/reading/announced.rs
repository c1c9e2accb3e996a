//! Where a reply says that its answer follows: `The answer is`, `Answer:`, `option B`.

use crate::judge::mentions::prefix_end;
use crate::judge::text::Word;

/// Where the answer begins if the words from `at` announce one.
pub(crate) fn announcement_end(reply: &[Word], at: usize) -> Option<usize> {
    let text = |at: usize| reply.get(at).map_or("", |word| word.text.as_str());
    let before = at.checked_sub(1).map_or("", text);
    let last_letter = reply.get(at + 1).is_some_and(is_label) && at + 2 == reply.len();
    let announced = match text(at) {
        "answer" | "option" | "choice" => return named_answer_end(reply, at),
        "choose" | "pick" | "select" | "say" => {
            matches!(before, "" | "i" | "would" | "i'd" | "i'll" | "will" | "must")
                || before == "me"
                    && matches!(at.checked_sub(2).map_or("", text), "makes" | "made" | "lets" | "leads")
        }
        // `I'd lean towards`, `I will go with`
        "towards" | "toward" => matches!(before, "lean" | "leaning"),
        "with" => matches!(before, "go" | "going") && settles(reply, at - 1),
        "on" => before == "settle" && settles(reply, at - 1),
        "it's" | "think" => last_letter,
        "is" => matches!(before, "it" | "that" | "this") && last_letter,
        _ => false,
    };
    let next = skip(reply, at + 1, &["option", "choice", "letter"]);
    (announced && next < reply.len() && !is_cut_off(reply, next)).then_some(next)
}

/// Whether the verb at word `at` is what the speaker does: `I would go`, `I'm going`.
fn settles(reply: &[Word], at: usize) -> bool {
    const SUBJECTS: [&str; 8] = ["i", "i'd", "i'll", "i'm", "would", "will", "must", "let's"];
    at.checked_sub(1).is_some_and(|before| SUBJECTS.contains(&reply[before].text.as_str()))
}

/// The same for `answer`, `option` and `choice`: a colon, a line break or `is` must follow, or a letter (`option B`).
fn named_answer_end(reply: &[Word], at: usize) -> Option<usize> {
    const VERBS: [&str; 10] =
        ["=", "is", "would", "should", "must", "be", "most", "likely", "probably", "therefore"];
    let verb = after_question(reply, at);
    let next = skip(reply, verb, &VERBS);
    let runs_on = !reply[at].ends_clause;
    let heads = reply[at].ends_line && reply[at].text == "answer";
    let colon = heads || reply[at].delimited && !reply[at].ends_sentence;
    let copula = reply[verb..next].iter().any(|word| matches!(word.text.as_str(), "=" | "is" | "be"));
    let label = reply[at].text != "answer" && next == at + 1 && reply.get(next).is_some_and(is_label);
    let next = skip(reply, next, &["option", "choice", "letter", "clearly", "definitely"]);
    let announced = colon || runs_on && (copula || label);
    (announced && next < reply.len() && !is_cut_off(reply, next)).then_some(next)
}

/// Skips what the answer is to: `the answer to this question is`.
fn after_question(reply: &[Word], at: usize) -> usize {
    /// Longest such phrase, in words.
    const REACH: usize = 8;
    let is_named = reply.get(at + 1).is_some_and(|word| matches!(word.text.as_str(), "to" | "for" | "here"));
    let mut window =
        reply.iter().enumerate().skip(at + 1).take(REACH).take_while(|(_, word)| !word.ends_clause);
    let verb = window.find(|(_, word)| word.text == "is");
    verb.filter(|_| is_named).map_or(at + 1, |(verb, _)| verb)
}

/// Whether the reply ends in the article of an answer that was cut off: `The answer is a`.
fn is_cut_off(reply: &[Word], start: usize) -> bool {
    let (word, last) = (&reply[start], start + 1 == reply.len());
    let marked = word.upper || word.opened || word.delimited || reply[start - 1].delimited;
    last && word.text == "a" && !marked
}

/// A letter that cannot be an article: `B`, `(a)`.
fn is_label(word: &Word) -> bool {
    word.letter().is_some() && (word.upper || word.opened)
}

/// The first place from `at` on where none of these words stands.
fn skip(reply: &[Word], at: usize, skipped: &[&str]) -> usize {
    at + reply[at..].iter().take_while(|word| skipped.contains(&word.text.as_str())).count()
}

/// Words of a sentence that are read beyond the longest option. Stops one without an end from taking quadratic time.
const MAX_SENTENCE_WORDS: usize = 128;

/// The words up to the end of the sentence. A full stop inside an option or after initials ends nothing: `4. Reading`,
/// `B. dog`, `J.D. Salinger`.
pub(crate) fn sentence<'a>(text: &'a [Word], options: &[Vec<Word>]) -> &'a [Word] {
    let longest = options.iter().map(Vec::len).max().unwrap_or(0);
    let text = &text[..text.len().min(longest + MAX_SENTENCE_WORDS)];
    let label = usize::from(text.first().is_some_and(|word| word.letter().is_some()));
    let option_end = |at: usize| options.iter().filter_map(|option| prefix_end(&text[at..], option)).max();
    let option_end = option_end(0).max(option_end(label).map(|end| end + label)).unwrap_or(1);
    let is_initial = |word: &Word| word.letter().is_some() || word.text.contains('.');
    let ends = |word: &Word| word.ends_line || word.ends_sentence && !is_initial(word);
    let end = text.iter().enumerate().position(|(at, word)| at + 1 >= option_end && ends(word));
    &text[..end.map_or(text.len(), |end| end + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::text::words;

    #[test]
    fn an_announcement_ends_where_the_answer_begins() {
        let rest = |text: &str| {
            let words = words(text);
            let start = (0..words.len()).find_map(|at| announcement_end(&words, at))?;
            Some(words[start..].iter().map(|word| word.text.clone()).collect::<Vec<_>>().join(" "))
        };
        for text in
            ["The answer is pig", "answer: pig", "Answer\npig", "The answer to it is pig", "I'd choose pig"]
        {
            assert_eq!(rest(text).as_deref(), Some("pig"), "{text}");
        }
        assert_eq!(rest("It is option B").as_deref(), Some("b"));
        for text in [
            "the answer",
            "The answer is a",
            "my career choice.\n(C) pig",
            "an option for a pig",
            "it is a pig",
        ] {
            assert_eq!(rest(text), None, "{text}");
        }
    }

    #[test]
    fn a_sentence_does_not_end_inside_an_option_or_after_an_initial() {
        let options = [words("4. Reading. Books"), words("J.D. Salinger")];
        let length = |text: &str| sentence(&words(text), &options).len();
        assert_eq!(length("4. Reading. Books. More"), 3);
        assert_eq!(length("(A) 4. Reading. Books. More"), 4);
        assert_eq!(length("J.D. Salinger. More"), 2);
        assert_eq!(length("pig. More"), 1);
    }
}
