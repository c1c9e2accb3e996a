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
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        if n == 0 {
            return 0;
        }
        let surplus = n.wrapping_neg() % n; // 2^64 mod n
        loop {
            let product = u128::from(self.next_u64()) * u128::from(n);
            if product as u64 >= surplus {
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
