//! A recording as rows name it: its path, hash and number of audio tokens. Its spectrogram is computed when it is needed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use idk_audio::{AudioError, LogMel, Notes, Recording, load_window};
use idk_common::hash::sha256_hex;

use crate::arch::audio::FeatureExtractor;
use crate::error::ModelError;

/// A recording, in memory or in a file. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Clip {
    audio_tokens: usize,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Memory(Arc<ClipInMemory>),
    File(Arc<ClipFile>),
}

#[derive(Debug)]
struct ClipInMemory {
    mel: Arc<LogMel>,
    /// Computed when it is asked for: rows that are rendered without end never are.
    sha256: OnceLock<String>,
}

#[derive(Debug)]
struct ClipFile {
    path: PathBuf,
    sha256: String,
    is_cut: bool,
    notes: Notes,
}

impl Clip {
    /// A clip whose spectrogram, made by `extractor`, is held in memory.
    pub fn of_mel(mel: LogMel, extractor: &FeatureExtractor) -> Self {
        let audio_tokens = extractor.tokens(&mel);
        let clip = ClipInMemory { mel: Arc::new(mel), sha256: OnceLock::new() };
        Self { audio_tokens, source: Source::Memory(Arc::new(clip)) }
    }

    /// A clip in a file, which is decoded to see that it can be, and then forgotten.
    /// [`FeatureStore::clip`](crate::FeatureStore::clip) keeps what it decodes.
    ///
    /// # Errors
    /// As [`FeatureExtractor::load`].
    pub fn of_file(path: &Path, extractor: &FeatureExtractor) -> Result<Self, AudioError> {
        Ok(Self::of_recording(path, &extractor.load(path)?, extractor))
    }

    /// The clip in the file at `path`, which holds `recording`.
    pub(super) fn of_recording(path: &Path, recording: &Recording, extractor: &FeatureExtractor) -> Self {
        let file = ClipFile {
            path: path.to_owned(),
            sha256: recording.sha256.clone(),
            is_cut: recording.is_cut(),
            notes: recording.notes,
        };
        let audio_tokens = extractor.tokens_of_samples(recording.total_samples);
        Self { audio_tokens, source: Source::File(Arc::new(file)) }
    }

    /// Tokens that the audio encoder makes of it.
    pub fn audio_tokens(&self) -> usize {
        self.audio_tokens
    }

    /// SHA-256 of its file, or of the values of its spectrogram if it is held in memory.
    pub fn sha256(&self) -> &str {
        match &self.source {
            Source::Memory(clip) => clip.sha256.get_or_init(|| {
                let bytes: Vec<u8> = clip.mel.data.iter().flat_map(|value| value.to_le_bytes()).collect();
                sha256_hex(&bytes)
            }),
            Source::File(file) => &file.sha256,
        }
    }

    /// Whether its file is longer than the model's window: only the beginning is heard.
    pub fn is_cut(&self) -> bool {
        matches!(&self.source, Source::File(file) if file.is_cut)
    }

    /// What is remarkable about its file.
    pub fn notes(&self) -> Notes {
        match &self.source {
            Source::Memory(_) => Notes::default(),
            Source::File(file) => file.notes,
        }
    }

    /// Its spectrogram if it is held in memory.
    pub(super) fn mel_in_memory(&self) -> Option<Arc<LogMel>> {
        match &self.source {
            Source::Memory(clip) => Some(Arc::clone(&clip.mel)),
            Source::File(_) => None,
        }
    }

    /// Its spectrogram, read from its file unless it is held in memory.
    ///
    /// # Errors
    /// [`ModelError::RecordingChanged`] if the file is gone or holds something else than before, [`ModelError::Audio`] if
    /// it could not be read this time.
    pub fn mel(&self, extractor: &FeatureExtractor) -> Result<Arc<LogMel>, ModelError> {
        let file = match &self.source {
            Source::Memory(clip) => return Ok(Arc::clone(&clip.mel)),
            Source::File(file) => file,
        };
        let rate_hz = extractor.config().sampling_rate as u32;
        let changed = || ModelError::RecordingChanged { path: file.path.clone() };
        let recording = load_window(&file.path, rate_hz, extractor.max_samples());
        let recording = match recording {
            Err(error) if error.is_about_the_file() => return Err(changed()),
            recording => recording?,
        };
        if recording.sha256 != file.sha256 {
            return Err(changed());
        }
        Ok(Arc::new(extractor.log_mel(&recording.audio.samples)))
    }
}
