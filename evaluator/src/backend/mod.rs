//! Where prompts are answered: by the model in this program, or by a server. Everything else is the same for both.

mod served;

use std::sync::Arc;

use burn::tensor::Tensor;
use idk_audio::AudioError;
use idk_model::{Answerer, Clip, Generated, Message, Prompt, SamplingConfig, StatePosition};
use idk_questions::AskedQuestion;

use crate::error::EvalError;
use served::ServedPrompt;

pub use served::Served;
pub(crate) use served::ServedKey;

/// A model that answers.
#[derive(Clone)]
pub enum Backend<'a> {
    /// The model in this program.
    Local(Answerer<'a>),
    /// A model that a server has.
    Served(Served<'a>),
}

impl<'a> From<Answerer<'a>> for Backend<'a> {
    fn from(answerer: Answerer<'a>) -> Self {
        Self::Local(answerer)
    }
}

/// A question whose recordings were heard.
pub(crate) struct Heard<'q> {
    pub(crate) asked: &'q AskedQuestion,
    pub(crate) clips: &'q [Clip],
    /// Features of the clips, for a local model.
    audio: Vec<Tensor<2>>,
}

/// A prompt of a backend.
#[derive(Clone)]
pub(crate) enum BackendPrompt {
    Local(Prompt),
    Served(ServedPrompt),
}

/// What a model says to a prompt.
pub(crate) struct Reply {
    pub(crate) text: String,
    /// Of the text and its end, in nats; `None` from a server that gives none.
    pub(crate) log_prob: Option<f64>,
    /// Of the text and its end; `None` where nobody counted them.
    pub(crate) tokens: Option<usize>,
    /// Log-probability of each option's letter at the beginning of the answer, in nats, from a server that is asked for it.
    pub(crate) letter_log_probs: Option<Vec<f64>>,
}

/// The tokens of a text as the whole answer, its end included, each with its log-probability in nats.
pub(crate) type AnswerTokens = Vec<(u32, f32)>;

