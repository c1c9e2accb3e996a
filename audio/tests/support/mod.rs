//! What several test programs use.

#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests; each program uses some")]

use std::f64::consts::PI;
use std::path::{Path, PathBuf};

use idk_audio::{Audio, AudioError, decode_file};
use tempfile::TempDir;

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The bytes of a file of `tests/data`.
pub(crate) fn data_bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

/// Puts bytes into a file without a telling extension.
#[expect(clippy::disallowed_methods, reason = "thousands of small files: no need to reach the disk")]
pub(crate) fn file(dir: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("clip");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Decodes bytes.
pub(crate) fn decode_bytes(dir: &TempDir, bytes: &[u8]) -> Result<Audio, AudioError> {
    decode_file(&file(dir, bytes))
}

/// Why bytes are rejected, or `decoded`.
pub(crate) fn reason(dir: &TempDir, bytes: &[u8]) -> &'static str {
    decode_bytes(dir, bytes).map_or_else(|error| error.reason(), |_| "decoded")
}

/// A WAV file of 32-bit floats at 16 kHz.
pub(crate) fn float_wav(interleaved: &[f32], channels: u16) -> Vec<u8> {
    float_wav_at(interleaved, channels, 16_000)
}

/// A WAV file of 32-bit floats.
pub(crate) fn float_wav_at(interleaved: &[f32], channels: u16, rate_hz: u32) -> Vec<u8> {
    let size = 4 * interleaved.len() as u32;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend_from_slice(&(36 + size).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt \x10\0\0\0\x03\0");
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&rate_hz.to_le_bytes());
    bytes.extend_from_slice(&(rate_hz * 4 * u32::from(channels)).to_le_bytes());
    bytes.extend_from_slice(&(4 * channels).to_le_bytes());
    bytes.extend_from_slice(b"\x20\0data");
    bytes.extend_from_slice(&size.to_le_bytes());
    interleaved.iter().for_each(|sample| bytes.extend_from_slice(&sample.to_le_bytes()));
    bytes
}

/// A tone of 440 Hz at 16 kHz, at half of full scale.
pub(crate) fn sine(len: usize) -> Vec<f32> {
    (0..len).map(|i| (0.5 * (2.0 * PI * 440.0 * i as f64 / 16_000.0).sin()) as f32).collect()
}
