//! From prepared rows to batches, whatever a row is: read and collated ahead on another thread, then given their audio.

use idk_common::prefetch;
use idk_model::Clip;

use crate::audio::{LoadedRows, RowAudio};
use crate::error::TrainError;
use crate::forward::AudioInput;
use crate::train_run::TrainRun;

/// Joins the rows with these indices into a batch without audio.
pub(crate) type Collate<'a, B> = dyn Fn(&[usize]) -> Result<B, TrainError> + Send + Sync + 'a;

/// Rows that can be made into batches `B`.
pub(crate) struct Feed<'a, B> {
    pub(crate) audio: &'a RowAudio<'a>,
    /// The clips of each row.
    pub(crate) clips: Vec<&'a [Clip]>,
    /// Tokens of each row.
    pub(crate) lengths: Vec<usize>,
    pub(crate) collate: Box<Collate<'a, B>>,
    /// Where the audio goes.
    pub(crate) slot: fn(&mut B) -> &mut AudioInput,
}

impl<B: Send> Feed<'_, B> {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.clips.len()
    }

    /// Calls `consume` with the number of rows and the batches of each item of `steps`, which are lists of row indices, one
    /// list a batch.
    pub(crate) fn stream<R>(
        &self,
        steps: impl Iterator<Item = Vec<Vec<usize>>> + Send,
        run: &TrainRun<'_>,
        consume: impl FnOnce(&mut dyn Iterator<Item = Result<(usize, Vec<B>), TrainError>>) -> R,
    ) -> R {
        let load = |batches: Vec<Vec<usize>>| {
            let load = |indices: Vec<usize>| {
                let clips: Vec<&[Clip]> = indices.iter().map(|&index| self.clips[index]).collect();
                let loaded = self.audio.load(&clips)?;
                Ok(((self.collate)(&indices)?, indices.len(), loaded))
            };
            batches.into_iter().map(load).collect::<Result<Vec<_>, TrainError>>()
        };
        prefetch(steps.map(load), |steps| {
            let finish = |(mut batch, _, loaded): (B, usize, LoadedRows)| {
                *(self.slot)(&mut batch) = self.audio.input(loaded, run)?;
                Ok(batch)
            };
            consume(&mut steps.map(|loaded| {
                let loaded = loaded?;
                let samples = loaded.iter().map(|(_, rows, _)| rows).sum();
                Ok((samples, loaded.into_iter().map(finish).collect::<Result<_, TrainError>>()?))
            }))
        })
    }

    /// Calls `consume` with all rows in their order, `batch_size` at once.
    pub(crate) fn in_order<R>(
        &self,
        batch_size: usize,
        run: &TrainRun<'_>,
        consume: impl FnOnce(&mut dyn Iterator<Item = Result<B, TrainError>>) -> R,
    ) -> R {
        let starts = (0..self.len()).step_by(batch_size);
        let batches = starts.map(|start| vec![(start..(start + batch_size).min(self.len())).collect()]);
        let one = |step: Result<(usize, Vec<B>), TrainError>| {
            step.and_then(|(_, batches)| batches.into_iter().next().ok_or(TrainError::NoExamples))
        };
        self.stream(batches, run, |steps| consume(&mut steps.map(one)))
    }

    /// Calls `consume` with the audio of all rows in their order, `at_once` at once.
    pub(crate) fn audio_in_order<R>(
        &self,
        at_once: usize,
        run: &TrainRun<'_>,
        consume: impl FnOnce(&mut dyn Iterator<Item = Result<AudioInput, TrainError>>) -> R,
    ) -> R {
        prefetch(self.clips.chunks(at_once).map(|rows| self.audio.load(rows)), |loaded| {
            consume(&mut loaded.map(|loaded| self.audio.input(loaded?, run)))
        })
    }
}
