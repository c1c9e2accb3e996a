//! Scalar functions without branches or calls, so that loops over them become vector instructions, and reductions in a
//! fixed order.
//!
//! No fused multiply-add is asked for: the results are then the same on every x86-64 processor.

/// Independent partial results of a reduction: one 512-bit register of float32.
pub(super) const LANES: usize = 16;

/// Runs a closure compiled for the widest vector instructions that this processor has.
#[inline]
pub(super) fn vectorised<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return simd.vectorize(f);
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return simd.vectorize(f);
        }
    }
    f()
}

/// `e^x` with a relative error of at most 2e-7: exactly 0 below -87 (smaller than any normal float32), `e^88` above 88.
///
/// `e^x = 2^n e^r` with `n = round(x / ln 2)` and a minimax polynomial for `e^r` on `|r| <= ln(2) / 2` (error 2e-9).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LOW: f32 = -87.0;
    const HIGH: f32 = 88.0;
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4; // 355 / 512, so that its multiples are exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons and not `clamp`: a NaN stays a NaN.
    let y = if x > HIGH { HIGH } else { x };
    let shifted = y * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (y - n * LN2_HIGH) - n * LN2_LOW;
    let p = 1.383_681_5e-3_f32;
    let p = p * r + 8.374_824e-3;
    let p = p * r + 4.166_823e-2;
    let p = p * r + 1.666_642e-1;
    let p = p * r + 4.999_999e-1;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    let result = p * power;
    if x < LOW { 0.0 } else { result }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The standard normal distribution at `x`: the probability below `x`, and the density times `sqrt(2 pi)`.
///
/// With `z = |x| / sqrt(2)`: `erfc(z) = e^(-z^2) q(1 / (1 + 0.4 z))` with a minimax polynomial `q` (relative error 3e-8
/// up to `z = 10`). The small tail is never formed as a difference, so its relative error stays at float32's.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    let density = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.4 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let q = 2.869_515_3e-2_f32;
    let q = q * t - 7.474_591e-2;
    let q = q * t - 6.369_308_4e-2;
    let q = q * t + 2.757_966e-1;
    let q = q * t - 6.857_306e-2;
    let q = q * t + 2.686_407e-1;
    let q = q * t + 1.774_154_5e-1;
    let q = q * t + 2.313_553e-1;
    let q = q * t + 2.250_825_6e-1;
    let q = q * t + 2.640_582_2e-5;
    let tail = 0.5 * density * q;
    (if x < 0.0 { tail } else { 1.0 - tail }, density)
}

/// Sum of `f` over pairs, in [`LANES`] partial sums.
#[inline(always)]
pub(super) fn sum_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = whole_a.remainder().iter().zip(whole_b.remainder());
    for (a, b) in whole_a.zip(whole_b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(a, b);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(rest) {
        *lane += f(a, b);
    }
    sum_lanes(lanes)
}

/// Sum of `f` over values, in [`LANES`] partial sums.
#[inline(always)]
pub(super) fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum_pairs(values, values, |value, _| f(value))
}

/// Replaces every value by `f` of it and returns the sum of the new ones.
#[inline(always)]
pub(super) fn replace_and_sum(values: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let mut whole = values.chunks_exact_mut(LANES);
    for part in &mut whole {
        for (lane, value) in lanes.iter_mut().zip(part) {
            *value = f(*value);
            *lane += *value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(whole.into_remainder()) {
        *value = f(*value);
        *lane += *value;
    }
    sum_lanes(lanes)
}

/// The largest value that is not NaN; minus infinity if there is none.
#[inline(always)]
pub(super) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let whole = values.chunks_exact(LANES);
    let rest = whole.remainder();
    for part in whole {
        for (lane, &value) in lanes.iter_mut().zip(part) {
            *lane = larger(*lane, value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, value);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

#[inline(always)]
fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = lanes.split_at_mut(width);
        low.iter_mut().zip(high).for_each(|(low, high)| *low += *high);
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_double_precision_to_two_units_in_the_last_place() {
        for step in -87_000..=88_000 {
            let x = step as f32 / 1000.0;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 2e-7, "{x}");
        }
    }

    #[test]
    fn exp_has_defined_ends_and_keeps_nan() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!([exp(-87.1), exp(-1e9), exp(f32::NEG_INFINITY)], [0.0; 3]);
        assert!(exp(1e9).is_finite() && exp(1e9) > 1e38);
        assert!(exp(f32::NAN).is_nan());
        assert!(max(&[f32::NAN, 1.0, 2.0]) == 2.0);
    }

    #[test]
    fn the_normal_distribution_agrees_with_the_tables_and_is_accurate_in_the_tail() {
        // Abramowitz and Stegun, table 26.1
        for (x, expected) in [(0.0, 0.5), (1.0, 0.841_344_746), (-1.0, 0.158_655_254), (2.5, 0.993_790_335)] {
            assert!((f64::from(normal(x).0) / expected - 1.0).abs() < 3e-7, "{x}");
        }
        // mpmath.ncdf(-6), mpmath.ncdf(-4)
        for (x, expected) in [(-6.0, 9.865_876_450_376_98e-10), (-4.0, 3.167_124_183_311_992e-5)] {
            assert!((f64::from(normal(x).0) / expected - 1.0).abs() < 2e-6, "{x}");
        }
        assert_eq!([normal(40.0).0, normal(-40.0).0], [1.0, 0.0]);
    }

    #[test]
    fn reductions_count_every_value_once() {
        for len in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let expected = (len * len.max(1) - len) as f32 / 2.0;
            assert_eq!(sum(&values, |value| value), expected);
            let mut copy = values.clone();
            assert_eq!(replace_and_sum(&mut copy, |value| value * 2.0), expected * 2.0);
            assert_eq!(max(&values), values.last().copied().unwrap_or(f32::NEG_INFINITY));
        }
    }
}
