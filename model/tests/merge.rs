//! Promises about an adapter that is folded into its base model.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use half::bf16;
use idk_audio::LogMel;
use idk_common::fs::{read, write_atomic};
use idk_common::json::{read_json, write_json};
use idk_model::{
    AdaptedModules, Adapters, ForwardContext, Lalm, LoraConfig, Merge, Merged, Message, ModelError,
    StoredDtype, TokenBatch,
};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use tempfile::TempDir;

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn tiny() -> PathBuf {
    repo("tests/fixtures/qwen2-audio-tiny")
}

fn load(dir: &Path) -> Lalm {
    Lalm::load(dir, &Device::flex()).unwrap()
}

/// Adapters on every linear layer of the model that change it a good deal.
fn adapters(lalm: &Lalm) -> Adapters {
    let config = LoraConfig { rank: 4, alpha: 8.0, modules: AdaptedModules::All, ..LoraConfig::default() };
    let mut adapters = Adapters::init(lalm, &config, 3).unwrap();
    for pair in adapters.modules.values_mut() {
        let [rank, _] = pair.a.dims();
        let out = pair.b.dims()[0];
        let wave: Vec<f32> = (0..out * rank).map(|i| 0.05 * (i as f32 * 0.37).sin()).collect();
        pair.b = Tensor::<1>::from_data(wave.as_slice(), &Device::flex()).reshape([out, rank]);
    }
    adapters
}

/// A folder with an adapter of `base` in `adapter`.
fn desk(base: &Path) -> (TempDir, Adapters) {
    let dir = tempfile::tempdir().unwrap();
    let adapters = adapters(&load(base));
    adapters.save(&dir.path().join("adapter"), "base").unwrap();
    (dir, adapters)
}

fn merge(
    desk: &TempDir,
    base: &Path,
    dtype: Option<StoredDtype>,
    shard_bytes: u64,
) -> Result<Merged, ModelError> {
    let merge = Merge::open(base, &desk.path().join("adapter"), dtype)?;
    let mut advanced = 0;
    let expected = merge.bytes();
    let merged =
        merge.write(&desk.path().join("out"), shard_bytes, "card", &mut |bytes| advanced += bytes)?;
    assert_eq!((advanced, merged.bytes), (expected, expected));
    Ok(merged)
}

/// The logits of every token of a chat about a clip.
fn logits(lalm: &Lalm, adapters: Option<&Adapters>) -> Vec<f32> {
    let mel: LogMel = lalm.mel.log_mel_file(&tiny().join("a.wav")).unwrap();
    let messages = [Message::from_tagged("user", "<audio>what is heard")];
    let ids = lalm.tokenizer.prompt_ids(&messages, &[lalm.mel.tokens(&mel)]).unwrap();
    let batch = TokenBatch::left_padded(&[ids], lalm.tokenizer.pad_id());
    let context = ForwardContext { adapters, dropout_seed: None };
    let embeds = lalm.embed_mels(&batch, &[vec![&mel]], &context).unwrap();
    let hidden = lalm.decoder.hidden(embeds, &batch.mask, &context, None);
    let [_, seq, width] = hidden.dims();
    lalm.decoder.logits(hidden.reshape([seq, width])).into_data().iter::<f32>().collect()
}

fn worst(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Stored tensors by their names in the files: type, shape, bytes.
type Stored = BTreeMap<String, (String, Vec<usize>, Vec<u8>)>;

fn stored(dir: &Path) -> Stored {
    let mut found = Stored::new();
    for path in weight_files(dir) {
        let bytes = read(&path).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let entry = (format!("{:?}", view.dtype()), view.shape().to_vec(), view.data().to_vec());
            assert!(found.insert(name, entry).is_none());
        }
    }
    found
}

fn weight_files(dir: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| {
            path.to_string_lossy().ends_with(".safetensors") && !path.ends_with("golden.safetensors")
        })
        .collect()
}

