//! Names that come from data files and must stay inside a folder; listing a folder in a fixed order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::error::CommonError;
use crate::limits::{MAX_DIR_DEPTH, MAX_DIR_FILES, MAX_PATH_BYTES};

/// The existing file `name` under `root`, where `name` comes from a data file and is not to be trusted.
///
/// The result is `root` joined with `name`. Links are followed only as long as they stay inside `root`.
///
/// # Errors
/// [`CommonError::OutsideFolder`] for absolute names, `..`, a NUL, names longer than [`MAX_PATH_BYTES`] and links that
/// lead out; [`CommonError::NotFound`]; [`CommonError::NotAFile`]; [`CommonError::Io`].
pub fn resolve_inside(root: &Path, name: &str) -> Result<PathBuf, CommonError> {
    let outside = || CommonError::OutsideFolder { root: root.to_path_buf(), name: name.to_owned() };
    if !is_plain_relative(name) {
        return Err(outside());
    }
    let path = root.join(name);
    let real_root = fs::canonicalize(root).map_err(CommonError::reading("read", root))?;
    let real_path = fs::canonicalize(&path).map_err(CommonError::reading("read", &path))?;
    if !real_path.starts_with(&real_root) {
        return Err(outside());
    }
    if real_path.is_file() { Ok(path) } else { Err(CommonError::NotAFile { path }) }
}

/// Whether `name` is a relative path of ordinary names: not empty, no root, no `..`, no NUL, no backslash (a
/// separator on Windows), not longer than [`MAX_PATH_BYTES`]. A leading `./` is fine.
#[must_use]
pub fn is_plain_relative(name: &str) -> bool {
    let mut components = Path::new(name).components();
    name.len() <= MAX_PATH_BYTES
        && !name.contains(['\0', '\\'])
        && Path::new(name).file_name().is_some()
        && components.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The regular files under `dir`, subfolders included, by their name relative to `dir` (with `/` between its parts),
/// in byte order of the names.
///
/// Hidden files and folders are left out (locks, temporary files, `.git`, `.cache`). A link to a file counts as the
/// file, as in the Hub's cache; a link to a folder is not followed.
///
/// # Errors
/// [`CommonError::NotFound`], [`CommonError::Io`], [`CommonError::NotUtf8`] for a file name,
/// [`CommonError::TooLarge`] above [`MAX_DIR_FILES`] or [`MAX_DIR_DEPTH`].
pub fn regular_files(dir: &Path) -> Result<BTreeMap<String, PathBuf>, CommonError> {
    let mut files = BTreeMap::new();
    collect(dir, "", 0, &mut files)?;
    Ok(files)
}

fn collect(
    dir: &Path,
    prefix: &str,
    depth: usize,
    files: &mut BTreeMap<String, PathBuf>,
) -> Result<(), CommonError> {
    let too_large = |found: usize, limit: usize, unit| CommonError::TooLarge {
        path: dir.to_path_buf(),
        found: found as u64,
        limit: limit as u64,
        unit,
    };
    if depth > MAX_DIR_DEPTH {
        return Err(too_large(depth, MAX_DIR_DEPTH, "folder levels"));
    }
    for entry in fs::read_dir(dir).map_err(CommonError::reading("list", dir))? {
        let entry = entry.map_err(CommonError::io("list", dir))?;
        let path = entry.path();
        let name = match entry.file_name().into_string() {
            Ok(name) => name,
            Err(name) => {
                let byte =
                    name.as_encoded_bytes().utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
                return Err(CommonError::NotUtf8 { path, byte });
            }
        };
        if name.starts_with('.') {
            continue;
        }
        let relative = format!("{prefix}{name}");
        if entry.file_type().map_err(CommonError::io("read", &path))?.is_dir() {
            collect(&path, &format!("{relative}/"), depth + 1, files)?;
        } else if path.is_file() {
            files.insert(relative, path);
            if files.len() > MAX_DIR_FILES {
                return Err(too_large(files.len(), MAX_DIR_FILES, "files"));
            }
        }
    }
    Ok(())
}
