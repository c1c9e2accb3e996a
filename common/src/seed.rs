//! Random numbers as a pure function of a seed, the same on every platform and in every release.
//!
//! A seed is derived from the run's seed, the name of a stream and whatever identifies the draw, so nothing ever has
//! to store the state of a generator: `derive_seed(run_seed, "sample", &[question_id, "3"])`.

use sha2::{Digest, Sha256};

/// The seed of one stream of random numbers: the first 8 bytes, little-endian, of
/// `sha256("idk-v1" NUL run_seed NUL stream NUL part NUL ...)`, where `run_seed` is decimal and every item is followed
/// by a NUL.
///
/// Items must not contain a NUL themselves, or `["a\0b"]` and `["a", "b"]` would be one stream.
#[must_use]
pub fn derive_seed(run_seed: u64, stream: &str, parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(format!("idk-v1\0{run_seed}\0{stream}\0"));
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    let digest = hasher.finalize();
    digest.iter().take(8).rev().fold(0, |seed, &byte| (seed << 8) | u64::from(byte))
}

/// xoshiro256++ 1.0 (Blackman and Vigna 2021, <https://prng.di.unimi.it>), its state filled by splitmix64.
///
/// Not for secrets. Equal seeds give equal draws on every platform: [`Rng::normal`] does not use the system's
/// mathematical library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator for `seed`; any value is good, 0 included.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut counter = seed;
        Self { state: std::array::from_fn(|_| splitmix64(&mut counter)) }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform in `[lo, hi)`; `lo` if the interval is empty.
    pub fn range(&mut self, lo: f64, hi: f64) -> f64 {
        let value = lo + (hi - lo) * self.uniform();
        // Rounding may reach `hi`.
        if value < hi { value } else { lo }
    }

    /// Uniform in `0..n`, every number equally likely; 0 if `n` is 0.
    ///
    /// Lemire 2019, "Fast random integer generation in an interval", algorithm 5: the high half of a 128-bit product,
    /// draws that would favour some numbers rejected.
    #[inline]
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n == 0 {
            return 0;
        }
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            // 2^64 mod n is below n: the slow remainder is rarely needed.
            if product as u64 >= n || product as u64 >= n.wrapping_neg() % n {
                return (product >> 64) as usize;
            }
        }
    }

    /// Standard normal: mean 0, variance 1. Marsaglia's polar method, the second value of each pair thrown away so
    /// that the generator has no other state.
    pub fn normal(&mut self) -> f64 {
        loop {
            let x = 2.0 * self.uniform() - 1.0;
            let y = 2.0 * self.uniform() - 1.0;
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * ln(square) / square).sqrt();
            }
        }
    }

    /// Puts `items` in random order, every order equally likely (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// One of `items`, each equally likely; `None` (and no draw) if there are none.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }

    /// The numbers `0..n` in random order.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

/// Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
fn splitmix64(counter: &mut u64) -> u64 {
    *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *counter;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Natural logarithm of a positive normal number, by additions and products alone: `f64::ln` is the platform's, and
/// its last bit differs between platforms.
///
/// `x = m 2^e` with `m` in `[sqrt(1/2), sqrt(2))`, `ln m = 2 atanh((m - 1) / (m + 1))` by its series.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let mut exponent = ((x.to_bits() >> 52) as i64 - 1023) as f64;
    let mut mantissa = f64::from_bits((x.to_bits() & MANTISSA) | 1.0_f64.to_bits());
    if mantissa >= std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    // |ratio| < 0.172: the 13th term is below 2^-60.
    let series = (0..13).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent * std::f64::consts::LN_2 + 2.0 * ratio * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_values() {
        // State 1, 2, 3, 4: the reference C code's values, as in the tests of the rand_xoshiro crate.
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
            14_011_001_112_246_962_877,
            12_406_186_145_184_390_807,
            15_849_039_046_786_891_736,
            10_450_023_813_501_588_000,
        ];
        assert_eq!(expected.map(|_| rng.next_u64()), expected);
    }

    #[test]
    fn the_seeding_gives_the_published_values() {
        // splitmix64 from 1234567, as in its reference C code.
        let mut counter = 1_234_567;
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423_u64];
        assert_eq!(expected.map(|_| splitmix64(&mut counter)), expected);
        // Both together, computed in Python from the two papers.
        let expected = [5_987_356_902_031_041_503, 7_051_070_477_665_621_255, 6_633_766_593_972_829_180];
        let mut rng = Rng::new(0);
        assert_eq!(expected.map(|_| rng.next_u64()), expected);
    }

    #[test]
    fn derived_seeds_are_those_computed_elsewhere() {
        // Python: int.from_bytes(sha256(b"idk-v1\0" b"42\0" b"sample\0" b"q-17\0" b"3\0").digest()[:8], "little")
        assert_eq!(derive_seed(0, "order", &[]), 5_087_635_177_750_954_223);
        assert_eq!(derive_seed(42, "sample", &["q-17", "3"]), 8_771_715_999_793_791_035);
        assert_eq!(derive_seed(u64::MAX, "é", &["a", ""]), 13_789_200_707_171_167_079);
    }

    #[test]
    fn neighbouring_items_do_not_run_together() {
        let seeds = [
            derive_seed(1, "ab", &[]),
            derive_seed(1, "a", &["b"]),
            derive_seed(1, "a", &["b", ""]),
            derive_seed(1, "", &["ab"]),
            derive_seed(11, "ab", &[]),
        ];
        let distinct: std::collections::BTreeSet<u64> = seeds.into_iter().collect();
        assert_eq!(distinct.len(), seeds.len());
    }

    #[test]
    fn draws_are_those_of_the_same_algorithms_in_python() {
        let mut rng = Rng::new(7);
        let expected = [0.055_360_436_478_333_11, 0.172_115_854_448_117_72, 0.717_576_128_358_659_4];
        assert_eq!(expected.map(|_| rng.uniform()), expected);
        let mut rng = Rng::new(7);
        let expected = [0, 1, 7, 4, 9, 4, 7, 3, 9, 0, 1, 1];
        assert_eq!(expected.map(|_| rng.below(10)), expected);
        assert_eq!(Rng::new(7).permutation(12), [5, 2, 11, 6, 10, 4, 8, 9, 3, 7, 1, 0]);
        let mut rng = Rng::new(7);
        for expected in [
            1.674_036_445_441_065,
            0.537_898_168_198_965_5,
            1.207_928_254_094_453_4,
            0.328_340_614_975_691_45,
            -0.012_389_036_451_004_696,
        ] {
            let value = rng.normal();
            assert!((value - expected).abs() < 1e-14, "{value} {expected}");
        }
    }

    #[test]
    fn draws_that_would_favour_small_numbers_are_rejected() {
        // With n = 2^63 + 1 nearly half of the 64-bit values must go; the second draw of seed 7 is one of them.
        let mut rng = Rng::new(7);
        let expected: [usize; 6] = [
            510_609_901_762_332_830,
            6_618_471_596_617_772_089,
            8_888_190_287_168_176_571,
            4_295_358_383_878_398_532,
            6_676_864_459_485_434_304,
            675_923_669_047_871_734,
        ];
        assert_eq!(expected.map(|_| rng.below((1 << 63) + 1)), expected);
    }

    #[test]
    fn every_number_below_n_is_equally_likely() {
        for n in [1_usize, 2, 3, 7, 10] {
            let mut rng = Rng::new(n as u64);
            let mut counts = vec![0_u32; n];
            let draws = 100_000;
            (0..draws).for_each(|_| counts[rng.below(n)] += 1);
            let expected = f64::from(draws) / n as f64;
            let chi_square: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
            // The 99.99 % quantile of chi-square with 9 degrees of freedom is 33.7, with fewer it is lower.
            assert!(chi_square < 34.0, "n {n}: {counts:?}");
        }
        assert_eq!(Rng::new(1).below(0), 0);
    }

    #[test]
    fn a_permutation_holds_every_number_once_and_every_order_is_as_likely() {
        for n in [0, 1, 2, 17, 1000] {
            let mut order = Rng::new(3).permutation(n);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
        let mut rng = Rng::new(5);
        let mut counts = std::collections::BTreeMap::new();
        (0..60_000).for_each(|_| *counts.entry(rng.permutation(3)).or_insert(0_i32) += 1);
        assert_eq!(counts.len(), 6);
        // 10000 each, standard deviation 91.
        assert!(counts.values().all(|count| (count - 10_000).abs() < 450), "{counts:?}");
    }

    #[test]
    fn uniform_numbers_stay_in_their_interval_and_have_its_moments() {
        let mut rng = Rng::new(11);
        let draws: Vec<f64> = (0..200_000).map(|_| rng.uniform()).collect();
        assert!(draws.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = draws.iter().sum::<f64>() / 200_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 200_000.0;
        assert!((mean - 0.5).abs() < 0.003 && (variance - 1.0 / 12.0).abs() < 0.001, "{mean} {variance}");
        let narrow = (1.0, 1.0_f64.next_up());
        assert!((0..100).all(|_| rng.range(narrow.0, narrow.1) < narrow.1), "rounding reached the upper end");
        assert!((0..1000).map(|_| rng.range(-3.0, 5.0)).all(|x| (-3.0..5.0).contains(&x)));
        assert_eq!(rng.range(2.0, 2.0), 2.0);
    }

    #[test]
    fn normal_numbers_have_the_moments_and_tails_of_the_normal_distribution() {
        let mut rng = Rng::new(13);
        let draws: Vec<f64> = (0..400_000).map(|_| rng.normal()).collect();
        let moment = |power: i32| draws.iter().map(|x| x.powi(power)).sum::<f64>() / draws.len() as f64;
        assert!(moment(1).abs() < 0.007 && moment(3).abs() < 0.03);
        assert!((moment(2) - 1.0).abs() < 0.01 && (moment(4) - 3.0).abs() < 0.08);
        let beyond_2 = draws.iter().filter(|x| x.abs() > 2.0).count() as f64 / draws.len() as f64;
        assert!((beyond_2 - 0.0455).abs() < 0.0015, "{beyond_2}");
    }

    #[test]
    fn the_logarithm_agrees_with_the_platform_to_the_last_bits() {
        let mut rng = Rng::new(17);
        for _ in 0..100_000 {
            let x = rng.range(-200.0, 200.0).exp2();
            let error = (ln(x) - x.ln()).abs();
            assert!(error <= 4.0 * f64::EPSILON * x.ln().abs().max(1e-3), "{x}: {} {}", ln(x), x.ln());
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn choosing_from_nothing_gives_nothing_and_costs_no_draw() {
        let mut rng = Rng::new(19);
        let before = rng.clone();
        assert_eq!(rng.choose::<u8>(&[]), None);
        assert_eq!(rng, before);
        let seen: std::collections::BTreeSet<u8> =
            (0..100).filter_map(|_| rng.choose(&[1, 2, 3]).copied()).collect();
        assert_eq!(seen.len(), 3);
    }
}
