//! What the tests of training share: the tiny model, a run folder of one's own, and what a kill leaves of a run.
#![allow(dead_code, reason = "each test program uses its own part of this file")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use idk_audio::LogMel;
use idk_common::progress::Progress;
use idk_common::{Identity, RunDir};
use idk_model::{Adapters, Device, Lalm, LoraConfig, device};
use idk_trainer::testing::{
    AudioInput, Gradients, RowTokens, StepGradients, TrainingBatch, adapter_gradients, dpo_loss, sft_loss,
};
use idk_trainer::{
    AdapterConfig, Clip, DpoConfig, MethodConfig, TrainConfig, TrainError, TrainReport, TrainRun,
    TrainingRow, Validation, train_adapters,
};

pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/qwen2-audio-tiny")
}

pub(crate) fn cpu() -> Device {
    device("cpu").unwrap()
}

pub(crate) fn lalm() -> Lalm {
    Lalm::load(&fixture(), &cpu()).unwrap()
}

pub(crate) fn clip(lalm: &Lalm, name: &str) -> LogMel {
    lalm.mel.log_mel_file(&fixture().join(name)).unwrap()
}

pub(crate) fn mels(lalm: &Lalm, clips: &[Clip]) -> Vec<LogMel> {
    clips.iter().map(|clip| Arc::unwrap_or_clone(clip.mel(&lalm.mel).unwrap())).collect()
}

pub(crate) fn lora() -> LoraConfig {
    LoraConfig { rank: 4, alpha: 8.0, ..LoraConfig::default() }
}

/// Rows as a batch with their spectrograms.
pub(crate) fn batch(lalm: &Lalm, rows: &[TrainingRow]) -> TrainingBatch {
    let tokens: Vec<RowTokens> = rows.iter().map(|row| RowTokens::of(lalm, row).unwrap()).collect();
    let audio = AudioInput::Mels(rows.iter().map(|row| mels(lalm, &row.audio)).collect());
    let ids = rows.iter().map(|row| row.id.clone()).collect();
    TrainingBatch::collate(ids, (0..rows.len()).collect(), &tokens, audio, lalm.tokenizer.pad_id())
}

pub(crate) fn sft_gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[TrainingBatch],
    dropout_seeds: &[u64],
) -> StepGradients {
    adapter_gradients(lalm, adapters, batches, dropout_seeds, &sft_loss).unwrap()
}

pub(crate) fn dpo_gradients(
    lalm: &Lalm,
    adapters: &Adapters,
    batches: &[TrainingBatch],
    config: &DpoConfig,
) -> StepGradients {
    adapter_gradients(lalm, adapters, batches, &[], &|nll, batch, totals| {
        dpo_loss(config, nll, batch, totals)
    })
    .unwrap()
}

pub(crate) fn train_lora(
    lalm: &Lalm,
    lora: &LoraConfig,
    rows: &[TrainingRow],
    validation: Validation<'_>,
    train: &TrainConfig,
    run: TrainRun<'_>,
) -> Result<(Adapters, TrainReport), TrainError> {
    train_adapters(
        lalm,
        AdapterConfig { lora, train, method: MethodConfig::Sft, grader: None },
        rows,
        validation,
        run,
    )
}

pub(crate) fn train_dpo(
    lalm: &Lalm,
    lora: &LoraConfig,
    rows: &[TrainingRow],
    validation: Validation<'_>,
    train: &TrainConfig,
    dpo: &DpoConfig,
    run: TrainRun<'_>,
) -> Result<(Adapters, TrainReport), TrainError> {
    let config = AdapterConfig { lora, train, method: MethodConfig::Dpo(dpo), grader: None };
    train_adapters(lalm, config, rows, validation, run)
}

/// Adapters whose B is not zero, so that every gradient is.
pub(crate) fn trained_adapters(lalm: &Lalm) -> Adapters {
    Adapters::load(&fixture().join("lora_adapter"), lalm).unwrap()
}

pub(crate) struct Setup {
    _dir: tempfile::TempDir,
    pub(crate) run: RunDir,
    identity: Identity,
    pub(crate) warnings: Mutex<Vec<String>>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path().join("run"));
        let identity = Identity::default().with("model", "tiny");
        Self { _dir: dir, run, identity, warnings: Mutex::new(Vec::new()) }
    }

    pub(crate) fn with<R>(
        &self,
        resume: bool,
        stop: Option<&AtomicBool>,
        f: impl FnOnce(TrainRun<'_>) -> R,
    ) -> R {
        let warn = |text: &str| self.warnings.lock().unwrap().push(text.to_owned());
        f(TrainRun {
            dir: &self.run,
            seed: 7,
            base_name: "tiny",
            identity: &self.identity,
            resume,
            allow_changes: &[],
            stop,
            warn: &warn,
            features: None,
            progress: |_, _| Progress::hidden(),
        })
    }
}

/// Names and bytes of the files below `dir`, event files (wall times) left out.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.to_string_lossy().contains("tfevents") {
                let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                files.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    files
}

pub(crate) fn assert_same_tree(left: &RunDir, right: &RunDir, what: &str) {
    let (left, right) = (tree(&left.root), tree(&right.root));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &left {
        assert!(*bytes == right[name], "{what}: {name} differs");
    }
}

/// Leaves in `to` what a kill after the checkpoint of `step` leaves of `from`: a log that is ahead, no adapter.
pub(crate) fn kill_after(step: u64, from: &RunDir, to: &RunDir) {
    for (name, bytes) in tree(&from.root) {
        idk_common::fs::write_atomic(&to.root.join(name), &bytes).unwrap();
    }
    std::fs::remove_dir_all(to.adapter()).unwrap();
    for later in step + 1.. {
        if std::fs::remove_dir_all(to.checkpoint(later)).is_err() {
            break;
        }
    }
}

pub(crate) fn flat_gradient(gradients: &Gradients, name: &str) -> Vec<f64> {
    let values: Vec<f32> = gradients.by_name[name].try_to_vec_as().unwrap();
    values.into_iter().map(f64::from).collect()
}

/// Fails unless all elements agree within `tolerance` times the norm (or 1).
pub(crate) fn assert_same_gradients(left: &Gradients, right: &Gradients, tolerance: f64) {
    assert_eq!(left.by_name.len(), right.by_name.len());
    let norm = left.norm().unwrap();
    assert!(norm > 1e-3, "the gradient must not vanish: {norm}");
    for name in left.by_name.keys() {
        for (a, b) in flat_gradient(left, name).iter().zip(flat_gradient(right, name)) {
            assert!((a - b).abs() < tolerance * norm.max(1.0), "{name}: {a} {b}");
        }
    }
}
