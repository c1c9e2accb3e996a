//! A file that appears whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::folder::{TEMP_PREFIX, TEMP_SUFFIX, create_dir_all};
use crate::error::CommonError;
use crate::files::faults;

/// Makes temporary names unique within the process; the pid makes them unique among processes.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes `bytes` to `path` as a whole. Missing parent folders are created.
///
/// The file gets mode `0666 & !umask`, as any new file does.
///
/// # Errors
/// [`CommonError::Io`] that names `path`, [`CommonError::NotAFile`] if a folder is in the way. The old content of
/// `path` is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), CommonError> {
    let mut file = AtomicFile::create(path)?;
    file.put(bytes)?;
    file.commit()
}

/// A buffered writer whose target appears only on [`AtomicFile::commit`].
///
/// Dropped without a commit, it removes its temporary file and leaves the target as it was.
#[derive(Debug)]
pub struct AtomicFile {
    target: PathBuf,
    temp: PathBuf,
    writer: BufWriter<Output>,
    /// A write has failed: the content has a hole, so it must never be committed.
    failed: bool,
    committed: bool,
}

impl AtomicFile {
    /// Opens a temporary sibling of `path`. Missing parent folders are created.
    ///
    /// # Errors
    /// [`CommonError::NotAFile`] if `path` is a folder or has no file name, [`CommonError::Io`] if the folder cannot
    /// be written to.
    pub fn create(path: &Path) -> Result<Self, CommonError> {
        if path.file_name().is_none() || path.is_dir() {
            return Err(CommonError::NotAFile { path: path.to_path_buf() });
        }
        let dir = parent_dir(path);
        create_dir_all(dir)?;
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let temp = dir.join(format!("{TEMP_PREFIX}{}-{number}{TEMP_SUFFIX}", std::process::id()));
            let open = || OpenOptions::new().write(true).create_new(true).open(&temp);
            match faults::before(path).and_then(|()| open()) {
                Ok(file) => {
                    let output = Output { file, target: path.to_path_buf() };
                    let writer = BufWriter::with_capacity(1 << 16, output);
                    return Ok(Self {
                        target: path.to_path_buf(),
                        temp,
                        writer,
                        failed: false,
                        committed: false,
                    });
                }
                // Left by a killed process that had our pid: take the next number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(CommonError::io("write", path)(source)),
            }
        }
    }

    /// The file that a commit will replace.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Appends `bytes`; like [`Write::write_all`] with an error that names the target.
    ///
    /// # Errors
    /// [`CommonError::Io`].
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), CommonError> {
        self.write_all(bytes).map_err(CommonError::io("write", &self.target))
    }

    /// Puts the content in the target's place: flush, sync, rename, sync the folder.
    ///
    /// # Errors
    /// [`CommonError::Io`] that names the target. Unless it was the last step (`sync the folder of`), the target is
    /// untouched and the temporary file is gone.
    pub fn commit(mut self) -> Result<(), CommonError> {
        if self.failed {
            let source = io::Error::other("an earlier write to it had failed");
            return Err(CommonError::io("write", &self.target)(source));
        }
        self.writer.flush().map_err(CommonError::io("write", &self.target))?;
        let file = &self.writer.get_ref().file;
        let synced = faults::before(&self.target).and_then(|()| file.sync_all());
        synced.map_err(CommonError::io("sync", &self.target))?;
        rename(&self.temp, &self.target).map_err(CommonError::io("replace", &self.target))?;
        self.committed = true;
        sync_dir(parent_dir(&self.target)).map_err(CommonError::io("sync the folder of", &self.target))
    }
}

/// The temporary file.
#[derive(Debug)]
struct Output {
    file: File,
    target: PathBuf,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        faults::before(&self.target)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    faults::before(to)?;
    fs::rename(from, to)
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.writer.write(bytes);
        self.failed |= matches!(&result, Err(error) if error.kind() != io::ErrorKind::Interrupted);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.writer.flush();
        self.failed |= result.is_err();
        result
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done if this fails: the name is hidden and `remove_temporaries` knows it.
            let _ = fs::remove_file(&self.temp);
        }
    }
}

