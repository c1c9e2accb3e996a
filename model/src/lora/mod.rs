//! LoRA (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>): `y = W x + b + s * B (A (dropout(x)))`, and rsLoRA's
//! scale (Kalajdzievski 2023, <https://arxiv.org/abs/2312.03732>).
//!
//! The adapters live in their own container, separate from the frozen base: the optimiser, the checkpoints and the
//! PEFT export see them and nothing else. They are float32 whatever the base is.
pub(crate) mod merge;
pub(crate) mod peft;
mod target;

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use idk_common::hash::sha256_hex;
use idk_common::identity::OnResume;
use idk_common::limits::MAX_LORA_RANK;
use idk_common::problem::joined;
use idk_common::seed::{Rng, derive_seed};
use idk_common::{Problem, Problems};
use serde::{Deserialize, Serialize};

use crate::arch::names::{self, Names};
use crate::arch::specs::Linears;
use crate::error::ModelError;

pub use self::target::{AdaptedModules, TargetModules};
pub(crate) use self::target::{Matcher, full_match_regex};

/// What LoRA adds, and where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank `r` of the update: rows of A, columns of B.
    pub rank: usize,
    /// Numerator of the scale: `alpha / r`, or `alpha / sqrt(r)` with `rslora`.
    pub alpha: f64,
    /// Probability with which an element of the branch's input is zeroed while training.
    pub dropout: f64,
    /// Scale by `alpha / sqrt(r)` instead of `alpha / r`.
    pub rslora: bool,
    /// Part of the model that is adapted: "language_model", "audio_tower" (the audio encoder) or "all" (both and the
    /// projector between them). Default "language_model".
    pub modules: AdaptedModules,
    /// Linear layers of that part, as in PEFT: "all-linear", a list of names (the ends of module paths, such as
    /// `["q_proj", "v_proj"]`), or a regular expression that the whole module path must match, in its transformers-4 or
    /// transformers-5 form, and that must match nothing outside of that part. Default "all-linear".
    pub target_modules: TargetModules,
    /// How A starts: "kaiming" (uniform within `1 / sqrt(inputs)`, PEFT's default) or "gaussian" (normal with the
    /// standard deviation `1 / r`, PEFT's other one). B starts as zero. Default "kaiming".
    pub init: LoraInit,
}

/// How the down projection A starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraInit {
    /// Uniform in `+-1 / sqrt(in_features)`: PEFT's `init_lora_weights = true`, Kaiming uniform with `a = sqrt(5)`.
    #[default]
    Kaiming,
    /// Normal with standard deviation `1 / r`: PEFT's `init_lora_weights = "gaussian"`.
    Gaussian,
}

impl LoraInit {
    /// One element of A.
    fn draw(self, rng: &mut Rng, rank: usize, in_features: usize) -> f32 {
        let value = match self {
            Self::Kaiming => {
                let bound = 1.0 / (in_features as f64).sqrt();
                rng.range(-bound, bound)
            }
            Self::Gaussian => rng.normal() / rank as f64,
        };
        value as f32
    }
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            rslora: false,
            modules: AdaptedModules::default(),
            target_modules: TargetModules::default(),
            init: LoraInit::default(),
        }
    }
}

impl LoraConfig {
    /// What another value of a key means for a run that resumes.
    pub const ON_RESUME: [(&'static str, OnResume); 7] = [
        ("lora.rank", OnResume::Never("the trained tensors have this shape")),
        ("lora.alpha", OnResume::Never("the trained tensors were learnt under this scale")),
        ("lora.dropout", OnResume::Later),
        ("lora.rslora", OnResume::Never("the trained tensors were learnt under this scale")),
        ("lora.modules", OnResume::Never("the trained tensors belong to these layers")),
        ("lora.target_modules", OnResume::Never("the trained tensors belong to these layers")),
        ("lora.init", OnResume::Never("the adapter was started with it")),
    ];

    /// The factor before the branch: `alpha / r`, or `alpha / sqrt(r)` with rsLoRA.
    #[must_use]
    pub fn scale(&self) -> f64 {
        scale(self.alpha, self.rank, self.rslora)
    }

    /// What is wrong with the values of `[lora]`, all of it.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::of_section("lora");
        let in_range = (1..=MAX_LORA_RANK).contains(&self.rank);
        problems.require(in_range, "rank", format!("must be between 1 and {MAX_LORA_RANK}"));
        problems.positive([("alpha", self.alpha)]);
        problems.below_one("dropout", self.dropout);
        if let Some(name) = self.target_modules.repeated() {
            problems.add("target_modules", format!("names `{name}` twice"));
        }
        if let Err(what) = self.target_modules.matcher() {
            problems.add("target_modules", format!("cannot be used: {what}"));
        }
        problems.into_vec()
    }

