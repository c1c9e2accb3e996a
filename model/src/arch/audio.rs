//! How a clip becomes tokens: a family's rule, and the spectrogram that its encoder reads.

use std::path::Path;

use idk_audio::{AudioError, LogMel, MelConfig, MelExtractor, Recording, load_window};

/// Frames of the spectrogram that become one position of the encoder: the stride of its second convolution.
const STRIDE: usize = 2;

/// How a family turns a clip into tokens.
///
/// A clip is cut to the window of the feature settings. Its own positions are encoded, not the silence behind it, which
/// the reference masks: the values are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioRule {
    /// Neighbouring positions of the encoder that are averaged to one token; a rest is dropped.
    pub pool: usize,
}

impl AudioRule {
    /// Positions of the encoder that belong to a clip of so many frames.
    #[must_use]
    pub fn positions(self, frames: usize) -> usize {
        frames.div_ceil(STRIDE)
    }

    /// Tokens that a clip of so many frames becomes.
    #[must_use]
    pub fn tokens(self, frames: usize) -> usize {
        self.positions(frames) / self.pool
    }

    /// The fewest frames that become a token.
    #[must_use]
    pub fn min_frames(self) -> usize {
        STRIDE * (self.pool - 1) + 1
    }

    /// Frames of the spectrogram that the encoder reads for a clip of so many: one more than the convolutions' stride
    /// covers, which looks past the end of the clip.
    fn frames_read(self, frames: usize) -> usize {
        STRIDE * self.positions(frames) + 1
    }
}

/// Makes the spectrograms that a model's encoder reads. One extractor can serve many threads.
#[derive(Clone, Debug)]
pub struct FeatureExtractor {
    mel: MelExtractor,
    rule: AudioRule,
}

impl FeatureExtractor {
    /// An extractor with the settings of a model folder for a family's rule.
    #[must_use]
    pub fn new(config: MelConfig, rule: AudioRule) -> Self {
        Self { mel: MelExtractor::new(config), rule }
    }

    /// The settings of the spectrogram.
    #[must_use]
    pub fn config(&self) -> &MelConfig {
        self.mel.config()
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
        self.rule.positions(mel.valid_frames)
    }

    /// Tokens that a clip becomes.
    #[must_use]
    pub fn tokens(&self, mel: &LogMel) -> usize {
        self.rule.tokens(mel.valid_frames)
    }

    /// Tokens that a clip of so many samples at the model's rate becomes.
    #[must_use]
    pub fn tokens_of_samples(&self, samples: usize) -> usize {
        self.rule.tokens(self.mel.frames(samples))
    }

    /// The fewest samples that become a token.
    #[must_use]
    pub fn min_samples(&self) -> usize {
        (self.rule.min_frames() - 1) * self.config().hop_length + 1
    }

    /// The spectrogram of mono samples at the model's rate, as far as the encoder reads it. Samples past the window are
    /// cut off.
    ///
    /// # Shapes
    /// - output: `[bands, min(frames that are read, frames of the window)]`
    #[must_use]
    pub fn log_mel(&self, samples: &[f32]) -> LogMel {
        self.mel.log_mel(samples, self.rule.frames_read(self.mel.frames(samples.len())))
    }

    /// The spectrogram of the whole padded window, as the reference extractor gives it.
    ///
    /// # Shapes
    /// - output: `[bands, frames of the window]`
    #[must_use]
    pub fn log_mel_window(&self, samples: &[f32]) -> LogMel {
        self.mel.log_mel(samples, self.config().window_frames())
    }

    /// Loads the part of a file that the encoder hears: the window's samples at the model's rate.
    ///
    /// # Errors
    /// As [`idk_audio::decode_file`], and [`AudioError::TooShort`] for a clip that becomes no token.
    pub fn load(&self, path: &Path) -> Result<Recording, AudioError> {
        let rate = self.config().sampling_rate as u32;
        let recording = load_window(path, rate, self.config().window_samples())?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> AudioRule {
        crate::arch::qwen2_audio::ARCHITECTURE.audio
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
