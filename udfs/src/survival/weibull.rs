//! Weibull regression of durations: log T = intercept + features + scale * W with W of the least extreme value distribution,
//! so that S(t) = exp(-(t / exp(predictor))^(1 / scale)).
//!
//! The log likelihood is concave in (coefficients / scale, 1 / scale): Newton's method with halving finds its only maximum. The
//! errors are those of the coefficients and log(scale). Source: J. D. Kalbfleisch and R. L. Prentice, The Statistical Analysis
//! of Failure Time Data, 2nd ed., Wiley 2002, chapter 3; as R's survreg.

use crate::numerics::cholesky::Cholesky;

/// Most Newton steps.
const MAX_STEPS: usize = 100;

/// As for Cox's regression.
const COLLINEAR: f64 = 1e-9;

/// As for Cox's regression.
const RUNAWAY: f64 = 0.01;

/// The rows of a fit: durations > 0, whether they ended with the event, counts, and `width` features each, by rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct WeibullData {
    pub(crate) times: Vec<f64>,
    pub(crate) is_event: Vec<bool>,
    pub(crate) counts: Vec<f64>,
    pub(crate) features: Vec<f64>,
    pub(crate) width: usize,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WeibullFit {
    /// The intercept and the coefficient of each feature, on the scale of log T; `None` for a combination of others.
    pub(crate) estimates: Vec<Option<f64>>,
    pub(crate) log_scale: f64,
    /// The covariance of the intercept, the coefficients and log(scale), by rows.
    pub(crate) covariance: Vec<f64>,
    pub(crate) log_likelihood: f64,
    pub(crate) is_converged: bool,
    /// The features (from 1 on) without a finite estimate.
    pub(crate) runaway: Vec<usize>,
}

/// Rows in standardised form.
struct Standard<'a> {
    data: &'a WeibullData,
    /// (log t - mean) / deviation
    log_times: Vec<f64>,
    /// 1 and the scaled features.
    columns: Vec<f64>,
    width: usize,
}

/// The log likelihood in the parameters (coefficients / scale, 1 / scale), its gradient and minus its second derivatives.
struct Likelihood {
    value: f64,
    score: Vec<f64>,
    information: Vec<f64>,
}

impl Standard<'_> {
    /// With z = rate * y - x'c an event adds log(rate) + z - exp(z), a censored row -exp(z).
    fn likelihood(&self, parameters: &[f64]) -> Option<Likelihood> {
        let size = self.width + 1;
        let (rate, coefficients) = parameters.split_last()?;
        if rate.is_nan() || *rate <= 0.0 {
            return None;
        }
        let mut sums = Likelihood { value: 0.0, score: vec![0.0; size], information: vec![0.0; size * size] };
        let log_rate = rate.ln();
        let mut slopes = vec![0.0; size];
        for (row, y) in self.log_times.iter().enumerate() {
            let x = &self.columns[row * self.width..(row + 1) * self.width];
            let (count, event) = (self.data.counts[row], f64::from(u8::from(self.data.is_event[row])));
            let z = rate * y - x.iter().zip(coefficients).map(|(x, coefficient)| x * coefficient).sum::<f64>();
            let hazard = z.exp();
            sums.value += count * (event * (log_rate + z) - hazard);
            // the derivatives of z
            slopes.iter_mut().zip(x).for_each(|(slope, x)| *slope = -x);
            slopes[self.width] = *y;
            let first = count * (event - hazard);
            let second = count * hazard;
            for index in 0..size {
                sums.score[index] += first * slopes[index];
                for other in 0..=index {
                    sums.information[index * size + other] += second * slopes[index] * slopes[other];
                }
            }
            sums.score[self.width] += count * event / rate;
            sums.information[size * size - 1] += count * event / (rate * rate);
        }
        for row in 0..size {
            for column in row + 1..size {
                sums.information[row * size + column] = sums.information[column * size + row];
            }
        }
        sums.value.is_finite().then_some(sums)
    }

    /// Minus the second derivatives in the coefficients and log(scale).
    fn information(&self, coefficients: &[f64], log_scale: f64) -> Vec<f64> {
        let size = self.width + 1;
        let inverse = (-log_scale).exp();
        let mut information = vec![0.0; size * size];
        for (row, y) in self.log_times.iter().enumerate() {
            let x = &self.columns[row * self.width..(row + 1) * self.width];
            let (count, event) = (self.data.counts[row], f64::from(u8::from(self.data.is_event[row])));
            let z = inverse * (y - x.iter().zip(coefficients).map(|(x, coefficient)| x * coefficient).sum::<f64>());
            let hazard = z.exp();
            for index in 0..self.width {
                for (other, x_other) in x.iter().enumerate() {
                    information[index * size + other] += count * hazard * inverse * inverse * x[index] * x_other;
                }
                let mixed = count * inverse * x[index] * (z * hazard + hazard - event);
                information[index * size + self.width] += mixed;
                information[self.width * size + index] += mixed;
            }
            information[size * size - 1] += count * (z * z * hazard + z * hazard - event * z);
        }
        information
    }
}

