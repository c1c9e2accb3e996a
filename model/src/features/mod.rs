//! The recordings of all rows of a run: which are distinct, where their features are kept, how they enter a batch.
//!
//! While the encoder is frozen a clip is encoded once: its features stay in memory while there is room, then on disk if a
//! folder is set; otherwise they are recomputed at each use. A clip is always encoded in the same way, so the place of
//! its features does not change the trained adapter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Tensor, TensorData};
use idk_audio::LogMel;
use idk_common::progress::Progress;
use idk_model::{Adapters, Lalm};
use rayon::prelude::*;

use crate::clip::Clip;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::feature_cache::{FeatureCache, Stored, stored_bytes};
use crate::forward::AudioInput;
use crate::load_ahead::load_ahead;
use crate::train_run::TrainRun;

/// Clips read and encoded together before training.
const CLIPS_AT_ONCE: usize = 32;

/// Distinct clips of rows, and what is kept of them.
pub(crate) struct AudioStore<'a> {
    lalm: &'a Lalm,
    clips: Vec<Known>,
    /// An adapter sits in front of the decoder: spectrograms go through the encoder in each step.
    encoder_is_trained: bool,
    disk: Option<FeatureCache>,
    warned: AtomicBool,
}

struct Known {
    clip: Clip,
    sha256: String,
    features: Option<Tensor<2>>,
    on_disk: bool,
}

/// Where the features of a clip are to be kept.
#[derive(Clone, Copy)]
struct Place {
    index: usize,
    in_memory: bool,
    on_disk: bool,
}

/// The clips of one row, as indices in the store.
pub(crate) type RowClips = Vec<usize>;

/// A clip on its way into a batch, as far as a thread that must leave the device alone can bring it.
pub(crate) enum Loaded {
    /// Its features are in the store.
    InMemory,
    Values(Vec<f32>),
    Mel {
        mel: LogMel,
        is_damaged: bool,
    },
}

