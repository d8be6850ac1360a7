//! Tails and quantiles of the normal, Student, chi-square, F, beta and binomial distributions.
//!
//! The error function is that of `libm`, as `statrs` has ten digits of it in places. The incomplete gamma function is that of
//! `statrs`. Its incomplete beta function is not used: the continued fraction ends after 140 terms, which is too early from
//! some ten thousand rows on, its prefactor is a difference of logarithms of gamma functions, which loses digits as they grow,
//! and its quantiles panic on bad input. Here the prefactor is in the form of C. Loader, Fast and Accurate Computation of
//! Binomial Probabilities (2000), which keeps them for any number of rows.
//!
//! No function panics; arguments outside of a distribution's domain give NaN.

use std::f64::consts::{PI, SQRT_2};

use statrs::function::{erf, gamma};

/// Most terms of a continued fraction. It converges in about as many as the square root of the larger parameter.
const MAX_TERMS: u32 = 1_000_000;

/// From here on Student's distribution is the normal one: the difference is below a part in 10^10.
const MANY_DEGREES: f64 = 1e10;

/// P(Z > z).
pub(crate) fn normal_upper(z: f64) -> f64 {
    0.5 * libm::erfc(z / SQRT_2)
}

/// P(|Z| > |z|).
pub(crate) fn normal_two_sided(z: f64) -> f64 {
    libm::erfc(z.abs() / SQRT_2)
}

/// The z with P(|Z| <= z) = `level`.
pub(crate) fn normal_critical(level: f64) -> f64 {
    let tail = 1.0 - level;
    let z = SQRT_2 * erf::erfc_inv(tail);
    // One step of Newton's makes it as exact as the error function.
    let density = (2.0 / PI).sqrt() * (-0.5 * z * z).exp();
    let step = (normal_two_sided(z) - tail) / density;
    if step.is_finite() { z + step } else { z }
}

/// P(|T| > |t|) with `df` degrees of freedom, which need not be an integer.
pub(crate) fn student_two_sided(t: f64, df: f64) -> f64 {
    if df > MANY_DEGREES {
        return normal_two_sided(t);
    }
    let square = t * t;
    if square.is_infinite() {
        return 0.0;
    }
    beta_lower(df / 2.0, 0.5, df / (df + square), square / (df + square))
}

/// The t with P(|T| <= t) = `level`.
pub(crate) fn student_critical(level: f64, df: f64) -> f64 {
    let z = normal_critical(level);
    if df > MANY_DEGREES {
        return z;
    }
    let tail = 1.0 - level;
    // The first terms of the expansion in 1 / df, then Newton's steps. Few degrees of freedom are beyond the expansion.
    if df >= 4.0 && z < 4.0 {
        let square = z * z;
        let mut t = z
            + z * (square + 1.0) / (4.0 * df)
            + z * ((5.0 * square + 16.0) * square + 3.0) / (96.0 * df * df)
            + z * (((3.0 * square + 19.0) * square + 17.0) * square - 15.0) / (384.0 * df * df * df);
        for _ in 0..20 {
            let step = (student_two_sided(t, df) - tail) / (2.0 * student_density(t, df));
            t += step;
            if step.abs() <= 1e-15 * t.abs() {
                return t;
            }
            if !(step.abs() < 1.0 && t > 0.0) {
                break;
            }
        }
        if t > 0.0 && (student_two_sided(t, df) - tail).abs() <= 1e-13 * tail {
            return t;
        }
    }
    let mut high = z.max(1.0);
    while student_two_sided(high, df) > tail && high < 1e300 {
        high *= 2.0;
    }
    root(|t| tail - student_two_sided(t, df), 0.0, high)
}

fn student_density(t: f64, df: f64) -> f64 {
    let square = t * t;
    let (x, y) = (df / (df + square), square / (df + square));
    // dx/dt = -2 x y / t; the density of x is that of the beta distribution.
    if t == 0.0 {
        return f64::NAN;
    }
    beta_prefactor(df / 2.0, 0.5, x, y) / t
}

/// P(X > x) of the chi-square distribution.
pub(crate) fn chi_square_upper(x: f64, df: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x.is_infinite() {
        return 0.0;
    }
    gamma::checked_gamma_ur(df / 2.0, x / 2.0).unwrap_or(f64::NAN)
}

/// P(F > f) of Fisher's distribution with `df_a` degrees of freedom above and `df_b` below.
pub(crate) fn f_upper(f: f64, df_a: f64, df_b: f64) -> f64 {
    if f <= 0.0 {
        return 1.0;
    }
    if f.is_infinite() {
        return 0.0;
    }
    let ratio = df_a * f / df_b;
    beta_lower(df_b / 2.0, df_a / 2.0, 1.0 / (1.0 + ratio), ratio / (1.0 + ratio))
}

