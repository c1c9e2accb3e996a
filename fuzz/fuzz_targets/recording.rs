//! Any bytes as a recording: an error or finite samples, never a panic, and never more memory than the window.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use idk_audio::load_window;
use libfuzzer_sys::fuzz_target;

/// In memory where that can be, one for each process.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { memory } else { std::env::temp_dir() };
    dir.join(format!("idk-fuzz-{}", std::process::id()))
});

const WINDOW: usize = 16_000;

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the file can be written");
    match load_window(&FILE, 16_000, WINDOW) {
        Ok(recording) => {
            assert!(recording.audio.samples.len() <= WINDOW.min(recording.total_samples));
            assert!(recording.audio.samples.iter().all(|sample| sample.is_finite()));
        }
        Err(error) => assert!(error.is_about_the_file(), "{error}"),
    }
});
