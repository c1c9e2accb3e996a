//! Failures on purpose: a test lets the n-th operation on the files of one folder fail, as that of a broken disk would.
//!
//! Nothing but a call of [`fail`] switches this on, and no program makes one; switched off, an operation costs one relaxed
//! load.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What the operating system says of a disk that cannot be read or written (`EIO`).
const BROKEN_DISK: i32 = 5;

static IS_ON: AtomicBool = AtomicBool::new(false);
static DONE: AtomicU64 = AtomicU64::new(0);
static ONE: Mutex<Option<Fault>> = Mutex::new(None);

struct Fault {
    folder: PathBuf,
    at: u64,
}

/// Lets the operation number `at` (from 1) below `folder` fail: a creation, write, sync, rename, removal, opening or
/// reading of a file or folder. 0 only counts. There is one fault in a process; it lasts until [`end`].
pub fn fail(folder: &Path, at: u64) {
    *ONE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Fault { folder: folder.to_owned(), at });
    DONE.store(0, Ordering::SeqCst);
    IS_ON.store(true, Ordering::SeqCst);
}

/// Lets every operation succeed again, and says how many there were since [`fail`].
pub fn end() -> u64 {
    IS_ON.store(false, Ordering::SeqCst);
    DONE.load(Ordering::SeqCst)
}

/// Called before every operation.
pub(super) fn before(path: &Path) -> io::Result<()> {
    if IS_ON.load(Ordering::Relaxed) { count(path) } else { Ok(()) }
}

#[cold]
fn count(path: &Path) -> io::Result<()> {
    let fault = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*fault {
        Some(fault) if path.starts_with(&fault.folder) => {
            let number = DONE.fetch_add(1, Ordering::SeqCst) + 1;
            if number == fault.at { Err(io::Error::from_raw_os_error(BROKEN_DISK)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}
