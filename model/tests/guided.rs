//! Guided answers of whole models, against the scores of every text in the list.
#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not count as tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use idk_common::seed::Rng;
use idk_model::{
    Answerer, Chat, FeatureLimits, FeatureStore, Generated, Lalm, Prompt, SamplingConfig, device,
};

const TOLERANCE: f64 = 2e-4;

/// What options look like: some begin alike, one as the refusal does, and some continue where another ends.
const OPTIONS: [&str; 16] = [
    "dog",
    "dog barking",
    "dog howling",
    "I",
    "I don't",
    "a cat",
    "a car",
    "rain",
    "rain and thunder",
    "violin",
    "trumpet",
    "the word \"yes\"",
    "two",
    "two dogs",
    "first the violin, then the trumpet",
    "engine",
];
const REFUSALS: [&str; 2] = ["I don't know", "I'm not sure"];

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn models() -> [Lalm; 2] {
    ["tests/fixtures/qwen2-audio-tiny", "checkpoints/mini-lalm"]
        .map(|dir| Lalm::load(&repo(dir), &device("cpu").unwrap()).unwrap())
}

/// A prompt with a list of its own: some options, and the refusals with an offset.
struct Asked {
    texts: Vec<(&'static str, f64)>,
    /// Tokens of each text.
    ids: Vec<Vec<u32>>,
    prompt: Prompt,
}

fn asked(answerer: &Answerer<'_>, offsets: [f64; 4]) -> Vec<Asked> {
    let mut rng = Rng::new(5);
    let mut asked = Vec::new();
    for offset in offsets {
        for clip in ["a.wav", "b.wav", "c.wav"] {
            let clip = answerer.lalm.load_audio(repo("tests/fixtures/qwen2-audio-tiny").join(clip)).unwrap();
            let mut options = OPTIONS;
            rng.shuffle(&mut options);
            let options = &options[..2 + rng.below(5)];
            let question = format!("What is heard?\nChoose one: {}", options.join(", "));
            let texts = options.iter().map(|&option| (option, 0.0));
            let texts: Vec<(&str, f64)> = texts.chain(REFUSALS.map(|text| (text, offset))).collect();
            let chat = Chat::user(&question).with(clip);
            let guide = answerer.guide(&chat.messages, texts.iter().copied()).unwrap();
            let ids =
                |(text, _): &(&str, f64)| answerer.lalm.tokenizer.answer_ids(&chat.messages, text).unwrap();
            let ids = texts.iter().map(ids).collect();
            let mut prompt = answerer.prompts(std::slice::from_ref(&chat)).unwrap().remove(0);
            prompt.guide = Some(Arc::new(guide));
            asked.push(Asked { texts, ids, prompt });
        }
    }
    asked
}

fn prompts(asked: &[Asked]) -> Vec<Prompt> {
    asked.iter().map(|asked| asked.prompt.clone()).collect()
}

/// The place of the text at the end of the best branches, from the log-probability of every token of every text.
fn walk(asked: &Asked, scores: &[Vec<f32>]) -> usize {
    let mut left: Vec<usize> = (0..asked.texts.len()).collect();
    let mut place = 0;
    loop {
        // A branch with an option and a refusal has the greater of both offsets.
        let mut branches: BTreeMap<u32, f64> = BTreeMap::new();
        for &text in &left {
            let score = f64::from(scores[text][place]) + asked.texts[text].1;
            branches
                .entry(asked.ids[text][place])
                .and_modify(|best| *best = best.max(score))
                .or_insert(score);
        }
        let best = branches.into_iter().reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap().0;
        left.retain(|&text| asked.ids[text][place] == best);
        if let [text] = left[..] {
            return text;
        }
        place += 1;
    }
}

fn greedy(answerer: &Answerer<'_>, asked: &[Asked]) -> Vec<Generated> {
    let config = SamplingConfig { max_new_tokens: 1, ..SamplingConfig::default() };
    let answers = answerer.answer(&prompts(asked), &config, &vec![vec![0]; asked.len()]).unwrap();
    answers.into_iter().flatten().collect()
}

#[test]
fn greedy_answers_are_the_walk_over_the_scored_texts_with_the_models_own_log_probability() {
    for lalm in models() {
        let features = FeatureStore::new("", FeatureLimits::NONE);
        let answerer = Answerer::base(&lalm, &features);
        let asked = asked(&answerer, [0.0, 5.0, -30.0, 30.0]);
        let ids: Vec<Vec<Vec<u32>>> = asked.iter().map(|asked| asked.ids.clone()).collect();
        let scores = answerer.log_probs(&prompts(&asked), &ids).unwrap();
        let mut refused = 0;
        for ((asked, scores), answer) in asked.iter().zip(&scores).zip(greedy(&answerer, &asked)) {
            let best = walk(asked, scores);
            assert_eq!((answer.text.as_str(), &answer.ids), (asked.texts[best].0, &asked.ids[best]));
            let sum: f64 = scores[best].iter().map(|&score| f64::from(score)).sum();
            assert!((answer.log_prob - sum).abs() < TOLERANCE, "{} is not {sum}", answer.log_prob);
            assert!(answer.finished, "`max_new_tokens` does not cut a guided answer");
            refused += usize::from(REFUSALS.contains(&answer.text.as_str()));
        }
        assert!((1..asked.len()).contains(&refused), "{refused} of {} refused", asked.len());
    }
}

#[test]
fn samples_never_leave_the_list_and_do_not_depend_on_the_batch_or_the_threads() {
    for lalm in models() {
        let features = FeatureStore::new("", FeatureLimits::NONE);
        let answerer = Answerer::base(&lalm, &features);
        let mut asked = asked(&answerer, [0.0, 4.0, -4.0, 9.0]);
        // One that may say anything.
        asked[1].prompt.guide = None;
        let config = SamplingConfig { temperature: 3.0, max_new_tokens: 4, ..SamplingConfig::default() };
        let seeds: Vec<Vec<u64>> =
            (0..asked.len() as u64).map(|at| (at * 10..at * 10 + 6).collect()).collect();
        let together = answerer.answer(&prompts(&asked), &config, &seeds).unwrap();
        let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = one_thread.install(|| answerer.answer(&prompts(&asked), &config, &seeds)).unwrap();
        assert_eq!(together, again);
        let mut left_the_list = 0;
        for ((asked, seeds), answers) in asked.iter().zip(&seeds).zip(&together) {
            let alone = answerer
                .answer(std::slice::from_ref(&asked.prompt), &config, std::slice::from_ref(seeds))
                .unwrap();
            for (answer, alone) in answers.iter().zip(&alone[0]) {
                assert_eq!((&answer.ids, &answer.text), (&alone.ids, &alone.text));
                let listed = asked.texts.iter().any(|(text, _)| *text == answer.text);
                assert!(listed || asked.prompt.guide.is_none(), "{}", answer.text);
                left_the_list += usize::from(!listed);
            }
        }
        assert!(left_the_list > 0, "the prompt without a guide says anything");
    }
}

#[test]
fn a_refusal_is_never_said_without_hope_and_always_without_doubt() {
    for lalm in models() {
        let features = FeatureStore::new("", FeatureLimits::NONE);
        let answerer = Answerer::base(&lalm, &features);
        for (offset, refused) in [(-1e6, 0), (1e6, 12)] {
            let asked = asked(&answerer, [offset; 4]);
            let answers = greedy(&answerer, &asked);
            let found = answers.iter().filter(|answer| REFUSALS.contains(&answer.text.as_str())).count();
            assert_eq!((found, answers.len()), (refused, 12));
        }
    }
}