    /// Checks the numbers and the regular expression.
    ///
    /// # Errors
    /// [`ModelError::Input`] names every key that is wrong and what it may hold.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self.problems() {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ModelError::Input { what: joined(&problems) }),
        }
    }

    /// Those of the linear layers that are adapted, in order.
    ///
    /// # Errors
    /// [`ModelError::Input`] if a value is out of range, if `target_modules` names what the model does not have (with the
    /// nearest name), or if it contradicts `modules`.
    pub fn adapted(&self, linears: &Linears) -> Result<Vec<String>, ModelError> {
        self.validate()?;
        let adapted = self.target_modules.select(self.modules, linears);
        adapted.map_err(|what| ModelError::Input { what: format!("[lora] target_modules: {what}") })
    }
}

/// `alpha / r`, or `alpha / sqrt(r)` with rsLoRA.
pub(crate) fn scale(alpha: f64, rank: usize, rslora: bool) -> f64 {
    let rank = rank as f64;
    if rslora { alpha / rank.sqrt() } else { alpha / rank }
}

/// The update of one linear layer.
#[derive(Clone, Debug)]
pub struct LoraPair {
    /// Down projection A, `[rank, in]`.
    pub a: Tensor<2>,
    /// Up projection B, `[out, rank]`.
    pub b: Tensor<2>,
    /// Factor before the branch.
    pub scale: f32,
}

/// One trainable pair for each adapted linear layer.
#[derive(Clone, Debug)]
pub struct Adapters {
    /// What the pairs were made with.
    pub config: LoraConfig,
    /// How the base model's family spells its modules.
    pub names: Names,
    /// Canonical (transformers-4) module path, e.g. `language_model.model.layers.0.self_attn.q_proj` -> its pair.
    pub modules: BTreeMap<String, LoraPair>,
}

impl Adapters {
    /// [`Adapters::init`] on module names and their `[out, in]`.
    pub(crate) fn init_for(
        linears: &Linears,
        config: &LoraConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let mut modules = BTreeMap::new();
        for name in config.adapted(linears)? {
            let [out_features, in_features] = linears[&name];
            let mut rng = Rng::new(derive_seed(seed, "lora-a", &[&name]));
            let mut draw = || config.init.draw(&mut rng, config.rank, in_features);
            let a: Vec<f32> = (0..config.rank * in_features).map(|_| draw()).collect();
            let a = Tensor::from_data(TensorData::new(a, [config.rank, in_features]), (device, DType::F32));
            let b = Tensor::zeros([out_features, config.rank], (device, DType::F32));
            modules.insert(name, LoraPair { a, b, scale: config.scale() as f32 });
        }
        Ok(Self { config: config.clone(), names: linears.names, modules })
    }

    /// Visits every tensor in a fixed order (by module name, A before B) as `<module>.lora_A.weight` and
    /// `<module>.lora_B.weight`.
    pub fn for_each_tensor(&mut self, f: &mut dyn FnMut(&str, &mut Tensor<2>)) {
        for (name, pair) in &mut self.modules {
            f(&format!("{name}.lora_A.weight"), &mut pair.a);
            f(&format!("{name}.lora_B.weight"), &mut pair.b);
        }
    }

    /// The same adapters with every scale multiplied by `factor`: 0 is the base model, 1 the trained one.
    #[must_use]
    pub fn scaled(&self, factor: f32) -> Self {
        let mut adapters = self.clone();
        for pair in adapters.modules.values_mut() {
            pair.scale *= factor;
        }
        adapters
    }

    /// Whether any of them sits before the language model: audio must then be encoded with them.
    #[must_use]
    pub fn adapt_audio(&self) -> bool {
        names::adapt_audio(self.modules.keys())
    }

    /// SHA-256 of names, scales and values.
    ///
    /// # Errors
    /// [`ModelError::Compute`] if a tensor cannot be read back from the device.
    pub fn sha256(&self) -> Result<String, ModelError> {
        let mut listing = String::new();
        for (name, pair) in &self.modules {
            for tensor in [&pair.a, &pair.b] {
                let values: Vec<f32> = tensor.try_to_vec_as().map_err(|error| ModelError::Compute {
                    what: format!("`{name}` cannot be read back: {error:?}"),
                })?;
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                listing.push_str(&format!("{name} {} {}\n", pair.scale, sha256_hex(&bytes)));
            }
        }
        Ok(sha256_hex(listing.as_bytes()))
    }