impl Backend<'_> {
    /// Opens a recording and checks that it can be used.
    ///
    /// # Errors
    /// As [`Answerer::clip`].
    pub(crate) fn clip(&self, path: &std::path::Path) -> Result<Clip, AudioError> {
        match self {
            Self::Local(answerer) => answerer.clip(path),
            Self::Served(served) => Clip::of_file(path, served.audio),
        }
    }

    /// Whether it is a model with a trained adapter.
    pub(crate) fn is_adapted(&self) -> bool {
        match self {
            Self::Local(answerer) => answerer.adapters.is_some(),
            Self::Served(served) => served.adapter.is_some(),
        }
    }

    /// Whether texts can be scored as answers.
    pub(crate) fn scores_texts(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Served(served) => served.scores_texts(),
        }
    }

    /// Whether the options are known by the probabilities of their letters instead.
    pub(crate) fn gives_letters(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Served(served) => served.gives_letters(),
        }
    }

    /// Whether answers have log-probabilities.
    pub(crate) fn gives_log_probs(&self) -> bool {
        match self {
            Self::Local(_) => true,
            Self::Served(served) => served.gives_log_probs(),
        }
    }

    /// The model of whose tokenizer and positions something is known.
    pub(crate) fn lalm(&self) -> Option<&idk_model::Lalm> {
        match self {
            Self::Local(answerer) => Some(answerer.lalm),
            Self::Served(served) => served.folder,
        }
    }

    /// Encodes the recordings of questions; a server hears them with each prompt.
    ///
    /// # Errors
    /// As [`Answerer::load`] and [`Answerer::hear`].
    pub(crate) fn hear<'q>(
        &self,
        items: &[(&'q AskedQuestion, &'q [Clip])],
    ) -> Result<Vec<Heard<'q>>, EvalError> {
        let mut features = match self {
            Self::Local(answerer) => {
                let clips: Vec<Clip> = items.iter().flat_map(|(_, clips)| clips.iter().cloned()).collect();
                answerer.hear(answerer.load(&clips)?)?
            }
            Self::Served(_) => Vec::new(),
        }
        .into_iter();
        let heard = |&(asked, clips): &(&'q AskedQuestion, &'q [Clip])| {
            let audio = features.by_ref().take(clips.len()).collect();
            Heard { asked, clips, audio }
        };
        Ok(items.iter().map(heard).collect())
    }

    /// The prompt of a question: its recordings, then `text`.
    ///
    /// # Errors
    /// As [`Answerer::prompt`].
    pub(crate) fn prompt(&self, question: &Heard<'_>, text: &str) -> Result<BackendPrompt, EvalError> {
        self.chat(question, vec![Message::user(question.clips.len(), text)])
    }

    /// The prompt of several turns about a question, of which the first hears its recordings.
    ///
    /// # Errors
    /// As [`Answerer::prompt`].
    pub(crate) fn chat(&self, question: &Heard<'_>, turns: Vec<Message>) -> Result<BackendPrompt, EvalError> {
        Ok(match self {
            Self::Local(answerer) => BackendPrompt::Local(answerer.prompt(&turns, question.audio.clone())?),
            Self::Served(served) => BackendPrompt::Served(served.prompt(question, turns)?),
        })
    }

    /// Tokens of the prompt of a chat; `None` without a tokenizer.
    ///
    /// # Errors
    /// [`EvalError::Model`] for a text that the tokenizer rejects.
    pub(crate) fn prompt_tokens(
        &self,
        clips: &[Clip],
        turns: &[Message],
    ) -> Result<Option<usize>, EvalError> {
        let Some(lalm) = self.lalm() else { return Ok(None) };
        let audio_tokens: Vec<usize> = clips.iter().map(Clip::audio_tokens).collect();
        Ok(Some(lalm.tokenizer.prompt_ids(turns, &audio_tokens)?.len()))
    }

    /// Tokens of a text as the whole answer, its end included; `None` without a tokenizer.
    ///
    /// # Errors
    /// As [`idk_model::LalmTokenizer::answer_ids`].
    pub(crate) fn answer_ids(
        &self,
        question: &AskedQuestion,
        text: &str,
    ) -> Result<Option<Vec<u32>>, EvalError> {
        let Some(lalm) = self.lalm() else { return Ok(None) };
        Ok(Some(lalm.tokenizer.answer_ids(&answer_chat(question), text)?))
    }

    /// The prompt with `texts` as the only answers, each with the number that is added to its log-probability.
    ///
    /// # Errors
    /// As [`Answerer::guide`].
    pub(crate) fn guided(
        &self,
        question: &AskedQuestion,
        prompt: BackendPrompt,
        texts: &[(&str, f64)],
    ) -> Result<BackendPrompt, EvalError> {
        Ok(match (self, prompt) {
            (Self::Local(answerer), BackendPrompt::Local(prompt)) => {
                let guide = answerer.guide(&answer_chat(question), texts.iter().copied())?;
                BackendPrompt::Local(Prompt { guide: Some(Arc::new(guide)), ..prompt })
            }
            (_, BackendPrompt::Served(mut prompt)) => {
                prompt.only = texts.iter().map(|(text, _)| (*text).to_owned()).collect();
                BackendPrompt::Served(prompt)
            }
            (_, other) => other,
        })
    }

    /// What is said to each prompt: one answer for each of its seeds.
    ///
    /// # Errors
    /// As [`Answerer::answer`]; [`EvalError::Server`].
    pub(crate) fn say(
        &self,
        prompts: &[BackendPrompt],
        decoding: &SamplingConfig,
        seeds: &[Vec<u64>],
    ) -> Result<Vec<Vec<Reply>>, EvalError> {
        match self {
            Self::Local(answerer) => {
                let answers = answerer.answer(&local(prompts), decoding, seeds)?.into_iter();
                let reply = |Generated { text, log_prob, ids, .. }| Reply {
                    text,
                    log_prob: Some(log_prob),
                    tokens: Some(ids.len()),
                    letter_log_probs: None,
                };
                Ok(answers.map(|answers| answers.into_iter().map(reply).collect()).collect())
            }
            Self::Served(served) => served.say(&sent(prompts), decoding, seeds),
        }
    }

    /// The hidden states of `layers` at `positions` of each prompt.
    ///
    /// # Errors
    /// As [`Answerer::states`]; [`EvalError::Lacks`] for a server, which gives none.
    pub(crate) fn states(
        &self,
        prompts: &[BackendPrompt],
        layers: &[usize],
        positions: &[StatePosition],
    ) -> Result<Vec<Vec<f32>>, EvalError> {
        match self {
            Self::Local(answerer) => Ok(answerer.states(&local(prompts), layers, positions)?),
            Self::Served(_) => Err(EvalError::Lacks {
                method: "probe",
                what: "reads hidden states, which a server does not give".to_owned(),
                hint: "evaluate the model in this program, without `server_url` in [model]",
            }),
        }
    }

    /// Each of the texts of a prompt as the whole answer, token by token.
    ///
    /// # Errors
    /// As [`Answerer::log_probs`]; [`EvalError::Server`].
    pub(crate) fn score(
        &self,
        questions: &[Heard<'_>],
        prompts: &[BackendPrompt],
        texts: &[Vec<&str>],
    ) -> Result<Vec<Vec<AnswerTokens>>, EvalError> {
        let ids = |(question, texts): (&Heard<'_>, &Vec<&str>)| -> Result<Vec<Vec<u32>>, EvalError> {
            let ids = |text: &&str| Ok(self.answer_ids(question.asked, text)?.unwrap_or_default());
            texts.iter().map(ids).collect()
        };
        let ids = questions.iter().zip(texts).map(ids).collect::<Result<Vec<_>, _>>()?;
        let answerer = match self {
            Self::Local(answerer) => answerer,
            Self::Served(served) => return served.score(&sent(prompts), texts, &ids),
        };
        let log_probs = answerer.log_probs(&local(prompts), &ids)?;
        let tokens = |(ids, log_probs): (Vec<u32>, Vec<f32>)| ids.into_iter().zip(log_probs).collect();
        let scored = ids.into_iter().zip(log_probs);
        Ok(scored.map(|(ids, log_probs)| ids.into_iter().zip(log_probs).map(tokens).collect()).collect())
    }
}

/// A chat that an answer follows; what stands in it changes no token of the answer.
fn answer_chat(question: &AskedQuestion) -> [Message; 1] {
    [Message::user(question.shown.audio.len(), &question.shown.question)]
}

/// Those for the local model. A backend has prompts of its own only.
fn local(prompts: &[BackendPrompt]) -> Vec<Prompt> {
    let local = |prompt: &BackendPrompt| match prompt {
        BackendPrompt::Local(prompt) => Some(prompt.clone()),
        BackendPrompt::Served(_) => None,
    };
    prompts.iter().filter_map(local).collect()
}

/// Those for a server.
fn sent(prompts: &[BackendPrompt]) -> Vec<&ServedPrompt> {
    let sent = prompts.iter().map(|prompt| match prompt {
        BackendPrompt::Served(prompt) => Some(prompt),
        BackendPrompt::Local(_) => None,
    });
    sent.flatten().collect()
}

impl BackendPrompt {
    /// Its tokens; `None` without a tokenizer.
    pub(crate) fn tokens(&self) -> Option<usize> {
        match self {
            Self::Local(prompt) => Some(prompt.ids.len()),
            Self::Served(prompt) => prompt.token_ids.as_ref().map(Vec::len),
        }
    }
}
