//! A folder for the files of one fuzzing process: in memory where that can be.

use std::path::PathBuf;

/// Makes the folder. It is left behind, as a crash would leave it anyway.
pub fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let dir = dir.join(format!("idk-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the folder can be made");
    dir
}
