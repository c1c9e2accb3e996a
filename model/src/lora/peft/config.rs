//! `adapter_config.json`: what of it decides how the stored tensors are applied, and what is refused.
use std::collections::BTreeSet;

use idk_common::limits::MAX_LORA_RANK;
use serde_json::{Map, Value, json};

use crate::arch::names::Names;
use crate::arch::specs::Linears;
use crate::lora::{LoraConfig, LoraInit, Matcher, TargetModules, full_match_regex};

/// Keys that are read here.
const READ_KEYS: [&str; 13] = [
    "peft_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "init_lora_weights",
    "bias",
];

/// Keys whose value changes nothing in how a stored adapter is applied.
const NEUTRAL_KEYS: [&str; 14] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Ways to initialise A and B that leave the base weights as they are.
const PLAIN_INITS: [&str; 4] = ["gaussian", "orthogonal", "eva", "default"];

/// What of `adapter_config.json` decides how the tensors are applied.
pub(super) struct PeftConfig {
    pub(super) config: LoraConfig,
    target: Option<Matcher>,
    exclude: Option<Matcher>,
    layers: Option<BTreeSet<u64>>,
    /// In the file's order: PEFT takes the first that matches.
    ranks: Vec<(Matcher, usize)>,
    alphas: Vec<(Matcher, f64)>,
}

impl PeftConfig {
    pub(super) fn parse(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("it is no JSON object")?;
        refuse_unsupported(object)?;
        let get = |key: &str| object.get(key).filter(|value| !value.is_null());
        let rank = get("r")
            .and_then(rank_of)
            .ok_or_else(|| format!("`r` must be an integer in 1..={MAX_LORA_RANK}"))?;
        let alpha = get("lora_alpha").and_then(alpha_of).ok_or("`lora_alpha` must be a number")?;
        let dropout = match get("lora_dropout") {
            None => 0.0,
            Some(value) => value
                .as_f64()
                .filter(|dropout| (0.0..1.0).contains(dropout))
                .ok_or("`lora_dropout` must be a number in 0..1")?,
        };
        let rslora = match get("use_rslora") {
            None => false,
            Some(value) => value.as_bool().ok_or("`use_rslora` must be true or false")?,
        };
        let target = get("target_modules").map(|value| names("target_modules", value)).transpose()?;
        let exclude = get("exclude_modules").map(|value| names("exclude_modules", value)).transpose()?;
        let gaussian = get("init_lora_weights").is_some_and(|init| *init == "gaussian");
        Ok(Self {
            target: target.as_ref().map(TargetModules::matcher).transpose()?,
            exclude: exclude.as_ref().map(TargetModules::matcher).transpose()?,
            layers: get("layers_to_transform").map(layer_indices).transpose()?,
            ranks: patterns(get("rank_pattern"), "rank_pattern", rank_of)?,
            alphas: patterns(get("alpha_pattern"), "alpha_pattern", alpha_of)?,
            config: LoraConfig {
                rank,
                alpha,
                dropout,
                rslora,
                target_modules: target.unwrap_or_default(),
                init: if gaussian { LoraInit::Gaussian } else { LoraInit::Kaiming },
                ..LoraConfig::default()
            },
        })
    }

    /// Whether something other than `target_modules` decides which layers are adapted.
    pub(super) fn narrows_target(&self) -> bool {
        self.exclude.is_some() || self.layers.is_some()
    }

    /// The linear layers that the config says are adapted.
    pub(super) fn expected_modules(&self, linears: &Linears) -> Result<Vec<String>, String> {
        let mut expected = Vec::new();
        let Some(target) = &self.target else { return Ok(expected) };
        for name in linears.keys() {
            let excluded = match &self.exclude {
                Some(exclude) => exclude.matches(name, &linears.names)?,
                None => false,
            };
            let layer = self
                .layers
                .as_ref()
                .is_none_or(|layers| layer_index(name).is_some_and(|i| layers.contains(&i)));
            if !excluded && layer && target.matches(name, &linears.names)? {
                expected.push(name.clone());
            }
        }
        Ok(expected)
    }

