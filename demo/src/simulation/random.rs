//! Random draws from the distributions of the simulation.

use rand::Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_pcg::Pcg64Mcg;

pub(super) fn normal(rng: &mut Pcg64Mcg) -> f64 {
    StandardNormal.sample(rng)
}

pub(super) fn exponential(mean: f64, rng: &mut Pcg64Mcg) -> f64 {
    let unit: f64 = Exp1.sample(rng);
    mean * unit
}

/// A log-normal value by its median; `spread` is the standard deviation of the logarithm.
pub(super) fn log_normal(median: f64, spread: f64, rng: &mut Pcg64Mcg) -> f64 {
    median * (spread * normal(rng)).exp()
}

/// Rounds up or down at random, so that the mean is `expected`.
pub(super) fn round_randomly(expected: f64, rng: &mut Pcg64Mcg) -> u64 {
    (expected + rng.random::<f64>()) as u64
}
