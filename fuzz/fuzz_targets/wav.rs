//! A WAV file of any header fields around any samples: an error of the file, or the same samples by its window as by the
//! whole.

#![no_main]

mod folder;

use std::path::PathBuf;
use std::sync::LazyLock;

use idk_audio::{load, load_window};
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| folder::folder().join("a.wav"));

const WINDOW: usize = 500;

/// `RIFF`, a `fmt ` chunk of the first bytes, and the rest as its `data`; the first byte decides what is odd about it.
fn wav(bytes: &[u8]) -> Option<Vec<u8>> {
    let (&odd, rest) = bytes.split_first()?;
    let (format, data) = rest.split_at_checked(if odd & 1 == 0 { 16 } else { 40 })?;
    let size = |size: usize| (size as u32).to_le_bytes();
    let mut file = b"RIFF".to_vec();
    file.extend(if odd & 2 == 0 { size(4 + 8 + format.len() + 8 + data.len()) } else { size(0xffff_ffff) });
    file.extend(b"WAVE");
    if odd & 4 != 0 {
        file.extend(b"LIST\x03\0\0\0abc\0");
    }
    file.extend(b"fmt ");
    file.extend(size(format.len()));
    file.extend(format);
    file.extend(b"data");
    file.extend(if odd & 8 == 0 { size(data.len()) } else { size(0xffff_ffff) });
    file.extend(data);
    Some(file)
}

fuzz_target!(|bytes: &[u8]| {
    let Some(file) = wav(bytes) else { return };
    std::fs::write(&*FILE, file).expect("the file can be written");
    match (load_window(&FILE, 16_000, WINDOW), load(&FILE, 16_000)) {
        (Ok(window), Ok(whole)) => {
            let samples = &window.audio.samples;
            assert_eq!((samples.len(), window.total_samples), (whole.samples.len().min(WINDOW), whole.samples.len()));
            assert!(samples.iter().zip(&whole.samples).all(|(one, other)| one.to_bits() == other.to_bits()));
            assert!(samples.iter().all(|sample| sample.is_finite()));
        }
        (Err(error), Err(_)) => assert!(error.is_about_the_file(), "{error}"),
        (window, whole) => panic!("window {:?}, whole {:?}", window.is_ok(), whole.is_ok()),
    }
});
