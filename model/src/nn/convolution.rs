//! The two convolutions of the audio encoder, as matrix products over unfolded frames.

use burn::tensor::{DType, Tensor, TensorData};
use idk_audio::LogMel;

use crate::arch::names::CONVOLUTIONS;
use crate::error::ModelError;
use crate::fused::{gelu, linear};
use crate::nn::source::TensorSource;
use crate::nn::tensor_mut::TensorMut;

/// What the encoder sees of a clip at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncoderWindow<'a> {
    /// The spectrogram of the clip.
    pub(crate) mel: &'a LogMel,
    /// Which window of the clip it is.
    pub(crate) index: usize,
    /// First frame of the window.
    pub(crate) first: usize,
    /// Frames of the spectrogram that the window may read, counted from its first.
    pub(crate) frames: usize,
    /// Frames that the clip has in the window.
    pub(crate) valid: usize,
}

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

    /// The type that it computes in.
    pub(crate) fn dtype(&self) -> DType {
        self.conv1.weight.dtype()
    }

    /// `gelu(conv2(gelu(conv1(mel))))` as two matrix products over unfolded frames; conv2 has stride 2. Both convolutions
    /// read zeros outside of a `bare` window; of another the second reads what the first makes of the frame behind it.
    pub(crate) fn forward(&self, windows: &[EncoderWindow], positions: usize, bare: bool) -> Tensor<2> {
        let (clips, bands, width) = (windows.len(), self.conv1.weight.dims()[1], self.conv1.weight.dims()[0]);
        let frames = 2 * positions;
        let device = self.conv1.bias.device().inner();
        let on_device = |values: Vec<f32>, width: usize| {
            let values = TensorData::new(values, [clips * frames, width]);
            Tensor::<2>::from_data(values, (&device, self.conv1.weight.dtype()))
        };
        let x = on_device(unfold(windows, frames), 3 * bands);
        let weight = self.conv1.weight.clone().reshape([width, bands * 3]);
        let mut x = gelu(linear(x, &weight, Some(&self.conv1.bias)));
        if bare && windows.iter().any(|window| window.valid < frames) {
            let valid = windows.iter().map(|window| window.valid);
            let inside =
                valid.flat_map(|valid| (0..frames).map(move |frame| if frame < valid { 1.0 } else { 0.0 }));
            x = x * on_device(inside.collect(), 1);
        }
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

/// The three neighbouring frames of every frame, zeros beyond the window: `[windows * frames, bands * 3]`.
fn unfold(windows: &[EncoderWindow], frames: usize) -> Vec<f32> {
    let bands = windows.first().map_or(0, |window| window.mel.bands);
    let mut out = vec![0.0; windows.len() * frames * bands * 3];
    for (clip, window) in out.chunks_exact_mut((frames * bands * 3).max(1)).zip(windows) {
        for (band, row) in window.mel.data.chunks_exact(window.mel.frames).enumerate() {
            let row = &row[window.first..window.first + window.frames];
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
        let mut source = TensorSource::new(&device, config.specs(), None, &mut values);
        let convolutions = Convolutions::build(&mut source).unwrap();
        let mel = |valid_frames: usize, frames: usize| {
            let data = (0..2 * frames).map(|i| (i as f32 * 0.3 + frames as f32).cos()).collect();
            LogMel { bands: 2, frames, valid_frames, data }
        };
        // 7 frames of audio give 4 positions and need 9 frames; 6 of a full window give 3 and have only 6. A bare window
        // ends where the audio ends; the last is the end of a clip of 12 frames.
        for (mel, first, positions, bare) in [
            (mel(7, 9), 0, 4, false),
            (mel(6, 6), 0, 3, false),
            (mel(7, 7), 0, 4, true),
            (mel(12, 12), 5, 4, true),
        ] {
            let frames = mel.frames - first;
            let window =
                EncoderWindow { mel: &mel, index: 0, first, frames, valid: mel.valid_frames - first };
            let found = convolutions.forward(&[window], positions, bare);
            let columns = mel.data.chunks(mel.frames).flat_map(|row| row[first..].to_vec()).collect();
            let x = Tensor::<3>::from_data(TensorData::new::<f32, _>(columns, [1, 2, frames]), &device);
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
