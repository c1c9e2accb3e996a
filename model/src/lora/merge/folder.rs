//! A folder that is whole or not there, and the files of a model that are not its weights.

use std::fs;
use std::path::{Path, PathBuf};

use idk_common::CommonError;
use idk_common::fs::{create_dir_all, is_temporary, publish_dir, read, remove_temporaries, write_atomic};
use idk_common::lock::{LOCK_FILE, RunLock};
use idk_common::paths::file_of_repository;

use crate::error::ModelError;

/// Endings of the settings and tokenizer files of a model folder.
const SETTINGS_ENDINGS: [&str; 5] = [".json", ".txt", ".jinja", ".model", ".tiktoken"];

/// Marks the hidden folder as a merge's own.
const MARKER_FILE: &str = ".idk-merge";
/// What becomes the target, in the hidden folder.
const MODEL_DIR: &str = "model";

/// A folder that is being written within a hidden folder next to its place; gone if it is dropped before it is published.
///
/// The hidden folder holds a lock, then a marker, then the model; it is cleared in the opposite order. So whenever a
/// process is killed, what it leaves has a marker, or nothing but a lock: anything else was made by someone else.
pub(super) struct PendingFolder {
    target: PathBuf,
    hidden: PathBuf,
    model: PathBuf,
    _lock: RunLock,
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
        let hidden = target.with_file_name(format!(".{name}.merging"));
        refuse_strangers(&hidden)?;
        let lock = RunLock::acquire(&hidden)?;
        remove_temporaries(&hidden)?;
        let model = hidden.join(MODEL_DIR);
        if model.exists() {
            fs::remove_dir_all(&model).map_err(CommonError::io("remove", &model))?;
        }
        write_atomic(&hidden.join(MARKER_FILE), b"")?;
        create_dir_all(&model)?;
        Ok(Self { target, hidden, model, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.model
    }

    /// Puts the folder into its place.
    pub(super) fn publish(self) -> Result<(), ModelError> {
        Ok(publish_dir(&self.model, &self.target)?)
    }
}

impl Drop for PendingFolder {
    fn drop(&mut self) {
        // Nothing more can be done if this fails: the name is hidden, and the next merge removes it.
        let _ = fs::remove_dir_all(&self.model);
        let _ = fs::remove_file(self.hidden.join(MARKER_FILE));
        let _ = fs::remove_file(self.hidden.join(LOCK_FILE));
        let _ = fs::remove_dir(&self.hidden);
    }
}

/// Refuses a hidden folder that holds what no merge leaves in it.
fn refuse_strangers(hidden: &Path) -> Result<(), ModelError> {
    if !hidden.is_dir() {
        return Ok(());
    }
    let is_marked = hidden.join(MARKER_FILE).is_file();
    for entry in fs::read_dir(hidden).map_err(CommonError::reading("list", hidden))? {
        let name = entry.map_err(CommonError::io("list", hidden))?.file_name();
        let name = name.to_string_lossy();
        let own = name == LOCK_FILE
            || is_temporary(&name)
            || is_marked && (name == MARKER_FILE || name == MODEL_DIR);
        if !own {
            return Err(ModelError::NotOfMerge { path: hidden.to_owned(), found: name.into_owned() });
        }
    }
    Ok(())
}

/// Copies the tokenizer, the settings and the licence of a model folder, and `others` if they exist, byte for byte; neither
/// weights nor the card, and nothing that a link out of the folder leads to.
pub(super) fn copy_settings(from: &Path, to: &Path, others: &[&str]) -> Result<(), ModelError> {
    for entry in fs::read_dir(from).map_err(CommonError::reading("list", from))? {
        let path = entry.map_err(CommonError::io("list", from))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && (is_setting(name) || others.contains(&name)) {
            write_atomic(&to.join(name), &read(&file_of_repository(from, name)?)?)?;
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
        for name in [".idk-merge", "model/model.safetensors", "model/.idk-1-2.tmp"] {
            write_atomic(&hidden.join(name), b"of a killed process").unwrap();
        }
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

    #[test]
    fn whatever_a_kill_leaves_is_cleared_and_what_a_stranger_made_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (out, hidden) = (dir.path().join("out"), dir.path().join(".out.merging"));
        // In the order in which they appear, then in that in which they go.
        for left in
            [&[][..], &[".lock"], &[".lock", ".idk-1-0.tmp"], &[".lock", ".idk-merge"], &[".idk-merge"]]
        {
            fs::create_dir_all(&hidden).unwrap();
            left.iter().for_each(|name| write_atomic(&hidden.join(name), b"").unwrap());
            drop(PendingFolder::create(&out).unwrap());
            assert!(!hidden.exists(), "{left:?}");
        }
        for mine in ["notes.txt", "config.json", "model/model.safetensors"] {
            write_atomic(&hidden.join(mine), b"mine").unwrap();
            let error = PendingFolder::create(&out).err().unwrap();
            assert!(matches!(error, ModelError::NotOfMerge { .. }), "{error}");
            let names: Vec<_> = fs::read_dir(&hidden).unwrap().collect();
            assert_eq!((names.len(), read(&hidden.join(mine)).unwrap().as_slice()), (1, &b"mine"[..]));
            fs::remove_dir_all(&hidden).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_out_of_the_folder_leads_to_is_not_copied_and_the_blobs_of_the_hubs_cache_are() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = dir.path().join("models--a--b/snapshots/1");
        write_atomic(&dir.path().join("models--a--b/blobs/c"), b"{}").unwrap();
        write_atomic(&dir.path().join("secret"), b"private").unwrap();
        create_dir_all(&snapshot).unwrap();
        std::os::unix::fs::symlink("../../blobs/c", snapshot.join("config.json")).unwrap();
        let out = dir.path().join("out");
        copy_settings(&snapshot, &out, &[]).unwrap();
        assert_eq!(read(&out.join("config.json")).unwrap(), b"{}");
        std::os::unix::fs::symlink(dir.path().join("secret"), snapshot.join("vocab.json")).unwrap();
        let error = copy_settings(&snapshot, &out, &[]).unwrap_err();
        assert!(matches!(error, ModelError::Common(CommonError::OutsideFolder { .. })), "{error}");
        assert!(!out.join("vocab.json").exists());
    }
}
