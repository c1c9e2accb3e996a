//! From decoded packets to mono: the mean over the channels, of which only the wanted start is kept.

use std::path::Path;

use symphonia::core::audio::GenericAudioBufferRef;

use super::limits::{MAX_AMPLITUDE, check_limits};
use super::{Audio, Notes};
use crate::AudioError;
use crate::resample::input_len;

/// Peak up to which a recording counts as silent: one step of 16 bits, so that dither is silence too.
const SILENT_PEAK: f32 = 1.0 / 32_768.0;
/// Share of the channels' energy below which their mean is what is left after they cancelled: a tenth in amplitude.
const CANCELLED_SHARE: f64 = 0.01;

/// The start of a recording that a caller wants: so many samples at that rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) sample_rate_hz: u32,
    pub(super) samples: usize,
}

/// What was decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    /// The start of the recording, at its own rate: enough to resample the window from it.
    pub(super) audio: Audio,
    /// Samples per channel of the whole recording.
    pub(super) frames: usize,
    pub(super) notes: Notes,
}

/// Takes the packets of a recording one after the other. All of them are checked, so that a file which is damaged at
/// its end is found; memory is taken for the window alone.
#[derive(Debug)]
pub(super) struct Mono<'a> {
    path: &'a Path,
    window: Option<Window>,
    decoded: Decoded,
    /// Samples to keep.
    keep: usize,
    channels: usize,
    /// Sums of squares over what is kept: of every channel, and of their mean.
    channel_energy: f64,
    mean_energy: f64,
    scratch: Vec<f64>,
}

impl<'a> Mono<'a> {
    /// `window` is `None` where the whole recording is wanted.
    pub(super) fn new(path: &'a Path, window: Option<Window>) -> Self {
        let audio = Audio { samples: Vec::new(), sample_rate_hz: 0 };
        Self {
            path,
            window,
            decoded: Decoded { audio, frames: 0, notes: Notes::default() },
            keep: usize::MAX,
            channels: 0,
            channel_energy: 0.0,
            mean_energy: 0.0,
            scratch: Vec::new(),
        }
    }

    /// Samples per channel so far.
    pub(super) fn frames(&self) -> usize {
        self.decoded.frames
    }

    /// Appends one packet.
    ///
    /// # Errors
    /// As [`check_limits`]; [`AudioError::Unsupported`] if the sample rate changes; [`AudioError::NonFinite`].
    pub(super) fn push(&mut self, packet: &GenericAudioBufferRef<'_>) -> Result<(), AudioError> {
        if packet.frames() == 0 {
            return Ok(());
        }
        let (rate_hz, channels) = (packet.spec().rate(), packet.num_planes());
        check_limits(self.path, rate_hz, channels, self.decoded.frames + packet.frames())?;
        if self.decoded.frames == 0 {
            self.start(rate_hz, channels);
        } else if rate_hz != self.decoded.audio.sample_rate_hz {
            let detail = "its sample rate changes inside the file".to_owned();
            return Err(AudioError::Unsupported { path: self.path.to_owned(), detail });
        }
        let mut interleaved = std::mem::take(&mut self.scratch);
        packet.copy_to_vec_interleaved(&mut interleaved);
        let appended = interleaved.chunks_exact(channels).try_for_each(|frame| self.append(frame));
        self.scratch = interleaved;
        appended
    }

    fn start(&mut self, rate_hz: u32, channels: usize) {
        self.decoded.audio.sample_rate_hz = rate_hz;
        self.channels = channels;
        if let Some(window) = self.window {
            self.keep = input_len(window.samples, rate_hz, window.sample_rate_hz);
        }
    }

    fn append(&mut self, frame: &[f64]) -> Result<(), AudioError> {
        let index = self.decoded.frames;
        // Channel by channel, because in the mean two loud ones may cancel. NaN is in no range.
        let range = -MAX_AMPLITUDE..=MAX_AMPLITUDE;
        if let Some(&value) = frame.iter().find(|value| !range.contains(value)) {
            return Err(AudioError::NonFinite { path: self.path.to_owned(), index, value: value as f32 });
        }
        self.decoded.frames += 1;
        if index < self.keep {
            let mean = frame.iter().sum::<f64>() / frame.len() as f64;
            self.decoded.audio.samples.push(mean as f32);
            self.channel_energy += frame.iter().map(|value| value * value).sum::<f64>() / frame.len() as f64;
            self.mean_energy += mean * mean;
        }
        Ok(())
    }

    /// What was decoded, with what is remarkable about it.
    ///
    /// # Errors
    /// [`AudioError::Empty`].
    pub(super) fn finish(mut self) -> Result<Decoded, AudioError> {
        if self.decoded.frames == 0 {
            return Err(AudioError::Empty { path: self.path.to_owned() });
        }
        let samples = &self.decoded.audio.samples;
        let audible = SILENT_PEAK * SILENT_PEAK * samples.len() as f32;
        self.decoded.notes = Notes {
            silent: !samples.is_empty() && samples.iter().all(|sample| sample.abs() <= SILENT_PEAK),
            opposite_phase: self.channels == 2
                && self.channel_energy > f64::from(audible)
                && self.mean_energy < CANCELLED_SHARE * self.channel_energy,
            ..Notes::default()
        };
        Ok(self.decoded)
    }
}
