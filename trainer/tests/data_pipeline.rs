//! Promises about how recordings reach the training: read when needed, encoded once, kept in memory or on the disk.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::diagnose::Diagnose;
use idk_common::progress::Progress;
use idk_model::{AdaptedModules, Lalm, LoraConfig, Message, ModelError};
use idk_trainer::{
    Clip, DpoConfig, TrainConfig, TrainError, TrainRun, TrainingRow, Validation, clips_of_rows,
};
use support::{Setup, fixture, kill_after, lalm, lora, train_dpo, train_lora, tree};

/// Recordings of several lengths: the beginnings of one.
fn recordings(dir: &Path, count: usize) -> Vec<PathBuf> {
    let rate = 16_000;
    let tone = |index: usize| move |place: usize| ((place * (index + 2)) as f32 * 0.01).sin() * 0.3;
    (0..count)
        .map(|index| {
            let path = dir.join(format!("{index}.wav"));
            let samples: Vec<f32> = (0..2000 + 1700 * (index * 7 % 5)).map(tone(index)).collect();
            idk_audio::write_wav(&path, &samples, rate).unwrap();
            path
        })
        .collect()
}

fn clips(lalm: &Lalm, paths: &[PathBuf]) -> Vec<Clip> {
    paths.iter().map(|path| Clip::of_file(path, &lalm.mel).unwrap()).collect()
}

/// Every recording is asked about by two rows that do not follow each other.
fn examples(clips: &[Clip]) -> Vec<TrainingRow> {
    let example = |index: usize| TrainingRow {
        id: format!("row-{index}"),
        audio: vec![clips[index % clips.len()].clone()],
        messages: vec![Message::from_tagged(
            "user",
            &format!("<audio>{}", ["what is heard", "how many"][index / clips.len()]),
        )],
        answers: vec![["dog", "two cats", "I don't know"][index % 3].to_owned()],
        error_rate: None,
    };
    (0..2 * clips.len()).map(example).collect()
}

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 2,
        batch_size: 2,
        gradient_accumulation_steps: 2,
        learning_rate: 5e-3,
        save_every: 1,
        save_total_limit: 0,
        eval_every: 2,
        ..TrainConfig::default()
    }
}

/// Trains in a folder of its own and returns the files that it leaves.
fn trained(
    rows: &[TrainingRow],
    lora: &LoraConfig,
    config: &TrainConfig,
) -> (BTreeMap<String, Vec<u8>>, Setup) {
    let (lalm, setup) = (lalm(), Setup::new());
    let (train, val) = rows.split_at(rows.len() - 3);
    setup
        .with(false, None, |run| train_lora(&lalm, lora, train, Validation::of_rows(val), config, run))
        .unwrap();
    (tree(&setup.run.root), setup)
}

#[test]
fn the_adapter_is_the_same_bytes_with_features_in_memory_on_disk_in_both_or_nowhere() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let rows = examples(&clips(&lalm, &recordings(dir.path(), 6)));
    let in_memory = trained(&rows, &lora(), &config()).0;
    let cache = dir.path().join("cache");
    let keep = |memory: u64, disk: u64| TrainConfig {
        feature_cache_mib: memory,
        feature_cache_dir: cache.clone(),
        feature_cache_disk_mib: disk,
        ..config()
    };
    let nowhere = TrainConfig { feature_cache_mib: 0, ..config() };
    // On the disk: written by the first, read by the second, which could not tell if nothing was stored.
    for (what, config) in [
        ("nowhere", nowhere),
        ("no room", keep(0, 0)),
        ("disk", keep(0, 1)),
        ("disk again", keep(0, 1)),
        ("both", keep(1, 1)),
    ] {
        assert!(in_memory == trained(&rows, &lora(), &config).0, "{what}");
    }
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 6, "one file per distinct recording");
}

