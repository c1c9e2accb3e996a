//! The audio path of a model in one state: encoder and projector, with or without adapters.

use burn::tensor::{Tensor, TensorData};
use idk_audio::LogMel;

use crate::error::ModelError;
use crate::features::Clip;
use crate::lalm::Lalm;
use crate::lora::Adapters;
use crate::nn::linear::ForwardContext;

/// What the features of a clip depend on besides the clip and the base model.
#[derive(Debug, Clone)]
pub struct EncoderState<'a> {
    pub(super) lalm: &'a Lalm,
    /// Only adapters that change the audio path.
    adapters: Option<&'a Adapters>,
    identity: String,
    /// Whether features of adapters are worth keeping.
    heard_once: bool,
}

impl<'a> EncoderState<'a> {
    /// The base model's audio path.
    #[must_use]
    pub fn base(lalm: &'a Lalm) -> Self {
        let heard = lalm.mel.limit().map_or(String::new(), |samples| format!(" first {samples} samples"));
        let identity = format!("{:?} {:?}{heard}", lalm.device, lalm.decoder.dtype());
        Self { lalm, adapters: None, identity, heard_once: false }
    }

    /// The audio path with adapters. If they change the language model alone, this is [`EncoderState::base`].
    ///
    /// # Errors
    /// [`ModelError::Compute`] if an adapter cannot be read back from the device.
    pub fn adapted(lalm: &'a Lalm, adapters: &'a Adapters) -> Result<Self, ModelError> {
        let base = Self::base(lalm);
        if !adapters.adapt_audio() {
            return Ok(base);
        }
        let identity = format!("{}\nadapter {}", base.identity, adapters.sha256()?);
        Ok(Self { adapters: Some(adapters), identity, ..base })
    }

    /// The same, with nothing kept of what adapters hear; what the base model hears is kept.
    #[must_use]
    pub fn heard_once(self) -> Self {
        Self { heard_once: self.adapters.is_some(), ..self }
    }

    /// Whether a store may keep the features.
    pub(super) fn is_kept(&self) -> bool {
        !self.heard_once
    }

    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Numbers in the features of a clip.
    pub(super) fn values(&self, clip: &Clip) -> usize {
        clip.audio_tokens() * self.lalm.config.text.hidden_size
    }

    /// Bytes of the features of a clip on the device.
    pub(super) fn bytes(&self, clip: &Clip) -> u64 {
        (self.values(clip) * self.lalm.decoder.dtype().size()) as u64
    }

    /// Stored features of a clip as the decoder takes them.
    pub(super) fn tensor(&self, clip: &Clip, values: Vec<f32>) -> Tensor<2> {
        let shape = [clip.audio_tokens(), self.lalm.config.text.hidden_size];
        Tensor::from_data(TensorData::new(values, shape), (&self.lalm.device, self.lalm.decoder.dtype()))
    }

    /// The features of spectrograms, each computed for itself.
    pub(super) fn encode(&self, mels: &[&LogMel]) -> Result<Vec<Tensor<2>>, ModelError> {
        self.lalm.encode_each(mels, &ForwardContext { adapters: self.adapters, dropout_seed: None })
    }
}
