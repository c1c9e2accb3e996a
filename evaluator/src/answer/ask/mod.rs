//! How each method gets its answers: one pass, or several in which a text of the model becomes part of the next prompt.
//!
//! The recordings of a batch are heard once, before; every pass uses the same features.

use std::sync::Arc;

use burn::tensor::Tensor;
use idk_model::{Answerer, Clip, Message, Prompt, SamplingConfig};
use idk_questions::{AskedQuestion, Judgement, PromptStyle, REFUSAL, prompt_text};

use crate::answer::options::{FixedText, ScoredText, likeliest, refusal_margin};
use crate::answer::prompts::{PromptName, Prompts};
use crate::answer::record::{Answer, Step};
use crate::config::{AnswerBy, EvalConfig};
use crate::error::EvalError;
use crate::method::Method;

/// Most tokens of the name of a recording's kind.
const TYPE_TOKENS: usize = 8;

/// A question and its recordings.
pub(crate) type Item<'a> = (&'a AskedQuestion, &'a [Clip]);

/// A question whose recordings were heard.
struct Heard<'a> {
    asked: &'a AskedQuestion,
    audio: Vec<Tensor<2>>,
}

/// A model in front of a test set: who answers, and how.
#[derive(Clone, Copy)]
pub(crate) struct MethodRunner<'a> {
    pub(crate) answerer: &'a Answerer<'a>,
    pub(crate) method: Method,
    pub(crate) prompts: &'a Prompts,
    pub(crate) style: PromptStyle,
    /// What may be answered instead of an option where the answer is chosen.
    pub(crate) refusals: &'a [String],
    /// Also computes the log-probability of every option: one more pass over each prompt.
    pub(crate) with_options: bool,
    pub(crate) config: &'a EvalConfig,
}

