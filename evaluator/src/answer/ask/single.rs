//! One question by itself: the answer, how likely each option is, and how many samples agree.

use idk_common::seed::derive_seed;
use idk_model::SamplingConfig;
use idk_questions::{AskedQuestion, Judgement, Verdict};
use serde::Serialize;

use crate::answer::ask::{Item, MethodRunner};
use crate::answer::options::ScoredText;
use crate::answer::prepare::Prepared;
use crate::answer::prompts::Prompts;
use crate::backend::Backend;
use crate::config::EvalConfig;
use crate::doubt::meaning::Meaning;
use crate::error::EvalError;
use crate::method::Method;

/// How many samples are drawn of a single question, and how.
#[derive(Clone, Debug)]
pub struct SampleSettings {
    /// Samples.
    pub count: usize,
    /// How each of them is decoded.
    pub decoding: SamplingConfig,
    /// Whether only options and refusals can be sampled.
    pub guided: bool,
    /// Seed of all of them.
    pub seed: u64,
}

/// What a model says to a single question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SingleAnswer {
    /// The answer.
    pub text: String,
    /// Whether it is a refusal.
    pub refuses: bool,
    /// The option that it names.
    pub option: Option<String>,
    /// Log-probability of the text and its end, in nats.
    pub log_prob: Option<f64>,
    /// Every option, then every refusal; empty for an open question, and where texts cannot be scored.
    pub texts: Vec<TextProbability>,
    /// What the samples say, if any were drawn.
    pub samples: Option<SampleAgreement>,
}

/// One text as the whole answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextProbability {
    /// The text.
    pub text: String,
    /// Whether it is a refusal, not an option.
    pub is_refusal: bool,
    /// Log-probability of the text and its end, in nats.
    pub log_prob: f64,
    /// Its probability if the answer is one of the listed texts; these sum to 1.
    pub probability: f64,
}

/// Samples compared with the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleAgreement {
    /// Samples.
    pub count: usize,
    /// Those that say the same as the answer: a refusal with a refusal, an option with the same option. None agrees with
    /// an answer that is neither.
    pub agree: usize,
    /// Those that refuse.
    pub refuse: usize,
    /// Their texts, in the order of their seeds.
    pub texts: Vec<String>,
}

/// Answers the first prepared question greedily, scores its options, and draws samples if `samples` is given.
///
/// # Errors
/// [`EvalError::Model`], [`EvalError::Server`], [`EvalError::Common`]; [`EvalError::NoQuestions`] if no question is prepared.
pub fn answer_single(
    backend: &Backend<'_>,
    prepared: &Prepared,
    config: &EvalConfig,
    samples: Option<&SampleSettings>,
) -> Result<SingleAnswer, EvalError> {
    let Some(item) = prepared.items().next() else {
        return Err(EvalError::NoQuestions { rejected: prepared.rejected.len() });
    };
    let method = if backend.is_adapted() { Method::Adapter } else { Method::Base };
    let prompts = Prompts::load(&config.prompts)?;
    let (style, refusals) = (prepared.style, prepared.refusals.as_slice());
    let (prompts, with_options, own_answers) = (&prompts, false, None);
    let runner =
        MethodRunner { backend, method, prompts, style, refusals, with_options, own_answers, config };
    runner.single(item, samples)
}

impl MethodRunner<'_> {
    fn single(&self, item: Item<'_>, samples: Option<&SampleSettings>) -> Result<SingleAnswer, EvalError> {
        let misaligned = || EvalError::Misaligned { method: self.method.name().to_owned() };
        let asked = item.0;
        // Of a server that knows options by their letters these come with the answer.
        let with_options = self.backend.gives_letters();
        let answer = Self { with_options, ..*self }.answer(&[item])?.pop().ok_or_else(misaligned)?;
        let heard = self.backend.hear(&[item])?;
        let prompts = heard.iter().map(|question| self.chat(question, &self.opening(question.asked)));
        let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
        let scored = match self.backend.scores_texts() {
            true => self.score(&heard, &prompts)?.pop().ok_or_else(misaligned)?,
            false => Vec::new(),
        };
        let samples = match samples {
            Some(settings) => {
                let prompts = if settings.guided { self.guided(&heard, prompts)? } else { prompts };
                let seed = |sample: usize| derive_seed(settings.seed, "ask", &[&sample.to_string()]);
                let seeds = vec![(0..settings.count).map(seed).collect()];
                let drawn = self.backend.say(&prompts, &settings.decoding, &seeds)?;
                let texts = drawn.into_iter().flatten().map(|reply| reply.text).collect();
                Some(agreement(asked, &answer.text, &answer.judgement, texts, settings.guided))
            }
            None => None,
        };
        Ok(SingleAnswer {
            refuses: answer.judgement.verdict == Verdict::Refused,
            option: answer.judgement.choice.and_then(|choice| asked.shown.choices.get(choice)).cloned(),
            text: answer.text,
            log_prob: answer.log_prob,
            texts: if self.backend.gives_letters() {
                of_letters(asked, &answer.option_log_probs)
            } else {
                probabilities(&scored)
            },
            samples,
        })
    }
}

