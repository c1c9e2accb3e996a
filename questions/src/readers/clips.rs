//! The clips of a question: files in the folder of its question set, or below.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, RwLock};

use foldhash::fast::RandomState;
use idk_common::limits::MAX_CLIPS;
use idk_common::{CommonError, paths};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::Fault;
use crate::reason;
use idk_common::lfs::is_lfs_pointer_file;

/// The folder of a question set, which its clips may not leave.
pub(super) struct Folder<'a> {
    root: &'a Path,
    require_audio: bool,
    /// The first failure to look a clip up that says nothing about the clip, such as that of a network disk.
    failed: OnceLock<CommonError>,
    /// The folders of clips that have been looked up, by their names under the root.
    places: RwLock<HashMap<String, Place, RandomState>>,
}

/// Where a folder of clips is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the root, links followed.
    Inside,
    /// It does not exist, and no link on the way to it leads out of the root.
    Absent,
    /// Elsewhere, or no folder.
    Unclear,
}

/// Folders whose places are remembered, at most.
const MAX_PLACES: usize = 10_000;

/// Too many links on the way to a file: what `ELOOP` is on Linux, and on other Unix systems.
const LINKS_IN_A_CIRCLE: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };

impl<'a> Folder<'a> {
    /// The folder of the question file `path`.
    pub(super) fn of(path: &'a Path, require_audio: bool) -> Self {
        let root = path.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self { root, require_audio, failed: OnceLock::new(), places: RwLock::default() }
    }

    /// Fails if a clip could not be looked up; then the rows say nothing about the set.
    pub(super) fn or_failure(self) -> Result<(), CommonError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    /// The clips that `value` names: a path, or a list of paths.
    pub(super) fn clips(&self, value: Option<Value>, key: &str) -> Result<Vec<PathBuf>, Fault> {
        let bad = || (reason::BAD_FIELD, format!("`{key}` must be a path or a list of paths"));
        let value = value.unwrap_or_default();
        let names: Vec<&str> = match &value {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Null => Vec::new(),
            _ => return Err(bad()),
        };
        if names.is_empty() || names.contains(&"") {
            return Err((reason::MISSING_FIELD, format!("`{key}` is missing or empty")));
        }
        if value.as_array().is_some_and(|all| all.len() != names.len()) {
            return Err(bad());
        }
        if names.len() > MAX_CLIPS {
            return Err((reason::TOO_MANY_CLIPS, format!("{} clips, at most {MAX_CLIPS}", names.len())));
        }
        names.into_iter().map(|name| self.clip(name)).collect()
    }

    /// The clip under the first of `names` that exists; where none does, the first name decides.
    pub(super) fn clip_under_one_of(&self, names: &[String]) -> Result<PathBuf, Fault> {
        let is_there = |name: &&String| self.root.join(name).is_file() || self.in_other_forms(name).is_some();
        let there = names.iter().find(is_there);
        match there.or(names.first()) {
            Some(name) => self.clip(name),
            None => Err((reason::MISSING_FIELD, "the clip has no name".to_owned())),
        }
    }

    /// The clip under `name`, or under the same name in another Unicode form: file systems keep either `é` or `e` with
    /// an accent.
    fn clip(&self, name: &str) -> Result<PathBuf, Fault> {
        if let Some(path) = self.in_absent_folder(name) {
            return Ok(path);
        }
        let result = self.resolve_in_known_folder(name).unwrap_or_else(|| self.resolve(name));
        let Err(CommonError::NotFound { .. }) = result else { return self.usable(name, result) };
        match self.in_other_forms(name) {
            Some(other) => self.usable(&other, self.resolve(&other)),
            None => self.usable(name, result),
        }
    }

    /// The path of a clip that need not exist, in a folder that does not: nothing else can be found out about it.
    fn in_absent_folder(&self, name: &str) -> Option<PathBuf> {
        if self.require_audio || !name.is_ascii() || !paths::is_plain_relative(name) {
            return None;
        }
        let is_absent = self.place(folder_of(name)?) == Place::Absent;
        is_absent.then(|| self.root.join(name).components().collect())
    }

    /// What [`Self::resolve`] finds, by one look at the clip instead of one at each folder on the way. `None` where that is
    /// not enough: the clip is a link, or its folder is not known to be in the root.
    fn resolve_in_known_folder(&self, name: &str) -> Option<Result<PathBuf, CommonError>> {
        if !name.is_ascii() || !paths::is_plain_relative(name) {
            return None;
        }
        let path = self.root.join(name);
        let not_found = || Some(Err(CommonError::NotFound { path: path.clone() }));
        match self.place(folder_of(name)?) {
            Place::Inside => match fs::symlink_metadata(&path) {
                Ok(found) if found.is_file() => Some(Ok(path)),
                Err(error) if error.kind() == ErrorKind::NotFound => not_found(),
                _ => None,
            },
            Place::Absent => not_found(),
            Place::Unclear => None,
        }
    }