#[test]
fn a_recording_that_is_stored_is_not_encoded_again_by_another_method() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let clips = clips(&lalm, &recordings(dir.path(), 6));
    let cache = dir.path().join("cache");
    let config = TrainConfig { feature_cache_dir: cache.clone(), feature_cache_mib: 0, ..config() };
    trained(&examples(&clips), &lora(), &config);
    let stored = |dir: &Path| -> BTreeMap<PathBuf, std::time::SystemTime> {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries.map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap())).collect()
    };
    let before = stored(&cache);
    let pair = |index: usize| TrainingRow {
        id: format!("pair-{index}"),
        audio: vec![clips[index % 6].clone()],
        messages: vec![Message::from_tagged("user", "<audio>what is heard")],
        answers: vec!["dog".to_owned(), "I don't know".to_owned()],
        error_rate: None,
    };
    let pairs: Vec<TrainingRow> = (0..8).map(pair).collect();
    let dpo = |config: &TrainConfig| {
        let setup = Setup::new();
        let (train, val) = pairs.split_at(6);
        let train = |run: TrainRun<'_>| {
            train_dpo(&lalm, &lora(), train, Validation::of_rows(val), config, &DpoConfig::default(), run)
        };
        setup.with(false, None, train).unwrap();
        tree(&setup.run.root)
    };
    let from_disk = dpo(&config);
    assert_eq!(before, stored(&cache), "nothing was written again");
    assert!(from_disk == dpo(&TrainConfig { feature_cache_dir: PathBuf::new(), ..config }));
}

#[test]
fn a_damaged_entry_is_encoded_again_with_one_warning_and_repaired() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let rows = examples(&clips(&lalm, &recordings(dir.path(), 6)));
    let cache = dir.path().join("cache");
    let config = TrainConfig { feature_cache_dir: cache.clone(), feature_cache_mib: 0, ..config() };
    let (whole, _) = trained(&rows, &lora(), &config);
    let good = tree(&cache);
    for (name, bytes) in good.iter().take(2) {
        let mut bytes = bytes.clone();
        bytes[100] ^= 4;
        idk_common::fs::write_atomic(&cache.join(name), &bytes).unwrap();
    }
    let (again, setup) = trained(&rows, &lora(), &config);
    assert!(whole == again);
    assert_eq!(good, tree(&cache));
    let warnings = setup.warnings.lock().unwrap();
    assert!(warnings.len() == 1 && warnings[0].contains("damaged"), "{warnings:?}");
}

#[test]
fn trainings_that_share_the_features_of_a_run_decode_and_encode_a_recording_once() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let paths = recordings(dir.path(), 6);
    let store = config().feature_store("tiny");
    let read = || -> Vec<Clip> { paths.iter().map(|path| store.clip(path, &lalm.mel).unwrap()).collect() };
    let alone = trained(&examples(&read()), &lora(), &config()).0;
    for _ in 0..2 {
        let (rows, setup) = (examples(&read()), Setup::new());
        let (train, val) = rows.split_at(rows.len() - 3);
        let train = |run: TrainRun<'_>| {
            let run = TrainRun { features: Some(&store), ..run };
            train_lora(&lalm, &lora(), train, Validation::of_rows(val), &config(), run)
        };
        setup.with(false, None, train).unwrap();
        assert!(alone == tree(&setup.run.root));
    }
    assert_eq!((store.counts().decoded, store.counts().encoded), (6, 6));
}

#[test]
fn an_encoder_that_is_trained_is_never_read_from_a_cache() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let rows = examples(&clips(&lalm, &recordings(dir.path(), 4)));
    let lora = LoraConfig { modules: AdaptedModules::All, target_modules: r".*\.q_proj".into(), ..lora() };
    let cache = dir.path().join("cache");
    let config = TrainConfig { feature_cache_dir: cache.clone(), ..config() };
    trained(&rows, &lora, &config);
    assert!(!cache.exists());
}

#[test]
fn a_run_over_files_that_is_killed_and_resumed_with_another_cache_leaves_the_same_bytes() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let rows = examples(&clips(&lalm, &recordings(dir.path(), 6)));
    let config = TrainConfig { group_by_length: 2, ..config() };
    let lora = LoraConfig { dropout: 0.2, ..lora() };
    let whole = Setup::new();
    let train = |setup: &Setup, resume: bool, config: &TrainConfig| {
        setup
            .with(resume, None, |run| train_lora(&lalm, &lora, &rows, Validation::none(), config, run))
            .unwrap()
    };
    train(&whole, false, &config);
    let files = tree(&whole.run.root);
    for step in [1, 3, 4] {
        let cut = Setup::new();
        kill_after(step, &whole.run, &cut.run);
        let other = TrainConfig { feature_cache_mib: 0, ..config.clone() };
        assert_eq!(train(&cut, true, &other).1.resumed_from, Some(step));
        assert!(files == tree(&cut.run.root), "killed after step {step}");
    }
}

