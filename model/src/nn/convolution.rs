//! The two convolutions of the audio encoder, as matrix products over unfolded frames.

use burn::tensor::{Tensor, TensorData};
use idk_audio::LogMel;

use crate::arch::names::CONVOLUTIONS;
use crate::error::ModelError;
use crate::fused::{gelu, linear};
use crate::nn::source::TensorSource;
use crate::nn::tensor_mut::TensorMut;

/// Both convolutions: from mel bands to the encoder's width, then halving the frames.
#[derive(Clone, Debug)]
pub(crate) struct Convolutions {
    conv1: Conv,
    conv2: Conv,
}

/// A convolution over time of width 3 and padding 1.
#[derive(Clone, Debug)]
struct Conv {
    name: String,
    weight: Tensor<3>, // [out, in, 3]
    bias: Tensor<1>,   // [out]
}

impl Convolutions {
    pub(crate) fn build(source: &mut TensorSource) -> Result<Self, ModelError> {
        let [conv1, conv2] = CONVOLUTIONS;
        Ok(Self { conv1: Conv::build(conv1, source)?, conv2: Conv::build(conv2, source)? })
    }

    /// `gelu(conv2(gelu(conv1(mel))))` as two matrix products over unfolded frames; conv2 has stride 2.
    pub(crate) fn forward(&self, mels: &[&LogMel], positions: usize) -> Tensor<2> {
        let (clips, bands, width) = (mels.len(), self.conv1.weight.dims()[1], self.conv1.weight.dims()[0]);
        let frames = 2 * positions;
        let device = self.conv1.bias.device().inner();
        let unfolded = TensorData::new(unfold(mels, frames), [clips * frames, 3 * bands]);
        let x = Tensor::<2>::from_data(unfolded, (&device, self.conv1.weight.dtype()));
        let weight = self.conv1.weight.clone().reshape([width, bands * 3]);
        let x = gelu(linear(x, &weight, Some(&self.conv1.bias)));
        // Position i reads frames 2i-1, 2i and 2i+1: the pair (2i, 2i+1) and the odd frame of the pair before.
        let pairs = x.reshape([clips, positions, 2 * width]);
        let before = Tensor::<3>::zeros([clips, 1, width], (&device, self.conv2.weight.dtype()));
        let odd = pairs.clone().narrow(2, width, width).narrow(1, 0, positions - 1);
        let unfolded = Tensor::cat(vec![Tensor::cat(vec![before, odd], 1), pairs], 2); // [clips, positions, 3 * width]
        let weight = self.conv2.weight.clone().swap_dims(1, 2).reshape([width, 3 * width]);
        let unfolded = unfolded.reshape([clips * positions, 3 * width]);
        gelu(linear(unfolded, &weight, Some(&self.conv2.bias)))
    }

    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        for conv in [&mut self.conv1, &mut self.conv2] {
            f(&format!("{}.weight", conv.name), TensorMut::R3(&mut conv.weight));
            f(&format!("{}.bias", conv.name), TensorMut::R1(&mut conv.bias));
        }
    }
}

impl Conv {
    fn build(name: &str, source: &mut TensorSource) -> Result<Self, ModelError> {
        let weight = source.tensor(&format!("{name}.weight"))?;
        let bias = source.tensor(&format!("{name}.bias"))?;
        Ok(Self { name: name.to_owned(), weight, bias })
    }
}

/// The three neighbouring frames of every frame, zeros beyond the spectrogram: `[clips * frames, bands * 3]`.
fn unfold(mels: &[&LogMel], frames: usize) -> Vec<f32> {
    let bands = mels.first().map_or(0, |mel| mel.bands);
    let mut out = vec![0.0; mels.len() * frames * bands * 3];
    for (clip, mel) in out.chunks_exact_mut((frames * bands * 3).max(1)).zip(mels) {
        for (band, row) in mel.data.chunks_exact(mel.frames).enumerate() {
            for (frame, line) in clip.chunks_exact_mut(bands * 3).enumerate() {
                let cell = &mut line[band * 3..band * 3 + 3];
                cell[0] = if frame == 0 { 0.0 } else { row.get(frame - 1).copied().unwrap_or(0.0) };
                cell[1] = row.get(frame).copied().unwrap_or(0.0);
                cell[2] = row.get(frame + 1).copied().unwrap_or(0.0);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;
    use burn::tensor::module::conv1d;
    use burn::tensor::ops::ConvOptions;

    use super::*;
    use crate::arch::config::LalmConfig;
    use crate::arch::specs::TensorSpec;

    #[test]
    fn unfolded_products_equal_the_convolutions_of_burn_for_clips_of_two_lengths() {
        let device = Device::flex();
        let mut next = 0.0_f32;
        let mut values = |spec: &TensorSpec| {
            let mut value = || {
                next += 1.0;
                (next * 0.7).sin()
            };
            let values: Vec<f32> = (0..spec.elements()).map(|_| value()).collect();
            Ok(TensorData::new(values, spec.shape.clone()))
        };
        let config = serde_json::json!({"audio_config": {"num_mel_bins": 2, "d_model": 4, "encoder_attention_heads": 1}});
        let config = LalmConfig::from_value(Path::new("config.json"), &config).unwrap();
        let mut source = TensorSource::new(&device, config.specs(), &mut values);
        let convolutions = Convolutions::build(&mut source).unwrap();
        let mel = |valid_frames: usize, frames: usize| {
            let data = (0..2 * frames).map(|i| (i as f32 * 0.3 + frames as f32).cos()).collect();
            LogMel { bands: 2, frames, valid_frames, data }
        };
        // 7 frames of audio give 4 positions and need 9 frames; 6 of a full window give 3 and have only 6.
        for (mel, positions) in [(mel(7, 9), 4), (mel(6, 6), 3)] {
            let found = convolutions.forward(&[&mel], positions);
            let x = Tensor::<3>::from_data(TensorData::new(mel.data.clone(), [1, 2, mel.frames]), &device);
            let run = |x, conv: &Conv, stride| {
                let options = ConvOptions::new([stride], [1], [1], 1);
                gelu(conv1d(x, conv.weight.clone(), Some(conv.bias.clone()), options))
            };
            let whole = run(run(x, &convolutions.conv1, 1), &convolutions.conv2, 2); // [1, width, positions or more]
            let expected = whole.narrow(2, 0, positions).swap_dims(1, 2).reshape([positions, 4]);
            let worst = (found - expected).abs().max().into_scalar::<f32>();
            assert!(worst < 1e-5, "{worst}");
        }
    }
}