    pub(super) fn rank_and_alpha(&self, name: &str, names: &Names) -> Result<(usize, f64), String> {
        let mut of = (self.config.rank, self.config.alpha);
        if let Some(rank) = first_match(&self.ranks, name, names)? {
            of.0 = rank;
        }
        if let Some(alpha) = first_match(&self.alphas, name, names)? {
            of.1 = alpha;
        }
        Ok(of)
    }
}

fn first_match<T: Copy>(patterns: &[(Matcher, T)], name: &str, names: &Names) -> Result<Option<T>, String> {
    for (pattern, value) in patterns {
        if pattern.matches(name, names)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// Refuses, by name, every setting that would change the result and that is not implemented.
fn refuse_unsupported(object: &Map<String, Value>) -> Result<(), String> {
    let peft_type = object.get("peft_type").and_then(Value::as_str).unwrap_or("");
    if peft_type != "LORA" {
        return Err(format!("`peft_type` is `{peft_type}`; only LORA is supported"));
    }
    if let Some(bias) = object.get("bias").filter(|bias| !bias.is_null() && **bias != "none") {
        return Err(format!("`bias` is {bias}; trained biases are not supported"));
    }
    if let Some(init) = object.get("init_lora_weights").and_then(Value::as_str)
        && !PLAIN_INITS.contains(&init)
    {
        return Err(format!(
            "`init_lora_weights` is `{init}`, which changes the base weights: not supported"
        ));
    }
    let set = |key: &str| object.get(key).filter(|value| !is_unset(value));
    if let Some(pattern) =
        set("layers_pattern").filter(|pattern| **pattern != "layers" && **pattern != json!(["layers"]))
    {
        return Err(format!("`layers_pattern` is {pattern}; not supported"));
    }
    for key in object
        .keys()
        .filter(|key| !READ_KEYS.contains(&key.as_str()) && !NEUTRAL_KEYS.contains(&key.as_str()))
    {
        if let Some(value) = set(key) {
            return Err(format!("`{key}` is {value}; not supported"));
        }
    }
    Ok(())
}

/// Null, false, or an empty collection: the value of a setting that is off.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// A pattern, a list of names, or the word for all of them.
fn names(key: &str, value: &Value) -> Result<TargetModules, String> {
    serde_json::from_value(value.clone()).map_err(|_| format!("`{key}` must be a pattern or a list of names"))
}

fn layer_indices(value: &Value) -> Result<BTreeSet<u64>, String> {
    let indices: Option<BTreeSet<u64>> = match value {
        Value::Array(items) => items.iter().map(Value::as_u64).collect(),
        single => single.as_u64().map(|index| BTreeSet::from([index])),
    };
    indices.ok_or_else(|| "`layers_to_transform` must be a layer index or a list of them".to_owned())
}

fn layer_index(name: &str) -> Option<u64> {
    name.split_once(".layers.")?.1.split('.').next()?.parse().ok()
}

fn patterns<T>(
    value: Option<&Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<(Matcher, T)>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let object = value.as_object().ok_or_else(|| format!("`{key}` must be an object"))?;
    object
        .iter()
        .map(|(pattern, value)| {
            let regex = full_match_regex(&format!(r"(?:.*\.)?(?:{pattern})"))?;
            let value = read(value).ok_or_else(|| format!("`{key}`: the value of `{pattern}` is {value}"))?;
            Ok((Matcher::Pattern(Box::new(regex)), value))
        })
        .collect()
}

fn rank_of(value: &Value) -> Option<usize> {
    value
        .as_u64()
        .and_then(|rank| usize::try_from(rank).ok())
        .filter(|rank| (1..=MAX_LORA_RANK).contains(rank))
}

fn alpha_of(value: &Value) -> Option<f64> {
    value.as_f64().filter(|alpha| alpha.is_finite())
}