impl MethodRunner<'_> {
    /// Answers a batch of questions, in their order.
    ///
    /// # Errors
    /// [`EvalError::Model`].
    pub(crate) fn answer(&self, items: &[Item<'_>]) -> Result<Vec<Answer>, EvalError> {
        let clips: Vec<Clip> = items.iter().flat_map(|(_, clips)| clips.iter().cloned()).collect();
        let mut features = self.answerer.hear(self.answerer.load(&clips)?)?.into_iter();
        let mut heard = Vec::with_capacity(items.len());
        for &(asked, clips) in items {
            heard.push(Heard { asked, audio: features.by_ref().take(clips.len()).collect() });
        }
        let questions = heard.as_slice();
        let (prompts, steps) = match self.method {
            Method::Mcot | Method::McotFewShot => self.think(questions)?,
            Method::TaskAgent => self.note(questions)?,
            _ => {
                let prompt = |question: &Heard<'_>| self.chat(question, &self.opening(question.asked));
                let prompts = questions.iter().map(prompt).collect::<Result<Vec<_>, _>>()?;
                (prompts, vec![Vec::new(); questions.len()])
            }
        };
        let answer_by = self.config.answer_by;
        let scored = match answer_by == AnswerBy::Options || self.with_options {
            true => self.score(questions, &prompts)?,
            false => vec![Vec::new(); questions.len()],
        };
        let said = match answer_by {
            AnswerBy::Text => self.say(&prompts, self.config.max_new_tokens)?,
            AnswerBy::Options => self.choose(questions, &prompts, &scored)?,
            AnswerBy::Guided => self.say(&self.guided(questions, prompts)?, self.config.max_new_tokens)?,
        };
        let answers = questions.iter().zip(said).zip(steps).zip(scored);
        Ok(answers
            .map(|(((question, (text, log_prob)), steps), scored)| {
                let options = if self.with_options { question.asked.shown.choices.len() } else { 0 };
                Answer {
                    id: question.asked.id().to_owned(),
                    judgement: self.judge(question.asked, &text),
                    text,
                    log_prob: Some(log_prob),
                    option_log_probs: scored[..options].iter().map(ScoredText::mean_log_prob).collect(),
                    refusal_margin: if self.with_options { refusal_margin(&scored, answer_by) } else { None },
                    steps,
                }
            })
            .collect())
    }

    /// What an answer of this model is.
    pub(crate) fn judge(&self, question: &AskedQuestion, text: &str) -> Judgement {
        match self.is_from_list(question) {
            true => question.judge_chosen(text),
            false => question.judge(text),
        }
    }

    /// Whether the answer is one of fixed texts.
    fn is_from_list(&self, question: &AskedQuestion) -> bool {
        self.config.answer_by.is_from_list() && !question.shown.is_open()
    }

    /// The texts that are scored as the answer, and the only answers where these come from a list: the options, then the
    /// refusals. None for an open question.
    fn fixed_texts<'q>(&'q self, question: &'q AskedQuestion) -> impl Iterator<Item = FixedText<'q>> {
        let (options, offset) = (&question.shown.choices, self.refusal_offset());
        let may_refuse = !question.shown.is_open();
        // An option that reads as a refusal is an option.
        let refusals = self.refusals.iter().filter(move |text| may_refuse && !options.contains(text));
        let options = options.iter().map(|text| FixedText { text, is_refusal: false, offset: 0.0 });
        options.chain(refusals.map(move |text| FixedText { text, is_refusal: true, offset }))
    }

    /// What is added to the log-probability of a refusal, in nats. The base model is what others are compared with.
    pub(crate) fn refusal_offset(&self) -> f64 {
        if self.method == Method::Base { 0.0 } else { self.config.refusal_offset }
    }

    /// The text of the first prompt.
    fn opening(&self, question: &AskedQuestion) -> String {
        match self.method {
            Method::IdkPrompt => self.fill(PromptName::IdkPrompt, question, &[]),
            Method::Mcot => self.fill(PromptName::Mcot, question, &[]),
            Method::McotFewShot => self.fill(PromptName::McotFewShot, question, &[]),
            Method::TaskAgent => self.fill(PromptName::AgentType, question, &[]),
            _ => prompt_text(&question.shown, self.style),
        }
    }

    /// Tokens of the first prompt.
    pub(crate) fn opening_tokens(&self, (question, clips): Item<'_>) -> Result<usize, EvalError> {
        self.tokens(clips, &self.opening(question))
    }

    /// Tokens of the prompt of a text.
    fn tokens(&self, clips: &[Clip], text: &str) -> Result<usize, EvalError> {
        let audio_tokens: Vec<usize> = clips.iter().map(Clip::audio_tokens).collect();
        let message = Message::user(clips.len(), text);
        Ok(self.answerer.lalm.tokenizer.prompt_ids(&[message], &audio_tokens)?.len())
    }

    /// The most positions that the question takes: every prompt without the texts that the model has yet to make, and
    /// what may follow it. Those texts are cut to what is left.
    pub(crate) fn positions(&self, (question, clips): Item<'_>) -> Result<usize, EvalError> {
        let answer = self.longest_answer(question)?;
        let thought = self.config.max_step_tokens;
        let agent = [("type", "speech"), ("content", "")];
        let mut prompts = vec![(self.opening(question), answer)];
        match self.method {
            Method::Mcot | Method::McotFewShot => {
                prompts[0].1 = thought;
                prompts.push((self.fill(PromptName::McotAnswer, question, &[("reasoning", "")]), answer));
            }
            Method::TaskAgent => {
                prompts[0].1 = TYPE_TOKENS;
                for name in [PromptName::AgentTranscript, PromptName::AgentCaption] {
                    prompts.push((self.fill(name, question, &agent), thought));
                }
                prompts.push((self.fill(PromptName::AgentAnswer, question, &agent), answer));
            }
            _ => {}
        }
        let mut most = 0;
        for (text, new_tokens) in prompts {
            most = most.max(self.tokens(clips, &text)? + new_tokens);
        }
        Ok(most)
    }

    /// Chain of thought: the prompts for the answers, and the thoughts that stand in them.
    fn think(&self, questions: &[Heard<'_>]) -> Result<(Vec<Prompt>, Vec<Vec<Step>>), EvalError> {
        let opening = |question: &Heard<'_>| self.chat(question, &self.opening(question.asked));
        let opening = questions.iter().map(opening).collect::<Result<Vec<_>, _>>()?;
        let thoughts = self.say(&opening, self.config.max_step_tokens)?;
        let mut prompts = Vec::new();
        let mut steps = Vec::new();
        for (question, (thought, _)) in questions.iter().zip(&thoughts) {
            let text =
                |thought: &str| self.fill(PromptName::McotAnswer, question.asked, &[("reasoning", thought)]);
            prompts.push(self.fitting(question, thought, text)?);
            steps.push(vec![Step::new("reasoning", thought)]);
        }
        Ok((prompts, steps))
    }

    /// Task agent: the prompts for the answers, and the kind and the note that stand in them.
    fn note(&self, questions: &[Heard<'_>]) -> Result<(Vec<Prompt>, Vec<Vec<Step>>), EvalError> {
        let opening = |question: &Heard<'_>| self.chat(question, &self.opening(question.asked));
        let opening = questions.iter().map(opening).collect::<Result<Vec<_>, _>>()?;
        let named = self.say(&opening, TYPE_TOKENS)?;
        let kinds: Vec<&str> = named.iter().map(|(text, _)| kind_of(text)).collect();
        let name = |kind: &str| {
            if kind == "speech" { PromptName::AgentTranscript } else { PromptName::AgentCaption }
        };
        let ask = |(question, kind): (&Heard<'_>, &&str)| {
            self.chat(question, &self.fill(name(kind), question.asked, &[("type", kind)]))
        };
        let ask = questions.iter().zip(&kinds).map(ask).collect::<Result<Vec<_>, _>>()?;
        let notes = self.say(&ask, self.config.max_step_tokens)?;
        let mut prompts = Vec::new();
        let mut steps = Vec::new();
        for (((question, kind), (said, _)), (note, _)) in questions.iter().zip(kinds).zip(&named).zip(&notes)
        {
            let text = |note: &str| {
                self.fill(PromptName::AgentAnswer, question.asked, &[("type", kind), ("content", note)])
            };
            prompts.push(self.fitting(question, note, text)?);
            let content = if kind == "speech" { "transcript" } else { "caption" };
            steps.push(vec![Step::new("type", said), Step::new(content, note)]);
        }
        Ok((prompts, steps))
    }

    fn fill(&self, name: PromptName, question: &AskedQuestion, own: &[(&str, &str)]) -> String {
        let plain = prompt_text(&question.shown, self.style);
        let options = plain.strip_prefix(&question.shown.question).unwrap_or("").trim_start_matches('\n');
        self.prompts.fill(name, |placeholder| match placeholder {
            "question" => &question.shown.question,
            "options" => options,
            "prompt" => &plain,
            "refusal" => REFUSAL,
            other => own.iter().find(|(name, _)| *name == other).map_or("", |(_, value)| *value),
        })
    }

    /// The chat of a question, ready for the model: its recordings, then `text`.
    fn chat(&self, question: &Heard<'_>, text: &str) -> Result<Prompt, EvalError> {
        let message = Message::user(question.audio.len(), text);
        Ok(self.answerer.prompt(&[message], question.audio.clone())?)
    }

    /// Tokens of a text as the whole answer.
    fn answer_ids(&self, question: &AskedQuestion, text: &str) -> Result<Vec<u32>, EvalError> {
        Ok(self.answerer.lalm.tokenizer.answer_ids(&self.answer_chat(question), text)?)
    }

    /// A chat that an answer follows; what stands in it changes no token of the answer.
    fn answer_chat(&self, question: &AskedQuestion) -> [Message; 1] {
        [Message::user(question.shown.audio.len(), &question.shown.question)]
    }

    /// Tokens of the longest answer that is generated or scored.
    fn longest_answer(&self, question: &AskedQuestion) -> Result<usize, EvalError> {
        let mut longest = self.config.max_new_tokens;
        for text in self.fixed_texts(question) {
            longest = longest.max(self.answer_ids(question, text.text)?.len());
        }
        Ok(longest)
    }

    /// The last prompt with as much of the model's own `note` as the model's positions hold.
    fn fitting(
        &self,
        question: &Heard<'_>,
        note: &str,
        text: impl Fn(&str) -> String,
    ) -> Result<Prompt, EvalError> {
        let answer = self.longest_answer(question.asked)?;
        let mut chars = note.chars().count();
        loop {
            let kept: String = note.chars().take(chars).collect();
            let prompt = self.chat(question, &text(&kept))?;
            let most = self.answerer.lalm.config.text.max_position_embeddings;
            if chars == 0 || prompt.ids.len() + answer <= most {
                return Ok(prompt);
            }
            chars = chars * 3 / 4;
        }
    }

    /// What the model says to each prompt, and its log-probability.
    fn say(&self, prompts: &[Prompt], max_new_tokens: usize) -> Result<Vec<(String, f64)>, EvalError> {
        let decoding = SamplingConfig { max_new_tokens, ..self.config.decoding() };
        // Greedy decoding draws nothing: the seed only says that there is one answer.
        let seeds = vec![vec![0]; prompts.len()];
        let generated = self.answerer.answer(prompts, &decoding, &seeds)?;
        let said: Vec<(String, f64)> =
            generated.into_iter().flatten().map(|answer| (answer.text, answer.log_prob)).collect();
        if said.len() == prompts.len() {
            return Ok(said);
        }
        Err(EvalError::Misaligned { method: self.method.name().to_owned() })
    }

    /// The prompts with the fixed texts as the only answers. An open question is answered freely.
    fn guided(&self, questions: &[Heard<'_>], prompts: Vec<Prompt>) -> Result<Vec<Prompt>, EvalError> {
        let guided = |(question, prompt): (&Heard<'_>, Prompt)| {
            if !self.is_from_list(question.asked) {
                return Ok(prompt);
            }
            let texts = self.fixed_texts(question.asked).map(|text| (text.text, text.offset));
            let guide = self.answerer.guide(&self.answer_chat(question.asked), texts)?;
            Ok(Prompt { guide: Some(Arc::new(guide)), ..prompt })
        };
        questions.iter().zip(prompts).map(guided).collect()
    }

    /// The log-probability of every fixed text as the answer.
    fn score(&self, questions: &[Heard<'_>], prompts: &[Prompt]) -> Result<Vec<Vec<ScoredText>>, EvalError> {
        let ids = |question: &Heard<'_>| -> Result<Vec<Vec<u32>>, EvalError> {
            self.fixed_texts(question.asked).map(|text| self.answer_ids(question.asked, text.text)).collect()
        };
        let ids = questions.iter().map(ids).collect::<Result<Vec<_>, _>>()?;
        let log_probs = self.answerer.log_probs(prompts, &ids)?;
        let mut scored = Vec::with_capacity(questions.len());
        for ((question, ids), log_probs) in questions.iter().zip(&ids).zip(&log_probs) {
            let texts = self.fixed_texts(question.asked).zip(ids).zip(log_probs);
            scored
                .push(texts.map(|((text, ids), log_probs)| ScoredText::new(&text, ids, log_probs)).collect());
        }
        Ok(scored)
    }

    /// The likeliest fixed text of each question, with its log-probability. An open question is answered freely.
    fn choose(
        &self,
        questions: &[Heard<'_>],
        prompts: &[Prompt],
        scored: &[Vec<ScoredText>],
    ) -> Result<Vec<(String, f64)>, EvalError> {
        let pairs = questions.iter().zip(prompts);
        let open = pairs.filter(|(question, _)| question.asked.shown.is_open());
        let open: Vec<Prompt> = open.map(|(_, prompt)| prompt.clone()).collect();
        let mut said = self.say(&open, self.config.max_new_tokens)?.into_iter();
        let answer = |scored: &Vec<ScoredText>| match likeliest(scored) {
            Some(best) => Some((best.text.clone(), best.log_prob)),
            None => said.next(),
        };
        let answers: Option<Vec<(String, f64)>> = scored.iter().map(answer).collect();
        answers.ok_or_else(|| EvalError::Misaligned { method: self.method.name().to_owned() })
    }
}

/// The kind of recording that a reply names first; `sound` if it names none.
fn kind_of(reply: &str) -> &'static str {
    let reply = reply.to_lowercase();
    let kinds = ["speech", "music", "sound"].into_iter();
    let named = kinds.filter_map(|kind| Some((reply.find(kind)?, kind)));
    named.min().map_or("sound", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use idk_model::{FeatureLimits, FeatureStore, Lalm, device};
    use idk_questions::Question;

    use super::*;
    use crate::answer::key::candidate_key;
    use crate::config::PromptFiles;

    #[test]
    fn the_kind_named_first_counts_and_sound_is_the_rest() {
        let cases =
            [("Speech.", "speech"), ("It is music, not speech", "music"), ("a dog", "sound"), ("", "sound")];
        for (reply, kind) in cases {
            assert_eq!(kind_of(reply), kind, "{reply}");
        }
    }

    fn question() -> AskedQuestion {
        let question = Question {
            id: "q".to_owned(),
            question: "Which {prompt} is heard?".to_owned(),
            choices: ["dog", "cat"].map(str::to_owned).to_vec(),
            answer: "dog".to_owned(),
            ..Question::default()
        };
        AskedQuestion::new(question, None)
    }

    fn with_runner<T>(method: Method, check: impl FnOnce(&MethodRunner<'_>) -> T) -> T {
        with_answers_by(method, AnswerBy::Text, check)
    }

    fn with_answers_by<T>(
        method: Method,
        answer_by: AnswerBy,
        check: impl FnOnce(&MethodRunner<'_>) -> T,
    ) -> T {
        let fixture: PathBuf =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny");
        let lalm = Lalm::load(&fixture, &device("cpu").unwrap()).unwrap();
        let prompts = Prompts::load(&PromptFiles::default()).unwrap();
        let config =
            EvalConfig { max_new_tokens: 4, max_step_tokens: 12, answer_by, ..EvalConfig::default() };
        let refusals = [REFUSAL.to_owned()];
        let features = FeatureStore::new("", FeatureLimits::NONE);
        let answerer = Answerer::base(&lalm, &features);
        check(&MethodRunner {
            answerer: &answerer,
            method,
            prompts: &prompts,
            style: PromptStyle::Lettered,
            refusals: &refusals,
            with_options: false,
            config: &config,
        })
    }

    #[test]
    fn the_idk_prompt_is_the_question_and_one_sentence_and_braces_in_questions_stay() {
        let plain = "Which {prompt} is heard?\nChoose the correct option from the following options:\n(A) dog\n(B) cat";
        with_runner(Method::IdkPrompt, |runner| {
            let expected = format!("{plain}\nIf you are not sure of the answer, answer \"I don't know\".");
            assert_eq!(runner.opening(&question()), expected);
        });
        with_runner(Method::Adapter, |runner| assert_eq!(runner.opening(&question()), plain));
    }

    #[test]
    fn every_text_that_a_method_makes_on_its_way_is_kept() {
        for (method, steps) in [
            (Method::Base, vec![]),
            (Method::Mcot, vec!["reasoning"]),
            (Method::TaskAgent, vec!["type", "caption"]),
        ] {
            with_runner(method, |runner| {
                let question = question();
                let answers = runner.answer(&[(&question, &[]), (&question, &[])]).unwrap();
                let names: Vec<&str> = answers[0].steps.iter().map(|step| step.step.as_str()).collect();
                let names: Vec<&str> = names
                    .into_iter()
                    .map(|name| if name == "transcript" { "caption" } else { name })
                    .collect();
                assert_eq!(names, steps);
                assert_eq!(answers[0], answers[1]);
            });
        }
    }

    #[test]
    fn a_note_that_is_too_long_for_the_model_is_cut_and_not_the_question() {
        with_runner(Method::Mcot, |runner| {
            let (asked, most) = (question(), runner.answerer.lalm.config.text.max_position_embeddings);
            let question = Heard { asked: &asked, audio: Vec::new() };
            let text = |note: &str| format!("start {note} end");
            let prompt = runner.fitting(&question, &"dog ".repeat(most), text).unwrap();
            assert!((most / 2..=most - 4).contains(&prompt.ids.len()), "{} of {most}", prompt.ids.len());
            let short = runner.fitting(&question, "dog", text).unwrap();
            assert_eq!(short.ids, runner.chat(&question, "start dog end").unwrap().ids);
        });
    }

    #[test]
    fn a_chosen_answer_is_the_text_of_highest_probability_among_options_and_refusals() {
        with_answers_by(Method::Base, AnswerBy::Options, |runner| {
            let asked = question();
            let open = Question { choices: Vec::new(), ..asked.original.clone() };
            let open = AskedQuestion::new(open, None);
            let answers = runner.answer(&[(&asked, &[]), (&open, &[])]).unwrap();
            // The same scores from the model's own parts.
            let prompt =
                runner.chat(&Heard { asked: &asked, audio: Vec::new() }, &runner.opening(&asked)).unwrap();
            let texts = ["dog", "cat", REFUSAL];
            let ids = texts.map(|text| runner.answer_ids(&asked, text).unwrap()).to_vec();
            let scores = runner.answerer.log_probs(&[prompt], &[ids]).unwrap().remove(0);
            let sums = scores.iter().map(|tokens| tokens.iter().map(|&value| f64::from(value)).sum::<f64>());
            let sums: Vec<f64> = sums.collect();
            let best = texts
                .into_iter()
                .zip(sums.iter().copied())
                .reduce(|a, b| if b.1 > a.1 { b } else { a })
                .unwrap();
            assert_eq!(answers[0].text, best.0);
            assert!((answers[0].log_prob.unwrap() - best.1).abs() < 1e-4);
            assert!(!answers[0].judgement.unparsed);
            let plain = MethodRunner {
                config: &EvalConfig { max_new_tokens: 4, ..EvalConfig::default() },
                ..*runner
            };
            assert_eq!(answers[1].text, plain.answer(&[(&open, &[])]).unwrap()[0].text);
            assert_eq!(answers[0].refusal_margin, None, "options are not scored for this method");
            for runner in [*runner, plain] {
                let scoring = MethodRunner { with_options: true, ..runner };
                let answers = scoring.answer(&[(&asked, &[]), (&open, &[])]).unwrap();
                let margin = answers[0].refusal_margin.unwrap();
                assert!((margin - (sums[0].max(sums[1]) - sums[2])).abs() < 1e-4, "{margin} {sums:?}");
                assert_eq!((answers[0].option_log_probs.len(), answers[1].refusal_margin), (2, None));
            }
        });
    }

    #[test]
    fn a_guided_answer_is_an_option_or_a_refusal_whatever_came_before_it() {
        let texts = ["dog", "cat", REFUSAL];
        for method in [Method::Base, Method::IdkPrompt, Method::Mcot, Method::TaskAgent] {
            let asked = question();
            let open = Question { choices: Vec::new(), ..asked.original.clone() };
            let open = AskedQuestion::new(open, None);
            let answers = |answer_by| {
                with_answers_by(method, answer_by, |runner| runner.answer(&[(&asked, &[]), (&open, &[])]))
                    .unwrap()
            };
            let (guided, free) = (answers(AnswerBy::Guided), answers(AnswerBy::Text));
            assert!(texts.contains(&guided[0].text.as_str()), "{}", guided[0].text);
            assert!(!texts.contains(&free[0].text.as_str()) && !guided[0].judgement.unparsed);
            let unguided = |answers: &[Answer]| (answers[0].steps.clone(), answers[1].text.clone());
            assert_eq!(unguided(&guided), unguided(&free), "nothing else is guided");
        }
    }

    #[test]
    fn answers_of_different_decoding_are_never_taken_for_each_other() {
        let key = |answer_by| {
            with_answers_by(Method::Adapter, answer_by, |runner| candidate_key(runner, "m", "cpu", None))
        };
        let keys = [AnswerBy::Text, AnswerBy::Options, AnswerBy::Guided].map(key);
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        let shifted = |method| {
            with_answers_by(method, AnswerBy::Guided, |runner| {
                let config = EvalConfig { refusal_offset: 0.5, ..runner.config.clone() };
                let shifted = MethodRunner { config: &config, ..*runner };
                let keys = [*runner, shifted].map(|runner| candidate_key(&runner, "m", "cpu", None));
                keys[0] != keys[1]
            })
        };
        assert_eq!([Method::Adapter, Method::IdkPrompt, Method::Base].map(shifted), [true, true, false]);
    }

    #[test]
    fn an_offset_without_end_refuses_all_or_none_and_leaves_the_base_model_alone() {
        for answer_by in [AnswerBy::Guided, AnswerBy::Options] {
            for method in [Method::Base, Method::IdkPrompt, Method::Mcot, Method::Adapter] {
                with_answers_by(method, answer_by, |runner| {
                    let asked = question();
                    let text = |refusal_offset| {
                        let config = EvalConfig { refusal_offset, ..runner.config.clone() };
                        let answers = MethodRunner { config: &config, ..*runner }.answer(&[(&asked, &[])]);
                        answers.unwrap().remove(0).text
                    };
                    let (never, plain, always) = (text(-1e6), text(0.0), text(1e6));
                    if method == Method::Base {
                        assert_eq!((&never, &always), (&plain, &plain));
                    } else {
                        assert_ne!(never, REFUSAL);
                        assert_eq!(always, REFUSAL);
                    }
                });
            }
        }
    }

    #[test]
    fn a_question_is_refused_above_its_margin_and_not_below() {
        for answer_by in [AnswerBy::Guided, AnswerBy::Options] {
            with_answers_by(Method::Adapter, answer_by, |runner| {
                let asked = question();
                let answer = |refusal_offset| {
                    let config = EvalConfig { refusal_offset, ..runner.config.clone() };
                    let runner = MethodRunner { config: &config, with_options: true, ..*runner };
                    runner.answer(&[(&asked, &[])]).unwrap().remove(0)
                };
                let margin = answer(0.0).refusal_margin.unwrap();
                assert_eq!(answer(margin + 0.01).text, REFUSAL);
                assert_ne!(answer(margin - 0.01).text, REFUSAL);
                assert_eq!(answer(5.0).refusal_margin, Some(margin), "it does not depend on the offset");
            });
        }
    }

    #[test]
    fn an_option_that_reads_as_a_refusal_is_an_option_at_any_offset() {
        for answer_by in [AnswerBy::Guided, AnswerBy::Options] {
            with_answers_by(Method::Adapter, answer_by, |runner| {
                let choices = [REFUSAL, "cat"].map(str::to_owned).to_vec();
                let asked = AskedQuestion::new(Question { choices, ..question().original }, None);
                for refusal_offset in [-1e6, 0.0, 1e6] {
                    let config = EvalConfig { refusal_offset, ..runner.config.clone() };
                    let answers =
                        MethodRunner { config: &config, ..*runner }.answer(&[(&asked, &[])]).unwrap();
                    assert!(answers[0].judgement.choice.is_some(), "{:?}", answers[0]);
                }
            });
        }
    }
}
