//! Signal operations on mono samples at [`SAMPLE_RATE_HZ`].

use idk_common::seed::Rng;

/// Samples a second of every clip of the bank and of every composed clip.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// The level that every clip of the bank is brought to: RMS of its active parts.
pub(crate) const LEVEL_RMS: f32 = 0.1;
const FRAME: usize = 160; // 10 ms
const FADE_IN_S: f64 = 0.004;
const FADE_OUT_S: f64 = 0.02;
const PEAK: f32 = 0.95;
/// Noise is cut from a table: drawing 48,000 normal numbers a clip would cost more than all the rest.
const NOISE_SAMPLES: usize = 1 << 19;

/// The number of samples of a duration, rounded.
#[must_use]
pub(crate) fn samples_of(duration_s: f64) -> usize {
    (duration_s.max(0.0) * f64::from(SAMPLE_RATE_HZ)).round() as usize
}

/// The amplitude factor of a gain.
pub(crate) fn amplitude(gain_db: f64) -> f32 {
    10.0_f64.powf(gain_db / 20.0) as f32
}

/// Cuts silence (40 dB under the peak) off both ends and brings the active parts to [`LEVEL_RMS`]. `None` for a clip
/// that is silent throughout.
pub(crate) fn prepare(samples: &[f32]) -> Option<Vec<f32>> {
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let audible = |sample: &f32| sample.abs() > 0.01 * peak;
    let first = samples.iter().position(audible)?;
    let last = samples.iter().rposition(audible)?;
    let heard = &samples[first..=last];
    let gain = LEVEL_RMS / active_rms(heard)?;
    Some(heard.iter().map(|sample| sample * gain).collect())
}

/// RMS over the 10 ms frames within 20 dB of the loudest one.
fn active_rms(samples: &[f32]) -> Option<f32> {
    let powers: Vec<f32> = samples
        .chunks(FRAME)
        .map(|frame| frame.iter().map(|sample| sample * sample).sum::<f32>() / frame.len() as f32)
        .collect();
    let loudest = powers.iter().fold(0.0_f32, |max, power| max.max(*power));
    let (sum, count) = powers
        .iter()
        .filter(|power| **power >= 0.01 * loudest)
        .fold((0.0_f32, 0.0_f32), |(sum, count), power| (sum + power, count + 1.0));
    (loudest > 0.0).then(|| (sum / count).sqrt())
}

/// Adds `clip` to `out` from `start` on: played faster or slower by `semitones` (pitch and duration change together,
/// linear interpolation), at most `max_samples` long, faded at both ends. What does not fit is cut off.
pub(crate) fn add(
    out: &mut [f32],
    clip: &[f32],
    start: usize,
    max_samples: usize,
    gain: f32,
    semitones: f64,
) {
    let step = 2.0_f64.powf(semitones / 12.0);
    let played = (clip.len().saturating_sub(1) as f64 / step) as usize + 1;
    let length = played.min(max_samples).min(out.len().saturating_sub(start));
    let (fade_in, fade_out) = (samples_of(FADE_IN_S).min(length / 2), samples_of(FADE_OUT_S).min(length / 2));
    let Some(target) = out.get_mut(start..start + length) else { return };
    for (i, sample) in target.iter_mut().enumerate() {
        let position = i as f64 * step;
        let (index, fraction) = (position as usize, position.fract() as f32);
        let Some(&left) = clip.get(index) else { break };
        let right = clip.get(index + 1).copied().unwrap_or(left);
        let mut fade = gain;
        if i < fade_in {
            fade *= i as f32 / fade_in as f32;
        }
        if length - i <= fade_out {
            fade *= (length - i) as f32 / fade_out as f32;
        }
        *sample += fade * (left + (right - left) * fraction);
    }
}

/// White and pink noise of RMS 1, the same in every run.
#[derive(Debug)]
pub(crate) struct Noise {
    white: Vec<f32>,
    pink: Vec<f32>,
}

