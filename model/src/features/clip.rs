//! A row's recording: its path, hash and number of audio tokens. Its spectrogram is computed when a step needs it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use idk_audio::{AudioError, LogMel};
use idk_common::hash::sha256_hex;
use idk_common::progress::Progress;
use idk_model::FeatureExtractor;
use rayon::prelude::*;

use crate::error::TrainError;

/// A recording, in memory or in a file. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Clip {
    audio_tokens: usize,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Memory(Arc<LogMel>),
    File(Arc<ClipFile>),
}

#[derive(Debug)]
struct ClipFile {
    path: PathBuf,
    sha256: String,
}

impl Clip {
    /// A clip whose spectrogram, made by `extractor`, is held in memory.
    pub fn of_mel(mel: LogMel, extractor: &FeatureExtractor) -> Self {
        Self { audio_tokens: extractor.tokens(&mel), source: Source::Memory(Arc::new(mel)) }
    }

    /// A clip in a file, which is decoded once to see that it can be, and then forgotten.
    ///
    /// # Errors
    /// As [`idk_audio::decode_file`], and [`AudioError::TooShort`].
    pub fn of_file(path: &Path, extractor: &FeatureExtractor) -> Result<Self, AudioError> {
        // Nothing of it is kept: what counts is that it can be decoded, and its length.
        let recording = idk_audio::load_window(path, extractor.config().sampling_rate as u32, 0)?;
        let (samples, needed) = (recording.total_samples, extractor.min_samples());
        if samples < needed {
            return Err(AudioError::TooShort { path: path.to_owned(), samples, needed });
        }
        let file = ClipFile { path: path.to_owned(), sha256: recording.sha256 };
        Ok(Self { audio_tokens: extractor.tokens_of_samples(samples), source: Source::File(Arc::new(file)) })
    }

    /// Tokens that the audio encoder makes of it.
    pub fn audio_tokens(&self) -> usize {
        self.audio_tokens
    }

    /// SHA-256 of its file, or of the values of its spectrogram if it is held in memory.
    pub fn sha256(&self) -> Cow<'_, str> {
        match &self.source {
            Source::Memory(mel) => {
                let bytes: Vec<u8> = mel.data.iter().flat_map(|value| value.to_le_bytes()).collect();
                Cow::Owned(sha256_hex(&bytes))
            }
            Source::File(file) => Cow::Borrowed(&file.sha256),
        }
    }

    /// Its spectrogram, read from its file unless it is held in memory.
    ///
    /// # Errors
    /// [`TrainError::Recording`] if the file cannot be read any more, [`TrainError::RecordingChanged`] if it holds
    /// something else than before.
    pub fn mel(&self, extractor: &FeatureExtractor) -> Result<Arc<LogMel>, TrainError> {
        let file = match &self.source {
            Source::Memory(mel) => return Ok(Arc::clone(mel)),
            Source::File(file) => file,
        };
        let config = extractor.config();
        let recording =
            idk_audio::load_window(&file.path, config.sampling_rate as u32, config.window_samples())
                .map_err(|source| TrainError::Recording(Box::new(source)))?;
        if recording.sha256 != file.sha256 {
            return Err(TrainError::RecordingChanged { path: file.path.clone() });
        }
        Ok(Arc::new(extractor.log_mel(&recording.audio.samples)))
    }
}

/// The clips of rows, each given as its id and the paths of its recordings. Every file is decoded once, and not kept.
///
/// # Errors
/// [`TrainError::Clip`] with the id of the first row that has a recording which cannot be used.
pub fn clips_of_rows(
    rows: &[(&str, &[String])],
    extractor: &FeatureExtractor,
    progress: impl FnOnce(u64) -> Progress,
) -> Result<Vec<Vec<Clip>>, TrainError> {
    let distinct: BTreeSet<&str> = rows.iter().flat_map(|(_, paths)| *paths).map(String::as_str).collect();
    let bar = progress(distinct.len() as u64);
    let read = |path: &&str| {
        let clip = Clip::of_file(Path::new(path), extractor);
        bar.inc(1);
        clip
    };
    let paths: Vec<&str> = distinct.into_iter().collect();
    let found: Vec<Result<Clip, AudioError>> = paths.par_iter().map(read).collect();
    bar.finish();
    let mut clips: BTreeMap<&str, Clip> = BTreeMap::new();
    let mut errors: BTreeMap<&str, AudioError> = BTreeMap::new();
    for (path, found) in paths.into_iter().zip(found) {
        match found {
            Ok(clip) => drop(clips.insert(path, clip)),
            Err(error) => drop(errors.insert(path, error)),
        }
    }
    for &(id, paths) in rows {
        if let Some(source) = paths.iter().find_map(|path| errors.remove(path.as_str())) {
            return Err(TrainError::Clip { id: id.to_owned(), source: Box::new(source) });
        }
    }
    let of_row =
        |paths: &[String]| paths.iter().filter_map(|path| clips.get(path.as_str()).cloned()).collect();
    Ok(rows.iter().map(|(_, paths)| of_row(paths)).collect())
}