fn floats(entry: &(String, Vec<usize>, Vec<u8>)) -> Vec<f32> {
    let halves = |bytes: &[u8]| f32::from(bf16::from_le_bytes([bytes[0], bytes[1]]));
    let wholes = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    match entry.0.as_str() {
        "BF16" => entry.2.chunks_exact(2).map(halves).collect(),
        _ => entry.2.chunks_exact(4).map(wholes).collect(),
    }
}

#[test]
fn the_merged_model_gives_the_logits_of_base_and_adapter() {
    for base in [repo("checkpoints/mini-lalm"), tiny()] {
        let (desk, adapters) = desk(&base);
        let merged = merge(&desk, &base, Some(StoredDtype::F32), 1 << 40).unwrap();
        assert_eq!((merged.shards, merged.changed), (1, adapters.modules.len()));
        let lalm = load(&base);
        let expected = logits(&lalm, Some(&adapters));
        assert!(worst(&expected, &logits(&lalm, None)) > 0.1, "the adapter must change something");
        let size = expected.iter().fold(0.0_f32, |size, value| size.max(value.abs()));
        let off = worst(&expected, &logits(&load(&desk.path().join("out")), None)) / size;
        assert!(off < 1e-5, "{}: off by {off:e} of the largest logit", base.display());
    }
}

#[test]
fn what_the_adapter_leaves_alone_keeps_its_bytes_and_what_it_changes_is_rounded_once() {
    let (desk, adapters) = desk(&tiny());
    merge(&desk, &tiny(), None, 1 << 40).unwrap();
    let (before, after) = (stored(&tiny()), stored(&desk.path().join("out")));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (name, old) in &before {
        let new = &after[name];
        let Some(pair) = name.strip_suffix(".weight").and_then(|module| adapters.modules.get(module)) else {
            assert!(old == new, "{name}");
            continue;
        };
        assert_eq!((&new.0, &new.1), (&"BF16".to_owned(), &old.1), "{name}");
        let update = pair.b.clone().matmul(pair.a.clone()).mul_scalar(pair.scale);
        let update: Vec<f32> = update.into_data().iter::<f32>().collect();
        let (old, new) = (floats(old), floats(new));
        for ((old, update), new) in old.iter().zip(&update).zip(&new) {
            let exact = old + update;
            assert!((new - exact).abs() <= exact.abs() / 256.0 + 1e-6, "{name}: {new} is not {exact}");
        }
        assert_ne!(old, new, "{name}");
    }
}

#[test]
fn a_sharded_base_with_other_names_keeps_its_names_and_is_split_anew() {
    let base = tempfile::tempdir().unwrap();
    for (name, path) in idk_common::paths::regular_files(&tiny()).unwrap() {
        let name = name.strip_prefix("sharded_v5names/").unwrap_or(&name).to_owned();
        if !name.contains('/') && name != "model.safetensors" && name != "golden.safetensors" {
            write_atomic(&base.path().join(name), &read(&path).unwrap()).unwrap();
        }
    }
    let (desk, adapters) = desk(base.path());
    let limit = 60_000;
    let merged = merge(&desk, base.path(), None, limit).unwrap();
    let out = desk.path().join("out");
    let index: Value = read_json(&out.join("model.safetensors.index.json")).unwrap();
    let map = index["weight_map"].as_object().unwrap();
    let files = weight_files(&out);
    assert!(merged.shards > 4 && files.len() == merged.shards);
    for path in &files {
        let bytes = read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let total: usize = file.tensors().iter().map(|(_, view)| view.data().len()).sum();
        assert!(total as u64 <= limit || file.len() == 1, "{}: {total}", path.display());
        for name in file.names() {
            assert_eq!(map[name], path.file_name().unwrap().to_str().unwrap());
        }
    }
    assert_eq!(map.len(), merged.tensors);
    assert_eq!(index["metadata"]["total_size"], json!(merged.bytes));
    let names = |dir: &Path| stored(dir).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&out), names(base.path()));

    // As one file, the same model.
    let whole = desk.path().join("whole");
    let one = Merge::open(base.path(), &desk.path().join("adapter"), None).unwrap();
    one.write(&whole, 1 << 40, "card", &mut |_| {}).unwrap();
    assert_eq!(stored(&whole), stored(&out));
    assert_eq!(logits(&load(&whole), None), logits(&load(&out), None));
    assert_eq!(adapters.modules.len(), merged.changed);
}

