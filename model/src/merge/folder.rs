//! A folder that is whole or not there, and the files of a model that are not its weights.

use std::fs;
use std::path::{Path, PathBuf};

use idk_common::CommonError;
use idk_common::atomic::{publish_dir, read, write_atomic};
use idk_common::lock::{LOCK_FILE, RunLock};

use crate::error::ModelError;

/// Endings of the settings and tokenizer files of a model folder.
const SETTINGS_ENDINGS: [&str; 5] = [".json", ".txt", ".jinja", ".model", ".tiktoken"];

/// A folder that is being written beside its place, under a hidden name; gone if it is dropped before it is published.
pub(super) struct PendingFolder {
    target: PathBuf,
    path: PathBuf,
    lock: Option<RunLock>,
}

impl PendingFolder {
    /// A new hidden folder; what a killed process left of one is removed first.
    pub(super) fn create(target: &Path) -> Result<Self, ModelError> {
        // A link to an empty folder stays a link.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let Some(name) = target.file_name().and_then(|name| name.to_str()) else {
            return Err(ModelError::Input { what: format!("`{}` cannot be written to", target.display()) });
        };
        if target.exists() {
            let mut entries = fs::read_dir(&target).map_err(CommonError::reading("list", &target))?;
            if entries.next().is_some() {
                return Err(ModelError::NotEmpty { path: target });
            }
        }
        let path = target.with_file_name(format!(".{name}.merging"));
        let lock = RunLock::acquire(&path)?;
        for entry in fs::read_dir(&path).map_err(CommonError::io("list", &path))? {
            let leftover = entry.map_err(CommonError::io("list", &path))?.path();
            if !leftover.ends_with(LOCK_FILE) {
                fs::remove_file(&leftover).map_err(CommonError::io("remove", &leftover))?;
            }
        }
        Ok(Self { target, path, lock: Some(lock) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the folder into its place.
    pub(super) fn publish(mut self) -> Result<(), ModelError> {
        let lock_file = self.path.join(LOCK_FILE);
        fs::remove_file(&lock_file).map_err(CommonError::io("remove", &lock_file))?;
        publish_dir(&self.path, &self.target)?;
        self.lock = None;
        Ok(())
    }
}

impl Drop for PendingFolder {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Nothing more can be done if this fails: the name is hidden, and the next merge removes it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Copies the tokenizer, the settings and the licence of a model folder, byte for byte; neither weights nor the card.
pub(super) fn copy_settings(from: &Path, to: &Path) -> Result<(), ModelError> {
    for entry in fs::read_dir(from).map_err(CommonError::reading("list", from))? {
        let path = entry.map_err(CommonError::io("list", from))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && is_setting(name) {
            write_atomic(&to.join(name), &read(&path)?)?;
        }
    }
    Ok(())
}

fn is_setting(name: &str) -> bool {
    let licence = ["LICENSE", "LICENCE", "NOTICE"].iter().any(|word| name.starts_with(word));
    let setting = SETTINGS_ENDINGS.iter().any(|ending| name.ends_with(ending));
    !name.starts_with('.') && (licence || setting && !name.ends_with(".index.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_weights_and_hidden_files() {
        for name in
            ["config.json", "tokenizer.json", "merges.txt", "chat_template.jinja", "LICENSE", "vocab.json"]
        {
            assert!(is_setting(name), "{name}");
        }
        for name in ["model.safetensors", "model.safetensors.index.json", "README.md", ".cache.json", "x.bin"]
        {
            assert!(!is_setting(name), "{name}");
        }
    }

    #[test]
    fn a_folder_appears_when_it_is_published_and_leaves_nothing_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/out");
        let hidden = dir.path().join("deep/.out.merging");
        fs::create_dir_all(&hidden).unwrap();
        write_atomic(&hidden.join("model.safetensors"), b"of a killed process").unwrap();
        let pending = PendingFolder::create(&out).unwrap();
        assert!(matches!(PendingFolder::create(&out), Err(ModelError::Common(CommonError::Busy { .. }))));
        write_atomic(&pending.path().join("a"), b"a").unwrap();
        drop(pending);
        assert!(!out.exists() && !hidden.exists());

        fs::create_dir_all(&out).unwrap();
        let pending = PendingFolder::create(&out).unwrap();
        write_atomic(&pending.path().join("a"), b"a").unwrap();
        pending.publish().unwrap();
        let names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a"]);
        assert!(!hidden.exists());
        assert!(matches!(PendingFolder::create(&out), Err(ModelError::NotEmpty { .. })));
    }
}
