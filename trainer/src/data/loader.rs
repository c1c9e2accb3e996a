//! From rows to batches: read and collated ahead on another thread, then given their audio.

use idk_common::prefetch;
use idk_model::{Clip, Lalm};

use crate::data::audio::{LoadedRows, RowAudio};
use crate::data::{AudioInput, RowTokens, Totals, TrainingBatch, TrainingRow};
use crate::error::TrainError;

/// Rows that can be made into batches.
pub(crate) struct Loader<'a> {
    lalm: &'a Lalm,
    audio: &'a RowAudio<'a>,
    pub(crate) rows: &'a [TrainingRow],
    /// Index of the first of them among all rows of the run.
    start: usize,
    /// Tokens of each row, with the longest of its answers.
    pub(crate) lengths: Vec<usize>,
    /// What all rows hold together.
    pub(crate) totals: Totals,
}

impl<'a> Loader<'a> {
    /// A row that cannot be learnt from is found here; `check` looks at what only the method knows.
    pub(crate) fn new(
        lalm: &'a Lalm,
        audio: &'a RowAudio<'a>,
        rows: &'a [TrainingRow],
        start: usize,
        check: &dyn Fn(&TrainingRow, &RowTokens) -> Result<(), TrainError>,
    ) -> Result<Self, TrainError> {
        let (mut lengths, mut totals) = (Vec::with_capacity(rows.len()), Totals::default());
        for row in rows {
            let tokens = RowTokens::of(lalm, row)?;
            check(row, &tokens)?;
            lengths.push(tokens.longest());
            totals.add(&tokens);
        }
        Ok(Self { lalm, audio, rows, start, lengths, totals })
    }

    /// Calls `consume` with the batches of each item of `steps`, which are lists of row indices, one list per batch.
    pub(crate) fn stream<R>(
        &self,
        steps: impl Iterator<Item = Vec<Vec<usize>>> + Send,
        consume: impl FnOnce(&mut dyn Iterator<Item = Result<Vec<TrainingBatch>, TrainError>>) -> R,
    ) -> R {
        let load = |batches: Vec<Vec<usize>>| {
            let load = |indices: Vec<usize>| {
                let clips: Vec<&[Clip]> = indices.iter().map(|&index| &*self.rows[index].audio).collect();
                Ok((self.collate(&indices)?, self.audio.load(&clips)?))
            };
            batches.into_iter().map(load).collect::<Result<Vec<_>, TrainError>>()
        };
        prefetch(steps.map(load), |steps| {
            let finish = |(mut batch, loaded): (TrainingBatch, LoadedRows)| {
                batch.audio = self.audio.input(loaded)?;
                Ok(batch)
            };
            consume(&mut steps.map(|loaded| loaded?.into_iter().map(finish).collect()))
        })
    }

    /// Rows as a batch, their audio aside.
    fn collate(&self, indices: &[usize]) -> Result<TrainingBatch, TrainError> {
        let rows = indices.iter().map(|&index| &self.rows[index]);
        let tokens = rows.clone().map(|row| RowTokens::of(self.lalm, row)).collect::<Result<Vec<_>, _>>()?;
        let ids = rows.map(|row| row.id.clone()).collect();
        let places = indices.iter().map(|&index| self.start + index).collect();
        let no_audio = AudioInput::Features(Vec::new());
        Ok(TrainingBatch::collate(ids, places, &tokens, no_audio, self.lalm.tokenizer.pad_id()))
    }

    /// Calls `consume` with all rows in their order, `batch_size` at once.
    pub(crate) fn in_order<R>(
        &self,
        batch_size: usize,
        consume: impl FnOnce(&mut dyn Iterator<Item = Result<TrainingBatch, TrainError>>) -> R,
    ) -> R {
        let starts = (0..self.rows.len()).step_by(batch_size);
        let batches = starts.map(|start| vec![(start..(start + batch_size).min(self.rows.len())).collect()]);
        let one = |step: Result<Vec<TrainingBatch>, TrainError>| {
            step.and_then(|batches| batches.into_iter().next().ok_or(TrainError::NoExamples))
        };
        self.stream(batches, |steps| consume(&mut steps.map(one)))
    }

    /// Calls `consume` with the audio of all rows in their order, `at_once` at once.
    pub(crate) fn audio_in_order<R>(
        &self,
        at_once: usize,
        consume: impl FnOnce(&mut dyn Iterator<Item = Result<AudioInput, TrainError>>) -> R,
    ) -> R {
        let clips: Vec<&[Clip]> = self.rows.iter().map(|row| &*row.audio).collect();
        prefetch(clips.chunks(at_once).map(|rows| self.audio.load(rows)), |loaded| {
            consume(&mut loaded.map(|loaded| self.audio.input(loaded?)))
        })
    }
}
