//! A model that a server has: prompts go out as chats with recordings, texts and log-probabilities come back.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use idk_audio::load_window;
use idk_model::{Clip, FeatureExtractor, Lalm, Message, ModelError, SamplingConfig};
use idk_server::{
    Decoding, Server, ServerAnswer, ServerApi, ServerLogProbs, ServerPrompt, TextToScore, wav_bytes,
};
use serde::Serialize;

use crate::backend::{AnswerTokens, Heard, Reply};
use crate::error::EvalError;

/// A model that a server has.
#[derive(Clone, Copy)]
pub struct Served<'a> {
    /// Where it is asked.
    pub server: &'a Server,
    /// How recordings are sent: at this rate, and no more of them than this hears.
    pub audio: &'a FeatureExtractor,
    /// The folder that it serves, if it is at hand: the server's tokens must then be those of its tokenizer.
    pub folder: Option<&'a Lalm>,
    /// The name under which the server has an adapter that answers instead of the base model.
    pub adapter: Option<&'a str>,
}

/// Everything about a server that an answer depends on; where it is does not count.
#[derive(Serialize)]
pub(crate) struct ServedKey<'a> {
    model: &'a str,
    adapter: Option<&'a str>,
    api: ServerApi,
    log_probs: ServerLogProbs,
    sample_rate_hz: usize,
}

/// A chat on its way to a server.
#[derive(Clone)]
pub(crate) struct ServedPrompt {
    id: String,
    turns: Vec<Message>,
    /// Each recording with its hash.
    recordings: Vec<(PathBuf, String)>,
    pub(super) token_ids: Option<Vec<u32>>,
    pub(super) only: Vec<String>,
    /// How many lettered options the question has.
    letters: usize,
}

impl Served<'_> {
    pub(crate) fn key(&self) -> ServedKey<'_> {
        let settings = self.server.settings();
        ServedKey {
            model: &settings.model,
            adapter: self.adapter,
            api: settings.api,
            log_probs: settings.log_probs,
            sample_rate_hz: self.audio.config().sampling_rate,
        }
    }

    pub(super) fn scores_texts(&self) -> bool {
        self.server.settings().log_probs == ServerLogProbs::Options
    }

    pub(super) fn gives_letters(&self) -> bool {
        self.server.settings().log_probs == ServerLogProbs::Letters
    }

    pub(super) fn gives_log_probs(&self) -> bool {
        self.server.settings().log_probs != ServerLogProbs::None
    }

    pub(super) fn prompt(
        &self,
        question: &Heard<'_>,
        turns: Vec<Message>,
    ) -> Result<ServedPrompt, EvalError> {
        let audio_tokens: Vec<usize> = question.clips.iter().map(Clip::audio_tokens).collect();
        let token_ids = match self.folder {
            Some(lalm) => Some(lalm.tokenizer.prompt_ids(&turns, &audio_tokens)?),
            None => None,
        };
        let paths = question.asked.shown.audio.iter().cloned();
        let hashes = question.clips.iter().map(|clip| clip.sha256().to_owned());
        Ok(ServedPrompt {
            id: question.asked.id().to_owned(),
            turns,
            recordings: paths.zip(hashes).collect(),
            token_ids,
            only: Vec::new(),
            letters: question.asked.shown.choices.len(),
        })
    }

    /// One request per prompt, several under way together. The server draws answer `i` with the first seed plus `i`.
    pub(super) fn say(
        &self,
        prompts: &[&ServedPrompt],
        decoding: &SamplingConfig,
        seeds: &[Vec<u64>],
    ) -> Result<Vec<Vec<Reply>>, EvalError> {
        let count = seeds.first().map_or(1, Vec::len);
        let decoding = Decoding {
            // Greedy answers are all the same, and vLLM rejects a request for several.
            choices: if decoding.temperature == 0.0 { 1 } else { count },
            temperature: decoding.temperature,
            top_p: decoding.top_p,
            top_k: decoding.top_k,
            repetition_penalty: decoding.repetition_penalty,
            max_new_tokens: decoding.max_new_tokens,
            stop_token_ids: self.folder.map(|lalm| lalm.generation.eos_token_ids.clone()).unwrap_or_default(),
        };
        let prompt = |place: usize| {
            let seed = seeds.get(place).and_then(|seeds| seeds.first()).copied().unwrap_or_default();
            // A server reads seeds as signed 64-bit integers, and adds the answer's place.
            self.ready(prompts[place], seed >> 2)
        };
        let never = AtomicBool::new(false);
        let answers = self.server.answer_all(prompts.len(), &decoding, &never, &prompt, &|| ())?;
        let said = |answers: Vec<ServerAnswer>| {
            let all = answers.iter().cycle().take(count);
            all.map(|answer| Reply {
                text: answer.text.clone(),
                log_prob: answer.log_prob,
                tokens: answer.tokens,
                letter_log_probs: answer.letter_log_probs.clone(),
            })
            .collect()
        };
        Ok(answers.unwrap_or_default().into_iter().map(said).collect())
    }

    /// `ids`: the tokens of each text where the folder is at hand.
    pub(super) fn score(
        &self,
        prompts: &[&ServedPrompt],
        texts: &[Vec<&str>],
        ids: &[Vec<Vec<u32>>],
    ) -> Result<Vec<Vec<AnswerTokens>>, EvalError> {
        let prompt = |place: usize| -> Result<_, EvalError> {
            let texts = texts[place].iter().zip(&ids[place]).map(|(text, ids)| TextToScore {
                text: (*text).to_owned(),
                token_ids: self.folder.is_some().then(|| ids.clone()),
            });
            Ok((self.ready(prompts[place], 0)?, texts.collect()))
        };
        let never = AtomicBool::new(false);
        Ok(self.server.score_all(prompts.len(), &never, &prompt)?.unwrap_or_default())
    }

    /// The prompt with its recordings, which are read when their turn comes.
    ///
    /// # Errors
    /// [`EvalError::Model`] for a recording that cannot be read any more, or that is another one now.
    fn ready(&self, prompt: &ServedPrompt, seed: u64) -> Result<ServerPrompt, EvalError> {
        let rate_hz = self.audio.config().sampling_rate as u32;
        let mut clips = Vec::with_capacity(prompt.recordings.len());
        for (path, sha256) in &prompt.recordings {
            let recording = load_window(path, rate_hz, self.audio.max_samples()).map_err(ModelError::from)?;
            if recording.sha256 != *sha256 {
                return Err(ModelError::RecordingChanged { path: path.clone() }.into());
            }
            clips.push(wav_bytes(&recording.audio.samples, rate_hz));
        }
        Ok(ServerPrompt {
            id: prompt.id.clone(),
            messages: prompt.turns.clone(),
            clips,
            seed,
            token_ids: prompt.token_ids.clone(),
            model: self.adapter.map(str::to_owned),
            only: prompt.only.clone(),
            letters: prompt.letters,
        })
    }
}
