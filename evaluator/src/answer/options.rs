//! Fixed texts as answers: the options of a question and the refusals, each with its log-probability.

use std::collections::BTreeMap;

use crate::config::AnswerBy;

/// What is taken for an offset without end, in nats: more than two texts can differ by.
pub(crate) const ENDLESS_OFFSET: f64 = 1e6;

/// Halvings after which an offset is known as well as a number can be.
const HALVINGS: usize = 100;

/// One text as the whole answer, its end included.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScoredText {
    pub(crate) text: String,
    /// Whether it is a refusal: none of the options.
    pub(crate) is_refusal: bool,
    /// In nats.
    pub(crate) log_prob: f64,
    /// Added to it where texts are compared.
    pub(crate) offset: f64,
    /// Its tokens, and the log-probability of each.
    tokens: Vec<(u32, f32)>,
}

impl ScoredText {
    /// `tokens`: those of the text and of its end, each with its log-probability.
    pub(crate) fn new(text: &FixedText<'_>, tokens: Vec<(u32, f32)>) -> Self {
        Self {
            text: text.text.to_owned(),
            is_refusal: text.is_refusal,
            log_prob: tokens.iter().map(|&(_, value)| f64::from(value)).sum(),
            offset: text.offset,
            tokens,
        }
    }

    /// How many tokens it has, its end included.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// Normalised by length, else long options lose: how sure the model is of an option that it chose.
    pub(crate) fn mean_log_prob(&self) -> f64 {
        self.log_prob / self.tokens.len().max(1) as f64
    }

    fn score(&self) -> f64 {
        self.log_prob + self.offset
    }
}

/// A text that may be the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FixedText<'a> {
    pub(crate) text: &'a str,
    pub(crate) is_refusal: bool,
    /// Added to its log-probability where texts are compared, in nats.
    pub(crate) offset: f64,
}

/// The likeliest text, of equals the first: what the model answers if it can say nothing else. By its whole
/// log-probability and its offset.
pub(crate) fn likeliest(texts: &[ScoredText]) -> Option<&ScoredText> {
    texts.iter().reduce(|best, next| if next.score().total_cmp(&best.score()).is_gt() { next } else { best })
}

/// The offset of the refusals, in nats, above which the answer is one of them and below which it is an option. It ranks
/// questions by how near the model is to refusing them: the lower, the nearer. `None` without options or refusals.
pub(crate) fn refusal_margin(texts: &[ScoredText], answer_by: AnswerBy) -> Option<f64> {
    let best = |is_refusal: bool| {
        let of_kind = texts.iter().filter(|text| text.is_refusal == is_refusal);
        of_kind.map(|text| text.log_prob).reduce(f64::max)
    };
    let (option, refusal) = (best(false)?, best(true)?);
    if answer_by != AnswerBy::Guided {
        return Some(option - refusal);
    }
    // A higher offset never takes a refusal back.
    let (mut low, mut high) = (-ENDLESS_OFFSET, ENDLESS_OFFSET);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if walk_refuses(texts, middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// Whether greedy decoding over the trie of the texts ends at a refusal, if refusals have this offset.
///
/// As [`idk_model::Guide`] walks: each branch has the greatest offset of the texts that it leads to.
fn walk_refuses(texts: &[ScoredText], offset: f64) -> bool {
    let mut left: Vec<&ScoredText> = texts.iter().collect();
    for place in 0.. {
        let mut branches: BTreeMap<u32, f64> = BTreeMap::new();
        for text in &left {
            let Some(&(id, log_prob)) = text.tokens.get(place) else { break };
            let score = f64::from(log_prob) + if text.is_refusal { offset } else { 0.0 };
            branches.entry(id).and_modify(|best| *best = best.max(score)).or_insert(score);
        }
        // Of equal branches the one of the lowest id, as in decoding.
        let best = branches.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
        let Some((best, _)) = best else { break };
        left.retain(|text| text.tokens.get(place).is_some_and(|&(id, _)| id == best));
        if left.iter().all(|text| text.is_refusal) || left.iter().all(|text| !text.is_refusal) {
            break;
        }
    }
    left.first().is_some_and(|text| text.is_refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, offset: f64, tokens: &[(u32, f32)]) -> ScoredText {
        let fixed = FixedText { text, is_refusal: text.starts_with("I "), offset };
        ScoredText::new(&fixed, tokens.to_vec())
    }

    #[test]
    fn the_likeliest_text_is_so_as_a_whole_and_of_equals_the_first() {
        let short = text("dog", 0.0, &[(1, -1.0)]);
        let long = text("I don't know", 0.0, &[(2, -0.5), (3, -0.25), (4, -0.5)]);
        assert_eq!((long.log_prob, long.mean_log_prob()), (-1.25, -1.25 / 3.0));
        assert_eq!(
            likeliest(&[long.clone(), short.clone()]),
            Some(&short),
            "though its mean is the lower one"
        );
        let twin = text("cat", 0.0, &[(5, -0.5), (6, -0.5)]);
        assert_eq!(likeliest(&[twin.clone(), short]), Some(&twin));
        assert_eq!(likeliest(&[]), None);
    }

    #[test]
    fn an_offset_counts_in_the_choice_and_not_in_the_log_probability() {
        let dog = text("dog", 0.0, &[(1, -1.0)]);
        for (offset, best) in [(0.0, "dog"), (1.0, "dog"), (1.5, "I don't know"), (-1e6, "dog")] {
            let refusal = text("I don't know", offset, &[(2, -1.25), (3, -1.0)]);
            assert_eq!(refusal.log_prob, -2.25);
            assert_eq!(likeliest(&[dog.clone(), refusal]).unwrap().text, best, "{offset}");
        }
    }

    #[test]
    fn the_margin_is_where_the_refusal_overtakes_the_options() {
        let refusal = text("I don't know", 0.0, &[(2, -3.0), (3, -0.5)]);
        let apart =
            [text("dog", 0.0, &[(1, -1.0), (9, -1.0)]), text("cat", 0.0, &[(5, -1.5)]), refusal.clone()];
        let margin = |texts: &[ScoredText], answer_by| refusal_margin(texts, answer_by).unwrap();
        assert_eq!(margin(&apart, AnswerBy::Options), 2.0, "-1.5 of the likeliest text against -3.5");
        assert!(
            (margin(&apart, AnswerBy::Guided) - 2.0).abs() < 1e-9,
            "-1 of the likeliest token against -3"
        );
        // "I" is the beginning of an option too: first it must beat the cat (by 1.5), then that option (by 0.75).
        let engine =
            ScoredText { is_refusal: false, ..text("I hear", 0.0, &[(2, -3.0), (7, -0.25), (8, -9.0)]) };
        let longer = text("I don't know", 0.0, &[(2, -3.0), (3, -1.0)]);
        let shared = [text("cat", 0.0, &[(5, -1.5)]), engine, longer];
        assert!((margin(&shared, AnswerBy::Guided) - 1.5).abs() < 1e-9);
        assert_eq!(refusal_margin(std::slice::from_ref(&refusal), AnswerBy::Guided), None);
        assert_eq!(refusal_margin(&apart[..2], AnswerBy::Options), None);
    }
}
