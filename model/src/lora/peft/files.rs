//! Whether a folder holds an adapter, and what it may be if it does not.

use std::fs;
use std::path::Path;

use crate::error::ModelError;

pub(super) const CONFIG_FILE: &str = "adapter_config.json";
pub(super) const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// Checks that a folder has the two files of an adapter.
///
/// # Errors
/// [`ModelError::NoAdapter`] with what the folder seems to be, [`ModelError::Common`] for a file that cannot be opened.
pub fn check_adapter_files(dir: &Path) -> Result<(), ModelError> {
    let is_missing = |name: &str| !dir.join(name).exists();
    if let Some(missing) = [CONFIG_FILE, WEIGHTS_FILE].into_iter().find(|name| is_missing(name)) {
        return Err(ModelError::NoAdapter { path: dir.to_owned(), missing, hint: hint(dir) });
    }
    for name in [CONFIG_FILE, WEIGHTS_FILE] {
        drop(idk_common::fs::open(&dir.join(name))?);
    }
    Ok(())
}

fn hint(dir: &Path) -> String {
    let mut names: Vec<String> = match fs::read_dir(dir) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        Err(_) => {
            return "check the path; a relative path starts at the folder where the program was started"
                .to_owned();
        }
    };
    names.sort_by_key(|name| (name.len(), name.clone()));
    let holds_adapter = |name: &&String| dir.join(name).join(CONFIG_FILE).is_file();
    if names.iter().any(|name| name == "adapter_model.bin") {
        return "adapter_model.bin is a pickle, which is not read: load it with PEFT and save it again with \
                `save_pretrained(DIR, safe_serialization=True)`"
            .to_owned();
    }
    if names.iter().any(|name| name.starts_with("adapter_model") && name.ends_with(".safetensors")) {
        return "an adapter in several files is not read: load it with PEFT and save it again with \
                `save_pretrained(DIR, max_shard_size=\"100GB\")`"
            .to_owned();
    }
    // The newest checkpoint has the highest number.
    if let Some(below) = names.iter().rev().find(holds_adapter) {
        return format!("did you mean `{}`?", dir.join(below).display());
    }
    "name the folder that holds adapter_config.json and adapter_model.safetensors".to_owned()
}

#[cfg(test)]
mod tests {
    use idk_common::fs::write_atomic;

    use super::*;

    #[test]
    fn what_is_no_adapter_is_told_what_it_may_be() {
        let cases: [(&[&str], &str); 6] = [
            (&["adapter_config.json", "adapter_model.bin"], "is a pickle"),
            (&["adapter_config.json", "adapter_model-00001-of-00002.safetensors"], "several files"),
            (
                &[
                    "checkpoint-90/adapter_config.json",
                    "checkpoint-120/adapter_config.json",
                    "trainer_state.json",
                ],
                "checkpoint-120`?",
            ),
            (&["adapter/adapter_config.json", "eval/results.json"], "adapter`?"),
            (&["config.json", "model.safetensors"], "name the folder"),
            (&[], "check the path"),
        ];
        for (files, part) in cases {
            let dir = tempfile::tempdir().unwrap();
            let folder = dir.path().join("a");
            files.iter().for_each(|name| write_atomic(&folder.join(name), b"{}").unwrap());
            let error = check_adapter_files(&folder).unwrap_err();
            assert!(matches!(&error, ModelError::NoAdapter { hint, .. } if hint.contains(part)), "{error:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        for name in [CONFIG_FILE, WEIGHTS_FILE] {
            write_atomic(&dir.path().join(name), b"{}").unwrap();
        }
        check_adapter_files(dir.path()).unwrap();
    }
}
