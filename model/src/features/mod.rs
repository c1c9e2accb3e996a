//! A clip is decoded once per run and encoded once per state of the encoder, whoever asks: sampling, training, evaluation.
//!
//! Features stay in memory while there is room, then on disk if a folder is set; otherwise they are computed again at
//! each use. A clip is always encoded in the same way, so where its features come from changes no result.

mod clip;
mod disk;
mod encoder;
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use burn::tensor::Tensor;
use idk_audio::{AudioError, LogMel};
use idk_common::hash::sha256_hex;
use idk_common::prefetch;
use idk_common::progress::Progress;
use rayon::prelude::*;

use crate::arch::audio::FeatureExtractor;
use crate::error::ModelError;

pub use self::clip::Clip;
use self::disk::{Disk, Stored, stored_bytes};
pub use self::encoder::EncoderState;
use self::memory::Memory;

/// Changes whenever the encoder computes other values from the same input, or the files get another form.
const VERSION: &str = "idk audio features 2";

/// Clips that are read and encoded together by [`FeatureStore::keep`].
const CLIPS_AT_ONCE: usize = 32;

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

/// A clip on its way to the device, as far as a thread that must leave the device alone can bring it.
#[derive(Debug)]
pub struct LoadedClip {
    clip: Clip,
    key: String,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// Its features are in memory.
    InMemory,
    /// Its features, read from the disk.
    Values(Vec<f32>),
    /// Its spectrogram.
    Mel { mel: Arc<LogMel>, is_damaged: bool },
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

    /// The features of clips: from memory, from the disk, or encoded now.
    ///
    /// # Shapes
    /// - each output: `[audio_tokens, hidden]`
    ///
    /// # Errors
    /// As [`FeatureStore::load`] and [`FeatureStore::finish`].
    pub fn features(
        &self,
        encoder: &EncoderState<'_>,
        clips: &[Clip],
        warn: &dyn Fn(&str),
    ) -> Result<Vec<Tensor<2>>, ModelError> {
        self.finish(encoder, self.load(encoder, clips)?, warn)
    }

    /// The part of [`FeatureStore::features`] that leaves the device alone: files are read and decoded, several at once.
    ///
    /// # Errors
    /// As [`Clip::mel`]; [`ModelError::Common`] if the folder on the disk cannot be used.
    pub fn load(&self, encoder: &EncoderState<'_>, clips: &[Clip]) -> Result<Vec<LoadedClip>, ModelError> {
        let disk = self.disk()?;
        let load = |clip: &Clip| {
            let key = self.key(encoder, clip);
            let found = self.find(encoder, clip, &key, disk.as_deref())?;
            Ok(LoadedClip { clip: clip.clone(), key, found })
        };
        let is_in_memory = |clip: &Clip| self.memory().has_features(&self.key(encoder, clip));
        if clips.iter().all(is_in_memory) {
            return clips.iter().map(load).collect();
        }
        clips.par_iter().map(load).collect::<Vec<_>>().into_iter().collect()
    }

    fn find(
        &self,
        encoder: &EncoderState<'_>,
        clip: &Clip,
        key: &str,
        disk: Option<&Disk>,
    ) -> Result<Found, ModelError> {
        if self.memory().has_features(key) {
            return Ok(Found::InMemory);
        }
        let stored = disk.map_or(Stored::Missing, |disk| disk.read(key, encoder.values(clip)));
        let is_damaged = match stored {
            Stored::Values(values) => return Ok(Found::Values(values)),
            Stored::Missing => false,
            Stored::Damaged => true,
        };
        Ok(Found::Mel { mel: self.mel(clip, &encoder.lalm.mel)?, is_damaged })
    }

    /// The features of loaded clips: on the device, encoded if need be, and kept if there is room. A damaged file on the
    /// disk is replaced; `warn` is called at the first of them.
    ///
    /// # Errors
    /// As [`Lalm::encode_each`](crate::Lalm::encode_each); [`ModelError::Common`] if a file cannot be written.
    pub fn finish(
        &self,
        encoder: &EncoderState<'_>,
        loaded: Vec<LoadedClip>,
        warn: &dyn Fn(&str),
    ) -> Result<Vec<Tensor<2>>, ModelError> {
        let keys: Vec<String> = loaded.iter().map(|loaded| loaded.key.clone()).collect();
        let mut ready: BTreeMap<String, Tensor<2>> = BTreeMap::new();
        let mut missing: Vec<(String, Clip, Arc<LogMel>)> = Vec::new();
        let mut damaged = BTreeSet::new();
        for LoadedClip { clip, key, found } in loaded {
            // A clip that is asked for several times is encoded once.
            if ready.contains_key(&key) || missing.iter().any(|(known, ..)| *known == key) {
                continue;
            }
            let kept = self.memory().features(&key);
            let features = match (kept, found) {
                (Some(features), _) => features,
                (None, Found::Values(values)) => {
                    let features = encoder.tensor(&clip, values);
                    self.keep_in_memory(encoder, &clip, &key, &features);
                    features
                }
                (None, found) => {
                    let mel = match found {
                        Found::Mel { mel, is_damaged } => {
                            damaged.extend(is_damaged.then(|| key.clone()));
                            mel
                        }
                        // They were forgotten meanwhile.
                        _ => self.mel(&clip, &encoder.lalm.mel)?,
                    };
                    missing.push((key, clip, mel));
                    continue;
                }
            };
            ready.insert(key, features);
        }
        let mels: Vec<&LogMel> = missing.iter().map(|(_, _, mel)| &**mel).collect();
        let encoded = encoder.encode(&mels)?;
        self.encoded.fetch_add(mels.len() as u64, Ordering::Relaxed);
        for ((key, clip, _), features) in missing.into_iter().zip(encoded) {
            if encoder.is_kept() {
                self.store(&key, &features, encoder.values(&clip), damaged.contains(&key), warn)?;
                self.keep_in_memory(encoder, &clip, &key, &features);
            }
            ready.insert(key, features);
        }
        Ok(keys.iter().filter_map(|key| ready.get(key).cloned()).collect())
    }

