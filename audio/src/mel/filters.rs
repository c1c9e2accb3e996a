//! The Slaney mel filter bank: triangles on the mel scale of Slaney's Auditory Toolbox, each of unit area.

/// Highest frequency of the bank, in Hz. Whisper fixes it, whatever the sample rate.
const MAX_FREQUENCY_HZ: f64 = 8_000.0;

/// One triangle: the weights of consecutive Fourier bins.
#[derive(Debug, Clone)]
pub(crate) struct Band {
    pub first_bin: usize,
    pub weights: Vec<f64>,
}

/// The triangles of a bank, each without its zeros.
pub(crate) fn slaney_bands(bands: usize, n_fft: usize, sampling_rate: usize) -> Vec<Band> {
    let bins = n_fft / 2 + 1;
    let top_mel = hz_to_mel(MAX_FREQUENCY_HZ);
    let edges_hz: Vec<f64> =
        (0..bands + 2).map(|i| mel_to_hz(top_mel * i as f64 / (bands + 1) as f64)).collect();
    let bin_hz = (sampling_rate / 2) as f64 / (bins - 1) as f64;
    edges_hz
        .windows(3)
        .map(|edge| {
            let (low, centre, high) = (edge[0], edge[1], edge[2]);
            let area_norm = 2.0 / (high - low);
            let weight = |bin: usize| {
                let hz = bin as f64 * bin_hz;
                ((hz - low) / (centre - low)).min((high - hz) / (high - centre)).max(0.0) * area_norm
            };
            let first_bin = (0..bins).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let weights = (first_bin..bins).map(weight).take_while(|&weight| weight > 0.0).collect();
            Band { first_bin, weights }
        })
        .collect()
}

/// The same bank as a dense matrix.
///
/// # Shapes
/// `[bins, bands]`, row-major.
pub(crate) fn dense(bands: &[Band], bins: usize) -> Vec<f32> {
    let mut matrix = vec![0.0f32; bins * bands.len()];
    for (column, band) in bands.iter().enumerate() {
        for (offset, &weight) in band.weights.iter().enumerate() {
            matrix[(band.first_bin + offset) * bands.len() + column] = weight as f32;
        }
    }
    matrix
}

/// Slaney's scale: linear below 1 kHz, then 27 steps for each factor of 6.4.
fn hz_to_mel(hz: f64) -> f64 {
    if hz < 1_000.0 { 3.0 * hz / 200.0 } else { 15.0 + (hz / 1_000.0).ln() * 27.0 / 6.4f64.ln() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < 15.0 { 200.0 * mel / 3.0 } else { 1_000.0 * (6.4f64.ln() / 27.0 * (mel - 15.0)).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_agrees_with_the_values_of_the_auditory_toolbox() {
        // librosa.hz_to_mel(110.) = 1.65 and 440 Hz = 6.6 are its documented examples; 6.4 kHz is 15 + 27.
        assert!((hz_to_mel(110.0) - 1.65).abs() < 1e-12);
        assert!((hz_to_mel(440.0) - 6.6).abs() < 1e-12);
        assert!((hz_to_mel(6_400.0) - 42.0).abs() < 1e-12);
        for hz in [60.0, 999.0, 1_000.0, 5_000.0, 8_000.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-9);
        }
    }

    #[test]
    fn a_wide_triangle_has_unit_area() {
        // The last of few bands spans many bins, so the sum over bins approximates the integral.
        let bands = slaney_bands(8, 4_096, 16_000);
        let area: f64 = bands[7].weights.iter().sum::<f64>() * 16_000.0 / 4_096.0;
        assert!((area - 1.0).abs() < 1e-3, "{area}");
    }
}
