//! Sample rate conversion by a Kaiser-windowed sinc, as a polyphase filter with an exact rational ratio.
//!
//! The window is the "kaiser best" of resampy and torchaudio: 64 zero crossings, roll-off 0.9476, beta 14.77.
//! Linear interpolation or a short filter changes the log-mel features far more than the model tolerates.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side of its centre.
const ZERO_CROSSINGS: f64 = 64.0;
/// Where the pass band ends, as a share of the lower Nyquist frequency.
const ROLL_OFF: f64 = 0.947_593_716_739_959_6;
/// Shape of the Kaiser window: stop band about -140 dB.
const KAISER_BETA: f64 = 14.769_656_459_379_492;
/// Kernels of more coefficients than this (64 MiB) are computed row by row instead of kept.
const MAX_TABLE_LEN: usize = 8 << 20;

/// Converts mono samples from one rate to another.
///
/// Gives `ceil(len * to_hz / from_hz)` samples; the signal is taken as zero outside its ends. Output sample `i`
/// is at time `i / to_hz`, so nothing is delayed. A rate of zero gives no samples.
#[must_use]
pub fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    if from_hz == to_hz {
        return samples.to_vec();
    }
    resample_start(samples, from_hz, to_hz, resampled_len(samples.len(), from_hz, to_hz))
}

/// The first `out_len` samples of [`resample`], from two different rates.
///
/// They are the same for any recording that starts with the same [`input_len`] samples.
pub(crate) fn resample_start(samples: &[f32], from_hz: u32, to_hz: u32, out_len: usize) -> Vec<f32> {
    if samples.is_empty() || from_hz == 0 || to_hz == 0 {
        return Vec::new();
    }
    let kernel = Kernel::between(from_hz, to_hz);
    let taps = kernel.taps();
    // Output i needs row i mod up, whose fractional position is (i * down) mod up.
    let rows = kernel.up.min(out_len);
    let mut table = vec![0.0f64; if rows * taps <= MAX_TABLE_LEN { rows * taps } else { 0 }];
    for (row, coefficients) in table.chunks_exact_mut(taps).enumerate() {
        kernel.fill(row, coefficients);
    }
    let (mut scratch, mut edge) = (vec![0.0f64; taps], vec![0.0f32; taps]);
    (0..out_len)
        .map(|i| {
            let first = kernel.first_tap(i);
            let inside = first.checked_sub(kernel.reach).and_then(|start| samples.get(start..start + taps));
            let input = inside.unwrap_or_else(|| {
                // At the ends, zeros stand for what is not there.
                for (tap, slot) in edge.iter_mut().enumerate() {
                    let index = (first + tap).checked_sub(kernel.reach);
                    *slot = index.and_then(|index| samples.get(index)).copied().unwrap_or(0.0);
                }
                &edge
            });
            let row = i % kernel.up;
            if table.is_empty() {
                kernel.fill(row, &mut scratch);
                dot(&scratch, input) as f32
            } else {
                dot(&table[row * taps..][..taps], input) as f32
            }
        })
        .collect()
}

/// How many input samples the first `out_len` samples of [`resample`] depend on.
pub(crate) fn input_len(out_len: usize, from_hz: u32, to_hz: u32) -> usize {
    if from_hz == to_hz || out_len == 0 || from_hz == 0 || to_hz == 0 {
        return out_len;
    }
    let kernel = Kernel::between(from_hz, to_hz);
    (kernel.first_tap(out_len - 1) + kernel.taps()).saturating_sub(kernel.reach)
}

/// How many samples [`resample`] makes of `samples`.
#[must_use]
pub fn resampled_len(samples: usize, from_hz: u32, to_hz: u32) -> usize {
    if from_hz == 0 {
        return 0;
    }
    (samples as u64 * u64::from(to_hz)).div_ceil(u64::from(from_hz)) as usize
}

/// The low-pass filter of one ratio `up / down` (in lowest terms).
struct Kernel {
    up: usize,
    down: usize,
    /// Input samples that the filter reaches to each side.
    reach: usize,
    /// Cut-off as a share of the input's Nyquist frequency.
    cutoff: f64,
    window_norm: f64,
}

impl Kernel {
    fn new(up: usize, down: usize) -> Self {
        let cutoff = ROLL_OFF * (up as f64 / down as f64).min(1.0);
        let reach = (ZERO_CROSSINGS / cutoff).ceil() as usize;
        Self { up, down, reach, cutoff, window_norm: bessel_i0(KAISER_BETA) }
    }

    /// The filter from one rate to another.
    fn between(from_hz: u32, to_hz: u32) -> Self {
        let divisor = gcd(from_hz, to_hz);
        Self::new((to_hz / divisor) as usize, (from_hz / divisor) as usize)
    }

    /// Where output `i` starts to read, counted from `reach` samples before the first.
    fn first_tap(&self, i: usize) -> usize {
        (i as u64 * self.down as u64 / self.up as u64) as usize
    }

    fn taps(&self) -> usize {
        2 * self.reach + 2
    }

    /// Writes the coefficients of outputs `row`, `row + up`, ...: they sum to one, so a constant stays itself.
    fn fill(&self, row: usize, coefficients: &mut [f64]) {
        let phase = (row as u64 * self.down as u64 % self.up as u64) as f64 / self.up as f64;
        for (tap, coefficient) in coefficients.iter_mut().enumerate() {
            *coefficient = self.at(tap as f64 - self.reach as f64 - phase);
        }
        let sum: f64 = coefficients.iter().sum();
        coefficients.iter_mut().for_each(|coefficient| *coefficient /= sum);
    }