    /// Encodes the distinct clips whose features will be kept, unless they are: the first ones, as long as there is room.
    /// Clips that are on the disk and are not to be in memory are verified when they are used.
    ///
    /// # Errors
    /// As [`FeatureStore::features`].
    pub fn keep<'c>(
        &self,
        encoder: &EncoderState<'_>,
        clips: impl IntoIterator<Item = &'c Clip>,
        progress: impl FnOnce(u64) -> Progress,
        warn: &dyn Fn(&str),
    ) -> Result<(), ModelError> {
        let mut seen = BTreeSet::new();
        let distinct = clips.into_iter().map(|clip| (self.key(encoder, clip), clip));
        let distinct: Vec<(String, &Clip)> = distinct.filter(|(key, _)| seen.insert(key.clone())).collect();
        let disk = self.disk()?;
        if let Some(disk) = &disk {
            disk.protect(seen.iter().map(String::as_str));
        }
        let wanted = self.worth_encoding(encoder, distinct, disk.as_deref());
        if wanted.is_empty() {
            return Ok(());
        }
        let bar = progress(wanted.len() as u64);
        let groups = wanted.chunks(CLIPS_AT_ONCE).map(|clips| self.load(encoder, clips));
        prefetch(groups, |groups| {
            for loaded in groups {
                let loaded = loaded?;
                let clips = loaded.len() as u64;
                drop(self.finish(encoder, loaded, warn)?);
                bar.inc(clips);
            }
            Ok::<_, ModelError>(())
        })?;
        bar.finish();
        Ok(())
    }

    /// The clips for whose features there is room.
    fn worth_encoding(
        &self,
        encoder: &EncoderState<'_>,
        distinct: Vec<(String, &Clip)>,
        disk: Option<&Disk>,
    ) -> Vec<Clip> {
        let memory = self.memory();
        let mut memory_room = memory.room_for_features();
        let mut disk_room = disk.map_or(0, |_| self.limits.disk_bytes);
        let take = |room: &mut u64, bytes: u64| {
            let fits = bytes <= *room;
            *room -= if fits { bytes } else { 0 };
            fits
        };
        let mut is_wanted = |key: &str, clip: &Clip| {
            if memory.has_features(key) {
                return false;
            }
            let in_memory = take(&mut memory_room, encoder.bytes(clip));
            let on_disk = take(&mut disk_room, stored_bytes(encoder.values(clip)));
            in_memory || on_disk && disk.is_some_and(|disk| !disk.has(key))
        };
        let wanted = distinct.into_iter().filter(|(key, clip)| is_wanted(key, clip));
        wanted.map(|(_, clip)| clip.clone()).collect()
    }

    fn keep_in_memory(&self, encoder: &EncoderState<'_>, clip: &Clip, key: &str, features: &Tensor<2>) {
        self.memory().keep_features(key, clip.sha256(), features, encoder.bytes(clip));
    }

    /// Stores features on the disk if there is a folder with room for them.
    fn store(
        &self,
        key: &str,
        features: &Tensor<2>,
        values: usize,
        is_damaged: bool,
        warn: &dyn Fn(&str),
    ) -> Result<(), ModelError> {
        let Some(disk) = self.disk()? else { return Ok(()) };
        // One warning per run: a bad disk damages many files.
        if is_damaged && !self.warned.swap(true, Ordering::Relaxed) {
            let path = disk.path(key);
            warn(&format!("{} is damaged: its clip is encoded again; so are others like it", path.display()));
        }
        if !disk.has_room(key, values) {
            return Ok(());
        }
        let values: Vec<f32> = features.try_to_vec_as().map_err(|error| ModelError::Compute {
            what: format!("the audio features cannot be read back: {error:?}"),
        })?;
        disk.write(key, &values)?;
        Ok(())
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
