//! Promises about the store of clips and their features.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: a failure is the test's")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use burn::tensor::Tensor;
use idk_common::progress::Progress;
use idk_model::{
    AdaptedModules, Adapters, Clip, EncoderState, FeatureCounts, FeatureLimits, FeatureStore, ForwardContext,
    Lalm, LoraConfig, ModelError, device,
};
use rayon::prelude::*;

fn lalm() -> Lalm {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny");
    Lalm::load(&dir, &device("cpu").unwrap()).unwrap()
}

/// Recordings of several lengths.
fn recordings(dir: &Path, count: usize) -> Vec<PathBuf> {
    let write = |index: usize| {
        let path = dir.join(format!("{index}.wav"));
        let sample = |place: usize| ((place * (index + 2)) as f32 * 0.01).sin() * 0.3;
        idk_audio::write_wav(&path, &(0..3000 + 1700 * index).map(sample).collect::<Vec<_>>(), 16_000)
            .unwrap();
        path
    };
    (0..count).map(write).collect()
}

fn limits(memory_bytes: u64, disk_dir: &Path, disk_bytes: u64) -> FeatureLimits {
    FeatureLimits { memory_bytes, disk_dir: disk_dir.to_owned(), disk_bytes }
}

fn in_memory(bytes: u64) -> FeatureStore {
    FeatureStore::new("model", limits(bytes, Path::new(""), 0))
}

fn clips(store: &FeatureStore, lalm: &Lalm, paths: &[PathBuf]) -> Vec<Clip> {
    paths.par_iter().map(|path| store.clip(path, &lalm.mel).unwrap()).collect()
}

fn values(features: Vec<Tensor<2>>) -> Vec<Vec<f32>> {
    features.into_iter().map(|features| features.try_to_vec_as().unwrap()).collect()
}

fn features(store: &FeatureStore, encoder: &EncoderState<'_>, clips: &[Clip]) -> Vec<Vec<f32>> {
    values(store.features(encoder, clips, &|warning| panic!("{warning}")).unwrap())
}

fn counts(decoded: u64, encoded: u64) -> FeatureCounts {
    FeatureCounts { decoded, encoded }
}

/// Adapters of the audio encoder that change what it computes.
fn audio_adapters(lalm: &Lalm) -> Adapters {
    let lora = LoraConfig { modules: AdaptedModules::AudioTower, ..LoraConfig::default() };
    let mut adapters = Adapters::init(lalm, &lora, 1).unwrap();
    for pair in adapters.modules.values_mut() {
        pair.b = pair.b.clone().add_scalar(0.02);
    }
    adapters
}

#[test]
fn a_file_is_decoded_and_encoded_once_however_often_it_is_asked_for() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let paths = recordings(dir.path(), 5);
    let (store, encoder) = (in_memory(1 << 20), EncoderState::base(&lalm));
    let twice = [paths.as_slice(), &paths].concat();
    let clips = clips(&store, &lalm, &twice);
    assert_eq!(store.counts(), counts(5, 0));
    let first = features(&store, &encoder, &clips);
    store.keep(&encoder, &clips, |_| panic!("nothing is left to do"), &|_| ()).unwrap();
    assert_eq!(first, features(&store, &encoder, &clips));
    assert_eq!(store.counts(), counts(5, 5));
}

#[test]
fn features_are_those_of_the_encoder_wherever_they_come_from() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let paths = recordings(dir.path(), 5);
    let encoder = EncoderState::base(&lalm);
    let alone = |path: &PathBuf| {
        let mel = lalm.mel.log_mel_file(path).unwrap();
        lalm.encode_audio(&[&mel], &ForwardContext::default()).unwrap().remove(0)
    };
    let expected = values(paths.iter().map(alone).collect());
    let cache = dir.path().join("cache");
    // Room for the features of two clips, and for nothing but spectrograms.
    let two = 4 * (expected[0].len() + expected[1].len()) as u64;
    for (what, limits, encoded) in [
        ("memory", limits(1 << 20, Path::new(""), 0), 5),
        ("some of it", limits(two, Path::new(""), 0), 8),
        ("nowhere", limits(0, Path::new(""), 0), 10),
        ("disk", limits(0, &cache, 1 << 20), 5),
        ("disk again", limits(0, &cache, 1 << 20), 0),
        ("disk, then memory", limits(1 << 20, &cache, 1 << 20), 0),
    ] {
        let store = FeatureStore::new("model", limits);
        let clips = clips(&store, &lalm, &paths);
        for _ in 0..2 {
            assert!(features(&store, &encoder, &clips) == expected, "{what}");
        }
        assert_eq!(store.counts().encoded, encoded, "{what}");
    }
    // Another model's features are not read, and without a hash nothing is stored.
    let other = FeatureStore::new("other", limits(0, &cache, 1 << 20));
    assert!(features(&other, &encoder, &clips(&other, &lalm, &paths)) == expected);
    assert_eq!(other.counts().encoded, 5);
    let files = std::fs::read_dir(&cache).unwrap().count();
    let nameless = FeatureStore::new("", limits(0, &cache, 1 << 20));
    features(&nameless, &encoder, &clips(&nameless, &lalm, &paths));
    assert_eq!((files, std::fs::read_dir(&cache).unwrap().count()), (10, 10));
}

