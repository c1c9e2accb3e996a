//! Writing 16-bit PCM WAV files.

use std::io::Cursor;
use std::path::Path;

use hound::{SampleFormat, WavSpec, WavWriter};
use idk_common::fs;

use crate::AudioError;
use crate::decode::limits::check_limits;

/// Writes mono samples as a 16-bit PCM WAV file, atomically.
///
/// A sample `x` becomes `round(x * 32767)`, clamped to 16 bits; reading divides by 32768.
///
/// # Errors
/// [`AudioError::NonFinite`] for a NaN or infinite sample, [`AudioError::TooLong`] and
/// [`AudioError::Unsupported`] for what could not be read back, [`AudioError::Common`] if the file cannot be
/// written.
pub fn write_wav(path: &Path, samples: &[f32], sample_rate_hz: u32) -> Result<(), AudioError> {
    if let Some(index) = samples.iter().position(|sample| !sample.is_finite()) {
        return Err(AudioError::NonFinite { path: path.to_owned(), index, value: samples[index] });
    }
    check_limits(path, sample_rate_hz, 1, samples.len())?;
    let bytes = encode(samples, sample_rate_hz)
        .map_err(|error| AudioError::Corrupt { path: path.to_owned(), detail: error.to_string() })?;
    fs::write_atomic(path, &bytes)?;
    Ok(())
}

fn encode(samples: &[f32], sample_rate_hz: u32) -> hound::Result<Vec<u8>> {
    let spec = WavSpec {
        channels: 1,
        sample_rate: sample_rate_hz,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut bytes = Cursor::new(Vec::with_capacity(44 + 2 * samples.len()));
    let mut writer = WavWriter::new(&mut bytes, spec)?;
    for &sample in samples {
        // A float-to-integer cast saturates, which is the clamp.
        writer.write_sample((sample * 32767.0).round() as i16)?;
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}
