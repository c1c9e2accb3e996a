//! How a clip becomes tokens: a family's rule, and the spectrogram that its encoder reads.

use std::ops::Range;
use std::path::Path;

use idk_audio::{AudioError, LogMel, MelConfig, MelExtractor, Recording, load_window};
use idk_common::json::read_json;
use idk_common::limits::MAX_AUDIO_DURATION_S;
use serde_json::Value;

use crate::error::ModelError;

/// Frames of the spectrogram that become one position of the encoder: the stride of its second convolution.
const STRIDE: usize = 2;

/// How a family turns a clip into tokens.
///
/// Only as much is encoded as the family allows without a change of any value. The reference masks the silence behind a
/// clip in most families; in those the clip's own positions are computed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioRule {
    /// Neighbouring positions of the encoder that become one token; a rest is dropped.
    pub pool: usize,
    /// How they become one.
    pub pooling: Pooling,
    /// What the encoder sees of a clip at a time.
    pub windows: Windows,
}

/// How neighbouring positions become one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// They are averaged, and the final norm follows.
    Mean,
    /// They are laid side by side after the final norm.
    Stack,
}

/// What the encoder sees of a clip at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// One window of the feature settings. What is behind it is cut off.
    One,
    /// As many windows of the feature settings as the clip needs, each with a spectrogram of its own.
    Each {
        /// Longest clip in seconds, where `processor_config.json` does not say.
        max_audio_s: usize,
    },
    /// As many windows of the feature settings as the clip needs, cut from one spectrogram. The silence that fills the
    /// last is encoded as well.
    Filled,
    /// Windows of so many frames, cut from one spectrogram. The encoder reads zeros, not silence, outside of each.
    Bare {
        /// Frames of a window.
        frames: usize,
    },
}

impl AudioRule {
    /// The fewest frames that become a token.
    fn min_frames(self) -> usize {
        match self.windows {
            Windows::Filled => 1,
            _ => STRIDE * (self.pool - 1) + 1,
        }
    }

    /// Positions of the encoder that belong to a window of so many frames.
    pub(crate) fn window_positions(frames: usize) -> usize {
        frames.div_ceil(STRIDE)
    }

    /// Frames that a window spans, where its spectrogram has these settings.
    pub(crate) fn window_frames(self, mel: &MelConfig) -> usize {
        match self.windows {
            // A spectrogram that is longer is an error of whoever made it, and is not cut.
            Windows::One => usize::MAX,
            Windows::Each { .. } | Windows::Filled => mel.window_frames(),
            Windows::Bare { frames } => frames,
        }
    }
}

/// The windows of a clip of so many frames.
pub(crate) fn windows(frames: usize, window: usize) -> impl Iterator<Item = Range<usize>> {
    (0..frames).step_by(window).map(move |start| start..frames.min(start.saturating_add(window)))
}

/// Makes the spectrograms that a model's encoder reads. One extractor can serve many threads.
///
/// A clip of several windows is one [`LogMel`] that has them side by side; all but the last are whole.
#[derive(Clone, Debug)]
pub struct FeatureExtractor {
    mel: MelExtractor,
    rule: AudioRule,
    max_samples: usize,
    limit: Option<usize>,
}

impl FeatureExtractor {
    /// An extractor with the settings of a model folder for a family's rule.
    #[must_use]
    pub fn new(config: MelConfig, rule: AudioRule) -> Self {
        let max_samples = match rule.windows {
            Windows::One | Windows::Bare { .. } => config.window_samples(),
            Windows::Each { max_audio_s } => whole_windows(&config, max_audio_s),
            Windows::Filled => (MAX_AUDIO_DURATION_S * config.sampling_rate as f64) as usize,
        };
        Self { mel: MelExtractor::new(config), rule, max_samples, limit: None }
    }

    /// [`FeatureExtractor::new`] with the settings in a model folder.
    ///
    /// # Errors
    /// As [`MelConfig::from_dir`], and [`ModelError::Config`] for a `max_audio_len` that is no number of seconds.
    pub fn from_dir(dir: &Path, mut rule: AudioRule) -> Result<Self, ModelError> {
        let config = MelConfig::from_dir(dir)?;
        let path = dir.join("processor_config.json");
        if let (Windows::Each { max_audio_s }, true) = (&mut rule.windows, path.exists()) {
            const KEY: &str = "max_audio_len";
            let file: Value = read_json(&path)?;
            if let Some(value) = file.get(KEY).filter(|value| !value.is_null()) {
                let seconds = value.as_u64().and_then(|seconds| usize::try_from(seconds).ok());
                let enough = seconds.filter(|&seconds| seconds >= config.chunk_length);
                *max_audio_s = enough.ok_or_else(|| ModelError::Config {
                    path,
                    key: KEY.to_owned(),
                    what: format!("{value} is not a number of seconds from chunk_length on"),
                })?;
            }
        }
        Ok(Self::new(config, rule))
    }

