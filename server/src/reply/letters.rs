//! How likely the letters of a question's options are, from the likeliest tokens at the place where a letter stands
//! (`top_logprobs`): what is known of options where a server scores no given texts.

use serde::Deserialize;

/// Tokens that are asked for at each place: the most that OpenAI's API and vLLM give.
pub(crate) const TOP_TOKENS: usize = 20;

/// By how much the probabilities of a reply may miss 1, as servers round.
const ROUNDING: f64 = 1e-6;

/// One of the likeliest tokens at a place.
#[derive(Deserialize)]
pub(crate) struct TopToken {
    token: String,
    logprob: f64,
}

/// A token of an answer, with the likeliest ones at its place.
pub(crate) struct AnswerPlace<'a> {
    pub(crate) token: &'a str,
    pub(crate) top: &'a [TopToken],
}

/// The log-probability of each of the first `count` letters, in nats, where the answer's letter stands: at the first token,
/// or behind the `(` and the spaces that an answer begins with.
///
/// The spellings of a letter are summed: `A`, ` a`, `(A`, `A)`. A letter that is not listed has the log-probability that it
/// has at most: that of the last token of the list, or of what the list leaves, whichever is less. `None` if no letter is
/// listed: nothing is known then.
///
/// # Errors
/// What is wrong with the list.
pub(crate) fn letter_log_probs<'a>(
    answer: impl Iterator<Item = AnswerPlace<'a>>,
    count: usize,
) -> Result<Option<Vec<f64>>, String> {
    let places: Vec<AnswerPlace<'a>> = answer.collect();
    if places.iter().any(|place| place.top.is_empty()) {
        return Err("has no `top_logprobs`".to_owned());
    }
    let opens = |place: &&AnswerPlace<'a>| matches!(place.token.trim_matches(is_space), "" | "(");
    let Some(place) = places.iter().find(|place| !opens(place)) else { return Ok(None) };
    if place.top.iter().any(|top| !top.logprob.is_finite() || top.logprob > 1e-3) {
        return Err("has a log-probability above 0 in `top_logprobs`".to_owned());
    }
    let mut letters = vec![0.0; count];
    let (mut listed, mut least) = (0.0, f64::INFINITY);
    for top in place.top {
        let probability = top.logprob.exp();
        listed += probability;
        least = probability.min(least);
        if let Some(sum) = letter(&top.token).and_then(|letter| letters.get_mut(letter)) {
            *sum += probability;
        }
    }
    if listed > 1.0 + 1e-3 {
        return Err(format!("has `top_logprobs` whose probabilities sum to {listed:.3}"));
    }
    if letters.iter().all(|&sum| sum == 0.0) {
        return Ok(None);
    }
    // A list may hold tokens that were forbidden: they have no probability, and JSON has no infinity.
    let most_of_others = least.min((1.0 - listed).max(0.0) + ROUNDING).max(f64::MIN_POSITIVE);
    let log_prob = |sum: f64| if sum > 0.0 { sum } else { most_of_others }.ln();
    Ok(Some(letters.into_iter().map(log_prob).collect()))
}

/// The letter that a token spells, from 0.
fn letter(token: &str) -> Option<usize> {
    let text = token.trim_matches(is_space);
    let text = text.strip_prefix('(').unwrap_or(text);
    let text = text.strip_suffix([')', '.', ':']).unwrap_or(text);
    match text.as_bytes() {
        [letter] if letter.is_ascii_alphabetic() => Some(usize::from(letter.to_ascii_uppercase() - b'A')),
        _ => None,
    }
}

