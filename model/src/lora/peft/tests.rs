use burn::tensor::Tolerance;
use tempfile::TempDir;

use super::*;
use crate::arch::ARCHITECTURES;
use crate::lora::AdaptedModules::{All, AudioTower, LanguageModel};
use crate::lora::LoraConfig;

fn linears() -> Linears {
    let mut linears = BTreeMap::new();
    for layer in 0..2 {
        linears.insert(format!("language_model.model.layers.{layer}.self_attn.q_proj"), [6, 4]);
        linears.insert(format!("language_model.model.layers.{layer}.self_attn.v_proj"), [2, 4]);
        linears.insert(format!("audio_tower.layers.{layer}.self_attn.q_proj"), [3, 3]);
    }
    Linears::new(ARCHITECTURES[0].names, linears)
}

/// Adapters whose B is not zero, over the modules that `target` matches.
fn adapters(target: &str) -> Adapters {
    let config = LoraConfig {
        rank: 2,
        alpha: 4.0,
        modules: All,
        target_modules: target.into(),
        ..LoraConfig::default()
    };
    let mut adapters = Adapters::init_for(&linears(), &config, 7, &Device::flex()).unwrap();
    adapters.for_each_tensor(&mut |name, tensor| {
        if name.ends_with("lora_B.weight") {
            *tensor = tensor.clone() + 0.5;
        }
    });
    adapters
}

fn load(dir: &TempDir) -> Result<Adapters, ModelError> {
    Adapters::load_for(dir.path(), &linears(), &Device::flex())
}

fn saved(target: &str) -> (TempDir, Adapters) {
    let dir = tempfile::tempdir().unwrap();
    let adapters = adapters(target);
    adapters.save(dir.path(), "base").unwrap();
    (dir, adapters)
}

fn assert_same(found: &Adapters, expected: &Adapters) {
    assert_eq!(found.modules.keys().collect::<Vec<_>>(), expected.modules.keys().collect::<Vec<_>>());
    for (name, pair) in &expected.modules {
        let found = &found.modules[name];
        found.a.to_data().assert_eq(&pair.a.to_data(), true);
        found.b.to_data().assert_approx_eq::<f32>(&pair.b.to_data(), Tolerance::absolute(0.0));
        assert!((found.scale - pair.scale).abs() < 1e-6, "{name}: {} is not {}", found.scale, pair.scale);
    }
}

fn read_config(dir: &TempDir, key: &str) -> Value {
    read_json::<Value>(&dir.path().join(CONFIG_FILE)).unwrap()[key].take()
}

fn edit_config(dir: &TempDir, key: &str, value: Value) {
    let path = dir.path().join(CONFIG_FILE);
    let mut config: Value = read_json(&path).unwrap();
    config[key] = value;
    write_json(&path, &config).unwrap();
}

/// Rewrites the weights file with `edit` applied to its (key, shape, bytes) rows.
fn edit_weights(dir: &TempDir, edit: impl FnOnce(&mut Vec<(String, [usize; 2], Vec<u8>)>)) {
    let path = dir.path().join(WEIGHTS_FILE);
    let bytes = fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut rows: Vec<(String, [usize; 2], Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, [view.shape()[0], view.shape()[1]], view.data().to_vec()))
        .collect();
    rows.sort();
    edit(&mut rows);
    fs::write_atomic(&path, &serialize(&rows).unwrap()).unwrap();
}

const LM: &str = r".*language_model.*\.(q|v)_proj";

#[test]
fn what_is_saved_is_what_is_loaded() {
    for target in [LM, r".*\.(q|v)_proj", r"language_model\.model\.layers\.1\.self_attn\.q_proj"] {
        let (dir, expected) = saved(target);
        assert_same(&load(&dir).unwrap(), &expected);
    }
}