    /// Where the folder `name` of the root is, looked up once.
    fn place(&self, name: &str) -> Place {
        if let Some(&known) = self.places.read().ok().as_deref().and_then(|places| places.get(name)) {
            return known;
        }
        let path = self.root.join(name);
        let is_inside = |real: &Path| fs::canonicalize(self.root).is_ok_and(|root| real.starts_with(root));
        let place = match fs::canonicalize(&path) {
            Ok(real) if real.is_dir() && is_inside(&real) => Place::Inside,
            Err(error)
                if error.kind() == ErrorKind::NotFound && existing_part_is_inside(&path, self.root) =>
            {
                Place::Absent
            }
            _ => Place::Unclear,
        };
        if let Ok(mut places) = self.places.write() {
            if places.len() >= MAX_PLACES {
                places.clear();
            }
            places.insert(name.to_owned(), place);
        }
        place
    }

    /// As [`paths::resolve_inside`]; links of a snapshot in the Hub's cache may lead to the files that it keeps.
    fn resolve(&self, name: &str) -> Result<PathBuf, CommonError> {
        let path = self.root.join(name);
        match paths::resolve_inside(self.root, name) {
            Err(CommonError::OutsideFolder { .. })
                if paths::is_plain_relative(name) && self.is_blob(&path) =>
            {
                Ok(path)
            }
            result => result,
        }
    }

    fn is_blob(&self, path: &Path) -> bool {
        let blobs = paths::hub_blobs(self.root);
        let real = fs::canonicalize(path).ok().filter(|real| real.is_file());
        blobs.zip(real).is_some_and(|(blobs, real)| real.starts_with(blobs))
    }

    /// `name` with each of its parts in the Unicode form that exists, if all do.
    fn in_other_forms(&self, name: &str) -> Option<String> {
        if name.is_ascii() || !paths::is_plain_relative(name) {
            return None;
        }
        let mut found = String::new();
        for part in name.split('/') {
            let forms = [part.to_owned(), part.nfc().collect(), part.nfd().collect()];
            let there =
                |form: &String| fs::symlink_metadata(self.root.join(format!("{found}{form}"))).is_ok();
            let form = forms.into_iter().find(there)?;
            found = format!("{found}{form}/");
        }
        found.pop();
        Some(found)
    }

    fn usable(&self, name: &str, resolved: Result<PathBuf, CommonError>) -> Result<PathBuf, Fault> {
        let Self { root, require_audio, .. } = *self;
        match resolved {
            Ok(path) if require_audio && is_lfs_pointer_file(&path) => {
                let detail = format!("`{name}` is a Git LFS pointer, not the recording: run `git lfs pull`");
                Err((reason::MISSING_AUDIO, detail))
            }
            Ok(path) => Ok(path.components().collect()),
            Err(CommonError::OutsideFolder { .. }) => {
                let detail = format!("`{name}` is not a path inside the folder of the question set");
                Err((reason::BAD_PATH, detail))
            }
            Err(CommonError::NotFound { .. }) if !require_audio => {
                let path: PathBuf = root.join(name).components().collect();
                let folder = folder_of(name).map(|folder| self.place(folder));
                let is_inside = match folder.filter(|_| name.is_ascii()) {
                    Some(Place::Absent) => true,
                    Some(Place::Inside) if fs::symlink_metadata(&path).is_err() => true,
                    _ => existing_part_is_inside(&path, root),
                };
                if is_inside {
                    Ok(path)
                } else {
                    Err((reason::BAD_PATH, format!("`{name}` leads out of the folder of the question set")))
                }
            }
            Err(CommonError::NotFound { .. }) => {
                Err((reason::MISSING_AUDIO, format!("`{name}` does not exist")))
            }
            Err(CommonError::NotAFile { .. }) => {
                Err((reason::MISSING_AUDIO, format!("`{name}` is not a regular file")))
            }
            Err(error) => {
                let fault = (reason::MISSING_AUDIO, error.to_string());
                if !is_of_the_clip(&error) {
                    // A later one is as good as the first.
                    let _ = self.failed.set(error);
                }
                Err(fault)
            }
        }
    }
}

/// The name of the folder of the clip `name`.
fn folder_of(name: &str) -> Option<&str> {
    Path::new(name).parent()?.to_str()
}

/// Whether a clip that could not be looked up will never be there, whoever looks.
fn is_of_the_clip(error: &CommonError) -> bool {
    match error {
        CommonError::Io { source, .. } => source.raw_os_error() == Some(LINKS_IN_A_CIRCLE),
        _ => true,
    }
}

/// Whether no link on the way to a file that does not exist leads out of `root`.
fn existing_part_is_inside(path: &Path, root: &Path) -> bool {
    let Ok(real_root) = fs::canonicalize(root) else { return false };
    let existing = path.ancestors().find(|part| fs::symlink_metadata(part).is_ok());
    let real = existing.and_then(|part| fs::canonicalize(part).ok());
    // `None` is a link to nothing; for a bare file name the only ancestor is the working directory itself.
    real.is_some_and(|real| real.starts_with(&real_root)) || (existing.is_none() && root == Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_lookup_that_fails_by_bad_luck_is_an_error_of_the_set_and_no_rejection() {
        let dir = tempfile::tempdir().unwrap();
        let set = dir.path().join("questions.json");
        for (code, is_lost) in [(5, true), (116, true), (12, true), (LINKS_IN_A_CIRCLE, false)] {
            let folder = Folder::of(&set, true);
            let source = io::Error::from_raw_os_error(code);
            let (reason, _) = folder.usable("a.wav", Err(CommonError::io("read", &set)(source))).unwrap_err();
            assert_eq!((reason, folder.or_failure().is_err()), (reason::MISSING_AUDIO, is_lost), "{code}");
        }
    }
}
