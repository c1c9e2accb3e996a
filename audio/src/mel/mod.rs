//! The log-mel spectrogram of Whisper.
//!
//! Reference: `WhisperFeatureExtractor` of Hugging Face transformers. Computed in f64 and rounded at the end.

use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

use filters::Band;

mod config;
mod filters;

pub use config::MelConfig;

/// The least mel energy; its logarithm is the floor of silence.
const LEAST_ENERGY: f64 = 1e-10;
/// `log10(LEAST_ENERGY)`.
const FLOOR: f32 = -10.0;
/// Everything more than this many decades below the loudest value of the window is raised to that level.
const DYNAMIC_RANGE: f32 = 8.0;

/// A log-mel spectrogram.
#[derive(Debug, Clone, PartialEq)]
pub struct LogMel {
    /// Mel bands.
    pub bands: usize,
    /// Frames held in `data`.
    pub frames: usize,
    /// Frames that start inside the audio: `ceil(samples / hop)`. The frames after them hold the real
    /// spectrogram of the silence that follows.
    pub valid_frames: usize,
    /// `[bands, frames]`, row-major.
    pub data: Vec<f32>,
}

/// Computes log-mel spectrograms; one extractor can serve many threads.
#[derive(Clone)]
pub struct MelExtractor {
    config: MelConfig,
    fft: Arc<dyn Fft<f64>>,
    window: Vec<f64>,
    bands: Vec<Band>,
    filters: Vec<f32>,
}

impl std::fmt::Debug for MelExtractor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MelExtractor").field("config", &self.config).finish_non_exhaustive()
    }
}

