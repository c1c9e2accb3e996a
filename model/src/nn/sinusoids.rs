//! The fixed positions of the audio encoder.

/// Whisper's positions: `[sin(t w_j), cos(t w_j)]` concatenated, `w_j = 10000^(-j / (width / 2 - 1))`.
///
/// Radford et al. 2022, reference code `sinusoids` in whisper/model.py.
pub(crate) fn sinusoids(positions: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let step = 10_000_f64.ln() / (half.max(2) - 1) as f64;
    let mut out = Vec::with_capacity(positions * width);
    for position in 0..positions {
        let angle = |j: usize| position as f64 * (-step * j as f64).exp();
        out.extend((0..half).map(|j| angle(j).sin() as f32));
        out.extend((0..half).map(|j| angle(j).cos() as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_sines_then_cosines_from_one_radian_per_step_down() {
        let table = sinusoids(3, 6);
        let (slow, mid) = (1e-4_f64, 1e-2_f64);
        let expected =
            [2.0_f64.sin(), (2.0 * mid).sin(), (2.0 * slow).sin(), 2.0_f64.cos(), (2.0 * mid).cos()];
        for (found, expected) in table[12..].iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