    /// The extractor that hears no more than so many seconds of a recording.
    #[must_use]
    pub fn limited_to(mut self, seconds: f64) -> Self {
        let samples = ((seconds * self.config().sampling_rate as f64) as usize).max(self.min_samples());
        if samples < self.max_samples {
            self.max_samples = samples;
            self.limit = Some(samples);
        }
        self
    }

    /// The samples that it was limited to, if that is fewer than the model hears by itself.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// The settings of the spectrogram.
    #[must_use]
    pub fn config(&self) -> &MelConfig {
        self.mel.config()
    }

    /// Samples of a recording that are heard at most.
    #[must_use]
    pub fn max_samples(&self) -> usize {
        self.max_samples
    }

    /// The mel filter bank.
    ///
    /// # Shapes
    /// - output: `[bins, bands]`, row-major
    #[must_use]
    pub fn filters(&self) -> &[f32] {
        self.mel.filters()
    }

    /// Positions of the encoder that belong to a clip.
    #[must_use]
    pub fn positions(&self, mel: &LogMel) -> usize {
        self.sum(mel.valid_frames, AudioRule::window_positions)
    }

    /// Tokens that a clip becomes.
    #[must_use]
    pub fn tokens(&self, mel: &LogMel) -> usize {
        self.tokens_of_frames(mel.valid_frames)
    }

    /// Tokens that a clip of so many samples at the model's rate becomes.
    #[must_use]
    pub fn tokens_of_samples(&self, samples: usize) -> usize {
        self.tokens_of_frames(self.frames(samples))
    }

    fn tokens_of_frames(&self, frames: usize) -> usize {
        self.sum(frames, |frames| AudioRule::window_positions(frames) / self.rule.pool)
    }

    fn sum(&self, frames: usize, of_window: impl Fn(usize) -> usize) -> usize {
        windows(frames, self.rule.window_frames(self.config())).map(|window| of_window(window.len())).sum()
    }

    /// Frames of a clip of so many samples that the encoder computes with.
    fn frames(&self, samples: usize) -> usize {
        let heard = samples.min(self.max_samples);
        let config = self.config();
        match self.rule.windows {
            Windows::One | Windows::Bare { .. } => self.mel.frames(heard),
            Windows::Each { .. } => {
                let whole = heard / config.window_samples();
                whole * config.window_frames() + self.mel.frames(heard % config.window_samples())
            }
            Windows::Filled => heard.div_ceil(config.window_samples()) * config.window_frames(),
        }
    }

    /// The fewest samples that become a token.
    #[must_use]
    pub fn min_samples(&self) -> usize {
        (self.rule.min_frames() - 1) * self.config().hop_length + 1
    }

    /// The spectrogram of mono samples at the model's rate, as far as the encoder reads it. Samples past the most that
    /// are heard are cut off.
    ///
    /// # Shapes
    /// - output: `[bands, frames that are read]`
    #[must_use]
    pub fn log_mel(&self, samples: &[f32]) -> LogMel {
        let heard = &samples[..samples.len().min(self.max_samples)];
        let frames = self.mel.frames(heard.len());
        match self.rule.windows {
            // One frame more than the convolutions' stride covers, which looks past the end of the clip.
            Windows::One => self.mel.log_mel(heard, STRIDE * AudioRule::window_positions(frames) + 1),
            Windows::Bare { .. } => self.mel.log_mel(heard, frames),
            Windows::Each { .. } => self.side_by_side(heard, |piece| {
                let frames = self.mel.frames(piece.len());
                self.mel.log_mel(piece, STRIDE * AudioRule::window_positions(frames) + 1)
            }),
            Windows::Filled => self.filled(heard),
        }
    }

    /// The spectrogram as the reference extractor gives it, padded to whole windows.
    ///
    /// # Shapes
    /// - output: `[bands, frames of the windows]`
    #[must_use]
    pub fn log_mel_window(&self, samples: &[f32]) -> LogMel {
        let heard = &samples[..samples.len().min(self.max_samples)];
        let window = |piece: &[f32]| self.mel.log_mel(piece, self.config().window_frames());
        match self.rule.windows {
            Windows::One | Windows::Bare { .. } => window(heard),
            Windows::Each { .. } => self.side_by_side(heard, window),
            Windows::Filled => self.filled(heard),
        }
    }

    /// One spectrogram over the clip and the silence that fills its last window.
    fn filled(&self, heard: &[f32]) -> LogMel {
        let padded = heard.len().div_ceil(self.config().window_samples()) * self.config().window_samples();
        let frames = self.frames(heard.len());
        LogMel { valid_frames: frames, ..self.mel.log_mel_padded(heard, padded, frames) }
    }

