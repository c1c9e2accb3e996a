//! Answers from a list: a trie of the texts that may be said, walked token by token.

use idk_common::seed::Rng;

use crate::error::ModelError;
use crate::generate::sampling::{SamplingConfig, next_token, penalized};

/// A text that may be the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct GuideText {
    /// What is said.
    pub text: String,
    /// Its tokens, the end of the turn included.
    pub ids: Vec<u32>,
    /// Added to the log-probability of the whole text where it is compared with the others, in nats; 0 for most texts.
    pub offset: f64,
}

/// The only answers that a prompt may get. Decoding walks a trie: after each token only those follow that lead to one of
/// the texts, so the answer is always one of them.
///
/// The score of a token is its logit plus the greatest offset of the texts that it leads to. The additions along a text sum
/// to its offset less the greatest offset of all, so they move it against the other texts as the same addition to its
/// log-probability would. A negative offset acts at the branch where the text leaves those without; a positive one acts
/// from the first token on.
#[derive(Clone, Debug, PartialEq)]
pub struct Guide {
    nodes: Vec<Node>,
    longest: usize,
}

/// What may follow some tokens.
#[derive(Clone, Debug, PartialEq)]
struct Node {
    /// In rising order of their ids; none where a text ends.
    branches: Vec<Branch>,
    /// The greatest offset of the texts that begin with these tokens.
    offset: f64,
    /// The text that ends here.
    text: Option<String>,
}

/// A token that may be next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Branch {
    pub(crate) id: u32,
    /// Added to the token's logit, in nats; at most 0, and 0 for the greatest of a node.
    offset: f64,
    node: usize,
}

/// The node before the first token.
pub(crate) const ROOT: usize = 0;

impl Guide {
    /// The trie of `texts`. Of texts with the same tokens the first counts.
    ///
    /// # Errors
    /// [`ModelError::Input`] if there are no texts, one has no tokens or an offset that is not finite, or one is the
    /// beginning of another, so that its end is not known.
    pub fn new(texts: impl IntoIterator<Item = GuideText>) -> Result<Self, ModelError> {
        let node = || Node { branches: Vec::new(), offset: f64::NEG_INFINITY, text: None };
        let mut guide = Self { nodes: vec![node()], longest: 0 };
        for GuideText { text, ids, offset } in texts {
            if ids.is_empty() || !offset.is_finite() {
                let what = format!("an answer `{text}` of {} tokens with offset {offset}", ids.len());
                return Err(ModelError::Input { what });
            }
            let mut at = ROOT;
            for &id in &ids {
                at = match guide.nodes[at].branches.binary_search_by_key(&id, |branch| branch.id) {
                    Ok(place) => guide.nodes[at].branches[place].node,
                    Err(place) => {
                        let next = guide.nodes.len();
                        guide.nodes[at].branches.insert(place, Branch { id, offset: 0.0, node: next });
                        guide.nodes.push(node());
                        next
                    }
                };
            }
            guide.longest = guide.longest.max(ids.len());
            let end = &mut guide.nodes[at];
            if end.text.is_none() {
                (end.text, end.offset) = (Some(text), offset);
            }
        }
        let is_whole = |node: &Node| node.branches.is_empty() == node.text.is_some();
        if !guide.nodes.iter().all(is_whole) {
            let what = "a list of answers that is empty, or in which one is the beginning of another";
            return Err(ModelError::Input { what: what.to_owned() });
        }
        guide.spread_offsets();
        Ok(guide)
    }

    /// Gives every branch its offset. A node comes after the one before it, so the last go first.
    fn spread_offsets(&mut self) {
        for at in (0..self.nodes.len()).rev() {
            let below = self.nodes[at].branches.iter().map(|branch| self.nodes[branch.node].offset);
            let offsets: Vec<f64> = below.collect();
            let Some(greatest) = offsets.iter().copied().reduce(f64::max) else { continue };
            let node = &mut self.nodes[at];
            node.offset = greatest;
            for (branch, offset) in node.branches.iter_mut().zip(offsets) {
                branch.offset = offset - greatest;
            }
        }
    }

    /// Tokens of the longest text.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Every token of the texts.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().flat_map(|node| node.branches.iter().map(|branch| branch.id))
    }

    /// What may follow at a node, in rising order of the ids; nothing where a text has ended.
    pub(crate) fn branches(&self, node: usize) -> &[Branch] {
        &self.nodes[node].branches
    }

    /// The node after the token `id`; the same node if it may not follow.
    pub(crate) fn after(&self, node: usize, id: u32) -> usize {
        let branches = self.branches(node);
        let place = branches.binary_search_by_key(&id, |branch| branch.id);
        place.map_or(node, |place| branches[place].node)
    }

    /// The text that has ended at a node.
    pub(crate) fn text(&self, node: usize) -> Option<&str> {
        self.nodes[node].text.as_deref()
    }
}