    /// The windowed sinc at a distance of `offset` input samples from the output's position.
    fn at(&self, offset: f64) -> f64 {
        let crossings = offset * self.cutoff;
        let position = crossings / ZERO_CROSSINGS;
        if position.abs() >= 1.0 {
            return 0.0;
        }
        let window = bessel_i0(KAISER_BETA * (1.0 - position * position).sqrt()) / self.window_norm;
        let sinc = if crossings == 0.0 { 1.0 } else { (PI * crossings).sin() / (PI * crossings) };
        self.cutoff * sinc * window
    }
}

/// Modified Bessel function of the first kind, order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter_square = x * x / 4.0;
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter_square / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}

/// Scalar product with eight running sums: a fixed order of additions that the compiler can vectorise.
fn dot(a: &[f64], b: &[f32]) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f64; 8];
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * f64::from(y[lane]);
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, &y)| x * f64::from(y)).sum();
    sums.iter().sum::<f64>() + rest
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frequency_hz: f64, rate_hz: u32, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| (0.8 * (2.0 * PI * frequency_hz * i as f64 / f64::from(rate_hz)).sin()) as f32)
            .collect()
    }

    /// Largest difference from the analytic sine, away from the ends.
    fn worst_error(frequency_hz: f64, from_hz: u32, to_hz: u32) -> f32 {
        let out = resample(&sine(frequency_hz, from_hz, from_hz as usize), from_hz, to_hz);
        assert_eq!(out.len(), to_hz as usize, "one second stays one second");
        let expected = sine(frequency_hz, to_hz, out.len());
        let edge = to_hz as usize / 20;
        let inner = edge..out.len() - edge;
        out[inner.clone()].iter().zip(&expected[inner]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_sine_in_the_pass_band_is_the_analytic_sine_at_the_new_rate() {
        for (frequency_hz, from_hz, to_hz) in [
            (440.0, 32_000, 16_000),
            (6_900.0, 32_000, 16_000),
            (1_000.0, 44_100, 16_000),
            (6_900.0, 44_100, 16_000),
            (3_300.0, 8_000, 16_000),
            (100.0, 8_000, 16_000),
            (5_000.0, 48_000, 16_000),
            (4_000.0, 11_025, 16_000),
            (700.0, 22_050, 44_100),
        ] {
            let error = worst_error(frequency_hz, from_hz, to_hz);
            assert!(error < 1e-5, "{frequency_hz} Hz, {from_hz} -> {to_hz}: {error}");
        }
    }

    #[test]
    fn a_tone_above_the_new_nyquist_frequency_is_suppressed() {
        for (frequency_hz, from_hz) in
            [(8_200.0, 32_000), (9_000.0, 44_100), (12_000.0, 48_000), (15_500.0, 32_000)]
        {
            let out = resample(&sine(frequency_hz, from_hz, from_hz as usize), from_hz, 16_000);
            let peak = out[1_000..15_000].iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
            assert!(peak < 1e-5, "{frequency_hz} Hz at {from_hz}: {peak}");
        }
    }

    #[test]
    fn a_tone_in_the_transition_band_does_not_fold_to_a_lower_frequency() {
        // 7.95 kHz lies past the roll-off: what is left of it must still be at 7.95 kHz.
        let out = resample(&sine(7_950.0, 44_100, 44_100), 44_100, 16_000);
        let amplitude = |frequency_hz: f64| {
            let (mut re, mut im) = (0.0, 0.0);
            for (i, &s) in out[2_000..14_000].iter().enumerate() {
                let angle = 2.0 * PI * frequency_hz * i as f64 / 16_000.0;
                re += f64::from(s) * angle.cos();
                im += f64::from(s) * angle.sin();
            }
            re.hypot(im) / 6_000.0
        };
        assert!(amplitude(7_950.0) < 0.2);
        for frequency_hz in [50.0, 3_000.0, 6_000.0, 7_500.0] {
            assert!(amplitude(frequency_hz) < 1e-3, "{frequency_hz} Hz");
        }
    }

    #[test]
    fn a_constant_stays_itself_and_an_awkward_ratio_gives_the_rounded_up_length() {
        for (from_hz, to_hz) in [(44_099, 16_000), (767_999, 16_000), (16_000, 15_999), (16_000, 48_000)] {
            let len = from_hz as usize / 10 + 3;
            let out = resample(&vec![0.25; len], from_hz, to_hz);
            assert_eq!(out.len(), (len * to_hz as usize).div_ceil(from_hz as usize));
            let middle = out[out.len() / 2];
            assert!((middle - 0.25).abs() < 1e-6, "{from_hz} -> {to_hz}: {middle}");
        }
    }

    #[test]
    fn equal_rates_return_the_same_samples_and_empty_input_stays_empty() {
        assert_eq!(resample(&[0.1, -0.2], 16_000, 16_000), [0.1, -0.2]);
        assert!(resample(&[], 44_100, 16_000).is_empty());
        assert!(resample(&[0.5], 0, 16_000).is_empty());
    }

    #[test]
    fn the_kernel_matches_values_of_the_bessel_function_from_tables() {
        // Abramowitz and Stegun, table 9.8 and 9.11.
        assert!((bessel_i0(1.0) - 1.266_065_877_752_008_4).abs() < 1e-15);
        assert!((bessel_i0(10.0) / 2_815.716_628_466_254 - 1.0).abs() < 1e-14);
    }

    #[test]
    fn ten_seconds_of_cd_audio_take_well_under_a_second() {
        let input = sine(440.0, 44_100, 441_000);
        let start = std::time::Instant::now();
        let out = resample(&input, 44_100, 16_000);
        let elapsed = start.elapsed();
        println!("10 s from 44.1 to 16 kHz: {elapsed:?}");
        assert_eq!(out.len(), 160_000);
        assert!(elapsed.as_secs_f64() < if cfg!(debug_assertions) { 20.0 } else { 0.6 });
    }
}