    /// The spectrograms of a clip's windows.
    fn side_by_side(&self, heard: &[f32], window: impl Fn(&[f32]) -> LogMel) -> LogMel {
        if heard.len() <= self.config().window_samples() {
            return window(heard);
        }
        let parts: Vec<LogMel> = heard.chunks(self.config().window_samples()).map(window).collect();
        let bands = self.config().feature_size;
        let rows =
            |band: usize| parts.iter().flat_map(move |part| &part.data[band * part.frames..][..part.frames]);
        LogMel {
            bands,
            frames: parts.iter().map(|part| part.frames).sum(),
            valid_frames: parts.iter().map(|part| part.valid_frames).sum(),
            data: (0..bands).flat_map(rows).copied().collect(),
        }
    }

    /// Loads the part of a file that the encoder hears, at the model's rate.
    ///
    /// # Errors
    /// As [`idk_audio::decode_file`], and [`AudioError::TooShort`] for a clip that becomes no token.
    pub fn load(&self, path: &Path) -> Result<Recording, AudioError> {
        let recording = load_window(path, self.config().sampling_rate as u32, self.max_samples)?;
        let (samples, needed) = (recording.total_samples, self.min_samples());
        if samples < needed {
            return Err(AudioError::TooShort { path: path.to_owned(), samples, needed });
        }
        Ok(recording)
    }

    /// [`FeatureExtractor::load`], and the spectrogram of it.
    ///
    /// # Errors
    /// As [`FeatureExtractor::load`].
    pub fn log_mel_file(&self, path: &Path) -> Result<LogMel, AudioError> {
        Ok(self.log_mel(&self.load(path)?.audio.samples))
    }
}

