//! Adapters on disk as PEFT keeps them: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! transformers 4 and 5 name the modules of Qwen2-Audio differently, and PEFT silently drops what it cannot place. The
//! language model's adapters are therefore written under transformers-4 names, which both versions load; the encoder's
//! under the names of one version. Adapters of other families are written under transformers-5 names. All spellings are
//! read, and whatever is unused, missing or not implemented is an error.
mod config;
mod files;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use idk_common::fs;
use idk_common::json::{read_json, write_json};
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use self::config::PeftConfig;
pub use self::files::check_adapter_files;
use self::files::{CONFIG_FILE, WEIGHTS_FILE};
use crate::arch::names::Role;
use crate::arch::specs::Linears;
use crate::error::ModelError;
use crate::lora::{AdaptedModules, Adapters, LoraInit, LoraPair, TargetModules, scale};
use crate::weights::Weights;

const KEY_PREFIX: &str = "base_model.model.";
/// Most names that an error lists.
const LISTED: usize = 6;

/// Which names the adapters of the audio encoder and the projector are saved under. PEFT loads them only on the
/// version named; those of the language model load on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncoderNames {
    /// `audio_tower...`
    Transformers4,
    /// `model.audio_tower...`
    #[default]
    Transformers5,
}

impl Adapters {
    /// Writes the adapter folder that PEFT loads over `base_name`, encoder modules under transformers-5 names.
    ///
    /// # Errors
    /// [`ModelError::Common`] if a file cannot be written.
    pub fn save(&self, dir: &Path, base_name: &str) -> Result<(), ModelError> {
        self.save_as(dir, base_name, EncoderNames::default())
    }

    /// [`Adapters::save`] with a choice of the encoder's names.
    ///
    /// # Errors
    /// [`ModelError::Common`] if a file cannot be written, [`ModelError::Compute`] if a tensor cannot be read.
    pub fn save_as(&self, dir: &Path, base_name: &str, encoder: EncoderNames) -> Result<(), ModelError> {
        let mut tensors: Vec<(String, [usize; 2], Vec<u8>)> = Vec::new();
        for (name, pair) in &self.modules {
            let is_audio = Role::of(name).is_some_and(Role::is_audio);
            let as_in_5 = is_audio && encoder == EncoderNames::Transformers5 || !self.names.portable_adapters;
            let module = if as_in_5 { self.names.transformers5(name) } else { name.clone() };
            for (suffix, tensor) in [("lora_A", &pair.a), ("lora_B", &pair.b)] {
                let values: Vec<f32> = tensor.try_to_vec_as().map_err(|error| ModelError::Compute {
                    what: format!("reading {name}.{suffix}: {error}"),
                })?;
                let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
                tensors.push((format!("{KEY_PREFIX}{module}.{suffix}.weight"), tensor.dims(), bytes));
            }
        }
        let weights_path = dir.join(WEIGHTS_FILE);
        let bytes = serialize(&tensors).map_err(|what| adapter_error(&weights_path, what))?;
        fs::write_atomic(&weights_path, &bytes)?;
        let config = self.peft_config(base_name).map_err(|what| adapter_error(dir, what))?;
        write_json(&dir.join(CONFIG_FILE), &config)?;
        Ok(())
    }

    /// The fewest keys that PEFT needs, and patterns only where modules differ.
    fn peft_config(&self, base_name: &str) -> Result<Value, String> {
        let config = &self.config;
        let per_module: BTreeMap<&String, (usize, f64)> = self
            .modules
            .iter()
            .map(|(name, pair)| {
                let [rank, _] = pair.a.dims();
                let planned = rank == config.rank && pair.scale == config.scale() as f32;
                let alpha = if planned {
                    config.alpha
                } else {
                    f64::from(pair.scale) / scale(1.0, rank, config.rslora)
                };
                (name, (rank, alpha))
            })
            .collect();
        let common = per_module.values().next().copied().unwrap_or((config.rank, config.alpha));
        let (rank, alpha) =
            if per_module.values().all(|of| *of == common) { common } else { (config.rank, config.alpha) };
        let init = match config.init {
            LoraInit::Kaiming => json!(true),
            LoraInit::Gaussian => json!("gaussian"),
        };
        let mut value = json!({
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base_name,
            "r": rank, "lora_alpha": number(alpha), "lora_dropout": config.dropout, "use_rslora": config.rslora,
            "target_modules": self.portable_target_modules()?,
            "bias": "none", "fan_in_fan_out": false, "init_lora_weights": init, "inference_mode": true,
            "modules_to_save": null,
        });
        let ranks: Map<String, Value> = per_module
            .iter()
            .filter(|(_, of)| of.0 != rank)
            .map(|(name, of)| (self.names.pattern(name), json!(of.0)))
            .collect();
        let alphas: Map<String, Value> = per_module
            .iter()
            .filter(|(_, of)| of.1 != alpha)
            .map(|(name, of)| (self.names.pattern(name), number(of.1)))
            .collect();
        for (key, pattern) in [("rank_pattern", ranks), ("alpha_pattern", alphas)] {
            if !pattern.is_empty() {
                value[key] = Value::Object(pattern);
            }
        }
        Ok(value)
    }

