//! From a file to mono samples: reading within limits, choosing the decoder by content, checking the result.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use idk_common::hash::sha256_hex;
use idk_common::limits::MAX_AUDIO_BYTES;
use idk_common::{CommonError, fs};

use content::Codec;
use mono::{Decoded, Mono, Window};

use crate::resample::resample_start;
use crate::{AudioError, resample, resampled_len};

mod compressed;
mod content;
mod flac;
pub(crate) mod limits;
mod mono;
mod mpeg;
mod riff;
mod wav;
mod wave_format;

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

/// What is remarkable about a recording that can be used. Silence and phase are those of the part that was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// No sample is above one step of 16 bits: there is nothing to hear.
    pub silent: bool,
    /// It has two channels of opposite phase, whose mean is nearly silent though each is not.
    pub opposite_phase: bool,
    /// It is several MP3 files one after the other; if the first announces its length, only that one is decoded.
    pub joined: bool,
}

impl Notes {
    /// The names of what holds, for counting.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named =
            [(self.silent, "silent"), (self.opposite_phase, "opposite-phase"), (self.joined, "joined-mp3")];
        named.into_iter().filter(|(holds, _)| *holds).map(|(_, name)| name)
    }
}

/// The start of a recording at the rate of a model, as [`load_window`] gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The start, at most as long as was asked for.
    pub audio: Audio,
    /// Samples that the whole recording has at that rate.
    pub total_samples: usize,
    /// SHA-256 of the file.
    pub sha256: String,
    /// What is remarkable about it.
    pub notes: Notes,
}

impl Recording {
    /// Whether the recording is longer than what was asked for.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total_samples > self.audio.samples.len()
    }
}

/// Decodes a file at its own rate and averages its channels.
///
/// The content decides the decoder, not the name: WAV (integers of up to 32 bits, floats, G.711), FLAC, Ogg Vorbis,
/// MP3. Integers are divided by 2^(bits-1). The decoders are third-party code and run behind `catch_unwind`.
///
/// # Errors
/// A distinct [`AudioError`] for a file that is missing, empty, cut off, too long, too loud or not finite, unsupported
/// or damaged; [`AudioError::is_about_the_file`] tells these from failures to read it. An MP3 without a frame count (a
/// Xing or VBRI header) that ends between two frames, and a WAV file whose writer left its size open, cannot be told
/// from a whole one.
pub fn decode_file(path: &Path) -> Result<Audio, AudioError> {
    Ok(decode(path, read(path)?, None)?.audio)
}

/// Decodes a file and resamples it to `sample_rate_hz`.
///
/// # Errors
/// As [`decode_file`].
pub fn load(path: &Path, sample_rate_hz: u32) -> Result<Audio, AudioError> {
    let audio = decode_file(path)?;
    if audio.sample_rate_hz == sample_rate_hz {
        return Ok(audio);
    }
    Ok(Audio { samples: resample(&audio.samples, audio.sample_rate_hz, sample_rate_hz), sample_rate_hz })
}

/// The first `max_samples` samples of [`load`], bit for bit, in memory for these alone.
///
/// The whole file is decoded, so that damage after the window is found too, but what no sample of the window depends
/// on is not kept.
///
/// # Errors
/// As [`decode_file`].
pub fn load_window(path: &Path, sample_rate_hz: u32, max_samples: usize) -> Result<Recording, AudioError> {
    let bytes = read(path)?;
    let sha256 = sha256_hex(&bytes);
    let Decoded { mut audio, frames, notes } =
        decode(path, bytes, Some(Window { sample_rate_hz, samples: max_samples }))?;
    let total_samples = resampled_len(frames, audio.sample_rate_hz, sample_rate_hz);
    let wanted = total_samples.min(max_samples);
    if audio.sample_rate_hz == sample_rate_hz {
        audio.samples.truncate(wanted);
    } else {
        let samples = resample_start(&audio.samples, audio.sample_rate_hz, sample_rate_hz, wanted);
        audio = Audio { samples, sample_rate_hz };
    }
    Ok(Recording { audio, total_samples, sha256, notes })
}

/// Reads a regular file of at most [`MAX_AUDIO_BYTES`].
fn read(path: &Path) -> Result<Vec<u8>, AudioError> {
    let bytes = fs::read_limited(path, MAX_AUDIO_BYTES).map_err(|error| match error {
        CommonError::NotFound { path } => AudioError::Missing { path },
        CommonError::NotAFile { path } => AudioError::NotAFile { path },
        CommonError::TooLarge { path, limit, unit, .. } => AudioError::TooLong { path, limit, unit },
        // Names that no file can have: too long, through a file, with a zero byte.
        CommonError::Io { path, source, .. } if cannot_exist(source.kind()) => AudioError::Missing { path },
        other => AudioError::Common(other),
    })?;
    if bytes.is_empty() {
        return Err(AudioError::Empty { path: path.to_owned() });
    }
    Ok(bytes)
}

fn cannot_exist(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::InvalidFilename | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput
    )
}

fn decode(path: &Path, mut bytes: Vec<u8>, window: Option<Window>) -> Result<Decoded, AudioError> {
    catch_unwind(AssertUnwindSafe(|| decode_bytes(path, &mut bytes, window)))
        .map_err(|_| AudioError::DecoderPanic { path: path.to_owned() })?
}

fn decode_bytes(path: &Path, bytes: &mut [u8], window: Option<Window>) -> Result<Decoded, AudioError> {
    let (start, codec) = match content::recognise(bytes) {
        Ok(found) => found,
        Err(_) if content::skip_id3(bytes).len() < 2 && bytes.starts_with(b"ID3") => {
            let detail = "it ends with its ID3 tag".to_owned();
            return Err(AudioError::Truncated { path: path.to_owned(), detail });
        }
        Err(detail) => return Err(AudioError::Unsupported { path: path.to_owned(), detail }),
    };
    let mono = || Mono::new(path, window);
    let body = &mut bytes[start..];
    match codec {
        Codec::Wav => wav::decode(path, body, mono()),
        Codec::Ogg => compressed::decode(path, body, codec, mono()),
        Codec::Flac => flac::decode(path, body, mono),
        Codec::Mp3 => {
            let mut decoded = compressed::decode(path, content::before_tags(body), codec, mono())?;
            decoded.notes.joined = mpeg::is_joined(body);
            Ok(decoded)
        }
    }
}
