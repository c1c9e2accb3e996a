//! How a model is held in memory and run, apart from what it computes.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::weights::Quantisation;

/// Tokens to whose multiple sequences are padded on a GPU.
const GPU_PAD_TO: usize = 64;

/// The type of the base model's weights and of most of its arithmetic. Norms, softmax, loss and LoRA are float32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightDtype {
    /// float32 on the CPU; bfloat16 on a GPU that computes in it, if the weights are stored in 16 bits.
    #[default]
    Auto,
    /// float32.
    F32,
    /// bfloat16.
    Bf16,
    /// As `Auto`, with the linear layers of the language model in 8 bits.
    Int8,
    /// As `Auto`, with the linear layers of the language model in the 4-bit NormalFloat.
    Nf4,
}

impl WeightDtype {
    /// How the linear layers of the language model are held, if in fewer bits than they are computed in.
    #[must_use]
    pub fn quantisation(self) -> Option<Quantisation> {
        match self {
            Self::Auto | Self::F32 | Self::Bf16 => None,
            Self::Int8 => Some(Quantisation::Int8),
            Self::Nf4 => Some(Quantisation::Nf4),
        }
    }
}

/// How a model is held in memory and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// Type of the weights.
    pub dtype: WeightDtype,
    /// Sequences are padded to a multiple of this many tokens; 0 is 64 on a GPU and 1 on the CPU.
    pub pad_to: usize,
    /// Keep only the input of each decoder layer for the backward pass, and run the layer again there.
    pub gradient_checkpointing: bool,
}

impl RunSettings {
    /// float32 without padding: what tests compare with.
    pub const PLAIN: Self = Self { dtype: WeightDtype::F32, pad_to: 1, gradient_checkpointing: false };

    /// Whether weights, those that are quantised aside, are held in bfloat16; `half` if they are stored in 16 bits and the device computes in bfloat16.
    #[must_use]
    pub fn bf16(&self, on_gpu: bool, half: bool) -> bool {
        match self.dtype {
            WeightDtype::Auto | WeightDtype::Int8 | WeightDtype::Nf4 => half && on_gpu,
            WeightDtype::F32 => false,
            WeightDtype::Bf16 => true,
        }
    }

    /// The multiple of tokens that sequences are padded to.
    #[must_use]
    pub fn pad_to(&self, on_gpu: bool) -> usize {
        match self.pad_to {
            0 if on_gpu => GPU_PAD_TO,
            0 => 1,
            given => given,
        }
    }
}

/// Whether the device is anything but the CPU.
pub fn is_gpu(device: &Device) -> bool {
    device.clone().inner() != Device::flex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_the_cpu_computes_in_float32_and_pads_nothing() {
        let (settings, on_gpu) = (RunSettings::default(), is_gpu(&Device::flex()));
        assert!(!on_gpu && !settings.bf16(on_gpu, true));
        assert_eq!(settings.pad_to(on_gpu), 1);
        assert_eq!(RunSettings { pad_to: 8, ..settings }.pad_to(on_gpu), 8);
        assert!(RunSettings { dtype: WeightDtype::Bf16, ..settings }.bf16(on_gpu, false));
    }

    #[test]
    fn by_default_a_gpu_keeps_what_is_stored_in_16_bits_and_pads_to_64_tokens() {
        let settings = RunSettings::default();
        assert_eq!([true, false].map(|half| settings.bf16(true, half)), [true, false]);
        assert_eq!(settings.pad_to(true), 64);
        assert!(!RunSettings { dtype: WeightDtype::F32, ..settings }.bf16(true, true));
    }
}
