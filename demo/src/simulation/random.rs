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

/// Log-normal by its median.
pub(super) fn around(median: f64, spread: f64, rng: &mut Pcg64Mcg) -> f64 {
    median * (spread * normal(rng)).exp()
}

/// A whole number whose mean is the expected one.
pub(super) fn whole(expected: f64, rng: &mut Pcg64Mcg) -> u64 {
    (expected + rng.random::<f64>()) as u64
}