/// P(X <= `hits`) for `n` trials with probability one half.
pub(crate) fn fair_binomial_lower(hits: f64, n: f64) -> f64 {
    if hits < 0.0 {
        return 0.0;
    }
    if hits >= n {
        return 1.0;
    }
    beta_lower(n - hits, hits + 1.0, 0.5, 0.5)
}

/// The x with P(X <= x) = `probability` of the beta distribution.
pub(crate) fn beta_quantile(probability: f64, a: f64, b: f64) -> f64 {
    root(|x| beta_lower(a, b, x, 1.0 - x) - probability, 0.0, 1.0)
}

/// The regularized incomplete beta function I_x(a, b), with `y` = 1 - `x`, which may be the more exact of the two.
pub(crate) fn beta_lower(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if !(a > 0.0 && b > 0.0 && x >= 0.0 && y >= 0.0) {
        return f64::NAN;
    }
    if x == 0.0 {
        return 0.0;
    }
    if y == 0.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        1.0 - beta_prefactor(b, a, y, x) / beta_fraction(b, a, y, x)
    } else {
        beta_prefactor(a, b, x, y) / beta_fraction(a, b, x, y)
    }
}

/// x^a y^b / B(a, b).
fn beta_prefactor(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    let exponent = stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * x) - deviance(b, n * y);
    (a / n * b / (2.0 * PI)).sqrt() * exponent.exp()
}

/// ln Gamma(z + 1) less Stirling's formula for it, (z + 1/2) ln z - z + ln(2 pi) / 2.
fn stirling_error(z: f64) -> f64 {
    if z < 15.0 {
        return gamma::ln_gamma(z + 1.0) - (z + 0.5) * z.ln() + z - 0.5 * (2.0 * PI).ln();
    }
    let inverse = 1.0 / (z * z);
    let series = 1.0 / 1260.0 - inverse * (1.0 / 1680.0 - inverse * (1.0 / 1188.0 - inverse * 691.0 / 360_360.0));
    (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * series)) / z
}

/// x ln(x / mean) + mean - x, without cancellation where x is near the mean.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - difference;
    }
    // ln(x / mean) = 2 artanh(v) with v = (x - mean) / (x + mean)
    let v = difference / (x + mean);
    let square = v * v;
    let mut term = 2.0 * x * v;
    let mut sum = difference * v;
    for power in 1..100_u32 {
        term *= square;
        let next = sum + term / f64::from(2 * power + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// The continued fraction of the incomplete beta function (A. R. DiDonato and A. H. Morris, ACM Transactions on Mathematical
/// Software 18 (1992) 360-373, equation 9) by Lentz's method. Near the mean it does not cancel.
fn beta_fraction(a: f64, b: f64, x: f64, y: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    // a - (a + b) x + 1
    let distance = a * y - b * x + 1.0;
    let mut fraction = away_from_zero(a * distance / (a + 1.0));
    let (mut numerator, mut denominator) = (fraction, 0.0);
    for term in 1..MAX_TERMS {
        let m = f64::from(term);
        let odd = a + 2.0 * m - 1.0;
        let ratio = x / odd;
        let alpha = (a + m - 1.0) * ratio * ((a + b + m - 1.0) * ratio) * m * (b - m);
        let beta = m + m * (b - m) * ratio + (a + m) * (distance + m * (1.0 + y)) / (odd + 2.0);
        denominator = 1.0 / away_from_zero(beta + alpha * denominator);
        numerator = away_from_zero(beta + alpha / numerator);
        let change = numerator * denominator;
        fraction *= change;
        if (change - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    fraction
}

/// Where the increasing function `f` is 0, between `low` and `high`: regula falsi, halved where it is slow. The nearer bound
/// if there is no such x between them.
pub(crate) fn root(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let (mut at_low, mut at_high) = (f(low), f(high));
    if at_low >= 0.0 {
        return low;
    }
    if at_high <= 0.0 {
        return high;
    }
    let mut is_low_kept = None;
    for step in 0..2_000 {
        let width = high - low;
        let middle = low + width / 2.0;
        if width <= 2.0 * f64::EPSILON * low.abs().max(high.abs()) || middle <= low || middle >= high {
            break;
        }
        let secant = low - at_low * (width / (at_high - at_low));
        // Every third step halves, so that no shape of f makes it slow.
        let x = if step % 3 != 2 && secant > low && secant < high { secant } else { middle };
        let at_x = f(x);
        if at_x == 0.0 {
            return x;
        }
        if at_x < 0.0 {
            (low, at_low) = (x, at_x);
            if is_low_kept == Some(false) {
                at_high /= 2.0;
            }
            is_low_kept = Some(false);
        } else {
            (high, at_high) = (x, at_x);
            if is_low_kept == Some(true) {
                at_low /= 2.0;
            }
            is_low_kept = Some(true);
        }
    }
    low + (high - low) / 2.0
}

#[cfg(test)]
mod tests;
