//! Names that come from data files and must stay inside a folder; where a recipe's relative paths lie; listing a folder in
//! a fixed order.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
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
    let real_path = fs::canonicalize(&path).map_err(|source| match source.kind() {
        // A file where a folder should be, a name that no file can have: from a data file, both mean "not there".
        ErrorKind::NotADirectory | ErrorKind::InvalidFilename => CommonError::NotFound { path: path.clone() },
        _ => CommonError::reading("read", &path)(source),
    })?;
    if !real_path.starts_with(&real_root) {
        return Err(outside());
    }
    if real_path.is_file() { Ok(path) } else { Err(CommonError::NotAFile { path }) }
}

/// The folder where the Hugging Face Hub's cache keeps the files that the links of `dir` lead to: `REPOSITORY/blobs`, if
/// `dir` is `REPOSITORY/snapshots/REVISION` or below.
#[must_use]
pub fn hub_blobs(dir: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(dir).ok()?;
    let snapshots =
        real.ancestors().skip(1).find(|part| part.file_name().is_some_and(|name| name == "snapshots"))?;
    Some(snapshots.parent()?.join("blobs")).filter(|blobs| blobs.is_dir())
}

/// The file `name` of a model folder, for whoever copies it: links may lead to the blobs of the Hub's cache, and nowhere
/// else out of the folder.
///
/// # Errors
/// [`CommonError::OutsideFolder`] for a link that leads out, [`CommonError::NotFound`], [`CommonError::Io`].
pub fn file_of_repository(dir: &Path, name: &str) -> Result<PathBuf, CommonError> {
    let path = dir.join(name);
    let real = |path: &Path| fs::canonicalize(path).map_err(CommonError::reading("read", path));
    let (real_dir, real_path) = (real(dir)?, real(&path)?);
    if real_path.starts_with(real_dir) || hub_blobs(dir).is_some_and(|blobs| real_path.starts_with(blobs)) {
        return Ok(path);
    }
    Err(CommonError::OutsideFolder { root: dir.to_owned(), name: name.to_owned() })
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

/// Where the relative `path` of a recipe lies: as seen from the working directory, else from the folder of the file `near`
/// or one above it, else from one of the [`shipped_folders`]. As given if it exists nowhere.
pub fn find(path: &Path, near: Option<&Path>) -> PathBuf {
    find_in(path, near, shipped_folders())
}

/// Where the recipes, the embedded model and the recordings may lie: the program's own folder, as a release archive has
/// them; the user's data folder, `$XDG_DATA_HOME/idk` or `~/.local/share/idk`; the source tree that it was built from.
pub fn shipped_folders() -> Vec<PathBuf> {
    let of_variable =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let program = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
    let data = of_variable("XDG_DATA_HOME").or_else(|| Some(of_variable("HOME")?.join(".local/share")));
    let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
    [program, data.map(|data| data.join("idk")), source_tree].into_iter().flatten().collect()
}

fn find_in(path: &Path, near: Option<&Path>, shipped: Vec<PathBuf>) -> PathBuf {
    if path.as_os_str().is_empty() || path.is_absolute() || path.exists() {
        return path.to_owned();
    }
    // Real, so that a name without a folder has folders above it.
    let near = near.and_then(|near| fs::canonicalize(near).ok());
    let above = near.iter().flat_map(|near| near.ancestors().skip(1)).map(Path::to_owned);
    let mut places = above.chain(shipped).map(|folder| folder.join(path));
    places.find(|place| place.exists()).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{create_dir_all, write_atomic};

    #[test]
    fn a_file_below_the_folder_is_found() {
        let dir = tempfile::tempdir().unwrap();
        write_atomic(&dir.path().join("audio/a b.wav"), b"x").unwrap();
        assert_eq!(resolve_inside(dir.path(), "audio/a b.wav").unwrap(), dir.path().join("audio/a b.wav"));
        assert_eq!(
            resolve_inside(dir.path(), "./audio/a b.wav").unwrap(),
            dir.path().join("./audio/a b.wav")
        );
    }

    #[test]
    fn what_comes_with_the_program_is_found_in_the_first_folder_that_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let folders = ["program", "data", "tree"].map(|name| dir.path().join(name));
        write_atomic(&folders[1].join("recipes/a.toml"), b"x").unwrap();
        write_atomic(&folders[2].join("recipes/a.toml"), b"x").unwrap();
        write_atomic(&folders[2].join("recipes/b.toml"), b"x").unwrap();
        let found = |path: &str| find_in(Path::new(path), None, folders.to_vec());
        assert_eq!(found("recipes/a.toml"), folders[1].join("recipes/a.toml"));
        assert_eq!(found("recipes/b.toml"), folders[2].join("recipes/b.toml"));
        assert_eq!(found("recipes/c.toml"), Path::new("recipes/c.toml"));
        // The recipe's own surroundings come first.
        write_atomic(&dir.path().join("mine/recipes/b.toml"), b"x").unwrap();
        let near = dir.path().join("mine/recipes/b.toml");
        let found = find_in(Path::new("recipes/b.toml"), Some(&near), folders.to_vec());
        assert!(found.ends_with("mine/recipes/b.toml"), "{}", found.display());
        assert!(shipped_folders().last().unwrap().join("common/Cargo.toml").is_file());
    }

    #[test]
    fn names_that_lead_out_are_refused_even_if_they_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        write_atomic(&root.join("a.wav"), b"x").unwrap();
        write_atomic(&dir.path().join("secret"), b"x").unwrap();
        let long = "a/".repeat(3000) + "b";
        let absolute = root.join("a.wav").to_string_lossy().into_owned();
        let names =
            ["../secret", "x/../a.wav", "../root/a.wav", "..\\secret", "", ".", "a\0.wav", &long, &absolute];
        for name in names {
            let result = resolve_inside(&root, name);
            assert!(matches!(result, Err(CommonError::OutsideFolder { .. })), "{name:?}: {result:?}");
        }
    }

    #[test]
    fn missing_files_and_folders_are_told_apart_from_attacks() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(&dir.path().join("folder")).unwrap();
        write_atomic(&dir.path().join("a.wav"), b"x").unwrap();
        for name in ["none.wav", "none/a.wav", "a.wav/b.wav", &"a".repeat(300)] {
            let result = resolve_inside(dir.path(), name);
            assert!(matches!(result, Err(CommonError::NotFound { .. })), "{name}: {result:?}");
        }
        assert!(matches!(resolve_inside(dir.path(), "folder"), Err(CommonError::NotAFile { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_inside_the_folder_only() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        write_atomic(&root.join("a.wav"), b"x").unwrap();
        write_atomic(&dir.path().join("outside/secret"), b"x").unwrap();
        symlink("a.wav", root.join("inner")).unwrap();
        symlink("../outside/secret", root.join("file")).unwrap();
        symlink("../outside", root.join("folder")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        resolve_inside(&root, "inner").unwrap();
        for name in ["file", "folder/secret"] {
            let result = resolve_inside(&root, name);
            assert!(matches!(result, Err(CommonError::OutsideFolder { .. })), "{name}: {result:?}");
        }
        assert!(resolve_inside(&root, "loop").is_err());
    }

    #[test]
    fn a_snapshot_of_the_hub_cache_has_its_files_in_blobs() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(&dir.path().join("datasets--a--b/snapshots/0/clips")).unwrap();
        assert_eq!(
            hub_blobs(&dir.path().join("datasets--a--b/snapshots/0")),
            None,
            "there is no such folder"
        );
        let blobs = dir.path().join("datasets--a--b/blobs");
        create_dir_all(&blobs).unwrap();
        let blobs = fs::canonicalize(blobs).unwrap();
        for inside in ["datasets--a--b/snapshots/0", "datasets--a--b/snapshots/0/clips"] {
            assert_eq!(hub_blobs(&dir.path().join(inside)).as_ref(), Some(&blobs), "{inside}");
        }
        for outside in ["datasets--a--b/snapshots", "datasets--a--b/blobs", "."] {
            assert_eq!(hub_blobs(&dir.path().join(outside)), None, "{outside}");
        }
    }

    #[test]
    fn files_are_listed_in_byte_order_without_hidden_ones() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b/x", "b.txt", "B", "é", "a/b/c", ".hidden", ".git/config", "a/.lock"] {
            write_atomic(&dir.path().join(name), b"").unwrap();
        }
        create_dir_all(&dir.path().join("empty")).unwrap();
        let names: Vec<String> = regular_files(dir.path()).unwrap().into_keys().collect();
        assert_eq!(names, ["B", "a/b/c", "b.txt", "b/x", "é"]);
    }

    #[cfg(unix)]
    #[test]
    fn listing_counts_linked_files_and_ends_on_linked_folders() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        write_atomic(&dir.path().join("blobs/0"), b"x").unwrap();
        symlink("blobs/0", dir.path().join("weights")).unwrap();
        symlink(".", dir.path().join("cycle")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        let names: Vec<String> = regular_files(dir.path()).unwrap().into_keys().collect();
        assert_eq!(names, ["blobs/0", "weights"]);
    }

    #[test]
    fn a_nest_of_folders_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(&dir.path().join("d/".repeat(MAX_DIR_DEPTH + 1))).unwrap();
        assert!(matches!(
            regular_files(dir.path()),
            Err(CommonError::TooLarge { unit: "folder levels", .. })
        ));
        let missing = dir.path().join("none");
        assert!(matches!(regular_files(&missing), Err(CommonError::NotFound { path }) if path == missing));
    }

    #[test]
    fn a_relative_path_is_found_above_the_file_that_names_it_and_in_the_source_tree() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("recipes/mine")).unwrap();
        fs::create_dir_all(root.join("models/tiny")).unwrap();
        let recipe = root.join("recipes/mine/r.toml");
        crate::fs::write_atomic(&recipe, b"").unwrap();
        let found = |path: &str| find(Path::new(path), Some(&recipe));
        assert_eq!(found("models/tiny"), root.join("models/tiny"));
        fs::create_dir_all(root.join("recipes/models/tiny")).unwrap();
        assert_eq!(found("models/tiny"), root.join("recipes/models/tiny"), "the nearest wins");
        assert_eq!(found("models/none"), Path::new("models/none"), "as given");
        assert_eq!(found(""), Path::new(""));
        assert!(found("checkpoints/mini-lalm").join("config.json").is_file(), "of the source tree");
        assert_eq!(
            find(Path::new("src"), Some(&recipe)),
            Path::new("src"),
            "the working directory comes first"
        );
    }
}