    /// Number of trainable numbers.
    #[must_use]
    pub fn num_params(&self) -> usize {
        self.modules.values().map(|pair| pair.a.shape().num_elements() + pair.b.shape().num_elements()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::ARCHITECTURES;

    fn linears() -> Linears {
        let shapes = [
            ("audio_tower.layers.0.self_attn.q_proj", [3, 3]),
            ("language_model.model.layers.0.mlp.down_proj", [4, 16]),
            ("language_model.model.layers.0.self_attn.q_proj", [6, 4]),
            ("multi_modal_projector.linear", [4, 3]),
        ]
        .map(|(name, shape)| (name.to_owned(), shape));
        Linears::new(ARCHITECTURES[0].names, shapes.into())
    }

    fn init(config: &LoraConfig, seed: u64) -> Adapters {
        Adapters::init_for(&linears(), config, seed, &Device::flex()).unwrap()
    }

    fn values(tensor: &Tensor<2>) -> Vec<f32> {
        tensor.to_data().iter::<f32>().collect()
    }

    #[test]
    fn the_default_adapts_every_linear_layer_of_the_language_model_and_no_other() {
        let adapters = init(&LoraConfig::default(), 1);
        let names: Vec<&str> = adapters.modules.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["language_model.model.layers.0.mlp.down_proj", "language_model.model.layers.0.self_attn.q_proj"]
        );
        assert_eq!(adapters.num_params(), 8 * (4 + 16) + 8 * (6 + 4));
    }

    #[test]
    fn fresh_adapters_change_nothing_and_are_bounded() {
        let adapters = init(&LoraConfig { rank: 64, ..LoraConfig::default() }, 1);
        for (name, pair) in &adapters.modules {
            assert!(values(&pair.b).iter().all(|&b| b == 0.0));
            let bound = 1.0 / (pair.a.dims()[1] as f32).sqrt();
            let a = values(&pair.a);
            let greatest = a.iter().fold(0.0_f32, |greatest, a| greatest.max(a.abs()));
            assert!(greatest <= bound && greatest > 0.95 * bound, "{name}: {greatest} of {bound}");
            let mean = a.iter().sum::<f32>() / a.len() as f32;
            assert!(mean.abs() < 0.15 * bound, "{name}: {mean}");
        }
    }

    #[test]
    fn a_module_starts_the_same_whatever_else_is_adapted() {
        let name = "language_model.model.layers.0.self_attn.q_proj";
        let all = init(&LoraConfig { modules: AdaptedModules::All, ..LoraConfig::default() }, 5);
        let one =
            init(&LoraConfig { target_modules: r".*language.*q_proj".into(), ..LoraConfig::default() }, 5);
        assert_eq!((all.modules.len(), one.modules.len()), (4, 1));
        assert_eq!(values(&all.modules[name].a), values(&one.modules[name].a));
        assert_ne!(values(&one.modules[name].a), values(&init(&one.config, 6).modules[name].a));
    }

    #[test]
    fn a_gaussian_start_has_the_standard_deviation_one_over_the_rank() {
        for rank in [4, 256] {
            let config = LoraConfig { rank, init: LoraInit::Gaussian, ..LoraConfig::default() };
            let wide = [("language_model.model.layers.0.mlp.up_proj".to_owned(), [3, 4096])];
            let wide = Linears::new(ARCHITECTURES[0].names, wide.into());
            let adapters = Adapters::init_for(&wide, &config, 3, &Device::flex()).unwrap();
            let pair = adapters.modules.values().next().unwrap();
            let a: Vec<f64> = values(&pair.a).into_iter().map(f64::from).collect();
            let moment =
                |power: i32| a.iter().map(|a| (a * rank as f64).powi(power)).sum::<f64>() / a.len() as f64;
            // Of a standard normal: mean 0, variance 1, fourth moment 3 (a uniform one has 1.8).
            assert!(moment(1).abs() < 0.03 && (moment(2) - 1.0).abs() < 0.03, "{} {}", moment(1), moment(2));
            assert!((moment(4) - 3.0).abs() < 0.3, "{}", moment(4));
            assert!(values(&pair.b).iter().all(|&b| b == 0.0));
        }
    }

    #[test]
    fn a_choice_of_layers_that_the_model_does_not_have_names_the_key() {
        let config = LoraConfig { target_modules: "q_proj".into(), ..LoraConfig::default() };
        let error = Adapters::init_for(&linears(), &config, 0, &Device::flex()).unwrap_err().to_string();
        assert!(error.contains("[lora] target_modules: `q_proj` matches none of the 4"), "{error}");
    }

    #[test]
    fn the_scale_is_alpha_over_r_or_over_its_root() {
        let config = LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() };
        assert_eq!(config.scale(), 2.0);
        assert_eq!(LoraConfig { rslora: true, ..config.clone() }.scale(), 4.0);
        let adapters = init(&config, 0);
        assert!(adapters.modules.values().all(|pair| pair.scale == 2.0));
        assert!(adapters.scaled(0.25).modules.values().all(|pair| pair.scale == 0.5));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (config, key) in [
            (LoraConfig { rank: 0, ..LoraConfig::default() }, "rank"),
            (LoraConfig { alpha: -1.0, ..LoraConfig::default() }, "alpha"),
            (LoraConfig { dropout: 1.0, ..LoraConfig::default() }, "dropout"),
            (
                LoraConfig { target_modules: "a".repeat(10_000).as_str().into(), ..LoraConfig::default() },
                "target_modules",
            ),
        ] {
            assert!(config.validate().unwrap_err().to_string().contains(key), "{key}");
        }
        let typo = serde_json::from_str::<LoraConfig>(r#"{"rnk": 8}"#).unwrap_err().to_string();
        assert!(typo.contains("rnk") && typo.contains("rank"), "{typo}");
    }
}
