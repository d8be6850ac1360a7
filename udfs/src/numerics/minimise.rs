//! Minima of smooth functions of a few variables: BFGS steps, then Newton's with the derivatives of the gradient.
//!
//! The number of evaluations is bounded. A function may return NaN or infinity where it is not defined: such a point is never
//! accepted. Source: J. Nocedal and S. J. Wright, Numerical Optimization, 2nd ed., Springer 2006, chapters 3 and 6.

use super::cholesky::Cholesky;

/// Most BFGS steps.
const MAX_STEPS: usize = 200;

/// Most Newton steps, each of which needs the gradient at twice as many points as there are variables.
const MAX_NEWTON_STEPS: usize = 12;

/// Most halvings of one step.
const MAX_HALVINGS: usize = 40;

/// No variable moves further in one step; variables are logarithms here.
const LONGEST_STEP: f64 = 2.0;

/// A point and what is known there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minimum {
    pub(crate) x: Vec<f64>,
    pub(crate) value: f64,
    pub(crate) gradient: Vec<f64>,
    /// The matrix of second derivatives by rows; empty unless [`polish`] made it.
    pub(crate) curvature: Vec<f64>,
    /// Whether a Newton step would gain less than the tolerance, and the function is curved upwards in every direction.
    pub(crate) is_converged: bool,
}

/// The value of a function and its gradient, which is written to the second argument.
pub(crate) trait Objective: FnMut(&[f64], &mut [f64]) -> f64 {}

impl<F: FnMut(&[f64], &mut [f64]) -> f64> Objective for F {}

/// BFGS steps from `start`, until a step gains less than `tolerance` or `max_steps` (at most 200) are done.
pub(crate) fn descend(function: &mut impl Objective, start: &[f64], tolerance: f64, max_steps: usize) -> Minimum {
    descend_with(function, start, tolerance, max_steps, None)
}

/// As [`descend`], with what is known of the inverse of the matrix of second derivatives.
pub(crate) fn descend_with(
    function: &mut impl Objective,
    start: &[f64],
    tolerance: f64,
    max_steps: usize,
    known_inverse: Option<Vec<f64>>,
) -> Minimum {
    let size = start.len();
    let mut x = start.to_vec();
    let mut gradient = vec![0.0; size];
    let mut value = function(&x, &mut gradient);
    let mut is_first = known_inverse.is_none();
    let mut inverse = known_inverse.unwrap_or_else(|| identity(size));
    if !value.is_finite() {
        return Minimum { x, value: f64::INFINITY, gradient, curvature: vec![], is_converged: false };
    }
    for _ in 0..max_steps.min(MAX_STEPS) {
        let mut direction = times(&inverse, &gradient);
        direction.iter_mut().for_each(|part| *part = -*part);
        let mut slope = dot(&direction, &gradient);
        if slope.is_nan() || slope >= 0.0 {
            inverse = identity(size);
            is_first = true;
            direction = gradient.iter().map(|part| -part).collect();
            slope = -dot(&gradient, &gradient);
            if slope.is_nan() || slope >= 0.0 {
                break;
            }
        }
        let longest = direction.iter().fold(0.0_f64, |longest, part| longest.max(part.abs()));
        // the first direction has the scale of the gradient, not of the variables
        let limit = if is_first { 0.5 } else { LONGEST_STEP };
        let mut step = if longest > limit || is_first { (limit / longest).min(1.0) } else { 1.0 };
        let (mut next, mut next_gradient) = (x.clone(), vec![0.0; size]);
        let mut next_value = f64::INFINITY;
        for _ in 0..MAX_HALVINGS {
            next.iter_mut().zip(&x).zip(&direction).for_each(|((next, x), part)| *next = x + step * part);
            next_value = function(&next, &mut next_gradient);
            if next_value <= value + 1e-4 * step * slope && next_gradient.iter().all(|part| part.is_finite()) {
                break;
            }
            next_value = f64::INFINITY;
            step /= 2.0;
        }
        if !next_value.is_finite() {
            break;
        }
        let moved: Vec<f64> = next.iter().zip(&x).map(|(next, x)| next - x).collect();
        let turned: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(next, now)| next - now).collect();
        update(&mut inverse, &moved, &turned, is_first);
        let gain = value - next_value;
        (x, value, gradient, is_first) = (next, next_value, next_gradient, false);
        if gain < tolerance {
            break;
        }
    }
    Minimum { x, value, gradient, curvature: vec![], is_converged: false }
}

