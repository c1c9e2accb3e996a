//! The one way from a chat with clips to answers: tokens and features make a prompt, prompts are answered or scored.

use std::path::Path;

use burn::tensor::Tensor;
use idk_audio::AudioError;
use idk_common::chat::{Message, Part};
use rayon::prelude::*;

use crate::error::ModelError;
use crate::features::{Clip, EncoderState, FeatureLimits, FeatureStore, LoadedClip};
use crate::generate::guide::{Guide, GuideText};
use crate::generate::prefill::Prompt;
use crate::generate::sampling::SamplingConfig;
use crate::generate::score::answer_log_probs;
use crate::generate::states::{StatePosition, prompt_states};
use crate::generate::{Generated, MoreAnswers, generate, generate_in_rounds};
use crate::lalm::Lalm;
use crate::lora::Adapters;

/// A chat and the clips that its messages hear, in order.
#[derive(Clone, Debug)]
pub struct Chat {
    /// The turns; each audio part stands for the next clip.
    pub messages: Vec<Message>,
    /// One clip for each audio part.
    pub clips: Vec<Clip>,
}

impl Chat {
    /// One turn of the user, without clips.
    #[must_use]
    pub fn user(text: &str) -> Self {
        Self { messages: vec![Message::user(0, text)], clips: Vec::new() }
    }

    /// The same with one more clip in the last turn: after the clips that are there, before the text.
    #[must_use]
    pub fn with(mut self, clip: Clip) -> Self {
        if let Some(message) = self.messages.last_mut() {
            let is_audio = |part: &&Part| **part == Part::Audio;
            let place = message.parts.iter().take_while(is_audio).count();
            message.parts.insert(place, Part::Audio);
        }
        self.clips.push(clip);
        self
    }
}

/// A model that answers: the base, or the base with an adapter. It hears every clip through a [`FeatureStore`].
#[derive(Clone)]
pub struct Answerer<'a> {
    /// The base model.
    pub lalm: &'a Lalm,
    /// The adapter, if there is one.
    pub adapters: Option<&'a Adapters>,
    features: &'a FeatureStore,
    encoder: EncoderState<'a>,
    warn: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Answerer<'a> {
    /// The base model.
    #[must_use]
    pub fn base(lalm: &'a Lalm, features: &'a FeatureStore) -> Self {
        Self { lalm, adapters: None, features, encoder: EncoderState::base(lalm), warn: &|_| {} }
    }

    /// The same model with an adapter. What it hears through an adapter of the audio path is not kept: each adapter answers
    /// a recording once.
    ///
    /// # Errors
    /// [`ModelError::Compute`] if an adapter of the audio path cannot be read back from the device.
    pub fn adapted(self, adapters: &'a Adapters) -> Result<Self, ModelError> {
        let encoder = EncoderState::adapted(self.lalm, adapters)?.heard_once();
        Ok(Self { adapters: Some(adapters), encoder, ..self })
    }

    /// The same with `warn` called where a stored feature is damaged; it is replaced.
    #[must_use]
    pub fn warn_with(self, warn: &'a (dyn Fn(&str) + Sync)) -> Self {
        Self { warn, ..self }
    }

    /// The clip in a file, which is decoded once.
    ///
    /// # Errors
    /// As [`FeatureStore::clip`].
    pub fn clip(&self, path: &Path) -> Result<Clip, AudioError> {
        self.features.clip(path, &self.lalm.mel)
    }

    /// Reads clips as far as a thread that must leave the device alone can bring them.
    ///
    /// # Errors
    /// As [`FeatureStore::load`].
    pub fn load(&self, clips: &[Clip]) -> Result<Vec<LoadedClip>, ModelError> {
        self.features.load(&self.encoder, clips)
    }

    /// The features of loaded clips.
    ///
    /// # Shapes
    /// - each output: `[audio_tokens, hidden]`
    ///
    /// # Errors
    /// As [`FeatureStore::finish`].
    pub fn hear(&self, loaded: Vec<LoadedClip>) -> Result<Vec<Tensor<2>>, ModelError> {
        self.features.finish(&self.encoder, loaded, self.warn)
    }

    /// The prompt of a chat whose clips have these features.
    ///
    /// # Errors
    /// As [`LalmTokenizer::prompt_ids`](crate::LalmTokenizer::prompt_ids).
    pub fn prompt(&self, messages: &[Message], audio: Vec<Tensor<2>>) -> Result<Prompt, ModelError> {
        let tokens: Vec<usize> = audio.iter().map(|features| features.dims()[0]).collect();
        Ok(Prompt { ids: self.lalm.tokenizer.prompt_ids(messages, &tokens)?, audio, guide: None })
    }

    /// A guide to the answers of a chat: only `texts` may be said, each with the number that is added to its
    /// log-probability ([`GuideText::offset`]). Put it into [`Prompt::guide`].
    ///
    /// # Errors
    /// As [`LalmTokenizer::answer_ids`](crate::LalmTokenizer::answer_ids) and [`Guide::new`].
    pub fn guide<'t>(
        &self,
        messages: &[Message],
        texts: impl IntoIterator<Item = (&'t str, f64)>,
    ) -> Result<Guide, ModelError> {
        let text = |(text, offset): (&str, f64)| {
            let ids = self.lalm.tokenizer.answer_ids(messages, text)?;
            Ok(GuideText { text: text.to_owned(), ids, offset })
        };
        Guide::new(texts.into_iter().map(text).collect::<Result<Vec<_>, ModelError>>()?)
    }

    /// The prompts of chats. Every clip is encoded once, however many chats hear it.
    ///
    /// # Errors
    /// As [`Answerer::load`], [`Answerer::hear`] and [`Answerer::prompt`].
    pub fn prompts(&self, chats: &[Chat]) -> Result<Vec<Prompt>, ModelError> {
        let clips: Vec<Clip> = chats.iter().flat_map(|chat| chat.clips.iter().cloned()).collect();
        let mut features = self.hear(self.load(&clips)?)?.into_iter();
        let audio: Vec<Vec<Tensor<2>>> =
            chats.iter().map(|chat| features.by_ref().take(chat.clips.len()).collect()).collect();
        let prompt = |(chat, audio): (&Chat, Vec<Tensor<2>>)| self.prompt(&chat.messages, audio);
        chats.par_iter().zip(audio).map(prompt).collect::<Vec<_>>().into_iter().collect()
    }

    /// Answers every prompt once per seed; greedy decoding draws nothing, and a seed only says that there is an answer.
    ///
    /// # Errors
    /// As [`generate`].
    pub fn answer(
        &self,
        prompts: &[Prompt],
        config: &SamplingConfig,
        seeds: &[Vec<u64>],
    ) -> Result<Vec<Vec<Generated>>, ModelError> {
        generate(self.lalm, self.adapters, prompts, config, seeds)
    }

    /// Answers in rounds: `more` says how many further answers of a prompt are worth drawing.
    ///
    /// # Errors
    /// As [`generate_in_rounds`].
    pub fn answer_in_rounds(
        &self,
        prompts: &[Prompt],
        config: &SamplingConfig,
        seeds: &[Vec<u64>],
        more: MoreAnswers<'_>,
    ) -> Result<Vec<Vec<Generated>>, ModelError> {
        generate_in_rounds(self.lalm, self.adapters, prompts, config, seeds, more)
    }

    /// Log-probability of every token of given answers to each prompt, in nats.
    ///
    /// # Errors
    /// As [`answer_log_probs`].
    pub fn log_probs(
        &self,
        prompts: &[Prompt],
        answers: &[Vec<Vec<u32>>],
    ) -> Result<Vec<Vec<Vec<f32>>>, ModelError> {
        answer_log_probs(self.lalm, self.adapters, prompts, answers)
    }

    /// The hidden states of layers at positions of each prompt.
    ///
    /// # Errors
    /// As [`prompt_states`].
    pub fn states(
        &self,
        prompts: &[Prompt],
        layers: &[usize],
        positions: &[StatePosition],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        prompt_states(self.lalm, self.adapters, prompts, layers, positions)
    }
}