impl Noise {
    pub(crate) fn new() -> Self {
        let mut rng = Rng::new(0x6e6f_6973_6500_0001);
        let white: Vec<f32> = (0..NOISE_SAMPLES).map(|_| rng.normal() as f32).collect();
        // Paul Kellet's economy filter: within 0.5 dB of -3 dB per octave above 10 Hz at audio rates.
        let (mut a, mut b, mut c) = (0.0_f32, 0.0_f32, 0.0_f32);
        let mut pink: Vec<f32> = white
            .iter()
            .map(|sample| {
                a = 0.997_65 * a + sample * 0.099_046;
                b = 0.963 * b + sample * 0.296_516_4;
                c = 0.57 * c + sample * 1.052_691_3;
                a + b + c + sample * 0.1848
            })
            .collect();
        let power = pink.iter().map(|sample| f64::from(sample * sample)).sum::<f64>() / pink.len() as f64;
        let gain = (1.0 / power.sqrt()) as f32;
        pink.iter_mut().for_each(|sample| *sample *= gain);
        Self { white, pink }
    }

    /// Adds noise of the given RMS to `out`, cut from the table at `offset`.
    pub(crate) fn add(&self, out: &mut [f32], pink: bool, offset: usize, rms: f32) {
        let table = if pink { &self.pink } else { &self.white };
        let start = offset % (table.len() - out.len().min(table.len() - 1));
        for (sample, noise) in out.iter_mut().zip(&table[start..]) {
            *sample += rms * noise;
        }
    }
}

/// Applies a gain, lowered where it would clip.
pub(crate) fn scale_within_peak(out: &mut [f32], gain: f32) {
    let peak = out.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let gain = if peak * gain > PEAK { PEAK / peak } else { gain };
    out.iter_mut().for_each(|sample| *sample *= gain);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: usize) -> Vec<f32> {
        (0..samples).map(|i| (i as f32 * 0.2).sin()).collect()
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn prepared_clips_have_one_level_and_no_silent_ends() {
        let mut clip = vec![0.0; 8000];
        clip[2000..4000].copy_from_slice(&tone(2000).iter().map(|x| x * 0.3).collect::<Vec<_>>());
        let prepared = prepare(&clip).unwrap();
        assert!((1990..=2000).contains(&prepared.len()), "{}", prepared.len());
        assert!((rms(&prepared) - LEVEL_RMS).abs() < 0.003);
        assert!(prepare(&[0.0; 100]).is_none());
    }

    #[test]
    fn an_octave_up_is_half_as_long() {
        let mut out = vec![0.0; 4000];
        add(&mut out, &tone(2000), 0, usize::MAX, 1.0, 12.0);
        let last = out.iter().rposition(|x| *x != 0.0).unwrap();
        assert!((980..=1000).contains(&last), "{last}");
    }

    #[test]
    fn a_clip_beyond_the_end_is_cut_and_never_panics() {
        let mut out = vec![0.0; 100];
        add(&mut out, &tone(2000), 50, usize::MAX, 1.0, 0.0);
        add(&mut out, &tone(2000), 100, usize::MAX, 1.0, 0.0);
        add(&mut out, &tone(2000), 5000, usize::MAX, 1.0, 0.0);
        assert!(out[..50].iter().all(|x| *x == 0.0) && out[60] != 0.0);
    }

    #[test]
    fn noise_has_the_asked_level_and_pink_noise_is_darker() {
        let noise = Noise::new();
        let cut = |pink: bool| {
            let mut out = vec![0.0; 48_000];
            noise.add(&mut out, pink, 12_345, 0.2);
            out
        };
        let (white, pink) = (cut(false), cut(true));
        assert!((rms(&white) - 0.2).abs() < 0.01 && (rms(&pink) - 0.2).abs() < 0.05);
        let roughness = |x: &[f32]| rms(&x.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>()) / rms(x);
        assert!(roughness(&pink) < 0.7 * roughness(&white));
    }

    #[test]
    fn scaling_never_clips() {
        let mut out = tone(100);
        scale_within_peak(&mut out, 10.0);
        assert!(out.iter().all(|x| x.abs() <= PEAK + 1e-6));
    }
}