/// Spaces, also as tokenizers write them: `▁` of SentencePiece, `Ġ` and `Ċ` of byte-level BPE.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '▁' | 'Ġ' | 'Ċ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(tokens: &[(&str, f64)]) -> Vec<TopToken> {
        let token = |&(token, probability): &(&str, f64)| TopToken {
            token: token.to_owned(),
            logprob: probability.ln(),
        };
        tokens.iter().map(token).collect()
    }

    /// The probabilities of three letters.
    fn letters(answer: &[(&str, &[(&str, f64)])]) -> Result<Option<Vec<f64>>, String> {
        let lists: Vec<Vec<TopToken>> = answer.iter().map(|(_, tokens)| top(tokens)).collect();
        let places = answer.iter().zip(&lists).map(|((token, _), top)| AnswerPlace { token, top });
        let found = letter_log_probs(places, 3)?;
        Ok(found.map(|found| found.into_iter().map(f64::exp).collect()))
    }

    fn assert_near(found: Result<Option<Vec<f64>>, String>, expected: [f64; 3]) {
        let found = found.unwrap().unwrap();
        let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9);
        assert!(near && found.len() == 3, "{found:?} {expected:?}");
    }

    #[test]
    fn the_spellings_of_a_letter_are_summed_and_other_tokens_left_out() {
        let listed: &[(&str, f64)] = &[
            ("A", 0.25),
            (" A", 0.125),
            ("a", 0.0625),
            ("B", 0.25),
            ("(C", 0.03125),
            ("C)", 0.03125),
            ("dog", 0.125),
        ];
        assert_near(letters(&[("A", listed)]), [0.4375, 0.25, 0.0625]);
        for token in ["▁b", "ĠB", "B.", "B:", "(b)", "\nB "] {
            assert_eq!(letter(token), Some(1), "{token}");
        }
        for token in ["", "(", "AB", "Б", "1", "((A", "dog"] {
            assert_eq!(letter(token), None, "{token}");
        }
    }

    #[test]
    fn a_letter_that_is_not_listed_has_the_most_that_it_can_have() {
        // 0.75 + 0.125 are listed: 0.125 is left, and no other token is likelier than the last of the list.
        assert_near(letters(&[("A", &[("A", 0.75), ("x", 0.125)])]), [0.75, 0.125, 0.125]);
        assert_near(letters(&[("A", &[("A", 0.5), ("x", 0.0625)])]), [0.5, 0.0625, 0.0625]);
        // Of 1/32 that is left no letter has more.
        let rest = 0.03125 + ROUNDING;
        assert_near(letters(&[("A", &[("A", 0.5), ("B", 0.46875)])]), [0.5, 0.46875, rest]);
        // All of it is listed, but for rounding.
        assert_near(letters(&[("A", &[("A", 0.5), ("B", 0.5)])]), [0.5, 0.5, ROUNDING]);
    }

    #[test]
    fn letters_that_the_question_does_not_have_and_lists_without_letters_say_nothing() {
        assert_eq!(letters(&[("dog", &[("dog", 0.75), ("D", 0.125)])]), Ok(None));
        assert_eq!(letters(&[]), Ok(None));
        assert_eq!(letters(&[("(", &[("(", 1.0)])]), Ok(None));
    }

    #[test]
    fn a_letter_behind_a_bracket_is_found_at_its_own_place() {
        let bracket: &[(&str, f64)] = &[("(", 0.5), ("A", 0.25)];
        let second: &[(&str, f64)] = &[("B", 0.5), ("C", 0.25), ("A", 0.125)];
        assert_near(letters(&[("(", bracket), ("B", second)]), [0.125, 0.5, 0.25]);
        assert_near(letters(&[(" ", bracket), ("▁(", bracket), ("B", second)]), [0.125, 0.5, 0.25]);
        assert_near(letters(&[("(B", second), ("A", bracket)]), [0.125, 0.5, 0.25]);
    }

    #[test]
    fn a_list_that_cannot_be_is_rejected() {
        assert!(letters(&[("A", &[])]).unwrap_err().contains("no `top_logprobs`"));
        assert!(letters(&[("A", &[("A", 1.5)])]).unwrap_err().contains("above 0"));
        assert!(letters(&[("A", &[("A", f64::NAN)])]).unwrap_err().contains("above 0"));
        assert!(letters(&[("A", &[("A", 0.75), ("B", 0.75)])]).unwrap_err().contains("sum to 1.500"));
    }
}