/// Each text with its probability among all of them.
fn probabilities(scored: &[ScoredText]) -> Vec<TextProbability> {
    shares(scored.iter().map(|text| (text.text.as_str(), text.is_refusal, text.log_prob)))
}

/// The same for options that are known by their letters.
fn of_letters(asked: &AskedQuestion, log_probs: &[f64]) -> Vec<TextProbability> {
    let options = asked.shown.choices.iter().zip(log_probs);
    shares(options.map(|(text, &log_prob)| (text.as_str(), false, log_prob)))
}

/// Text, whether it is a refusal, and log-probability.
fn shares<'a>(texts: impl Iterator<Item = (&'a str, bool, f64)> + Clone) -> Vec<TextProbability> {
    let most = texts.clone().map(|(_, _, log_prob)| log_prob).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = texts.clone().map(|(_, _, log_prob)| (log_prob - most).exp()).sum();
    let of_text = |(text, is_refusal, log_prob): (&str, bool, f64)| TextProbability {
        text: text.to_owned(),
        is_refusal,
        log_prob,
        probability: (log_prob - most).exp() / total,
    };
    texts.map(of_text).collect()
}

/// Compares samples with the answer `text`, which was judged.
fn agreement(
    asked: &AskedQuestion,
    text: &str,
    judgement: &Judgement,
    texts: Vec<String>,
    guided: bool,
) -> SampleAgreement {
    let choices = &asked.shown.choices;
    let own = Meaning::of(choices, judgement.choice, judgement.verdict, text);
    let is_read = !matches!(own, Meaning::Unreadable(_));
    let (mut agree, mut refuse) = (0, 0);
    for sample in &texts {
        let from_list = guided && !asked.shown.is_open();
        let read = if from_list { asked.judge_chosen(sample) } else { asked.judge(sample) };
        refuse += usize::from(read.verdict == Verdict::Refused);
        let means = Meaning::of(choices, read.choice, read.verdict, sample);
        agree += usize::from(is_read && means == own);
    }
    SampleAgreement { count: texts.len(), agree, refuse, texts }
}

#[cfg(test)]
mod tests {
    use idk_questions::Question;

    use super::*;
    use crate::answer::options::FixedText;

    #[test]
    fn samples_agree_that_name_the_same_option_or_refuse_as_the_answer_does() {
        let choices = ["dog", "cat"].map(str::to_owned).to_vec();
        let closed = AskedQuestion::new(Question { choices, ..Question::default() }, None);
        let open = AskedQuestion::new(Question::default(), None);
        let samples = ["(A) dog", "dog", "the cat", "I don't know", "what?"];
        // Answer, how many of the samples agree, how many refuse; counted by hand.
        for (asked, text, agree, refuse) in [
            (&closed, "It is a dog.", 2, 1),
            (&closed, "(B)", 1, 1),
            (&closed, "I don't know", 1, 1),
            (&closed, "hm", 0, 1),
            (&open, "Dog ", 1, 1),
        ] {
            let texts = samples.map(str::to_owned).to_vec();
            let found = agreement(asked, text, &asked.judge(text), texts, false);
            assert_eq!((found.count, found.agree, found.refuse), (5, agree, refuse), "{text}");
        }
        let guided = agreement(
            &closed,
            "dog",
            &closed.judge_chosen("dog"),
            vec!["dog".to_owned(), "No idea".to_owned()],
            true,
        );
        assert_eq!((guided.agree, guided.refuse), (1, 1));
    }

    #[test]
    fn probabilities_are_those_among_the_texts_however_small_they_are() {
        let text = |text: &str, log_prob: f32| {
            let fixed = FixedText { text, is_refusal: text == "no", offset: 3.0 };
            ScoredText::new(&fixed, vec![(1, log_prob)])
        };
        let found =
            probabilities(&[text("dog", -2000.0), text("cat", -2000.0 - 3.0_f32.ln()), text("no", -4000.0)]);
        let shares: Vec<f64> = found.iter().map(|text| text.probability).collect();
        assert!((shares[0] - 0.75).abs() < 1e-4 && (shares[1] - 0.25).abs() < 1e-4, "{shares:?}");
        assert!(shares[2] == 0.0 && found[2].is_refusal);
        assert!(probabilities(&[]).is_empty());
    }
}
