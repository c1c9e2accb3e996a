//! LoRA (Hu et al. 2021, <https://arxiv.org/abs/2106.09685>): `y = W x + b + s * B (A (dropout(x)))`, and rsLoRA's
//! scale (Kalajdzievski 2023, <https://arxiv.org/abs/2312.03732>).
//!
//! The adapters live in a container of their own, beside the frozen base: the optimiser, the checkpoints and the
//! PEFT export see them and nothing else. They are float32 whatever the base is.
use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use fancy_regex::Regex;
use idk_common::limits::{MAX_LORA_RANK, MAX_PATTERN_BYTES};
use idk_common::seed::{Rng, derive_seed};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::lalm::Lalm;

/// Every linear layer of the language model, under the transformers-4 and the transformers-5 module names.
pub const DEFAULT_TARGET_MODULES: &str = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj";

/// Most module names that an error lists.
const LISTED_MODULES: usize = 8;

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
    /// Scale by `alpha / sqrt(r)` in place of `alpha / r`.
    pub rslora: bool,
    /// Regular expression that the whole module path must match, in its transformers-4 or transformers-5 form.
    pub target_modules: String,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            rslora: false,
            target_modules: DEFAULT_TARGET_MODULES.to_owned(),
        }
    }
}

impl LoraConfig {
    /// The factor before the branch: `alpha / r`, or `alpha / sqrt(r)` with rsLoRA.
    #[must_use]
    pub fn scale(&self) -> f64 {
        scale(self.alpha, self.rank, self.rslora)
    }

