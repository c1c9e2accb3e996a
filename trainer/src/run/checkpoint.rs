//! Checkpoints: folders that are either complete or absent.
//!
//! A checkpoint is written into a hidden sibling folder, every file synced, its manifest (sizes and hashes) last,
//! and then renamed into place. Whatever kills the process, `checkpoints/` holds complete checkpoints and at most
//! one hidden leftover, which the next save removes. Not guaranteed: a disk that loses what it has confirmed; such
//! damage is found by the manifest when the checkpoint is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idk_common::diagnose::{Diagnose, ExitKind};
use idk_common::run_dir::{RunDir, folder_step, step_folder};
use idk_common::{fs, json, manifest};

use crate::error::TrainError;
use crate::run::state::{FORMAT_VERSION, TrainState};
use crate::step::AdamW;

const STATE_FILE: &str = "state.json";
const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const LAST_FILE: &str = "last";
const BEST_FILE: &str = "best";

/// Writes the checkpoint after `state.step` steps, reads it back, records it in `last` and the best one in `best`, and
/// only then removes checkpoints beyond the newest `save_total_limit` (0 keeps all), but never the best one.
///
/// `write_model` writes the trained tensors into the folder that it is given; it is called first and may replace
/// that folder. An existing checkpoint of the same step is replaced.
///
/// # Errors
/// Any failed write; checkpoints of other steps are then untouched.
pub(crate) fn save(
    run: &RunDir,
    state: &TrainState,
    optimizer: &AdamW,
    save_total_limit: usize,
    write_model: &mut dyn FnMut(&Path) -> Result<(), TrainError>,
) -> Result<PathBuf, TrainError> {
    let parent = run.checkpoints();
    fs::create_dir_all(&parent)?;
    let temporary = parent.join(format!(".tmp-{}", step_folder(state.step)));
    remove_leftovers(&parent)?;
    fs::create_dir_all(&temporary)?;
    write_model(&temporary)?;
    optimizer.save(&temporary.join(OPTIMIZER_FILE))?;
    json::write_json(&temporary.join(STATE_FILE), state)?;
    manifest::Manifest::of_dir(&temporary)?.write(&temporary)?;

    let target = run.checkpoint(state.step);
    if target.exists() {
        std::fs::remove_dir_all(&target).map_err(TrainError::io(&target, "replacing the checkpoint"))?;
    }
    fs::publish_dir(&temporary, &target)?;
    manifest::verify_dir(&target)?;
    settle(run, state, save_total_limit)?;
    Ok(target)
}

/// What a save ends with once its checkpoint is in place, and what a kill may have cut off: the newest and the best
/// checkpoint are named, unfinished folders and those beyond the newest `save_total_limit` are removed.
///
/// # Errors
/// [`TrainError::Common`] or [`TrainError::Io`] names what could not be written or removed.
pub(crate) fn settle(run: &RunDir, state: &TrainState, save_total_limit: usize) -> Result<(), TrainError> {
    let parent = run.checkpoints();
    remove_leftovers(&parent)?;
    fs::write_atomic(&parent.join(LAST_FILE), format!("{}\n", step_folder(state.step)).as_bytes())?;
    let best = state.selection.best.map(|best| best.step);
    if let Some(step) = best {
        fs::write_atomic(&parent.join(BEST_FILE), format!("{}\n", step_folder(step)).as_bytes())?;
    }
    if save_total_limit > 0 {
        prune(&parent, state.step, save_total_limit, best)?;
    }
    Ok(())
}

/// A checkpoint that was found good.
#[derive(Debug)]
pub struct Checkpoint {
    /// Its folder, with the trained tensors in it.
    pub path: PathBuf,
    /// Where the run stood.
    pub state: TrainState,
    /// One line for each newer checkpoint that had to be passed over.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// The optimiser state's file.
    pub fn optimizer_path(&self) -> PathBuf {
        self.path.join(OPTIMIZER_FILE)
    }
}

