//! Any bytes as a recording: an error or finite samples, never a panic, and never more memory than the window.

#![no_main]

mod folder;

use std::path::PathBuf;
use std::sync::LazyLock;

use idk_audio::load_window;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| folder::folder().join("recording"));

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