/// Samples of the whole windows that fit into so many seconds.
fn whole_windows(config: &MelConfig, seconds: usize) -> usize {
    (seconds / config.chunk_length).max(1) * config.window_samples()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> AudioRule {
        AudioRule { pool: 2, pooling: Pooling::Mean, windows: Windows::One }
    }

    /// A loud clip with a quiet second half.
    fn clip(samples: usize) -> Vec<f32> {
        let gain = |i: usize| if 2 * i < samples { 0.8 } else { 1e-4 };
        (0..samples).map(|i| (i as f32 * 0.3).sin() * gain(i)).collect()
    }

    fn extractor(pool: usize, pooling: Pooling, windows: Windows) -> FeatureExtractor {
        let config = MelConfig { chunk_length: 1, feature_size: 20, ..MelConfig::default() };
        FeatureExtractor::new(config, AudioRule { pool, pooling, windows })
    }

    fn columns(mel: &LogMel, frames: Range<usize>) -> Vec<f32> {
        mel.data.chunks(mel.frames).flat_map(|row| row[frames.clone()].to_vec()).collect()
    }

    #[test]
    fn a_long_clip_of_windows_of_their_own_is_their_spectrograms_side_by_side() {
        let extractor = extractor(2, Pooling::Mean, Windows::Each { max_audio_s: 3 });
        let samples = clip(40_000);
        let whole = extractor.log_mel(&samples);
        // 100 + 100 + 50 frames, and the one behind the end that the convolutions read.
        assert_eq!((whole.frames, whole.valid_frames), (251, 250));
        assert_eq!((extractor.positions(&whole), extractor.tokens(&whole)), (125, 62));
        for (index, piece) in samples.chunks(16_000).enumerate() {
            let alone = extractor.log_mel(piece);
            let frames = alone.frames.min(100);
            let found = columns(&whole, index * 100..index * 100 + frames);
            assert_eq!(found, columns(&alone, 0..frames), "window {index}");
        }
        // No more than three windows are heard.
        let most = extractor.log_mel(&clip(60_000));
        assert_eq!((most.frames, most.valid_frames, extractor.max_samples()), (300, 300, 48_000));
        assert_eq!(extractor.tokens_of_samples(60_000), 75);
    }

    #[test]
    fn windows_that_are_filled_with_silence_share_one_spectrogram() {
        let extractor = extractor(4, Pooling::Stack, Windows::Filled);
        let samples = clip(20_000);
        let mel = extractor.log_mel(&samples);
        assert_eq!((mel.frames, mel.valid_frames, extractor.tokens(&mel)), (200, 200, 24));
        let config = MelConfig { chunk_length: 2, ..*extractor.config() };
        let twice = MelExtractor::new(config).log_mel(&samples, 200);
        assert_eq!(mel.data, twice.data);
        for (samples, tokens) in [(1, 12), (16_000, 12), (16_001, 24)] {
            assert_eq!(extractor.tokens_of_samples(samples), tokens);
        }
        assert_eq!(extractor.min_samples(), 1);
    }

    #[test]
    fn bare_windows_are_cut_from_the_clips_own_frames() {
        let extractor = extractor(2, Pooling::Mean, Windows::Bare { frames: 40 });
        let mel = extractor.log_mel(&clip(8_100));
        // 51 frames: 20 positions and 6.
        assert_eq!((mel.frames, mel.valid_frames), (51, 51));
        assert_eq!((extractor.positions(&mel), extractor.tokens(&mel)), (26, 13));
    }

    #[test]
    fn a_recording_is_heard_no_longer_than_asked_for() {
        let extractor = extractor(2, Pooling::Mean, Windows::Each { max_audio_s: 3 });
        assert_eq!(extractor.clone().limited_to(1.5).max_samples(), 24_000);
        assert_eq!(extractor.clone().limited_to(9.0).max_samples(), 48_000);
        assert_eq!(extractor.clone().limited_to(0.0).max_samples(), extractor.min_samples());
        assert_eq!(extractor.limited_to(1.5).log_mel(&clip(40_000)).valid_frames, 150);
    }

    #[test]
    fn lengths_follow_the_formulas_of_the_reference() {
        // (samples, frames, positions, tokens) by (f - 1) // 2 + 1 and (p - 2) // 2 + 1.
        let table =
            [(321, 3, 2, 1), (320, 2, 1, 0), (0, 0, 0, 0), (21_937, 138, 69, 34), (16_400, 103, 52, 26)];
        let config = MelConfig { chunk_length: 2, feature_size: 128, ..MelConfig::default() };
        let extractor = FeatureExtractor::new(config, rule());
        assert_eq!(extractor.min_samples(), 321);
        for (samples, frames, positions, tokens) in table {
            let mel = extractor.log_mel(&vec![0.1; samples]);
            assert_eq!(mel.valid_frames, frames);
            assert_eq!((extractor.positions(&mel), extractor.tokens(&mel)), (positions, tokens));
            assert_eq!(extractor.tokens_of_samples(samples), tokens);
            assert_eq!(mel.frames, 2 * positions + 1);
        }
        let full = FeatureExtractor::new(MelConfig::default(), rule());
        let mel = full.log_mel(&vec![0.1; 480_001]);
        assert_eq!((mel.frames, full.positions(&mel), full.tokens(&mel)), (3_000, 1_500, 750));
        assert_eq!(full.tokens_of_samples(480_001), 750);
    }

    #[test]
    fn a_clip_that_becomes_no_token_is_too_short() {
        let dir = tempfile::tempdir().unwrap();
        let extractor =
            FeatureExtractor::new(MelConfig { feature_size: 128, ..MelConfig::default() }, rule());
        let path = dir.path().join("short.wav");
        idk_audio::write_wav(&path, &[0.1; 320], 16_000).unwrap();
        assert_eq!(extractor.log_mel_file(&path).unwrap_err().reason(), "audio-too-short");
        idk_audio::write_wav(&path, &[0.1; 321], 16_000).unwrap();
        assert_eq!(extractor.tokens(&extractor.log_mel_file(&path).unwrap()), 1);
    }

    #[test]
    fn an_extractor_loads_its_window_and_knows_how_long_the_recording_is() {
        let dir = tempfile::tempdir().unwrap();
        let extractor = FeatureExtractor::new(MelConfig { chunk_length: 1, ..MelConfig::default() }, rule());
        let sine: Vec<f32> = (0..40_000).map(|i| (i as f32 * 0.3).sin() * 0.5).collect();
        let path = dir.path().join("long.wav");
        idk_audio::write_wav(&path, &sine, 16_000).unwrap();
        let recording = extractor.load(&path).unwrap();
        assert_eq!((recording.audio.samples.len(), recording.total_samples), (16_000, 40_000));
        assert!(recording.is_cut());
        assert_eq!(extractor.log_mel(&recording.audio.samples), extractor.log_mel_file(&path).unwrap());
        assert_eq!(extractor.log_mel(&sine).frames, extractor.config().window_frames());
    }

    #[test]
    fn what_the_encoder_reads_is_the_beginning_of_the_window() {
        let extractor = FeatureExtractor::new(
            MelConfig { chunk_length: 2, feature_size: 20, ..MelConfig::default() },
            rule(),
        );
        for samples in [0, 1, 160, 161, 321, 1_601, 16_041, 31_999, 32_000, 37_000] {
            let clip: Vec<f32> =
                (0..samples).map(|i| (i as f32 * 0.3).sin() * (i as f32 / 3e3).cos()).collect();
            let (read, window) = (extractor.log_mel(&clip), extractor.log_mel_window(&clip));
            assert_eq!(read.frames, (2 * extractor.positions(&read) + 1).min(window.frames), "{samples}");
            assert_eq!(read.valid_frames, window.valid_frames);
            for band in 0..read.bands {
                let row = &read.data[band * read.frames..][..read.frames];
                assert_eq!(row, &window.data[band * window.frames..][..read.frames], "{samples}");
            }
        }
    }
}