    /// Checks the numbers and the regular expression.
    ///
    /// # Errors
    /// [`ModelError::Input`] names the key and what it may hold.
    pub fn validate(&self) -> Result<(), ModelError> {
        if !(1..=MAX_LORA_RANK).contains(&self.rank) {
            return Err(lora_error(format!("rank must lie in 1..={MAX_LORA_RANK}, not {}", self.rank)));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(lora_error(format!("alpha must be a positive number, not {}", self.alpha)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(lora_error(format!("dropout must lie in 0..1, not {}", self.dropout)));
        }
        full_match_regex(&self.target_modules)
            .map(|_| ())
            .map_err(|what| lora_error(format!("target_modules: {what}")))
    }
}

/// A regular expression that must match a whole name (`re.fullmatch`); lookarounds are understood, as in Python.
pub(crate) fn full_match_regex(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("the pattern is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| format!("`{pattern}` is no regular expression: {error}"))
}

/// Whether `regex` matches a module under its transformers-4 or its transformers-5 name.
pub(crate) fn matches_module(regex: &Regex, canonical: &str) -> Result<bool, String> {
    let matches = |name: &str| regex.is_match(name).map_err(|error| format!("`{}`: {error}", regex.as_str()));
    Ok(matches(canonical)? || matches(&transformers5_name(canonical))?)
}

/// `alpha / r`, or `alpha / sqrt(r)` with rsLoRA.
pub(crate) fn scale(alpha: f64, rank: usize, rslora: bool) -> f64 {
    let rank = rank as f64;
    if rslora { alpha / rank.sqrt() } else { alpha / rank }
}

fn lora_error(what: impl Into<String>) -> ModelError {
    ModelError::Input { what: format!("[lora] {}", what.into()) }
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
    /// Canonical (transformers-4) module path, e.g. `language_model.model.layers.0.self_attn.q_proj` -> its pair.
    pub modules: BTreeMap<String, LoraPair>,
}

impl Adapters {
    /// Fresh adapters for every linear layer that the config's pattern matches: A uniform in
    /// `+-1 / sqrt(in_features)` (PEFT's Kaiming uniform with `a = sqrt(5)`), B zero, so that nothing changes before
    /// the first step. Every module draws from a stream of its own name: the numbers depend on no order.
    ///
    /// # Errors
    /// A config out of range, or a pattern that matches no linear layer (some of the layers are listed).
    pub fn init(lalm: &Lalm, config: &LoraConfig, seed: u64) -> Result<Self, ModelError> {
        Self::init_for(&lalm.linear_shapes(), config, seed, &lalm.device)
    }

    /// [`Adapters::init`] on module names and their `[out, in]`.
    pub(crate) fn init_for(
        linears: &BTreeMap<String, [usize; 2]>,
        config: &LoraConfig,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        let regex = full_match_regex(&config.target_modules).map_err(lora_error)?;
        let mut modules = BTreeMap::new();
        for (name, &[out_features, in_features]) in linears {
            if !matches_module(&regex, name).map_err(lora_error)? {
                continue;
            }
            let bound = 1.0 / (in_features as f64).sqrt();
            let mut rng = Rng::new(derive_seed(seed, "lora-a", &[name]));
            let a: Vec<f32> =
                (0..config.rank * in_features).map(|_| rng.range(-bound, bound) as f32).collect();
            let a = Tensor::from_data(TensorData::new(a, [config.rank, in_features]), (device, DType::F32));
            let b = Tensor::zeros([out_features, config.rank], (device, DType::F32));
            modules.insert(name.clone(), LoraPair { a, b, scale: config.scale() as f32 });
        }
        if modules.is_empty() {
            let some: Vec<&str> = linears.keys().take(LISTED_MODULES).map(String::as_str).collect();
            return Err(lora_error(format!(
                "target_modules {} matches none of the {} linear layers; some of them: {}",
                config.target_modules,
                linears.len(),
                some.join(", ")
            )));
        }
        Ok(Self { config: config.clone(), modules })
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

    /// Number of trainable numbers.
    #[must_use]
    pub fn num_params(&self) -> usize {
        self.modules.values().map(|pair| pair.a.shape().num_elements() + pair.b.shape().num_elements()).sum()
    }
}

/// The module path as transformers 5 has it in memory: `model.` before the towers, the language model's own
/// `model` gone.
pub(crate) fn transformers5_name(canonical: &str) -> String {
    match canonical.strip_prefix("language_model.model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => match canonical.strip_prefix("language_model.lm_head") {
            Some(rest) => format!("lm_head{rest}"),
            None => format!("model.{canonical}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linears() -> BTreeMap<String, [usize; 2]> {
        [
            ("audio_tower.layers.0.self_attn.q_proj", [3, 3]),
            ("language_model.model.layers.0.mlp.down_proj", [4, 16]),
            ("language_model.model.layers.0.self_attn.q_proj", [6, 4]),
            ("multi_modal_projector.linear", [4, 3]),
        ]
        .map(|(name, shape)| (name.to_owned(), shape))
        .into()
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
        let all = init(&LoraConfig { target_modules: ".*".to_owned(), ..LoraConfig::default() }, 5);
        let one = init(
            &LoraConfig { target_modules: r".*language.*q_proj".to_owned(), ..LoraConfig::default() },
            5,
        );
        assert_eq!((all.modules.len(), one.modules.len()), (4, 1));
        assert_eq!(values(&all.modules[name].a), values(&one.modules[name].a));
        assert_ne!(values(&one.modules[name].a), values(&init(&one.config, 6).modules[name].a));
    }

    #[test]
    fn a_pattern_must_match_the_whole_name_in_either_naming() {
        let matched = |pattern: &str| {
            let config = LoraConfig { target_modules: pattern.to_owned(), ..LoraConfig::default() };
            Adapters::init_for(&linears(), &config, 0, &Device::flex()).map(|adapters| adapters.modules.len())
        };
        assert_eq!(matched(r".*q_proj").unwrap(), 2);
        assert_eq!(matched(r"model\.language_model\.layers\.0\.self_attn\.q_proj").unwrap(), 1);
        assert_eq!(matched(r"audio_tower.*|multi.*").unwrap(), 2);
        let error = matched("q_proj").unwrap_err().to_string();
        assert!(error.contains("none of the 4") && error.contains("multi_modal_projector.linear"), "{error}");
        assert!(matched("(").unwrap_err().to_string().contains("no regular expression"));
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
            (LoraConfig { target_modules: "a".repeat(10_000), ..LoraConfig::default() }, "target_modules"),
        ] {
            assert!(config.validate().unwrap_err().to_string().contains(key), "{key}");
        }
        let typo = serde_json::from_str::<LoraConfig>(r#"{"rnk": 8}"#).unwrap_err().to_string();
        assert!(typo.contains("rnk") && typo.contains("rank"), "{typo}");
    }
}
