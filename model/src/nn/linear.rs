//! Linear layers with an optional LoRA pair.

use burn::tensor::{Tensor, TensorData};
use idk_common::seed::{Rng, derive_seed};

use crate::fused::{adapted_linear, linear, quantised_linear};
use crate::lora::Adapters;
use crate::nn::tensor_mut::TensorMut;
use crate::weights::QuantisedWeight;

/// What a forward pass runs with besides the weights. The default is the base model.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardContext<'a> {
    /// LoRA pairs by module path; modules without a pair run as they are.
    pub adapters: Option<&'a Adapters>,
    /// Seed of the LoRA dropout masks; `None` switches dropout off.
    pub dropout_seed: Option<u64>,
}

/// The weight of a linear layer, `[out, in]`.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every weight is plain, and there are only hundreds")]
pub enum LinearWeight {
    /// Numbers in the type that is computed in.
    Plain(Tensor<2>),
    /// Codes in fewer bits; never trained.
    Quantised(Box<QuantisedWeight>),
}

/// A linear layer `y = W x + b` that keeps Hugging Face's weight layout.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Canonical module path, such as `language_model.model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// `[out, in]`.
    pub weight: LinearWeight,
    /// `[out]`.
    pub bias: Option<Tensor<1>>,
}

impl Linear {
    pub(crate) fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, TensorMut)) {
        if let LinearWeight::Plain(weight) = &mut self.weight {
            f(&format!("{}.weight", self.name), TensorMut::R2(weight));
        }
        if let Some(bias) = &mut self.bias {
            f(&format!("{}.bias", self.name), TensorMut::R1(bias));
        }
    }

    /// `y = W x + b + s B A dropout(x)`, the last term only if the context has an adapter for this module.
    ///
    /// Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", eq. 3; dropout on the input of `A` as in PEFT.
    /// The LoRA branch runs in the adapter's type and is cast back to that of the base.
    ///
    /// # Shapes
    /// - `x`: `[rows, in]`
    /// - output: `[rows, out]`
    pub fn forward(&self, x: Tensor<2>, context: &ForwardContext) -> Tensor<2> {
        let pair =
            context.adapters.and_then(|adapters| adapters.modules.get(&self.name).map(|p| (p, adapters)));
        let Some((pair, adapters)) = pair else {
            return self.base(x);
        };
        let dropout_rate = context.dropout_seed.map_or(0.0, |_| adapters.config.dropout);
        if let LinearWeight::Plain(weight) = &self.weight
            && dropout_rate == 0.0
            && weight.dtype() == pair.a.dtype()
        {
            return adapted_linear(x, weight, self.bias.as_ref(), [&pair.a, &pair.b], pair.scale);
        }
        let base_dtype = x.dtype();
        let lora_dtype = pair.a.dtype();
        let mut input = if base_dtype == lora_dtype { x.clone() } else { x.clone().cast(lora_dtype) };
        if let Some(seed) = context.dropout_seed
            && adapters.config.dropout > 0.0
        {
            input = dropout(input, adapters.config.dropout, derive_seed(seed, "lora-dropout", &[&self.name]));
        }
        let low = linear(input, &pair.a, None); // [rows, rank]
        let delta = linear(low * pair.scale, &pair.b, None); // [rows, out]
        let delta = if base_dtype == lora_dtype { delta } else { delta.cast(base_dtype) };
        self.base(x) + delta
    }

    /// `W x + b`.
    fn base(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.weight {
            LinearWeight::Plain(weight) => linear(x, weight, self.bias.as_ref()),
            LinearWeight::Quantised(weight) => quantised_linear(x, weight, self.bias.as_ref()),
        }
    }
}

/// Inverted dropout with a mask drawn on the host, so that it is the same on every device and thread count.
fn dropout(x: Tensor<2>, probability: f64, seed: u64) -> Tensor<2> {
    let [rows, width] = x.dims();
    let mut rng = Rng::new(seed);
    let keep = (1.0 / (1.0 - probability)) as f32;
    let mask: Vec<f32> =
        (0..rows * width).map(|_| if rng.uniform() < probability { 0.0 } else { keep }).collect();
    let device = x.device().inner();
    let mask = Tensor::<2>::from_data(TensorData::new(mask, [rows, width]), (&device, x.dtype()));
    x * mask
}