/// Newton steps from where [`descend`] ended; the result has its curvature.
pub(crate) fn polish(function: &mut impl Objective, mut minimum: Minimum, tolerance: f64) -> Minimum {
    let size = minimum.x.len();
    if !minimum.value.is_finite() {
        return minimum;
    }
    for _ in 0..MAX_NEWTON_STEPS {
        minimum.curvature = curvature(function, &minimum.x);
        minimum.is_converged = false;
        let factor = Cholesky::of(&minimum.curvature, size, 1e-12);
        if factor.rank() < size {
            // curved downwards somewhere: the gradient shows the way, if any
            let before = minimum.value;
            let again = descend(function, &minimum.x, tolerance, 20);
            if before - again.value > tolerance {
                minimum = again;
                continue;
            }
            minimum.curvature = curvature(function, &minimum.x);
            break;
        }
        let step = factor.solve(&minimum.gradient);
        let gain = dot(&step, &minimum.gradient) / 2.0;
        if gain.abs() < tolerance {
            minimum.is_converged = true;
            // one last step where it does not lose: what remains is rounding
            try_step(function, &mut minimum, &step, 1.0);
            break;
        }
        let longest = step.iter().fold(0.0_f64, |longest, part| longest.max(part.abs()));
        let mut length = if longest > LONGEST_STEP { LONGEST_STEP / longest } else { 1.0 };
        let mut is_taken = false;
        for _ in 0..MAX_HALVINGS {
            if try_step(function, &mut minimum, &step, length) {
                is_taken = true;
                break;
            }
            length /= 2.0;
        }
        if !is_taken {
            break;
        }
    }
    minimum
}

/// Moves the minimum by `-length * step` if its value does not grow.
fn try_step(function: &mut impl Objective, minimum: &mut Minimum, step: &[f64], length: f64) -> bool {
    let next: Vec<f64> = minimum.x.iter().zip(step).map(|(x, part)| x - length * part).collect();
    let mut gradient = vec![0.0; next.len()];
    let value = function(&next, &mut gradient);
    let is_better = value <= minimum.value && gradient.iter().all(|part| part.is_finite());
    if is_better {
        minimum.x = next;
        minimum.value = value;
        minimum.gradient = gradient;
    }
    is_better
}

/// The second derivatives: differences of the gradient, symmetric.
fn curvature(function: &mut impl Objective, x: &[f64]) -> Vec<f64> {
    const STEP: f64 = 1e-4;
    let size = x.len();
    let mut matrix = vec![0.0; size * size];
    let (mut above, mut below) = (vec![0.0; size], vec![0.0; size]);
    for column in 0..size {
        let mut at = x.to_vec();
        at[column] = x[column] + STEP;
        function(&at, &mut above);
        at[column] = x[column] - STEP;
        function(&at, &mut below);
        for row in 0..size {
            let derivative = (above[row] - below[row]) / (2.0 * STEP);
            matrix[row * size + column] += derivative / 2.0;
            matrix[column * size + row] += derivative / 2.0;
        }
    }
    matrix
}

/// The BFGS update of the inverse curvature, left out where it would not stay positive definite.
fn update(inverse: &mut [f64], moved: &[f64], turned: &[f64], is_first: bool) {
    let size = moved.len();
    let product = dot(moved, turned);
    let least = 1e-12 * (dot(moved, moved) * dot(turned, turned)).sqrt();
    if product.is_nan() || product <= least {
        return;
    }
    if is_first {
        let scale = product / dot(turned, turned);
        inverse.iter_mut().for_each(|value| *value *= scale);
    }
    let by_turned = times(inverse, turned);
    let weight = 1.0 + dot(turned, &by_turned) / product;
    for row in 0..size {
        for column in 0..size {
            inverse[row * size + column] +=
                (weight * moved[row] * moved[column] - by_turned[row] * moved[column] - moved[row] * by_turned[column])
                    / product;
        }
    }
}

fn identity(size: usize) -> Vec<f64> {
    let mut matrix = vec![0.0; size * size];
    matrix.iter_mut().step_by(size + 1).for_each(|value| *value = 1.0);
    matrix
}

fn times(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    matrix.chunks_exact(x.len().max(1)).map(|row| dot(row, x)).collect()
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rosenbrock's valley, with its minimum 0 at (1, 1), where the second derivatives are (802 -400; -400 200).
    fn valley(x: &[f64], gradient: &mut [f64]) -> f64 {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        gradient[0] = -2.0 * a - 400.0 * x[0] * b;
        gradient[1] = 200.0 * b;
        a * a + 100.0 * b * b
    }

    #[test]
    fn the_bottom_of_a_valley_is_found() {
        let found = descend(&mut valley, &[-1.2, 1.0], 1e-9, 200);
        let found = polish(&mut valley, found, 1e-12);
        assert!(found.is_converged);
        assert!((found.x[0] - 1.0).abs() < 1e-8 && (found.x[1] - 1.0).abs() < 1e-8, "{found:?}");
        for (got, wanted) in found.curvature.iter().zip([802.0, -400.0, -400.0, 200.0]) {
            assert!((got - wanted).abs() < 1e-3, "{found:?}");
        }
    }

    #[test]
    fn what_has_no_minimum_does_not_converge() {
        // falls for ever, ever more slowly
        let mut slope = |x: &[f64], gradient: &mut [f64]| {
            gradient[0] = -(-x[0]).exp();
            (-x[0]).exp()
        };
        let found = descend(&mut slope, &[0.0], 1e-12, 200);
        let found = polish(&mut slope, found, 1e-12);
        assert!(found.x[0] > 10.0 || !found.is_converged, "{found:?}");
        let mut nowhere = |_: &[f64], _: &mut [f64]| f64::NAN;
        let found = descend(&mut nowhere, &[0.0], 1e-12, 200);
        assert!(!polish(&mut nowhere, found, 1e-12).is_converged);
    }
}