/// Fits the model.
///
/// # Errors
/// The reason why there is no fit.
pub(crate) fn fit(data: &WeibullData) -> Result<WeibullFit, &'static str> {
    const NOT_FINITE: &str = "the features or durations are too large to compute with";
    let n: f64 = data.counts.iter().sum();
    let events: f64 =
        data.counts.iter().zip(&data.is_event).map(|(count, is_event)| count * f64::from(u8::from(*is_event))).sum();
    let mean = |values: &mut dyn Iterator<Item = f64>| -> f64 {
        values.zip(&data.counts).map(|(value, count)| value * count).sum::<f64>() / n
    };
    let deviation = |values: &mut dyn Iterator<Item = f64>, mean: f64| -> f64 {
        let square: f64 =
            values.zip(&data.counts).map(|(value, count)| (value - mean) * (value - mean) * (count / n)).sum();
        let deviation = square.sqrt();
        // what is left of a constant is rounding
        if deviation > 1e-12 * mean.abs() { deviation } else { 0.0 }
    };
    let log_times: Vec<f64> = data.times.iter().map(|time| time.ln()).collect();
    let log_mean = mean(&mut log_times.iter().copied());
    let spread = deviation(&mut log_times.iter().copied(), log_mean);
    if spread == 0.0 {
        return Err("all durations are equal");
    }
    let feature = |index: usize| data.features.iter().skip(index).step_by(data.width.max(1)).copied();
    let means: Vec<f64> = (0..data.width).map(|index| mean(&mut feature(index))).collect();
    let deviations: Vec<f64> = (0..data.width).map(|index| deviation(&mut feature(index), means[index])).collect();
    if means.iter().chain(&deviations).any(|value| !value.is_finite()) {
        return Err(NOT_FINITE);
    }
    let width = data.width + 1;
    let mut columns = Vec::with_capacity(data.times.len() * width);
    for row in 0..data.times.len() {
        columns.push(1.0);
        let values = data.features[row * data.width..(row + 1) * data.width].iter();
        columns.extend(
            values.zip(&means).zip(&deviations).map(
                |((value, mean), deviation)| {
                    if *deviation > 0.0 { (value - mean) / deviation } else { 0.0 }
                },
            ),
        );
    }
    let scaled_times = log_times.iter().map(|log| (log - log_mean) / spread).collect();
    let standard = Standard { data, log_times: scaled_times, columns, width };
    let size = width + 1;
    // exponential with the mean hazard: z = y - c with sum(exp(z)) = events
    let mut parameters = vec![0.0; size];
    parameters[width] = 1.0;
    let hazard: f64 = standard.log_times.iter().zip(&data.counts).map(|(y, count)| count * y.exp()).sum();
    parameters[0] = (hazard / events).ln();
    let mut current = standard.likelihood(&parameters).ok_or(NOT_FINITE)?;
    let left_out = Cholesky::of(&current.information, size, COLLINEAR).left_out().to_vec();
    let without = |information: &[f64]| {
        let mut information = information.to_vec();
        for column in (0..width).filter(|column| left_out[*column]) {
            for index in 0..size {
                information[index * size + column] = 0.0;
                information[column * size + index] = 0.0;
            }
        }
        Cholesky::of(&information, size, 1e-14)
    };
    let mut is_converged = false;
    for _ in 0..MAX_STEPS {
        let step = without(&current.information).solve(&current.score);
        let gain: f64 = step.iter().zip(&current.score).map(|(step, score)| step * score).sum();
        if !gain.is_finite() {
            break;
        }
        let is_last = gain.abs() <= 1e-10;
        let (mut length, mut is_taken) = (1.0, false);
        for _ in 0..40 {
            let next: Vec<f64> = parameters.iter().zip(&step).map(|(now, step)| now + length * step).collect();
            let at_next = standard.likelihood(&next);
            if let Some(at_next) =
                at_next.filter(|at_next| at_next.value >= current.value - 1e-12 * current.value.abs())
            {
                (parameters, current, is_taken) = (next, at_next, true);
                break;
            }
            length /= 2.0;
        }
        if is_last {
            is_converged = true;
            break;
        }
        if !is_taken {
            break;
        }
    }
    let rate = parameters[width];
    if rate > 1e6 {
        return Err("all events come at one time: the scale has no estimate above 0");
    }
    let log_scale = -rate.ln();
    let coefficients: Vec<f64> = parameters[..width].iter().map(|parameter| parameter / rate).collect();
    let factor = without(&current.information);
    let step = factor.solve(&current.score);
    let range = |column: usize| {
        let values = standard.columns.iter().skip(column).step_by(width);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
        high - low
    };
    let runaway: Vec<usize> = (1..width)
        .filter(|column| !left_out[*column])
        .filter(|column| step[*column].abs() * range(*column) > RUNAWAY || factor.left_out()[*column])
        .collect();
    let inverse = without(&standard.information(&coefficients, log_scale)).inverse();
    // back to the units of the features and of log T: intercept = spread * (c0 - sum of c mean / deviation) + mean
    let scale =
        |column: usize| deviations.get(column.wrapping_sub(1)).copied().filter(|scale| *scale > 0.0).unwrap_or(1.0);
    let mut back = vec![0.0; size * size];
    back[0] = spread;
    back[size * size - 1] = 1.0;
    for column in 1..width {
        back[column * size + column] = spread / scale(column);
        back[column] = -spread * means[column - 1] / scale(column);
    }
    let times = |matrix: &[f64], vector: &[f64]| -> Vec<f64> {
        matrix.chunks_exact(size).map(|row| row.iter().zip(vector).map(|(one, other)| one * other).sum()).collect()
    };
    let mut extended = coefficients;
    extended.push(log_scale);
    let mut estimates = times(&back, &extended);
    estimates[0] += log_mean;
    let half: Vec<Vec<f64>> = (0..size).map(|row| times(&back, &inverse[row * size..(row + 1) * size])).collect();
    let mut covariance = vec![0.0; size * size];
    for column in 0..size {
        let own: Vec<f64> = half.iter().map(|row| row[column]).collect();
        for (row, value) in times(&back, &own).into_iter().enumerate() {
            covariance[row * size + column] = value;
        }
    }
    // the density of T is that of the scaled logarithm over t * spread
    let jacobian: f64 = (0..data.times.len())
        .filter(|row| data.is_event[*row])
        .map(|row| data.counts[row] * (log_times[row] + spread.ln()))
        .sum();
    let finite =
        estimates[..width].iter().zip(&left_out).map(|(estimate, is_left_out)| (!is_left_out).then_some(*estimate));
    Ok(WeibullFit {
        estimates: finite.collect(),
        log_scale: log_scale + spread.ln(),
        covariance,
        log_likelihood: current.value - jacobian,
        is_converged: is_converged && runaway.is_empty(),
        runaway,
    })
}

#[cfg(test)]
mod tests;
