//! WAV files: reading by `hound` behind an own check of the chunk sizes, and writing 16-bit PCM.

use std::io::{Cursor, Read};
use std::path::Path;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use idk_common::atomic;
use idk_common::limits::MAX_AUDIO_BYTES;

use super::limits::check_limits;
use crate::{Audio, AudioError};

/// Decodes the bytes of a WAV file and averages its channels.
///
/// # Errors
/// See [`crate::decode_file`].
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Audio, AudioError> {
    let chunks = find_chunks(path, bytes)?;
    if chunks.data.is_empty() {
        return Err(AudioError::Empty { path: path.to_owned() });
    }
    // hound sees only the two chunks that matter: it neither pads odd chunks nor doubts sizes.
    let head = minimal_header(&chunks);
    let mut reader =
        WavReader::new(head.as_slice().chain(chunks.data)).map_err(|error| hound_error(path, error))?;
    let spec = reader.spec();
    let frames = reader.duration() as usize;
    check_limits(path, spec.sample_rate, usize::from(spec.channels), frames)?;
    let samples = match spec.sample_format {
        SampleFormat::Float => {
            average(reader.samples::<f32>().map(|s| s.map(f64::from)), spec.channels, frames)
        }
        SampleFormat::Int => {
            let scale = 0.5f64.powi(i32::from(spec.bits_per_sample) - 1);
            average(reader.samples::<i32>().map(|s| s.map(|s| f64::from(s) * scale)), spec.channels, frames)
        }
    };
    let samples = samples.map_err(|error| hound_error(path, error))?;
    Ok(Audio { samples, sample_rate_hz: spec.sample_rate })
}

/// The mean over the channels of interleaved samples; `frames` is trusted because the data is in memory.
fn average(
    mut interleaved: impl Iterator<Item = hound::Result<f64>>,
    channels: u16,
    frames: usize,
) -> hound::Result<Vec<f32>> {
    let mut mono = Vec::with_capacity(frames);
    while let Some(first) = interleaved.next() {
        let mut sum = first?;
        for other in interleaved.by_ref().take(usize::from(channels) - 1) {
            sum += other?;
        }
        mono.push((sum / f64::from(channels)) as f32);
    }
    Ok(mono)
}

/// The two chunks of a RIFF file that hold its audio.
struct Chunks<'a> {
    fmt: &'a [u8],
    data: &'a [u8],
}

/// Walks the RIFF chunks up to `data` and compares every announced size with the bytes that are there.
fn find_chunks<'a>(path: &Path, bytes: &'a [u8]) -> Result<Chunks<'a>, AudioError> {
    let truncated = |detail: String| AudioError::Truncated { path: path.to_owned(), detail };
    let corrupt = |detail: &str| AudioError::Corrupt { path: path.to_owned(), detail: detail.to_owned() };
    match bytes.get(8..12) {
        None => return Err(truncated("it ends inside the RIFF header".to_owned())),
        Some(form) if form != b"WAVE" => return Err(corrupt("a RIFF file that is not WAVE")),
        Some(_) => {}
    }
    let (mut rest, mut fmt) = (&bytes[12..], None);
    loop {
        let &[a, b, c, d, s0, s1, s2, s3, ref body @ ..] = rest else {
            return Err(truncated("it ends before its data chunk".to_owned()));
        };
        let claimed = u32::from_le_bytes([s0, s1, s2, s3]);
        let size = claimed as usize;
        match &[a, b, c, d] {
            b"data" => {
                let (claimed_bytes, actual_bytes) = (u64::from(claimed), body.len() as u64);
                if claimed_bytes > actual_bytes && claimed_bytes > MAX_AUDIO_BYTES {
                    return Err(AudioError::HostileHeader {
                        path: path.to_owned(),
                        claimed_bytes,
                        actual_bytes,
                    });
                }
                let Some(data) = body.get(..size) else {
                    return Err(truncated(format!(
                        "{actual_bytes} of {claimed_bytes} bytes of samples are there"
                    )));
                };
                return Ok(Chunks {
                    fmt: fmt.ok_or_else(|| corrupt("no fmt chunk before the data chunk"))?,
                    data,
                });
            }
            id => {
                let Some(content) = body.get(..size) else {
                    let name = String::from_utf8_lossy(id).escape_debug().to_string();
                    return Err(truncated(format!("it ends inside its `{name}` chunk")));
                };
                if id == b"fmt " {
                    fmt = Some(content);
                }
                // Chunks are aligned to two bytes; the pad byte is not counted in the size.
                rest = body.get(size + size % 2..).unwrap_or_default();
            }
        }
    }
}

/// The start of a WAV file that has only a fmt and a data chunk, up to the first sample.
fn minimal_header(chunks: &Chunks<'_>) -> Vec<u8> {
    // The sizes fit: both chunks were announced by 32-bit sizes.
    let (fmt_size, data_size) = (chunks.fmt.len() as u32, chunks.data.len() as u32);
    let riff_size = data_size.saturating_add(fmt_size).saturating_add(20);
    let mut head = Vec::with_capacity(28 + chunks.fmt.len());
    head.extend_from_slice(b"RIFF");
    head.extend_from_slice(&riff_size.to_le_bytes());
    head.extend_from_slice(b"WAVEfmt ");
    head.extend_from_slice(&fmt_size.to_le_bytes());
    head.extend_from_slice(chunks.fmt);
    head.extend_from_slice(b"data");
    head.extend_from_slice(&data_size.to_le_bytes());
    head
}

fn hound_error(path: &Path, error: hound::Error) -> AudioError {
    let path = path.to_owned();
    match error {
        hound::Error::IoError(_) => {
            AudioError::Truncated { path, detail: "its samples end early".to_owned() }
        }
        hound::Error::Unsupported => {
            AudioError::Unsupported { path, detail: "a WAV file of compressed or unusual samples".to_owned() }
        }
        // hound reports some sample widths that it does not read as format errors.
        hound::Error::FormatError(detail) if detail.starts_with("bits per sample") => {
            AudioError::Unsupported { path, detail: format!("a WAV file whose {detail}") }
        }
        hound::Error::TooWide => {
            AudioError::Unsupported { path, detail: "a WAV file of samples wider than 32 bits".to_owned() }
        }
        other => AudioError::Corrupt { path, detail: other.to_string() },
    }
}

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
    atomic::write_atomic(path, &bytes)?;
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