    /// The config's own choice if it holds every module under the names that PEFT meets, else a list of all those names.
    fn portable_target_modules(&self) -> Result<TargetModules, String> {
        let own = self.config.target_modules.for_peft(self.config.modules, &self.names);
        let matcher = own.matcher()?;
        for name in self.modules.keys() {
            for there in self.names.in_peft(name) {
                if !matcher.matches_name(&there)? {
                    let all = self.modules.keys().flat_map(|name| self.names.in_peft(name));
                    return Ok(TargetModules::Names(all.collect()));
                }
            }
        }
        Ok(own)
    }

    /// [`Adapters::load`] on module names and their `[out, in]`.
    pub(crate) fn load_for(dir: &Path, linears: &Linears, device: &Device) -> Result<Self, ModelError> {
        check_adapter_files(dir)?;
        let config_path = dir.join(CONFIG_FILE);
        let peft = read_json::<Value>(&config_path)?;
        let peft = PeftConfig::parse(&peft).map_err(|what| adapter_error(&config_path, what))?;
        let weights_path = dir.join(WEIGHTS_FILE);
        let mut weights = Weights::open_file(&weights_path)?;
        let wrong = |what: String| adapter_error(&weights_path, what);
        let keys = module_keys(&weights, linears).map_err(wrong)?;
        let expected = peft.expected_modules(linears).map_err(|what| adapter_error(&config_path, what))?;
        let missing: Vec<String> = expected.into_iter().filter(|name| !keys.contains_key(name)).collect();
        if !missing.is_empty() {
            return Err(wrong(format!(
                "no tensors for modules that target_modules names: {}",
                list(&missing)
            )));
        }
        let mut modules = BTreeMap::new();
        for (name, [a_key, b_key]) in keys {
            let [out_features, in_features] = linears[&name];
            let (rank, alpha) = peft
                .rank_and_alpha(&name, &linears.names)
                .map_err(|what| adapter_error(&config_path, what))?;
            let mut take = |key: &str, shape: [usize; 2]| -> Result<Tensor<2>, ModelError> {
                let found =
                    weights.shapes().find(|(found, _)| *found == key).map(|(_, shape)| shape.to_vec());
                if let Some(found) = found.filter(|found| *found != shape) {
                    return Err(adapter_error(
                        &weights_path,
                        format!(
                            "`{key}` has shape {found:?}; the model and {CONFIG_FILE} (r) ask for {shape:?}"
                        ),
                    ));
                }
                let values = weights.take(key, &shape)?;
                Ok(Tensor::from_data(TensorData::new(values, shape), (device, DType::F32)))
            };
            let a = take(&a_key, [rank, in_features])?;
            let b = take(&b_key, [out_features, rank])?;
            modules.insert(name, LoraPair { a, b, scale: scale(alpha, rank, peft.config.rslora) as f32 });
        }
        weights.finish()?;
        let mut config = peft.config.clone();
        config.modules = AdaptedModules::of(modules.keys());
        if peft.narrows_target() {
            config.target_modules = TargetModules::Names(modules.keys().cloned().collect());
        }
        Ok(Self { config, names: linears.names, modules })
    }
}

/// Module -> keys of A and B in the file. Every key must belong to a linear layer, and come with its other half.
fn module_keys(weights: &Weights, linears: &Linears) -> Result<BTreeMap<String, [String; 2]>, String> {
    let mut found: BTreeMap<String, [Option<String>; 2]> = BTreeMap::new();
    let mut unused = Vec::new();
    for (key, _) in weights.shapes() {
        let half = [".lora_A.weight", ".lora_B.weight"].into_iter().enumerate().find_map(|(half, suffix)| {
            Some((half, linears.names.canonical(key.strip_prefix(KEY_PREFIX)?.strip_suffix(suffix)?)))
        });
        match half {
            Some((half, module)) if linears.contains_key(&module) => {
                let halves = found.entry(module).or_default();
                if let Some(other) = halves[half].replace(key.to_owned()) {
                    return Err(format!("`{key}` and `{other}` are two names of one tensor"));
                }
            }
            _ => unused.push(key.to_owned()),
        }
    }
    if !unused.is_empty() {
        return Err(format!("tensors that fit no linear layer of the model: {}", list(&unused)));
    }
    if found.is_empty() {
        return Err("it holds no LoRA tensor".to_owned());
    }
    found
        .into_iter()
        .map(|(module, halves)| match halves {
            [Some(a), Some(b)] => Ok((module, [a, b])),
            [None, Some(b)] => Err(format!("`{b}` has no lora_A next to it")),
            [Some(a), None] => Err(format!("`{a}` has no lora_B next to it")),
            [None, None] => Err(format!("{module} has no tensors")),
        })
        .collect()
}

/// Whole numbers without a fraction, as PEFT writes `lora_alpha`.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

fn serialize(tensors: &[(String, [usize; 2], Vec<u8>)]) -> Result<Vec<u8>, String> {
    let mut views = Vec::with_capacity(tensors.len());
    for (name, shape, bytes) in tensors {
        let view = TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes);
        views.push((name.clone(), view.map_err(|error| error.to_string())?));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| error.to_string())
}

fn adapter_error(path: &Path, what: String) -> ModelError {
    ModelError::Adapter { path: path.to_owned(), what }
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