#[test]
fn sorting_the_rows_of_a_step_by_length_changes_its_loss_by_rounding_alone() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let rows = examples(&clips(&lalm, &recordings(dir.path(), 6)));
    let losses = |group_by_length: u64| -> Vec<f64> {
        let (_, setup) = trained(&rows, &lora(), &TrainConfig { group_by_length, ..config() });
        let rows = idk_trainer::read_metrics(&setup.run).unwrap();
        rows.iter().filter_map(|row| row.get("loss")?.as_f64()).collect()
    };
    let (as_they_come, sorted, mixed) = (losses(0), losses(1), losses(3));
    assert_eq!(as_they_come.len(), sorted.len());
    for (one, other) in as_they_come.iter().zip(&sorted) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
    assert!(as_they_come.iter().zip(&mixed).any(|(one, other)| (one - other).abs() > 1e-3));
}

#[test]
fn the_number_of_tokens_of_a_file_is_known_without_its_spectrogram() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let mut paths = recordings(dir.path(), 5);
    // Of another rate, and longer than the window.
    for (name, rate, samples) in
        [("r.wav", 44_100, 50_001), ("s.wav", 8_000, 8_001), ("t.wav", 16_000, 31 * 16_000)]
    {
        paths.push(dir.path().join(name));
        idk_audio::write_wav(paths.last().unwrap(), &vec![0.1; samples], rate).unwrap();
    }
    for clip in clips(&lalm, &paths) {
        assert_eq!(clip.audio_tokens(), lalm.mel.tokens(&clip.mel(&lalm.mel).unwrap()));
    }
}

#[test]
fn a_recording_that_cannot_be_used_is_found_before_training_and_named_with_its_row() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let mut paths = recordings(dir.path(), 3);
    let bytes = std::fs::read(&paths[1]).unwrap();
    paths[1] = dir.path().join("cut.wav");
    idk_common::fs::write_atomic(&paths[1], &bytes[..bytes.len() / 2]).unwrap();
    paths.push(dir.path().join("short.wav"));
    idk_audio::write_wav(&paths[3], &[0.1; 100], 16_000).unwrap();
    let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    let row = |index: usize| (["a", "b", "c", "d"][index], &names[index..=index]);
    let read = |rows: &[(&str, &[String])]| {
        clips_of_rows(rows, &TrainConfig::default().feature_store(""), &lalm.mel, |_| Progress::hidden())
    };
    assert_eq!(read(&[row(0), row(2), row(0)]).unwrap().len(), 3);
    for (bad, file, what) in [(1, "cut.wav", "cut off"), (3, "short.wav", "too short")] {
        let error = read(&[row(0), row(bad), row(2)]).unwrap_err();
        assert!(error.to_string().contains(&format!("`{}`", row(bad).0)), "{error}");
        let TrainError::Clip { source, .. } = &error else { panic!("{error}") };
        assert!(source.to_string().contains(file) && source.to_string().contains(what), "{source}");
    }
}

#[test]
fn a_recording_that_changes_or_goes_during_the_run_stops_it_and_is_named() {
    let (lalm, dir) = (lalm(), tempfile::tempdir().unwrap());
    let paths = recordings(dir.path(), 3);
    let rows = examples(&clips(&lalm, &paths));
    let train = || {
        let setup = Setup::new();
        let train = |run: TrainRun<'_>| train_lora(&lalm, &lora(), &rows, Validation::none(), &config(), run);
        setup.with(false, None, train).unwrap_err()
    };
    std::fs::copy(&paths[0], &paths[1]).unwrap();
    let is_changed = |error: &TrainError| {
        matches!(error, TrainError::Model(model)
            if matches!(&**model, ModelError::RecordingChanged { path } if *path == paths[1]))
    };
    let error = train();
    assert!(is_changed(&error), "{error}");
    assert!(error.hint().is_some());
    std::fs::remove_file(&paths[1]).unwrap();
    let error = train();
    assert!(is_changed(&error) && error.to_string().contains("1.wav"), "{error}");
    assert!(fixture().exists());
}
