//! A clip is decoded once per run and encoded once per state of the encoder, whoever asks: sampling, training, evaluation.
//!
//! Features stay in memory while there is room, then on disk if a folder is set; otherwise they are computed again at
//! each use. A clip is always encoded in the same way, so where its features come from changes no result.

mod clip;
mod disk;
mod encode;
mod encoder;
mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use idk_audio::{AudioError, LogMel};
use idk_common::hash::sha256_hex;

use crate::arch::audio::FeatureExtractor;
use crate::error::ModelError;

pub use self::clip::Clip;
use self::disk::Disk;
pub use self::encode::LoadedClip;
pub use self::encoder::EncoderState;
use self::memory::Memory;

/// Changes whenever the encoder computes other values from the same input, or the files get another form.
const VERSION: &str = "idk audio features 2";

/// How much a [`FeatureStore`] keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureLimits {
    /// Most bytes in memory. Features come first; what they leave holds spectrograms of clips that are not encoded yet.
    pub memory_bytes: u64,
    /// Folder for features, which any number of runs may share; empty: nothing is stored.
    pub disk_dir: PathBuf,
    /// Most bytes of that folder.
    pub disk_bytes: u64,
}

impl FeatureLimits {
    /// Nothing is kept.
    pub const NONE: Self = Self { memory_bytes: 0, disk_dir: PathBuf::new(), disk_bytes: 0 };
}

/// What a [`FeatureStore`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureCounts {
    /// Files that were decoded.
    pub decoded: u64,
    /// Clips that were encoded.
    pub encoded: u64,
}

/// The clips of a run and their features, for one base model. All methods may be called from several threads.
#[derive(Debug)]
pub struct FeatureStore {
    model_sha256: String,
    limits: FeatureLimits,
    memory: Mutex<Memory>,
    /// Opened when it is needed first.
    disk: Mutex<Option<Arc<Disk>>>,
    /// Files by path. Each has a lock of its own, so that it is decoded once even if two threads ask for it.
    files: Mutex<BTreeMap<PathBuf, Arc<Mutex<Option<KnownFile>>>>>,
    warned: AtomicBool,
    decoded: AtomicU64,
    encoded: AtomicU64,
}

/// A file that was decoded. One whose size or time has changed since is decoded again.
#[derive(Debug)]
struct KnownFile {
    bytes: u64,
    modified: SystemTime,
    clip: Clip,
}

impl FeatureStore {
    /// A store for the model whose folder has this hash. Without a hash nothing is stored on the disk, since nobody could
    /// tell one model's features from another's.
    #[must_use]
    pub fn new(model_sha256: &str, limits: FeatureLimits) -> Self {
        Self {
            model_sha256: model_sha256.to_owned(),
            memory: Mutex::new(Memory::new(limits.memory_bytes)),
            limits,
            disk: Mutex::new(None),
            files: Mutex::new(BTreeMap::new()),
            warned: AtomicBool::new(false),
            decoded: AtomicU64::new(0),
            encoded: AtomicU64::new(0),
        }
    }

    /// The clip in a file. The file is decoded at the first call; later calls find it by its path.
    ///
    /// # Errors
    /// As [`FeatureExtractor::load`].
    pub fn clip(&self, path: &Path, extractor: &FeatureExtractor) -> Result<Clip, AudioError> {
        // A run names a file in several ways: as its question set does, and as seen from the dataset.
        let name = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let file = Arc::clone(locked(&self.files).entry(name).or_default());
        let mut file = locked(&file);
        let metadata = std::fs::metadata(path).ok();
        let stamp = metadata.and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
        let is_same = |known: &&KnownFile| Some((known.bytes, known.modified)) == stamp;
        if let Some(known) = file.as_ref().filter(is_same) {
            return Ok(known.clip.clone());
        }
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let recording = extractor.load(path)?;
        let clip = Clip::of_recording(path, &recording, extractor);
        if self.memory().has_room_for_mels() {
            let mel = Arc::new(extractor.log_mel(&recording.audio.samples));
            self.memory().keep_mel(clip.sha256(), &mel);
        }
        *file = stamp.map(|(bytes, modified)| KnownFile { bytes, modified, clip: clip.clone() });
        Ok(clip)
    }

    /// The spectrogram of a clip, decoded unless it is in memory.
    ///
    /// # Errors
    /// As [`Clip::mel`].
    pub fn mel(&self, clip: &Clip, extractor: &FeatureExtractor) -> Result<Arc<LogMel>, ModelError> {
        if let Some(mel) = clip.mel_in_memory() {
            return Ok(mel);
        }
        let kept = self.memory().mel(clip.sha256());
        if let Some(mel) = kept {
            return Ok(mel);
        }
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let mel = clip.mel(extractor)?;
        self.memory().keep_mel(clip.sha256(), &mel);
        Ok(mel)
    }

    /// Forgets the features and spectrograms in memory: what a stage has left makes way for those of the next.
    pub fn clear(&self) {
        self.memory().clear();
    }

    /// [`FeatureStore::clear`] if there was no room for features since the last time.
    pub fn clear_if_full(&self) {
        let mut memory = self.memory();
        if memory.is_full() {
            memory.clear();
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> FeatureCounts {
        FeatureCounts {
            decoded: self.decoded.load(Ordering::Relaxed),
            encoded: self.encoded.load(Ordering::Relaxed),
        }
    }

    /// Everything that the features of a clip depend on.
    fn key(&self, encoder: &EncoderState<'_>, clip: &Clip) -> String {
        let (model, encoder, clip) = (&self.model_sha256, encoder.identity(), clip.sha256());
        sha256_hex(format!("{VERSION}\nmodel {model}\n{encoder}\nclip {clip}").as_bytes())
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        locked(&self.memory)
    }

    fn disk(&self) -> Result<Option<Arc<Disk>>, ModelError> {
        let dir = &self.limits.disk_dir;
        if self.model_sha256.is_empty() || dir.as_os_str().is_empty() {
            return Ok(None);
        }
        let mut disk = locked(&self.disk);
        if disk.is_none() {
            *disk = Some(Arc::new(Disk::open(dir, self.limits.disk_bytes)?));
        }
        Ok(disk.clone())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
