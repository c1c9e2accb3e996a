//! Files that are either complete or absent.
//!
//! A writer works on a hidden sibling of its target (same folder, hence same file system), syncs it to the disk and
//! renames it over the target, then syncs the folder. Whoever reads the target sees the old content or the new one,
//! also after a crash or a power cut. What fails on the way leaves no temporary file; what is killed may leave one,
//! and [`remove_temporaries`] clears it away.
//!
//! Not guaranteed: a target that is a symbolic link is replaced, not followed; on systems other than Unix the folder
//! is not synced; two writers of one target do not wait for each other, the later one wins whole.

mod atomic;
mod folder;
mod read;

pub use atomic::{AtomicFile, publish_dir, write_atomic};
pub use folder::{create_dir_all, is_temporary, remove_if_exists, remove_temporaries};
pub use read::{open, read, read_limited, read_text_limited, read_to_string};
