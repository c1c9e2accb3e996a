//! How the recordings of rows enter a batch: as features from the run's store, or as spectrograms for an encoder that is trained.

use std::sync::Arc;

use idk_audio::LogMel;
use idk_common::progress::Progress;
use idk_model::{Adapters, Clip, EncoderState, FeatureStore, Lalm, LoadedClip};
use rayon::prelude::*;

use crate::data::{AudioInput, TrainingRow};
use crate::error::TrainError;

/// Where the audio of rows comes from.
pub(crate) struct RowAudio<'a> {
    store: &'a FeatureStore,
    encoder: EncoderState<'a>,
    lalm: &'a Lalm,
    warn: &'a (dyn Fn(&str) + Sync),
    /// An adapter sits in front of the decoder: spectrograms go through the encoder in each step.
    encoder_is_trained: bool,
}

/// The clips of rows, as far as a thread that must leave the device alone can bring them.
pub(crate) enum LoadedRows {
    Features { clips: Vec<LoadedClip>, per_row: Vec<usize> },
    Mels(Vec<Vec<LogMel>>),
}

impl<'a> RowAudio<'a> {
    pub(crate) fn new(
        lalm: &'a Lalm,
        adapters: &Adapters,
        store: &'a FeatureStore,
        warn: &'a (dyn Fn(&str) + Sync),
    ) -> Self {
        let encoder_is_trained = adapters.adapt_audio();
        Self { store, encoder: EncoderState::base(lalm), lalm, warn, encoder_is_trained }
    }

    /// Encodes the clips whose features will be kept over the training.
    ///
    /// # Errors
    /// As [`FeatureStore::keep`].
    pub(crate) fn keep<'r>(
        &self,
        rows: impl Iterator<Item = &'r TrainingRow>,
        progress: impl FnOnce(u64) -> Progress,
    ) -> Result<(), TrainError> {
        if self.encoder_is_trained {
            return Ok(());
        }
        let clips = rows.flat_map(|row| &row.audio);
        Ok(self.store.keep(&self.encoder, clips, progress, self.warn)?)
    }

    /// The clips of rows, as far as any thread may bring them.
    ///
    /// # Errors
    /// As [`FeatureStore::load`].
    pub(crate) fn load(&self, rows: &[&[Clip]]) -> Result<LoadedRows, TrainError> {
        if self.encoder_is_trained {
            let mel = |clip: &Clip| Ok(Arc::unwrap_or_clone(self.store.mel(clip, &self.lalm.mel)?));
            let mels = rows.par_iter().map(|row| row.iter().map(mel).collect());
            let mels: Vec<Result<Vec<LogMel>, TrainError>> = mels.collect();
            return Ok(LoadedRows::Mels(mels.into_iter().collect::<Result<_, _>>()?));
        }
        let clips = self.store.load(&self.encoder, &rows.concat())?;
        Ok(LoadedRows::Features { clips, per_row: rows.iter().map(|row| row.len()).collect() })
    }

    /// The audio of loaded rows as the model takes it.
    ///
    /// # Errors
    /// As [`FeatureStore::finish`].
    pub(crate) fn input(&self, loaded: LoadedRows) -> Result<AudioInput, TrainError> {
        Ok(match loaded {
            LoadedRows::Mels(mels) => AudioInput::Mels(mels),
            LoadedRows::Features { clips, per_row } => {
                let mut features = self.store.finish(&self.encoder, clips, self.warn)?.into_iter();
                let rows = per_row.into_iter().map(|clips| features.by_ref().take(clips).collect());
                AudioInput::Features(rows.collect())
            }
        })
    }
}
