//! From clips to features, in two halves: reading, which any thread may do, and encoding on the device.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use burn::tensor::Tensor;
use idk_audio::LogMel;
use idk_common::prefetch;
use idk_common::progress::Progress;
use rayon::prelude::*;

use crate::error::ModelError;
use crate::features::disk::{Disk, Stored, stored_bytes};
use crate::features::{Clip, EncoderState, FeatureStore};

/// Clips that are read and encoded together by [`FeatureStore::keep`].
const CLIPS_AT_ONCE: usize = 32;

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
}