/// The newest checkpoint whose files are all as they were written; `None` if there is none.
///
/// A damaged one is passed over with a warning. Ones from a newer program are an error, not damage.
///
/// # Errors
/// [`TrainError::Checkpoint`] if checkpoints exist and none can be used, [`TrainError::Common`] if one cannot be read at
/// the moment.
pub fn load_newest(run: &RunDir) -> Result<Option<Checkpoint>, TrainError> {
    let folders = step_folders(&run.checkpoints())?;
    let mut warnings = Vec::new();
    for (_, path) in folders.iter().rev() {
        match read_verified(path) {
            Ok(state) if state.format_version == FORMAT_VERSION => {
                return Ok(Some(Checkpoint { path: path.clone(), state, warnings }));
            }
            Ok(state) => {
                let reason = format!(
                    "it has format version {}, this program reads {FORMAT_VERSION}",
                    state.format_version
                );
                return Err(TrainError::Checkpoint { path: path.clone(), reason });
            }
            // What cannot be read at the moment is not damaged: an older step must not be taken instead.
            Err(error) if error.exit_kind() == ExitKind::Io => return Err(error),
            Err(error) => {
                let shown = path.display();
                warnings.push(format!(
                    "the checkpoint {shown} is damaged and was passed over: {}",
                    error_chain(&error)
                ));
            }
        }
    }
    match (folders.last_key_value(), warnings.is_empty()) {
        (Some((_, path)), false) => {
            Err(TrainError::Checkpoint { path: path.clone(), reason: warnings.join("; ") })
        }
        _ => Ok(None),
    }
}

/// The folder of the checkpoint after `step` steps, once its files have been found to be as they were written.
///
/// # Errors
/// [`TrainError::Common`] names the first file that is missing or differs.
pub(crate) fn verified(run: &RunDir, step: u64) -> Result<PathBuf, TrainError> {
    let path = run.checkpoint(step);
    manifest::verify_dir(&path)?;
    Ok(path)
}

/// Whether the run folder holds any checkpoint, good or damaged.
///
/// # Errors
/// [`TrainError::Io`] if the folder cannot be listed.
pub(crate) fn any(run: &RunDir) -> Result<bool, TrainError> {
    Ok(!step_folders(&run.checkpoints())?.is_empty())
}

fn read_verified(path: &Path) -> Result<TrainState, TrainError> {
    manifest::verify_dir(path)?;
    Ok(json::read_json(&path.join(STATE_FILE))?)
}

/// Checkpoint folders by step, oldest first.
fn step_folders(parent: &Path) -> Result<BTreeMap<u64, PathBuf>, TrainError> {
    let mut folders = BTreeMap::new();
    for path in entries(parent)? {
        if let Some(step) = folder_step(&path).filter(|_| path.is_dir()) {
            folders.insert(step, path);
        }
    }
    Ok(folders)
}

fn entries(parent: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if !parent.exists() {
        return Ok(Vec::new());
    }
    let listed = std::fs::read_dir(parent).map_err(TrainError::io(parent, "listing the checkpoints"))?;
    listed.map(|entry| Ok(entry.map_err(TrainError::io(parent, "listing the checkpoints"))?.path())).collect()
}

/// Removes the unfinished folders of killed saves.
fn remove_leftovers(parent: &Path) -> Result<(), TrainError> {
    for path in entries(parent)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(".tmp-step-") {
            std::fs::remove_dir_all(&path)
                .map_err(TrainError::io(&path, "removing an unfinished checkpoint"))?;
        }
    }
    Ok(())
}

/// Removes all but the best and the newest `save_total_limit` checkpoints up to `newest_step`. A killed removal leaves a folder that
/// does not verify; under its hidden name it is a leftover.
fn prune(
    parent: &Path,
    newest_step: u64,
    save_total_limit: usize,
    best: Option<u64>,
) -> Result<(), TrainError> {
    let folders = step_folders(parent)?;
    let old = folders.range(..=newest_step).rev().skip(save_total_limit);
    for (step, path) in old.filter(|(step, _)| Some(**step) != best) {
        let hidden = parent.join(format!(".tmp-{}", step_folder(*step)));
        std::fs::rename(path, &hidden).map_err(TrainError::io(path, "removing an old checkpoint"))?;
        std::fs::remove_dir_all(&hidden).map_err(TrainError::io(path, "removing an old checkpoint"))?;
    }
    Ok(())
}

fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use idk_common::Identity;

    use super::*;
    use crate::config::TrainConfig;

    fn state(step: u64) -> TrainState {
        TrainState { step, ..TrainState::new(Identity::default().with("model", "abc")) }
    }

    fn save_steps(run: &RunDir, steps: &[u64], save_total_limit: usize) {
        let optimizer = AdamW::new(&TrainConfig::default(), true);
        for &step in steps {
            save(run, &state(step), &optimizer, save_total_limit, &mut |dir| {
                Ok(fs::write_atomic(&dir.join("weights.bin"), &[step as u8; 64])?)
            })
            .unwrap();
        }
    }

    fn run() -> (tempfile::TempDir, RunDir) {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path());
        (dir, run)
    }

    #[test]
    fn the_newest_checkpoint_is_loaded_and_old_ones_are_pruned() {
        let (_dir, run) = run();
        save_steps(&run, &[5, 10, 15], 2);
        let loaded = load_newest(&run).unwrap().unwrap();
        assert_eq!(loaded.state, state(15));
        assert!(loaded.warnings.is_empty());
        let steps: Vec<u64> = step_folders(&run.checkpoints()).unwrap().into_keys().collect();
        assert_eq!(steps, [10, 15]);
        let last = std::fs::read_to_string(run.checkpoints().join("last")).unwrap();
        assert_eq!(last, "step-000015\n");
    }

    #[test]
    fn the_best_checkpoint_outlives_the_newer_ones_and_is_named() {
        let (_dir, run) = run();
        let optimizer = AdamW::new(&TrainConfig::default(), true);
        for step in [5, 10, 15, 20] {
            let mut state = state(step);
            state.selection.best = Some(crate::run::selection::Best { step: step.min(10), value: 0.5 });
            save(&run, &state, &optimizer, 1, &mut |_| Ok(())).unwrap();
        }
        let steps: Vec<u64> = step_folders(&run.checkpoints()).unwrap().into_keys().collect();
        assert_eq!(steps, [10, 20]);
        assert_eq!(std::fs::read_to_string(run.checkpoints().join("best")).unwrap(), "step-000010\n");
        assert!(verified(&run, 10).is_ok() && verified(&run, 15).is_err());
    }

    #[test]
    fn an_empty_run_has_no_checkpoint() {
        let (_dir, run) = run();
        assert!(load_newest(&run).unwrap().is_none());
        assert!(!any(&run).unwrap());
    }

    #[test]
    fn any_damage_to_the_newest_falls_back_to_the_one_before_with_one_warning() {
        for file in ["weights.bin", "optimizer.safetensors", "state.json", "MANIFEST.json"] {
            for damage in ["flip", "truncate", "remove"] {
                let (_dir, run) = run();
                save_steps(&run, &[5, 10], 0);
                let path = run.checkpoint(10).join(file);
                let mut bytes = std::fs::read(&path).unwrap();
                match damage {
                    "flip" => {
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 1;
                        std::fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
                        fs::write_atomic(&path, &bytes).unwrap();
                    }
                    "truncate" => fs::write_atomic(&path, &bytes[..bytes.len() / 2]).unwrap(),
                    _ => std::fs::remove_file(&path).unwrap(),
                }
                let loaded = load_newest(&run).unwrap().unwrap();
                assert_eq!(loaded.state.step, 5, "{file} {damage}");
                assert_eq!(loaded.warnings.len(), 1, "{file} {damage}");
                assert!(loaded.warnings[0].contains("step-000010"), "{:?}", loaded.warnings);
            }
        }
    }

    #[test]
    fn damage_to_every_checkpoint_is_an_error_that_names_the_newest() {
        let (_dir, run) = run();
        save_steps(&run, &[5], 0);
        std::fs::remove_file(run.checkpoint(5).join("weights.bin")).unwrap();
        let error = load_newest(&run).unwrap_err();
        assert!(error.to_string().contains("step-000005"), "{error}");
    }

    #[test]
    fn a_failed_save_leaves_earlier_checkpoints_and_the_next_save_clears_its_leftover() {
        let (_dir, run) = run();
        save_steps(&run, &[5], 1);
        let optimizer = AdamW::new(&TrainConfig::default(), true);
        let failed = save(&run, &state(10), &optimizer, 1, &mut |_| Err(TrainError::NoExamples));
        assert!(failed.is_err());
        assert_eq!(load_newest(&run).unwrap().unwrap().state.step, 5);
        save_steps(&run, &[10], 1);
        let mut names: Vec<_> = entries(&run.checkpoints()).unwrap();
        names.sort();
        let parent = run.checkpoints();
        assert_eq!(names, [parent.join("last"), parent.join("step-000010")]);
    }
}