impl Lalm {
    /// A recording for a [`Chat`]: decoded, resampled to the model's rate, and turned into its spectrogram.
    ///
    /// # Errors
    /// [`ModelError::Audio`] for a recording that cannot be used.
    pub fn load_audio(&self, path: impl AsRef<Path>) -> Result<Clip, ModelError> {
        Ok(Clip::of_mel(self.mel.log_mel_file(path.as_ref())?, &self.mel))
    }

    /// One answer of the base model; where `decoding` samples, the one of seed 0. [`Answerer`] answers many chats, with
    /// adapters, and keeps what it has heard.
    ///
    /// # Errors
    /// As [`Answerer::prompts`] and [`Answerer::answer`].
    pub fn answer(&self, chat: &Chat, decoding: &SamplingConfig) -> Result<Generated, ModelError> {
        let features = FeatureStore::new("", FeatureLimits::NONE);
        let answerer = Answerer::base(self, &features);
        let prompts = answerer.prompts(std::slice::from_ref(chat))?;
        let mut answers = answerer.answer(&prompts, decoding, &[vec![0]])?;
        let answer = answers.pop().and_then(|mut answers| answers.pop());
        answer.ok_or_else(|| ModelError::Compute { what: "no answer was made".to_owned() })
    }
}

/// Places of items, those of similar length together so that little padding is computed. The batches depend on the lengths
/// and the batch size alone.
#[must_use]
pub fn batches_by_length(lengths: &[usize], batch_size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| (lengths[index], index));
    order.chunks(batch_size.max(1)).map(<[usize]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    fn fixture() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny")
    }

    #[test]
    fn batches_hold_every_item_once_and_similar_lengths_together() {
        assert_eq!(batches_by_length(&[9, 1, 5, 1, 8], 2), [vec![1, 3], vec![2, 4], vec![0]]);
    }

    #[test]
    fn the_short_call_answers_as_generate_does_from_its_parts() {
        let lalm = Lalm::load(&fixture(), &device("cpu").unwrap()).unwrap();
        let decoding = SamplingConfig { max_new_tokens: 6, ..SamplingConfig::default() };
        let clips = ["a.wav", "b.wav"].map(|name| lalm.load_audio(fixture().join(name)).unwrap());
        let [a, b] = clips;
        let chat = Chat::user("Which is louder?").with(a).with(b);
        assert_eq!(chat.messages[0].tagged(), "<audio><audio>Which is louder?");
        let answer = lalm.answer(&chat, &decoding).unwrap();
        let mels = ["a.wav", "b.wav"].map(|name| lalm.mel.log_mel_file(&fixture().join(name)).unwrap());
        let audio = lalm.encode_each(&[&mels[0], &mels[1]], &crate::ForwardContext::default()).unwrap();
        let tokens: Vec<usize> = audio.iter().map(|features| features.dims()[0]).collect();
        let ids = lalm.tokenizer.prompt_ids(&chat.messages, &tokens).unwrap();
        let expected =
            generate(&lalm, None, &[Prompt { ids, audio, guide: None }], &decoding, &[vec![0]]).unwrap();
        assert_eq!(answer, expected[0][0]);
    }
}
