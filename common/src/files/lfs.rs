//! Pointers that Git LFS stores instead of large files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// How a pointer of Git LFS begins (git-lfs, docs/spec.md).
const START: &[u8] = b"version https://git-lfs.github.com/spec/";
/// What to tell whoever has a pointer.
pub const LFS_POINTER: &str = "it is a Git LFS pointer, not the file itself: run `git lfs pull`";
/// Pointers are smaller than this.
const MAX_POINTER_BYTES: u64 = 1024;

/// Whether the content of a file is a pointer of Git LFS.
#[must_use]
pub fn is_lfs_pointer(content: &[u8]) -> bool {
    content.starts_with(START)
}

/// Whether the file at `path` is such a pointer; what cannot be read is none.
#[must_use]
pub fn is_lfs_pointer_file(path: &Path) -> bool {
    let is_small = path.metadata().is_ok_and(|file| file.len() < MAX_POINTER_BYTES);
    let mut start = Vec::new();
    is_small
        && File::open(path).and_then(|file| file.take(MAX_POINTER_BYTES).read_to_end(&mut start)).is_ok()
        && is_lfs_pointer(&start)
}
