//! What a method hears outside of the training step.

use burn::tensor::Tensor;
use idk_audio::LogMel;
use idk_model::{Adapters, ForwardContext, Lalm};

use crate::data::AudioInput;
use crate::error::TrainError;

/// The features of every row's clips, as `adapters` hear them.
pub(crate) fn features(
    lalm: &Lalm,
    adapters: Option<&Adapters>,
    audio: AudioInput,
) -> Result<Vec<Vec<Tensor<2>>>, TrainError> {
    let mels = match audio {
        AudioInput::Features(features) => return Ok(features),
        AudioInput::Mels(mels) => mels,
    };
    let clips: Vec<&LogMel> = mels.iter().flatten().collect();
    let context = ForwardContext { adapters, dropout_seed: None };
    let mut features = lalm.encode_audio(&clips, &context)?.into_iter();
    Ok(mels.iter().map(|clips| features.by_ref().take(clips.len()).collect()).collect())
}