/// The place of the branch to take: the repetition penalty first, then the offsets, and then as [`next_token`] chooses
/// among these tokens alone, so a sample is drawn from their renormalised distribution.
///
/// # Shapes
/// `logits`: `[branches]`; `seen`: the ids so far.
///
/// # Errors
/// As [`next_token`].
pub(crate) fn next_branch(
    branches: &[Branch],
    logits: &[f32],
    seen: &[u32],
    config: &SamplingConfig,
    rng: &mut Rng,
) -> Result<usize, ModelError> {
    let is_seen = |&place: &u32| seen.contains(&branches[place as usize].id);
    let places: Vec<u32> = (0..branches.len() as u32).filter(is_seen).collect();
    let mut scores = penalized(logits, &places, config.repetition_penalty);
    for (score, branch) in scores.iter_mut().zip(branches) {
        *score = (f64::from(*score) + branch.offset) as f32;
    }
    let config = SamplingConfig { repetition_penalty: 1.0, ..config.clone() };
    Ok(next_token(&scores, &[], &config, rng)? as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const VOCAB: u64 = 6;
    const END: u32 = VOCAB as u32;
    const GREEDY: f64 = 0.0;

    fn text(ids: &[u32], offset: f64) -> GuideText {
        GuideText { text: format!("{ids:?}"), ids: ids.to_vec(), offset }
    }

    fn config(temperature: f64) -> SamplingConfig {
        SamplingConfig { temperature, ..SamplingConfig::default() }
    }

    /// Random texts of few tokens, so that many share their beginnings. Each ends with `END`, which is nowhere else.
    fn random_texts(rng: &mut Rng) -> Vec<GuideText> {
        let count = 1 + rng.below(7);
        let mut texts = Vec::new();
        for _ in 0..count {
            let length = rng.below(5);
            let mut ids: Vec<u32> = (0..length).map(|_| rng.below(VOCAB as usize) as u32).collect();
            ids.push(END);
            texts.push(text(&ids, rng.normal() * 2.0));
        }
        texts
    }

    /// Logits after a beginning: those of a model, as far as a trie is concerned.
    fn logits_after(ids: &[u32], seed: u64) -> Vec<f32> {
        let seed = ids.iter().fold(seed, |seed, &id| seed.wrapping_mul(31).wrapping_add(u64::from(id) + 1));
        let mut rng = Rng::new(seed);
        (0..=VOCAB).map(|_| (rng.normal() * 3.0) as f32).collect()
    }

    /// Tokens and text of a guided answer.
    fn walk(guide: &Guide, seed: u64, config: &SamplingConfig) -> (Vec<u32>, String) {
        let (mut ids, mut node, mut rng) = (Vec::new(), ROOT, Rng::new(seed));
        while !guide.branches(node).is_empty() {
            let (all, branches) = (logits_after(&ids, seed), guide.branches(node));
            let logits: Vec<f32> = branches.iter().map(|branch| all[branch.id as usize]).collect();
            let id = branches[next_branch(branches, &logits, &ids, config, &mut rng).unwrap()].id;
            node = guide.after(node, id);
            ids.push(id);
        }
        (ids, guide.text(node).unwrap().to_owned())
    }

    /// The same greedily from the list alone: of the texts that begin as the answer does, the next token of the best score.
    fn from_list(texts: &[GuideText], seed: u64) -> Vec<u32> {
        let mut ids: Vec<u32> = Vec::new();
        while ids.last() != Some(&END) {
            let logits = logits_after(&ids, seed);
            let mut scores: BTreeMap<u32, f64> = BTreeMap::new();
            for text in texts.iter().filter(|text| text.ids.starts_with(&ids)) {
                // Of texts with the same tokens the first counts.
                let first = texts.iter().find(|other| other.ids == text.ids).unwrap();
                let id = text.ids[ids.len()];
                let score = f64::from(logits[id as usize]) + first.offset;
                scores.entry(id).and_modify(|best| *best = best.max(score)).or_insert(score);
            }
            ids.push(scores.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap().0);
        }
        ids
    }

    #[test]
    fn an_answer_is_always_a_text_of_the_list_and_greedily_the_best_branch_at_every_token() {
        let mut rng = Rng::new(1);
        let mut shared = 0;
        for seed in 0..2000 {
            let texts = random_texts(&mut rng);
            let guide = Guide::new(texts.clone()).unwrap();
            let listed: BTreeSet<&[u32]> = texts.iter().map(|text| text.ids.as_slice()).collect();
            shared += usize::from(guide.branches(ROOT).len() < listed.len());
            for temperature in [GREEDY, 1.0, 5.0] {
                let (ids, said) = walk(&guide, seed, &config(temperature));
                assert!(listed.contains(ids.as_slice()), "{ids:?}");
                assert_eq!(said, format!("{ids:?}"));
                assert!(ids.len() <= guide.longest());
            }
            assert_eq!(walk(&guide, seed, &config(GREEDY)).0, from_list(&texts, seed));
        }
        assert!(shared > 500, "in {shared} lists two texts begin alike");
    }

    #[test]
    fn the_additions_along_a_text_sum_to_its_offset_less_the_greatest() {
        let mut rng = Rng::new(2);
        for _ in 0..500 {
            let texts = random_texts(&mut rng);
            let guide = Guide::new(texts.clone()).unwrap();
            let mut counted = BTreeMap::new();
            for text in &texts {
                counted.entry(text.ids.clone()).or_insert(text.offset);
            }
            let greatest = counted.values().copied().reduce(f64::max).unwrap();
            for (ids, offset) in counted {
                let (mut node, mut sum) = (ROOT, 0.0);
                for id in ids {
                    sum += guide.branches(node).iter().find(|branch| branch.id == id).unwrap().offset;
                    node = guide.after(node, id);
                }
                assert!((sum - (offset - greatest)).abs() < 1e-9, "{sum} is not {offset} - {greatest}");
            }
        }
    }

    #[test]
    fn a_text_that_is_held_back_without_end_is_never_said_and_one_that_is_pushed_always() {
        let mut rng = Rng::new(3);
        for seed in 0..1000 {
            let mut texts = random_texts(&mut rng);
            texts.iter_mut().for_each(|text| text.offset = 0.0);
            let refusal = texts[0].ids.clone();
            if texts.iter().all(|text| text.ids == refusal) {
                continue;
            }
            for (offset, always) in [(-1e6, false), (1e6, true)] {
                texts[0].offset = offset;
                let guide = Guide::new(texts.clone()).unwrap();
                for temperature in [GREEDY, 1.0] {
                    let (ids, _) = walk(&guide, seed, &config(temperature));
                    assert_eq!(ids == refusal, always, "{texts:?}");
                }
            }
        }
    }

    #[test]
    fn samples_follow_the_renormalised_distribution_of_a_hand_computation() {
        // "0", "1 2" and "1 3", after a first token of 0: .2, 1: .3, 2: .5; after 1 of 2: .1, 3: .4, 0: .5.
        let texts = [text(&[0, 4], 0.0), text(&[1, 2, 4], 0.0), text(&[1, 3, 4], 0.0)];
        let guide = Guide::new(texts).unwrap();
        let logits = |branches: &[Branch], probs: [f32; 5]| -> Vec<f32> {
            branches.iter().map(|branch| probs[branch.id as usize].ln()).collect()
        };
        let (mut rng, mut counts) = (Rng::new(4), [0_usize; 4]);
        for _ in 0..20_000 {
            let first = guide.branches(ROOT);
            let place =
                next_branch(first, &logits(first, [0.2, 0.3, 0.5, 1e-9, 1e-9]), &[], &config(1.0), &mut rng);
            let id = first[place.unwrap()].id;
            let then = guide.branches(guide.after(ROOT, id));
            let place =
                next_branch(then, &logits(then, [0.5, 1e-9, 0.1, 0.4, 1.0]), &[], &config(1.0), &mut rng);
            counts[if id == 0 { 0 } else { then[place.unwrap()].id as usize }] += 1;
        }
        // .2 / .5 say "0"; of the other .3 / .5, .1 / .5 say "1 2" and .4 / .5 "1 3".
        for (place, prob) in [(0, 0.4), (2, 0.6 * 0.2), (3, 0.6 * 0.8)] {
            let share = counts[place] as f64 / 20_000.0;
            assert!((share - prob).abs() < 0.012, "{share} is not {prob}");
        }
    }

    #[test]
    fn the_repetition_penalty_counts_among_the_allowed_tokens_too() {
        let guide = Guide::new([text(&[0], 0.0), text(&[1], 0.0)]).unwrap();
        let taken = |seen: &[u32]| {
            let config = SamplingConfig { repetition_penalty: 2.0, ..config(GREEDY) };
            next_branch(guide.branches(ROOT), &[3.0, 2.0], seen, &config, &mut Rng::new(0)).unwrap()
        };
        assert_eq!((taken(&[]), taken(&[0]), taken(&[0, 1])), (0, 1, 0));
    }

    #[test]
    fn a_list_that_cannot_guide_is_an_error_and_of_equal_texts_the_first_counts() {
        for texts in [
            vec![],
            vec![text(&[], 0.0)],
            vec![text(&[1], f64::INFINITY)],
            vec![text(&[1], 0.0), text(&[1, 2], 0.0)],
            vec![text(&[1, 2], 0.0), text(&[1], 0.0)],
        ] {
            assert!(matches!(Guide::new(texts.clone()), Err(ModelError::Input { .. })), "{texts:?}");
        }
        let named = |name: &str, offset| GuideText { text: name.to_owned(), ..text(&[1, 2], offset) };
        let guide = Guide::new([named("a", 0.0), named("b", 3.0), text(&[3], 0.0)]).unwrap();
        assert_eq!(guide.text(guide.after(guide.after(ROOT, 1), 2)), Some("a"));
        assert!(guide.branches(ROOT).iter().all(|branch| branch.offset == 0.0));
    }
}