impl MelExtractor {
    /// Plans the Fourier transform and computes window and filters.
    ///
    /// # Panics
    /// If the settings fail [`MelConfig::validate`]; those of [`MelConfig::from_dir`] never do.
    #[must_use]
    pub fn new(config: MelConfig) -> Self {
        assert_eq!(config.validate(), Ok(()), "settings of the log-mel extractor");
        let n_fft = config.n_fft;
        // The periodic Hann window, as the reference has it (not the symmetric one).
        let hann = |i: usize| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * i as f64 / n_fft as f64).cos();
        let bands = filters::slaney_bands(config.feature_size, n_fft, config.sampling_rate);
        Self {
            config,
            fft: FftPlanner::new().plan_fft_forward(n_fft),
            window: (0..n_fft).map(hann).collect(),
            filters: filters::dense(&bands, n_fft / 2 + 1),
            bands,
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &MelConfig {
        &self.config
    }

    /// The mel filter bank.
    ///
    /// # Shapes
    /// `[bins, bands]` with `bins = n_fft / 2 + 1`, row-major.
    #[must_use]
    pub fn filters(&self) -> &[f32] {
        &self.filters
    }

    /// Frames that start inside a clip of so many samples at the extractor's rate, cut to the window.
    #[must_use]
    pub fn frames(&self, samples: usize) -> usize {
        let heard = samples.min(self.config.window_samples());
        heard.div_ceil(self.config.hop_length).min(self.config.window_frames())
    }

    /// The first `frames` frames of the log-mel spectrogram of mono samples at the extractor's rate, padded with silence
    /// to the window; no more than the window has. Samples past the window are cut off.
    ///
    /// # Shapes
    /// `[bands, min(frames, window frames)]`.
    #[must_use]
    pub fn log_mel(&self, samples: &[f32], frames: usize) -> LogMel {
        self.log_mel_padded(samples, self.config.window_samples(), frames)
    }

    /// [`MelExtractor::log_mel`] with a window of `window` samples instead of the settings' own: one spectrogram, with one
    /// maximum, over as much of a recording as the caller wants.
    ///
    /// # Shapes
    /// `[bands, min(frames, window frames)]`.
    #[must_use]
    pub fn log_mel_padded(&self, samples: &[f32], window: usize, frames: usize) -> LogMel {
        let (bands, window_frames) = (self.config.feature_size, self.config.frames_of_window(window));
        let frames = frames.min(window_frames);
        let heard = &samples[..samples.len().min(window)];
        // Frames that touch the audio; all others are silent. The maximum is over the whole window, so all
        // of these are computed, even one that the trimmed result leaves out.
        let sounding =
            (heard.len() + self.config.n_fft / 2).div_ceil(self.config.hop_length).min(window_frames);
        let mut log_mel = self.log_energies(heard, window, sounding);
        let silence = if sounding < window_frames { FLOOR } else { f32::NEG_INFINITY };
        let loudest = log_mel.iter().fold(silence, |loudest, &value| loudest.max(value));
        let least = loudest - DYNAMIC_RANGE;

        log_mel.iter_mut().for_each(|value| *value = (value.max(least) + 4.0) / 4.0);
        let rest = (FLOOR.max(least) + 4.0) / 4.0;
        let mut data = vec![rest; bands * frames];
        transpose(&log_mel, bands, frames, &mut data);
        let valid_frames = heard.len().div_ceil(self.config.hop_length).min(window_frames);
        LogMel { bands, frames, valid_frames, data }
    }

    /// `log10` of the mel energies of the first `frames` frames.
    ///
    /// # Shapes
    /// `[frames, bands]`, row-major.
    fn log_energies(&self, heard: &[f32], window: usize, frames: usize) -> Vec<f32> {
        let (n_fft, hop, bands) = (self.config.n_fft, self.config.hop_length, self.config.feature_size);
        let bins = n_fft / 2 + 1;
        let signal = self.padded(heard, window, frames);
        let zero = Complex::new(0.0, 0.0);
        let mut spectrum = vec![zero; n_fft];
        let mut scratch = vec![zero; self.fft.get_inplace_scratch_len()];
        let mut power = [vec![0.0f64; bins], vec![0.0f64; bins]];
        let mut log_mel = vec![FLOOR; frames * bands];
        // Two real frames share one complex transform: one is its real part, the other its imaginary part.
        for (pair, rows) in log_mel.chunks_mut(2 * bands).enumerate() {
            let first = &signal[2 * pair * hop..][..n_fft];
            // The last frame of an odd number is paired with itself.
            let second = if rows.len() > bands { &signal[(2 * pair + 1) * hop..][..n_fft] } else { first };
            for (slot, ((&a, &b), &w)) in spectrum.iter_mut().zip(first.iter().zip(second).zip(&self.window))
            {
                *slot = Complex::new(f64::from(a) * w, f64::from(b) * w);
            }
            self.fft.process_with_scratch(&mut spectrum, &mut scratch);
            split_power(&spectrum, &mut power);
            for (row, power) in rows.chunks_mut(bands).zip(&power) {
                for (value, band) in row.iter_mut().zip(&self.bands) {
                    let bins = &power[band.first_bin..][..band.weights.len()];
                    let energy: f64 = bins.iter().zip(&band.weights).map(|(p, w)| p * w).sum();
                    *value = (energy.max(LEAST_ENERGY) as f32).log10();
                }
            }
        }
        log_mel
    }

    /// The audio with silence to the window's end and both ends reflected, as far as `frames` frames reach.
    fn padded(&self, heard: &[f32], window: usize, frames: usize) -> Vec<f32> {
        let pad = self.config.n_fft / 2;
        let len = (frames.max(1) - 1) * self.config.hop_length + self.config.n_fft;
        let mut signal = vec![0.0f32; len];
        let copied = heard.len().min(len - pad);
        signal[pad..pad + copied].copy_from_slice(&heard[..copied]);
        let sample = |index: usize| heard.get(index).copied().unwrap_or(0.0);
        for (i, slot) in signal.iter_mut().take(pad).enumerate() {
            *slot = sample(pad - i);
        }
        // The first sample past the window mirrors the last but one inside it.
        for (i, slot) in signal.iter_mut().skip(pad + window).enumerate() {
            *slot = sample(window - 2 - i);
        }
        signal
    }
}

/// Separates the power spectra of two real signals `a` and `b` from the transform of `a + ib`.
fn split_power(spectrum: &[Complex<f64>], power: &mut [Vec<f64>; 2]) {
    let [a, b] = power;
    for (bin, (a, b)) in a.iter_mut().zip(b).enumerate() {
        let z = spectrum[bin];
        let mirror = spectrum[if bin == 0 { 0 } else { spectrum.len() - bin }];
        let (even_re, even_im) = (z.re + mirror.re, z.im - mirror.im);
        let (odd_re, odd_im) = (z.im + mirror.im, mirror.re - z.re);
        *a = 0.25 * (even_re * even_re + even_im * even_im);
        *b = 0.25 * (odd_re * odd_re + odd_im * odd_im);
    }
}

/// Writes the first `frames` rows of `[rows, bands]` as columns of `[bands, frames]`.
fn transpose(rows: &[f32], bands: usize, frames: usize, out: &mut [f32]) {
    // Sixteen columns at a time: one cache line of the output per band.
    const BLOCK: usize = 16;
    for (block, columns) in rows.chunks(BLOCK * bands).enumerate() {
        let start = block * BLOCK;
        let width = (columns.len() / bands).min(frames.saturating_sub(start));
        for band in 0..bands {
            let row = &mut out[band * frames + start.min(frames)..][..width];
            for (offset, value) in row.iter_mut().enumerate() {
                *value = columns[offset * bands + band];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_fixture::{Golden, dir, samples};

    fn extractor() -> MelExtractor {
        MelExtractor::new(MelConfig::from_dir(&dir()).unwrap())
    }

    fn worst(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    fn whole(extractor: &MelExtractor, samples: &[f32]) -> LogMel {
        extractor.log_mel(samples, extractor.config().window_frames())
    }

    /// Noise whose loudness changes, so that no two frames are alike.
    fn noise(len: usize, seed: u64) -> Vec<f32> {
        let mut rng = idk_common::seed::Rng::new(seed);
        (0..len).map(|i| (rng.range(-0.5, 0.5) * (0.1 + (i as f64 / 3_000.0).sin().abs())) as f32).collect()
    }

    #[test]
    fn the_padded_window_equals_the_reference_extractor() {
        let (golden, extractor) = (Golden::read(), extractor());
        let (shape, expected) = golden.f32("mel.input_features");
        let [clips, bands, frames] = shape[..] else { panic!("shape {shape:?}") };
        for (clip, name) in ["a", "b", "c"].iter().enumerate().take(clips) {
            let mel = whole(&extractor, &samples(name));
            assert_eq!((mel.bands, mel.frames), (bands, frames));
            let error = worst(&mel.data, &expected[clip * bands * frames..][..bands * frames]);
            println!("clip {name}: {error:e}");
            assert!(error < 1e-4, "clip {name}: {error}");
        }
    }

    #[test]
    fn valid_frames_equal_the_reference_attention_mask() {
        let (golden, extractor) = (Golden::read(), extractor());
        let (shape, mask) = golden.i32("mel.feature_attention_mask");
        for (clip, name) in ["a", "b", "c"].iter().enumerate() {
            let ones: i32 = mask[clip * shape[1]..][..shape[1]].iter().sum();
            assert_eq!(extractor.frames(samples(name).len()) as i32, ones, "clip {name}");
        }
    }

    #[test]
    fn the_filters_equal_the_reference_bank() {
        let (shape, expected) = Golden::read().f32("mel.filters");
        let extractor = extractor();
        assert_eq!(shape, [extractor.config().n_fft / 2 + 1, extractor.config().feature_size]);
        assert!(worst(extractor.filters(), &expected) < 1e-8);
    }

    #[test]
    fn the_real_thirty_second_window_equals_the_reference_extractor() {
        let golden = Golden::read();
        let (_, columns) = golden.i32("mel30.c.frames");
        let (shape, expected) = golden.f32("mel30.c.features");
        let config = MelConfig { chunk_length: 30, ..*extractor().config() };
        let mel = whole(&MelExtractor::new(config), &samples("c"));
        assert_eq!((mel.frames, shape), (config.window_frames(), vec![mel.bands, columns.len()]));
        let picked: Vec<f32> = (0..mel.bands)
            .flat_map(|band| columns.iter().map(move |&column| (band, column as usize)))
            .map(|(band, column)| mel.data[band * mel.frames + column])
            .collect();
        assert!(worst(&picked, &expected) < 1e-4);
    }

    #[test]
    fn the_first_frames_are_the_columns_of_the_padded_window() {
        let extractor = extractor();
        let window = extractor.config().window_samples();
        let lengths = [0, 1, 160, 161, 321, 1_600, 1_601, 16_000, 16_041, window - 1, window, window + 5_000];
        for length in lengths {
            let clip = noise(length, length as u64);
            let padded = whole(&extractor, &clip);
            let valid = extractor.frames(length);
            for frames in [valid, valid + 1, valid + 2, usize::MAX] {
                let trimmed = extractor.log_mel(&clip, frames);
                assert_eq!(trimmed.frames, frames.min(padded.frames), "length {length}");
                assert_eq!((trimmed.valid_frames, padded.valid_frames), (valid, valid));
                for band in 0..trimmed.bands {
                    let row = &trimmed.data[band * trimmed.frames..][..trimmed.frames];
                    assert_eq!(
                        row,
                        &padded.data[band * padded.frames..][..trimmed.frames],
                        "length {length}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_setting_agrees_with_a_direct_fourier_sum() {
        let settings = [
            MelConfig {
                feature_size: 40,
                sampling_rate: 8_000,
                hop_length: 100,
                n_fft: 256,
                chunk_length: 1,
            },
            MelConfig {
                feature_size: 17,
                sampling_rate: 22_050,
                hop_length: 220,
                n_fft: 551,
                chunk_length: 1,
            },
        ];
        for config in settings {
            let clip = noise(config.window_samples() - 777, 9);
            let mel = whole(&MelExtractor::new(config), &clip);
            let expected = direct_log_mel(&config, &clip, mel.frames);
            assert!(worst(&mel.data, &expected) < 1e-5, "{config:?}");
        }
    }

    /// The definition, written out: reflect padding, windowed Fourier sum, dense filters, logarithm, clamp.
    fn direct_log_mel(config: &MelConfig, clip: &[f32], frames: usize) -> Vec<f32> {
        let (n, pad) = (config.window_samples() as isize, (config.n_fft / 2) as isize);
        let at = |i: isize| {
            let i = if i < 0 {
                -i
            } else if i >= n {
                2 * (n - 1) - i
            } else {
                i
            };
            clip.get(i as usize).map_or(0.0, |&s| f64::from(s))
        };
        let filters = MelExtractor::new(*config).filters;
        let bins = config.n_fft / 2 + 1;
        let step = 2.0 * std::f64::consts::PI / config.n_fft as f64;
        let mut logs = vec![0.0f64; config.feature_size * frames];
        for frame in 0..frames {
            let mut power = vec![0.0f64; bins];
            for (bin, power) in power.iter_mut().enumerate() {
                let (mut re, mut im) = (0.0, 0.0);
                for i in 0..config.n_fft {
                    let window = 0.5 - 0.5 * (step * i as f64).cos();
                    let value = window * at((frame * config.hop_length + i) as isize - pad);
                    re += value * (step * ((i * bin) % config.n_fft) as f64).cos();
                    im -= value * (step * ((i * bin) % config.n_fft) as f64).sin();
                }
                *power = re * re + im * im;
            }
            for band in 0..config.feature_size {
                let energy: f64 = power
                    .iter()
                    .enumerate()
                    .map(|(b, p)| p * f64::from(filters[b * config.feature_size + band]))
                    .sum();
                logs[band * frames + frame] = energy.max(1e-10).log10();
            }
        }
        let loudest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        logs.iter().map(|&value| ((value.max(loudest - 8.0) + 4.0) / 4.0) as f32).collect()
    }

    #[test]
    fn a_three_second_clip_takes_about_a_millisecond() {
        let config = MelConfig { feature_size: 128, ..MelConfig::default() };
        let (extractor, clip) = (MelExtractor::new(config), noise(48_000, 3));
        let mut times: Vec<_> = (0..40)
            .map(|_| {
                let start = std::time::Instant::now();
                std::hint::black_box(extractor.log_mel(std::hint::black_box(&clip), 301));
                start.elapsed()
            })
            .collect();
        times.sort();
        println!("log-mel of 3 s: best {:?}, median {:?}", times[0], times[20]);
        // Generous, for busy machines; it catches a lost FFT plan or dense filters, not a few per cent.
        assert!(cfg!(debug_assertions) || times[0].as_secs_f64() < 0.008);
    }
}