#[test]
fn each_state_of_the_encoder_has_features_of_its_own() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let (store, paths) = (in_memory(1 << 20), recordings(dir.path(), 2));
    let clips = clips(&store, &lalm, &paths);
    let base = features(&store, &EncoderState::base(&lalm), &clips);

    let of_language = Adapters::init(&lalm, &LoraConfig::default(), 1).unwrap();
    let same = EncoderState::adapted(&lalm, &of_language).unwrap();
    assert!(features(&store, &same, &clips) == base);
    assert_eq!(store.counts().encoded, 2, "the language model's adapters change no features");

    let adapters = audio_adapters(&lalm);
    let adapted = EncoderState::adapted(&lalm, &adapters).unwrap();
    let changed = features(&store, &adapted, &clips);
    let mel = lalm.mel.log_mel_file(&paths[1]).unwrap();
    let context = ForwardContext { adapters: Some(&adapters), dropout_seed: None };
    assert!(changed[1] == values(lalm.encode_audio(&[&mel], &context).unwrap())[0] && changed != base);
    assert!(features(&store, &adapted, &clips) == changed);
    assert_eq!(store.counts().encoded, 4);
    let half = adapters.scaled(0.5);
    features(&store, &EncoderState::adapted(&lalm, &half).unwrap(), &clips);
    assert_eq!(store.counts().encoded, 6);
}

#[test]
fn what_is_forgotten_is_made_again_even_between_reading_and_encoding() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let (store, encoder) = (in_memory(1 << 20), EncoderState::base(&lalm));
    let clips = clips(&store, &lalm, &recordings(dir.path(), 3));
    let first = features(&store, &encoder, &clips);
    let loaded = store.load(&encoder, &clips).unwrap();
    store.clear();
    assert!(values(store.finish(&encoder, loaded, &|_| ()).unwrap()) == first);
    assert_eq!(store.counts(), counts(6, 6));
}

#[test]
fn keeping_encodes_the_first_clips_as_long_as_there_is_room() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let encoder = EncoderState::base(&lalm);
    let paths = recordings(dir.path(), 4);
    let bytes = |path: &PathBuf| {
        4 * Clip::of_file(path, &lalm.mel).unwrap().audio_tokens() * lalm.config.text.hidden_size
    };
    let sizes: Vec<usize> = paths.iter().map(bytes).collect();
    let store = in_memory((sizes[0] + sizes[1]) as u64);
    let clips = clips(&store, &lalm, &paths);
    let asked = Mutex::new(0);
    let progress = |clips| {
        *asked.lock().unwrap() = clips;
        Progress::hidden()
    };
    store.keep(&encoder, &clips, progress, &|_| ()).unwrap();
    assert_eq!((*asked.lock().unwrap(), store.counts().encoded), (2, 2));
    features(&store, &encoder, &clips[..2]);
    assert_eq!(store.counts().encoded, 2);
}

#[test]
fn a_file_that_has_changed_is_another_clip_and_the_old_one_cannot_be_read_any_more() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    // Without memory every use decodes the file.
    let (store, encoder) = (in_memory(0), EncoderState::base(&lalm));
    let paths = recordings(dir.path(), 2);
    let old = store.clip(&paths[0], &lalm.mel).unwrap();
    std::fs::copy(&paths[1], &paths[0]).unwrap();
    let new = store.clip(&paths[0], &lalm.mel).unwrap();
    assert!(old.sha256() != new.sha256() && new.audio_tokens() > old.audio_tokens());
    let error = store.load(&encoder, &[old]).unwrap_err();
    assert!(matches!(&error, ModelError::RecordingChanged { path } if *path == paths[0]), "{error}");
    assert!(store.load(&encoder, &[new]).is_ok());
}

#[test]
fn a_clip_knows_whether_it_is_cut_and_what_is_remarkable_about_it() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let store = in_memory(1 << 20);
    let window = lalm.mel.config().window_samples();
    for (samples, value, is_cut) in [(window, 0.2, false), (window + 1, 0.0, true)] {
        let path = dir.path().join(format!("{samples}.wav"));
        idk_audio::write_wav(&path, &vec![value; samples], 16_000).unwrap();
        let clip = store.clip(&path, &lalm.mel).unwrap();
        assert_eq!((clip.is_cut(), clip.notes().silent), (is_cut, is_cut));
    }
}
