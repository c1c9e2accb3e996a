//! One process per run folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::faults;
use crate::error::CommonError;
use crate::fs::create_dir_all;

/// Name of the lock file in a run folder.
pub const LOCK_FILE: &str = ".lock";

/// The exclusive right to work in a folder, held until it is dropped.
///
/// The lock belongs to the open file, not to the file's existence: the operating system releases it when the process
/// ends, however it ends, so a file left behind blocks nobody and no lock ever needs to be removed by hand.
/// Not guaranteed: mutual exclusion between machines on a network file system that does not pass locks on.
#[derive(Debug)]
pub struct RunLock {
    dir: PathBuf,
    _file: File,
}

impl RunLock {
    /// Locks `dir`, which is created if it is missing.
    ///
    /// # Errors
    /// [`CommonError::Busy`] at once (no waiting) if another process, or another lock of this one, holds it;
    /// [`CommonError::Io`] if the lock file cannot be opened.
    pub fn acquire(dir: &Path) -> Result<Self, CommonError> {
        create_dir_all(dir)?;
        let path = dir.join(LOCK_FILE);
        // Not replaced atomically: the lock is on this very file.
        let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = faults::before(&path).and_then(|()| open()).map_err(CommonError::io("lock", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(CommonError::Busy { path: dir.to_path_buf(), holder_pid: read_pid(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(CommonError::io("lock", &path)(source)),
        }
        write_pid(&mut file).map_err(CommonError::io("write", &path))?;
        Ok(Self { dir: dir.to_path_buf(), _file: file })
    }

    /// The locked folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The pid is there for the message of whoever is refused, nothing depends on it.
fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_at_once_and_granted_after_the_first_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("runs/a");
        let first = RunLock::acquire(&run).unwrap();
        match RunLock::acquire(&run) {
            Err(CommonError::Busy { path, holder_pid }) => {
                assert_eq!(path, run);
                assert_eq!(holder_pid, Some(std::process::id()));
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        RunLock::acquire(&run).unwrap();
    }

    #[test]
    fn two_folders_have_two_locks() {
        let dir = tempfile::tempdir().unwrap();
        let a = RunLock::acquire(&dir.path().join("a")).unwrap();
        let b = RunLock::acquire(&dir.path().join("b")).unwrap();
        assert_ne!(a.dir(), b.dir());
    }

    #[test]
    fn a_lock_file_left_behind_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        crate::fs::write_atomic(&dir.path().join(LOCK_FILE), b"4294967295 and a long tail of old text\n")
            .unwrap();
        let lock = RunLock::acquire(dir.path()).unwrap();
        let text = crate::fs::read_to_string(&lock.dir().join(LOCK_FILE)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }
}