/// Moves the finished folder `from` to `to`, which must not exist or be empty, and syncs their parent.
///
/// Write every file of `from` with this module first (they are then on the disk); a reader of `to` sees all of them
/// or none.
///
/// # Errors
/// [`CommonError::Io`] that names `to`.
pub fn publish_dir(from: &Path, to: &Path) -> Result<(), CommonError> {
    sync_dir(from).map_err(CommonError::io("sync", from))?;
    rename(from, to).map_err(CommonError::io("replace", to))?;
    sync_dir(parent_dir(to)).map_err(CommonError::io("sync the folder of", to))
}

/// The folder of a file; the current one for a bare name.
fn parent_dir(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Makes renames in `dir` survive a power cut.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    match faults::before(dir).and_then(|()| File::open(dir)).and_then(|dir| dir.sync_all()) {
        // Some network file systems have no such call, and a folder without read permission cannot be opened.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "same signature as on Unix")]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_written_file_is_read_back_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/deep/file.bin");
        let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
        write_atomic(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), bytes);
        assert_eq!(names(path.parent().unwrap()), ["file.bin"]);
    }

    #[test]
    fn the_old_content_stays_until_the_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.put(&vec![b'n'; 1 << 20]).unwrap();
        file.flush().unwrap();
        assert_eq!(read(&path).unwrap(), b"old");
        file.commit().unwrap();
        assert_eq!(read(&path).unwrap().len(), 1 << 20);
    }

    #[test]
    fn a_dropped_writer_leaves_the_old_content_and_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.put(b"new").unwrap();
        assert_eq!(names(dir.path()).len(), 2, "the temporary file is a sibling");
        drop(file);
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(read(&path).unwrap(), b"old");
    }

    #[test]
    fn a_folder_in_the_way_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("folder");
        fs::create_dir(&path).unwrap();
        assert!(matches!(write_atomic(&path, b"x"), Err(CommonError::NotAFile { path: p }) if p == path));
        assert!(matches!(write_atomic(Path::new("/"), b"x"), Err(CommonError::NotAFile { .. })));
        assert_eq!(names(dir.path()), ["folder"]);
    }

    #[test]
    fn a_failed_rename_names_the_target_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target");
        let mut file = AtomicFile::create(&path).unwrap();
        file.put(b"x").unwrap();
        fs::create_dir(&path).unwrap();
        let error = file.commit().unwrap_err();
        assert!(
            error.to_string().contains("cannot replace") && error.to_string().contains("target"),
            "{error}"
        );
        assert_eq!(names(dir.path()), ["target"]);
    }

    #[test]
    fn a_file_where_a_folder_should_be_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        write_atomic(&dir.path().join("file"), b"x").unwrap();
        let error = write_atomic(&dir.path().join("file/below"), b"x").unwrap_err();
        assert!(matches!(&error, CommonError::Io { doing: "create the folder", .. }), "{error:?}");
        assert!(error.to_string().contains("file"), "{error}");
    }

    #[test]
    fn writers_of_one_target_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::thread::scope(|scope| {
            for byte in 0..8_u8 {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write_atomic(path, &[byte; 100_000]).unwrap()));
            }
        });
        let bytes = read(&path).unwrap();
        assert_eq!(bytes, vec![bytes[0]; 100_000]);
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_folder_is_published_whole_and_never_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join(".tmp-step-1"), dir.path().join("step-1"));
        write_atomic(&from.join("weights"), b"w").unwrap();
        publish_dir(&from, &to).unwrap();
        assert_eq!(names(dir.path()), ["step-1"]);
        write_atomic(&from.join("weights"), b"v").unwrap();
        let error = publish_dir(&from, &to).unwrap_err();
        assert!(error.to_string().contains("step-1"), "{error}");
        assert_eq!(read(&to.join("weights")).unwrap(), b"w");
    }
}
