//! From a file to mono samples: reading within limits, choosing the decoder by content, checking the result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use idk_common::hash::sha256_hex;
use idk_common::limits::MAX_AUDIO_BYTES;
use idk_common::{CommonError, atomic};

use compressed::Codec;

use crate::{AudioError, resample};

mod compressed;
mod limits;
mod wav;

pub use wav::write_wav;

/// Mono audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Audio {
    /// Samples, nominally in [-1, 1] (float files and lossy codecs may go past it).
    pub samples: Vec<f32>,
    /// Samples per second.
    pub sample_rate_hz: u32,
}

impl Audio {
    /// Length in seconds.
    #[must_use]
    pub fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate_hz.max(1))
    }
}

/// Decodes a file at its own rate and averages its channels.
///
/// The content decides the decoder, not the name: WAV (8, 16, 24 and 32-bit integers, 32-bit floats), FLAC,
/// Ogg Vorbis, MP3. Integers are divided by 2^(bits-1). The decoders are third-party code and run behind
/// `catch_unwind`.
///
/// # Errors
/// A distinct [`AudioError`] for a file that is missing, empty, cut off, of hostile header, too long, not
/// finite, unsupported or damaged. An MP3 without a frame count (a Xing or VBRI header) that ends between two
/// frames cannot be told from a whole one.
pub fn decode_file(path: &Path) -> Result<Audio, AudioError> {
    decode(path, &read(path)?)
}

/// [`decode_file`], and the SHA-256 of the bytes that were decoded.
///
/// # Errors
/// As [`decode_file`].
pub fn decode_hashed(path: &Path) -> Result<(Audio, String), AudioError> {
    let bytes = read(path)?;
    Ok((decode(path, &bytes)?, sha256_hex(&bytes)))
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Audio, AudioError> {
    let audio = catch_unwind(AssertUnwindSafe(|| decode_bytes(path, bytes)))
        .map_err(|_| AudioError::DecoderPanic { path: path.to_owned() })??;
    check_samples(path, &audio.samples)?;
    Ok(audio)
}

/// Decodes a file and resamples it to `sample_rate_hz`.
///
/// # Errors
/// As [`decode_file`].
pub fn load(path: &Path, sample_rate_hz: u32) -> Result<Audio, AudioError> {
    Ok(at_rate(decode_file(path)?, sample_rate_hz))
}

/// [`load`], and the SHA-256 of the bytes that were decoded.
///
/// # Errors
/// As [`decode_file`].
pub fn load_hashed(path: &Path, sample_rate_hz: u32) -> Result<(Audio, String), AudioError> {
    let (audio, sha256) = decode_hashed(path)?;
    Ok((at_rate(audio, sample_rate_hz), sha256))
}

fn at_rate(audio: Audio, sample_rate_hz: u32) -> Audio {
    if audio.sample_rate_hz == sample_rate_hz {
        return audio;
    }
    Audio { samples: resample(&audio.samples, audio.sample_rate_hz, sample_rate_hz), sample_rate_hz }
}

/// Reads a regular file of at most [`MAX_AUDIO_BYTES`].
fn read(path: &Path) -> Result<Vec<u8>, AudioError> {
    let bytes = atomic::read_limited(path, MAX_AUDIO_BYTES).map_err(|error| match error {
        CommonError::NotFound { path } => AudioError::Missing { path },
        CommonError::NotAFile { path } => AudioError::NotAFile { path },
        CommonError::TooLarge { path, limit, unit, .. } => AudioError::TooLong { path, limit, unit },
        other => AudioError::Common(other),
    })?;
    if bytes.is_empty() {
        return Err(AudioError::Empty { path: path.to_owned() });
    }
    Ok(bytes)
}

fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<Audio, AudioError> {
    let body = skip_id3(bytes);
    match body {
        _ if bytes.starts_with(b"RIFF") => wav::decode(path, bytes),
        [b'f', b'L', b'a', b'C', ..] => compressed::decode(path, body, Codec::Flac),
        [b'O', b'g', b'g', b'S', ..] => compressed::decode(path, body, Codec::Ogg),
        // The 11 sync bits of an MPEG audio frame.
        [0xff, second, ..] if second & 0xe0 == 0xe0 => compressed::decode(path, body, Codec::Mp3),
        [] | [_] if body.len() < bytes.len() => Err(AudioError::Truncated {
            path: path.to_owned(),
            detail: "it ends with its ID3 tag".to_owned(),
        }),
        _ => Err(AudioError::Unsupported { path: path.to_owned(), detail: describe_content(body) }),
    }
}

/// The bytes after leading ID3v2 tags (MP3 writers put them first, some FLAC writers too).
fn skip_id3(mut bytes: &[u8]) -> &[u8] {
    while let [b'I', b'D', b'3', _, _, flags, a, b, c, d, rest @ ..] = bytes {
        // The size is "synchsafe": seven bits a byte. A footer repeats the ten bytes of the header.
        let size = [a, b, c, d].iter().fold(0usize, |size, &&byte| size << 7 | usize::from(byte & 0x7f));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        bytes = rest.get(size + footer..).unwrap_or_default();
    }
    bytes
}

/// Names what a file of unknown content seems to be.
fn describe_content(bytes: &[u8]) -> String {
    let name = match bytes {
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "an MP4 (M4A, AAC) file",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "a Matroska or WebM file",
        [b'F', b'O', b'R', b'M', ..] => "an AIFF file",
        [b'R', b'I', b'F', b'X', ..] | [b'R', b'F', b'6', b'4', ..] => "a big-endian or 64-bit WAV file",
        _ if bytes.starts_with(b"version https://git-lfs") => {
            "a Git LFS pointer, not the audio (run git lfs pull)"
        }
        _ if bytes.iter().take(512).all(|byte| matches!(byte, 9 | 10 | 13 | 32..=126)) => {
            "text, not audio (a failed download?)"
        }
        _ => "its content is of no known audio format",
    };
    name.to_owned()
}

/// What holds for every usable recording, whatever the decoder.
fn check_samples(path: &Path, samples: &[f32]) -> Result<(), AudioError> {
    let path = path.to_owned();
    if samples.is_empty() {
        return Err(AudioError::Empty { path });
    }
    match samples.iter().position(|sample| !sample.is_finite()) {
        Some(index) => Err(AudioError::NonFinite { path, index, value: samples[index] }),
        None => Ok(()),
    }
}