#[test]
fn tokenizer_and_settings_are_copied_byte_for_byte_and_a_new_type_is_noted() {
    let (desk, _) = desk(&tiny());
    merge(&desk, &tiny(), None, 1 << 40).unwrap();
    let out = desk.path().join("out");
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"] {
        assert_eq!(read(&out.join(name)).unwrap(), read(&tiny().join(name)).unwrap(), "{name}");
    }
    assert_eq!(read(&out.join("README.md")).unwrap(), b"card");

    std::fs::remove_dir_all(&out).unwrap();
    merge(&desk, &tiny(), Some(StoredDtype::F16), 1 << 40).unwrap();
    assert!(stored(&out).values().all(|(dtype, ..)| dtype == "F16"));
    let (before, mut after): (Value, Value) =
        (read_json(&tiny().join("config.json")).unwrap(), read_json(&out.join("config.json")).unwrap());
    assert_eq!([&after["torch_dtype"], &after["text_config"]["torch_dtype"]], ["float16"; 2]);
    after["torch_dtype"] = json!("bfloat16");
    after["text_config"]["torch_dtype"] = json!("bfloat16");
    assert_eq!(before, after);
}

#[test]
fn nothing_is_written_over_and_nothing_half_is_left() {
    let (desk, _) = desk(&tiny());
    let out = desk.path().join("out");
    write_atomic(&out.join("notes.txt"), b"mine").unwrap();
    let refused = merge(&desk, &tiny(), None, 1 << 40);
    assert!(matches!(refused, Err(ModelError::NotEmpty { .. })), "{refused:?}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 1);
    std::fs::remove_dir_all(&out).unwrap();

    // A value that is found out only while writing, and one too large for the type.
    let base = tempfile::tempdir().unwrap();
    for (name, path) in idk_common::paths::regular_files(&tiny()).unwrap() {
        if !name.contains('/') && name != "golden.safetensors" {
            write_atomic(&base.path().join(&name), &read(&path).unwrap()).unwrap();
        }
    }
    let weights = base.path().join("model.safetensors");
    let whole = read(&weights).unwrap();
    for (value, dtype) in [(bf16::NAN, None), (bf16::from_f32(1e6), Some(StoredDtype::F16))] {
        let mut bytes = whole.clone();
        let last = bytes.len() - 2;
        bytes[last..].copy_from_slice(&value.to_le_bytes());
        write_atomic(&weights, &bytes).unwrap();
        let failed = merge(&desk, base.path(), dtype, 1 << 40);
        assert!(matches!(failed, Err(ModelError::NonFinite { .. })), "{failed:?}");
        let left: Vec<_> =
            std::fs::read_dir(desk.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["adapter"]);
    }
}

#[test]
fn a_base_that_does_not_fit_the_adapter_is_refused_by_name() {
    let (desk, _) = desk(&tiny());
    let error = merge(&desk, &repo("checkpoints/mini-lalm"), None, 1 << 40).unwrap_err().to_string();
    assert!(error.contains("no tensors for modules") && error.contains("audio_tower.layers.2"), "{error}");

    let config = desk.path().join("adapter/adapter_config.json");
    let mut changed: Value = read_json(&config).unwrap();
    changed["use_dora"] = json!(true);
    write_json(&config, &changed).unwrap();
    let error = merge(&desk, &tiny(), None, 1 << 40).unwrap_err().to_string();
    assert!(error.contains("`use_dora`"), "{error}");
    assert!(!desk.path().join("out").exists());
}
