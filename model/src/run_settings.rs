//! How a model is held in memory and run, apart from what it computes.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Tokens to whose multiple sequences are padded on a GPU.
const GPU_BUCKET: usize = 64;

/// The type of the base model's weights and of most of its arithmetic. Norms, softmax, loss and LoRA are float32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightDtype {
    /// float32 on the CPU; on a GPU bfloat16 if the weights are stored in 16 bits.
    #[default]
    Auto,
    /// float32.
    F32,
    /// bfloat16.
    Bf16,
}

/// How a model is held in memory and run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// Type of the weights.
    pub dtype: WeightDtype,
    /// Sequences are padded to a multiple of this many tokens; 0 is 64 on a GPU and 1 on the CPU.
    pub pad_to: usize,
    /// Keep only the input of each decoder layer for the backward pass, and run the layer again there.
    pub recompute: bool,
}

impl RunSettings {
    /// float32 without padding: what tests compare with.
    pub const PLAIN: Self = Self { dtype: WeightDtype::F32, pad_to: 1, recompute: false };

    /// Whether weights that are stored in 16 bits (`half`) or in 32 are held in bfloat16.
    pub(crate) fn bf16(&self, device: &Device, half: bool) -> bool {
        match self.dtype {
            WeightDtype::Auto => half && is_gpu(device),
            WeightDtype::F32 => false,
            WeightDtype::Bf16 => true,
        }
    }

    /// The multiple of tokens that sequences are padded to on `device`.
    pub(crate) fn bucket(&self, device: &Device) -> usize {
        match self.pad_to {
            0 if is_gpu(device) => GPU_BUCKET,
            0 => 1,
            given => given,
        }
    }
}

/// Whether the device is anything but the CPU.
pub(crate) fn is_gpu(device: &Device) -> bool {
    device.clone().inner() != Device::flex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_the_cpu_computes_in_float32_and_pads_nothing() {
        let settings = RunSettings::default();
        assert!(!settings.bf16(&Device::flex(), true));
        assert_eq!(settings.bucket(&Device::flex()), 1);
        assert_eq!(RunSettings { pad_to: 8, ..settings }.bucket(&Device::flex()), 8);
        assert!(RunSettings { dtype: WeightDtype::Bf16, ..settings }.bf16(&Device::flex(), false));
    }
}