impl<'a> AudioStore<'a> {
    /// A store of the clips of `rows`, and the places of each row's clips in it. Nothing is read yet.
    pub(crate) fn new<'r>(
        lalm: &'a Lalm,
        adapters: &Adapters,
        rows: impl Iterator<Item = &'r [Clip]>,
    ) -> (Self, Vec<RowClips>) {
        let mut clips: Vec<Known> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        let mut place = |clip: &Clip| {
            let sha256 = clip.sha256().into_owned();
            *places.entry(sha256.clone()).or_insert_with(|| {
                clips.push(Known { clip: clip.clone(), sha256, features: None, on_disk: false });
                clips.len() - 1
            })
        };
        let rows = rows.map(|row| row.iter().map(&mut place).collect()).collect();
        let encoder_is_trained = adapters.adapt_audio();
        (Self { lalm, clips, encoder_is_trained, disk: None, warned: AtomicBool::new(false) }, rows)
    }

    /// Encodes the clips whose features are to be kept, unless the disk has them already.
    ///
    /// # Errors
    /// Those of [`Clip::mel`] and [`Lalm::encode_audio`]; [`TrainError::Common`] if the folder cannot be written to.
    pub(crate) fn fill(&mut self, config: &TrainConfig, run: &TrainRun<'_>) -> Result<(), TrainError> {
        if self.encoder_is_trained || self.clips.is_empty() {
            return Ok(());
        }
        self.open_disk(config, run)?;
        let is_stored =
            |place: &Place| self.disk.as_ref().is_some_and(|disk| disk.has(&self.clips[place.index].sha256));
        // What is only wanted on the disk, and is there, is verified when a step reads it.
        let (stored, wanted): (Vec<Place>, Vec<Place>) =
            self.plan(config).into_iter().partition(|place| !place.in_memory && is_stored(place));
        for place in stored {
            self.clips[place.index].on_disk = true;
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let bar = run.progress("encode audio", wanted.len() as u64);
        for (place, features) in self.encode(&wanted, run, &bar)? {
            self.clips[place.index].features = features;
            self.clips[place.index].on_disk = place.on_disk;
        }
        bar.finish();
        Ok(())
    }

    fn open_disk(&mut self, config: &TrainConfig, run: &TrainRun<'_>) -> Result<(), TrainError> {
        let dir = &config.feature_cache_dir;
        // Without the model's hash nobody could tell one model's features from another's.
        let Some(model) = run.identity.text("model").filter(|_| !dir.as_os_str().is_empty()) else {
            return Ok(());
        };
        let salt = format!("model {model}\n{:?} {:?}", self.lalm.device, self.lalm.decoder.dtype());
        let mut disk = FeatureCache::open(dir, &salt, config.feature_cache_disk_mib)?;
        disk.protect(self.clips.iter().map(|known| known.sha256.as_str()));
        self.disk = Some(disk);
        Ok(())
    }

    /// Which clips to encode before training, and where to keep them: the first ones, as long as there is room.
    fn plan(&self, config: &TrainConfig) -> Vec<Place> {
        let mut memory = config.feature_cache_mib.saturating_mul(1 << 20);
        let mut disk =
            self.disk.as_ref().map_or(0, |_| config.feature_cache_disk_mib.saturating_mul(1 << 20));
        let take = |room: &mut u64, bytes: u64| {
            let fits = bytes <= *room;
            *room -= if fits { bytes } else { 0 };
            fits
        };
        let plan = |index: usize| {
            let values = self.values(index);
            let in_memory = take(&mut memory, 4 * values as u64);
            Place { index, in_memory, on_disk: take(&mut disk, stored_bytes(values)) }
        };
        (0..self.clips.len()).map(plan).filter(|place| place.in_memory || place.on_disk).collect()
    }

    /// Numbers in the features of a clip.
    fn values(&self, index: usize) -> usize {
        self.clips[index].clip.audio_tokens() * self.lalm.config.text.hidden_size
    }

    /// The places as they could be had, and the features that stay in memory.
    fn encode(
        &self,
        wanted: &[Place],
        run: &TrainRun<'_>,
        bar: &Progress,
    ) -> Result<Vec<(Place, Option<Tensor<2>>)>, TrainError> {
        let read = |places: &[Place]| {
            let read = |place: &Place| self.load_from(place.index, place.on_disk);
            places.par_iter().map(read).collect::<Result<Vec<_>, TrainError>>()
        };
        load_ahead(wanted.chunks(CLIPS_AT_ONCE).map(read), |groups| {
            let mut done = Vec::with_capacity(wanted.len());
            for (places, loaded) in wanted.chunks(CLIPS_AT_ONCE).zip(groups) {
                let loaded = loaded?;
                let is_new: Vec<bool> = loaded.iter().map(|it| matches!(it, Loaded::Mel { .. })).collect();
                let indices: Vec<usize> = places.iter().map(|place| place.index).collect();
                let features = self.features(loaded, &indices, run)?;
                for ((mut place, features), is_new) in places.iter().copied().zip(features).zip(is_new) {
                    if place.on_disk && is_new {
                        place.on_disk = self.store(place.index, &features)?;
                    }
                    done.push((place, place.in_memory.then_some(features)));
                }
                bar.inc(places.len() as u64);
            }
            Ok(done)
        })
    }

    fn store(&self, index: usize, features: &Tensor<2>) -> Result<bool, TrainError> {
        let Some(disk) = &self.disk else { return Ok(false) };
        let values: Vec<f32> = features.try_to_vec_as().map_err(TrainError::device("the audio features"))?;
        disk.write(&self.clips[index].sha256, &values)
    }

    /// The clips of rows, as far as any thread may bring them.
    pub(crate) fn load(&self, rows: &[&RowClips]) -> Result<Vec<Vec<Loaded>>, TrainError> {
        let load = |row: &&RowClips| {
            row.iter().map(|&index| self.load_from(index, self.clips[index].on_disk)).collect()
        };
        let is_kept = |index: &usize| self.clips[*index].features.is_some();
        if rows.iter().copied().flatten().all(is_kept) {
            return rows.iter().map(load).collect();
        }
        rows.par_iter().map(load).collect::<Vec<_>>().into_iter().collect()
    }

    fn load_from(&self, index: usize, on_disk: bool) -> Result<Loaded, TrainError> {
        let known = &self.clips[index];
        if known.features.is_some() {
            return Ok(Loaded::InMemory);
        }
        let mut is_damaged = false;
        if let Some(disk) = self.disk.as_ref().filter(|_| on_disk) {
            match disk.read(&known.sha256, self.values(index)) {
                Stored::Values(values) => return Ok(Loaded::Values(values)),
                Stored::Missing => {}
                Stored::Damaged => is_damaged = true,
            }
        }
        let mel = known.clip.mel(&self.lalm.mel)?;
        Ok(Loaded::Mel { mel: std::sync::Arc::unwrap_or_clone(mel), is_damaged })
    }

    /// The audio of loaded rows as the model takes it. `rows` are the places of the clips.
    ///
    /// # Errors
    /// Those of [`Lalm::encode_audio`].
    pub(crate) fn input(
        &self,
        rows: &[&RowClips],
        loaded: Vec<Vec<Loaded>>,
        run: &TrainRun<'_>,
    ) -> Result<AudioInput, TrainError> {
        if self.encoder_is_trained {
            let mel = |loaded| if let Loaded::Mel { mel, .. } = loaded { Some(mel) } else { None };
            let mels = loaded.into_iter().map(|row| row.into_iter().filter_map(mel).collect());
            return Ok(AudioInput::Mels(mels.collect()));
        }
        let indices: Vec<usize> = rows.iter().copied().flatten().copied().collect();
        let mut features = self.features(loaded.into_iter().flatten().collect(), &indices, run)?.into_iter();
        Ok(AudioInput::Features(rows.iter().map(|row| features.by_ref().take(row.len()).collect()).collect()))
    }

    /// The features of loaded clips: on the device, encoded if need be. What the disk has lost is stored again.
    fn features(
        &self,
        loaded: Vec<Loaded>,
        indices: &[usize],
        run: &TrainRun<'_>,
    ) -> Result<Vec<Tensor<2>>, TrainError> {
        // A clip that several rows of a batch share is encoded once.
        let mut mels: BTreeMap<usize, LogMel> = BTreeMap::new();
        let mut damaged = BTreeSet::new();
        let mut found: BTreeMap<usize, Tensor<2>> = BTreeMap::new();
        for (loaded, &index) in loaded.into_iter().zip(indices) {
            match loaded {
                Loaded::InMemory => found.extend(self.clips[index].features.clone().map(|it| (index, it))),
                Loaded::Values(values) => drop(found.insert(index, self.tensor(index, values))),
                Loaded::Mel { mel, is_damaged } => {
                    mels.insert(index, mel);
                    if is_damaged {
                        damaged.insert(index);
                    }
                }
            }
        }
        for (&index, features) in mels.keys().zip(self.lalm.encode_each(&mels.values().collect::<Vec<_>>())?)
        {
            if damaged.contains(&index) {
                self.warn_of_damage(index, run);
                self.store(index, &features)?;
            }
            found.insert(index, features);
        }
        Ok(indices.iter().filter_map(|index| found.get(index).cloned()).collect())
    }

    fn tensor(&self, index: usize, values: Vec<f32>) -> Tensor<2> {
        let shape = [self.clips[index].clip.audio_tokens(), self.lalm.config.text.hidden_size];
        let to = (&self.lalm.device, self.lalm.decoder.dtype());
        Tensor::from_data(TensorData::new(values, shape), to)
    }

    /// One warning a run: a bad disk damages many files.
    fn warn_of_damage(&self, index: usize, run: &TrainRun<'_>) {
        if let Some(disk) = self.disk.as_ref().filter(|_| !self.warned.swap(true, Ordering::Relaxed)) {
            let path = disk.path(&self.clips[index].sha256);
            (run.warn)(&format!(
                "{} is damaged: its clip is encoded again; so are others like it",
                path.display()
            ));
        }
    }
}
