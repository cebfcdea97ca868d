//! The law of heap sampling.
//!
//! Bytes that are allocated are a line on which sample points lie at random, on average one every
//! `mean` bytes (a Poisson process). A block is sampled when a point falls into it: the probability for
//! `size` bytes is `p = 1 - exp(-size / mean)`, so a sampled block stands for `1 / p` blocks of its
//! size, and sums over samples estimate sums over all blocks without bias. The distance to the next
//! point is exponential, whatever came before. (As in tcmalloc and jemalloc; jemalloc's
//! `PROFILING_INTERNALS.md` derives it.)
//!
//! Logarithm and exponential are own code: the shim imports nothing of libm.

/// Natural logarithm of `x` in (0, 1], to about 1e-7.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    // ln m = 2 artanh((m - 1) / (m + 1)); m below 2 gives a ratio below 1/3.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    let mut term = ratio;
    let mut divisor = 1.0;
    for _ in 0..8 {
        sum += term / divisor;
        term *= square;
        divisor += 2.0;
    }
    2.0 * sum + exponent as f64 * core::f64::consts::LN_2
}

/// `1 - exp(-x)` for `x >= 0`, to about 1e-9.
fn one_minus_exp(x: f64) -> f64 {
    if x > 40.0 {
        return 1.0;
    }
    // exp(-x) = exp(-x / 2^k)^(2^k); with y = 1 - exp(-x), doubling x maps y to y * (2 - y), which
    // loses nothing for small x.
    let mut small = x;
    let mut doublings = 0;
    while small > 0.0625 {
        small /= 2.0;
        doublings += 1;
    }
    let mut y = small
        * (1.0 - small / 2.0 * (1.0 - small / 3.0 * (1.0 - small / 4.0 * (1.0 - small / 5.0))));
    for _ in 0..doublings {
        y *= 2.0 - y;
    }
    y
}

/// How many blocks a sampled one of `size` bytes stands for, in units of 1/256.
pub fn weight(size: u64, mean: u64) -> u32 {
    if mean <= 1 || size == 0 {
        return 256;
    }
    let weight = 256.0 / one_minus_exp(size as f64 / mean as f64);
    if weight < u32::MAX as f64 { weight as u32 } else { u32::MAX }
}

/// Bytes to the next sample point; `random` is the thread's state (xorshift64*; Vigna, 2016), not 0.
pub fn next(random: &mut u64, mean: u64) -> i64 {
    if mean <= 1 {
        return 0;
    }
    let mut x = *random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *random = x;
    let bits = x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
    let uniform = (bits as f64 + 1.0) / (1u64 << 53) as f64;
    let distance = -ln(uniform) * mean as f64;
    // 2^60 bytes are never allocated.
    if distance < (1u64 << 60) as f64 { distance as i64 + 1 } else { 1 << 60 }
}