#[test]
fn language_model_keys_are_transformers_4_and_encoder_keys_are_chosen() {
    let keys = |dir: &Path| -> Vec<String> {
        let bytes = fs::read(&dir.join(WEIGHTS_FILE)).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    let dir = tempfile::tempdir().unwrap();
    let adapters = adapters(r".*layers\.0.*\.q_proj");
    for (encoder, path) in [
        (EncoderNames::Transformers4, "base_model.model.audio_tower.layers.0.self_attn.q_proj"),
        (EncoderNames::Transformers5, "base_model.model.model.audio_tower.layers.0.self_attn.q_proj"),
    ] {
        adapters.save_as(dir.path(), "base", encoder).unwrap();
        let lm = "base_model.model.language_model.model.layers.0.self_attn.q_proj";
        let mut expected: Vec<String> = [path, lm]
            .iter()
            .flat_map(|p| ["A", "B"].map(|half| format!("{p}.lora_{half}.weight")))
            .collect();
        expected.sort();
        assert_eq!(keys(dir.path()), expected);
        assert_same(&load(&dir).unwrap(), &adapters);
    }
}

#[test]
fn changed_scales_and_ranks_survive_a_round_trip() {
    let (dir, adapters) = saved(LM);
    let halved = adapters.scaled(0.5);
    halved.save(dir.path(), "base").unwrap();
    assert_same(&load(&dir).unwrap(), &halved);

    let mut mixed = adapters;
    let name = "language_model.model.layers.1.self_attn.q_proj";
    let device = Device::flex();
    mixed.modules.insert(
        name.to_owned(),
        LoraPair { a: Tensor::ones([3, 4], &device), b: Tensor::ones([6, 3], &device), scale: 0.25 },
    );
    mixed.save(dir.path(), "base").unwrap();
    let config: Value = read_json(&dir.path().join(CONFIG_FILE)).unwrap();
    assert_eq!(config["rank_pattern"].as_object().unwrap().values().collect::<Vec<_>>(), [&json!(3)]);
    assert_same(&load(&dir).unwrap(), &mixed);
}

#[test]
fn a_pattern_of_one_version_is_saved_as_names_of_both() {
    let (dir, adapters) = saved(r"language_model\.model\.layers\.1\.self_attn\.q_proj");
    let names = read_config(&dir, "target_modules");
    let rest = "layers.1.self_attn.q_proj";
    assert_eq!(
        names,
        json!([format!("language_model.model.{rest}"), format!("model.language_model.{rest}")])
    );
    assert_same(&load(&dir).unwrap(), &adapters);
}

#[test]
fn names_parts_and_starts_survive_the_way_through_pefts_configuration() {
    let names = TargetModules::Names(vec!["q_proj".to_owned(), "v_proj".to_owned()]);
    for (modules, count, saved_as) in [
        (LanguageModel, 4, json!(r".*language_model\.(?:.*\.)?(?:q_proj|v_proj)")),
        (All, 6, json!(["q_proj", "v_proj"])),
    ] {
        let config = LoraConfig {
            modules,
            target_modules: names.clone(),
            init: LoraInit::Gaussian,
            ..LoraConfig::default()
        };
        let adapters = Adapters::init_for(&linears(), &config, 7, &Device::flex()).unwrap();
        assert_eq!(adapters.modules.len(), count);
        let dir = tempfile::tempdir().unwrap();
        adapters.save(dir.path(), "base").unwrap();
        assert_eq!(read_config(&dir, "target_modules"), saved_as);
        assert_eq!(read_config(&dir, "init_lora_weights"), "gaussian");
        let loaded = load(&dir).unwrap();
        assert_same(&loaded, &adapters);
        assert_eq!((loaded.config.modules, loaded.config.init), (modules, LoraInit::Gaussian));
        // What is loaded can be started from again.
        let again = Adapters::init_for(&linears(), &loaded.config, 7, &Device::flex()).unwrap();
        assert_same(&again, &adapters);
    }
    let config = LoraConfig { modules: AudioTower, ..LoraConfig::default() };
    let adapters = Adapters::init_for(&linears(), &config, 7, &Device::flex()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    adapters.save(dir.path(), "base").unwrap();
    assert_eq!(read_config(&dir, "init_lora_weights"), true);
    assert_eq!(load(&dir).unwrap().config.modules, AudioTower);
}

#[test]
fn excluded_layers_stay_excluded_when_an_adapter_is_saved_again() {
    let (dir, _) = saved(r".*language_model.*layers\.0.*_proj");
    edit_config(&dir, "target_modules", json!(["q_proj", "v_proj"]));
    edit_config(&dir, "exclude_modules", json!(r".*(audio_tower|layers\.1).*"));
    let loaded = load(&dir).unwrap();
    loaded.save(dir.path(), "base").unwrap();
    assert_eq!(read_config(&dir, "exclude_modules"), Value::Null);
    assert_same(&load(&dir).unwrap(), &loaded);
}

#[test]
fn a_long_list_of_whole_paths_is_read() {
    let (dir, adapters) = saved(LM);
    let elsewhere = (0..500).map(|layer| format!("other.model.layers.{layer}.self_attn.q_proj"));
    let names: Vec<String> = linears().keys().filter(|name| name.contains("language")).cloned().collect();
    edit_config(&dir, "target_modules", json!(elsewhere.chain(names).collect::<Vec<_>>()));
    assert_same(&load(&dir).unwrap(), &adapters);
}

#[test]
fn rslora_and_patterns_of_the_config_are_honoured() {
    let (dir, adapters) = saved(LM);
    edit_config(&dir, "use_rslora", json!(true));
    edit_config(&dir, "alpha_pattern", json!({r"layers\.1\..*": 10}));
    let loaded = load(&dir).unwrap();
    for (name, pair) in &loaded.modules {
        let alpha = if name.contains("layers.1.") { 10.0 } else { 4.0 };
        assert!((pair.scale - alpha / 2.0_f32.sqrt()).abs() < 1e-6, "{name}: {}", pair.scale);
    }
    assert_eq!(loaded.modules.len(), adapters.modules.len());
    edit_config(&dir, "rank_pattern", json!({"q_proj": 3}));
    let error = load(&dir).unwrap_err().to_string();
    assert!(error.contains("q_proj.lora_A.weight") && error.contains("[2, 4]"), "{error}");
}

#[test]
fn target_module_lists_match_name_endings_as_in_peft() {
    let (dir, adapters) = saved(r".*\.(q|v)_proj");
    edit_config(&dir, "target_modules", json!(["q_proj", "v_proj"]));
    assert_same(&load(&dir).unwrap(), &adapters);
    edit_config(&dir, "target_modules", json!(["proj"]));
    assert!(load(&dir).is_ok(), "`proj` is no whole component: nothing is missing");
    edit_config(&dir, "target_modules", json!(r"^(language_model(?=\.).*\.(q_proj|v_proj))$"));
    assert!(load(&dir).is_ok(), "lookaheads are understood");
}

#[test]
fn whatever_is_not_implemented_is_refused_by_name() {
    for (key, value) in [
        ("use_dora", json!(true)),
        ("bias", json!("lora_only")),
        ("lora_bias", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("layer_replication", json!([[0, 1]])),
        ("trainable_token_indices", json!([1])),
        ("target_parameters", json!(["x"])),
        ("fan_in_fan_out", json!(true)),
        ("use_qalora", json!(true)),
        ("alora_invocation_tokens", json!([1, 2])),
        ("a_key_of_a_later_version", json!("on")),
        ("init_lora_weights", json!("pissa")),
        ("peft_type", json!("IA3")),
        ("r", json!(0)),
        ("lora_alpha", json!("8")),
    ] {
        let (dir, _) = saved(LM);
        edit_config(&dir, key, value);
        let error = load(&dir).unwrap_err().to_string();
        assert!(error.contains(&format!("`{key}`")) && error.contains(CONFIG_FILE), "{key}: {error}");
    }
}

#[test]
fn unused_missing_and_misshaped_tensors_are_named() {
    let (dir, _) = saved(LM);
    edit_weights(&dir, |rows| rows[0].0 = rows[0].0.replace("layers.0", "layers.9"));
    let error = load(&dir).unwrap_err().to_string();
    assert!(error.contains("layers.9") && error.contains("fit no linear layer"), "{error}");

    let (dir, _) = saved(LM);
    edit_weights(&dir, |rows| drop(rows.remove(1)));
    let error = load(&dir).unwrap_err().to_string();
    assert!(error.contains("no lora_B next to it"), "{error}");

    let (dir, _) = saved(LM);
    edit_weights(&dir, |rows| rows.retain(|(name, ..)| !name.contains("layers.1.self_attn.v_proj")));
    let error = load(&dir).unwrap_err().to_string();
    assert!(
        error.contains("no tensors for modules") && error.contains("layers.1.self_attn.v_proj"),
        "{error}"
    );

    let (dir, _) = saved(LM);
    edit_weights(&dir, |rows| rows[0].1.reverse());
    let error = load(&dir).unwrap_err().to_string();
    assert!(error.contains("has shape [4, 2]") && error.contains("[2, 4]"), "{error}");

    let (dir, _) = saved(LM);
    edit_weights(&dir, |rows| {
        let twin = (
            rows[0].0.replace("model.language_model.model.", "model.model.language_model."),
            rows[0].1,
            rows[0].2.clone(),
        );
        assert_ne!(twin.0, rows[0].0);
        rows.push(twin);
    });
    assert!(load(&dir).is_err(), "one tensor under both names");

    let (dir, _) = saved(LM);
    edit_weights(&dir, |rows| rows[0].2[..4].copy_from_slice(&f32::NAN.to_le_bytes()));
    assert!(matches!(load(&dir).unwrap_err(), ModelError::NonFinite { .. }));
}
