//! Cox's proportional hazards regression: Newton's method on the partial likelihood, with ties after Efron or Breslow and
//! strata.
//!
//! Rows are sorted by stratum and falling time, so that the sums over those at risk grow row by row. Features are centred and
//! scaled inside, so that sums of squares keep their digits; results are in the units of the features.
//!
//! Source: D. R. Cox, Journal of the Royal Statistical Society B 34 (1972) 187-220; B. Efron, Journal of the American
//! Statistical Association 72 (1977) 557-565; N. Breslow, Biometrics 30 (1974) 89-99.

use crate::numerics::cholesky::Cholesky;

/// Most Newton steps.
const MAX_STEPS: usize = 50;

/// A feature whose variance given the others is below this share of its own is a combination of them.
const COLLINEAR: f64 = 1e-9;

/// A Newton step that gains next to nothing and yet moves the log hazard by more than this goes on for ever: the estimate is on
/// its way to infinity.
const RUNAWAY: f64 = 0.01;

/// What is done with events at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ties {
    Efron,
    Breslow,
}

/// One row: a duration, whether it ended with the event, the stratum, and how many equal rows it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: f64,
    pub(crate) is_event: bool,
    pub(crate) stratum: u32,
    pub(crate) count: f64,
}

/// The rows of a fit, sorted by stratum and falling time, with `width` features each.
#[derive(Debug, Clone, Default)]
pub(crate) struct CoxData {
    pub(crate) rows: Vec<Row>,
    /// By rows.
    pub(crate) features: Vec<f64>,
    pub(crate) width: usize,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CoxFit {
    /// Log hazard ratios; `None` for a feature that is constant or a combination of others.
    pub(crate) estimates: Vec<Option<f64>>,
    /// The covariance of the estimates, by rows.
    pub(crate) covariance: Vec<f64>,
    /// The mean of each feature.
    pub(crate) means: Vec<f64>,
    pub(crate) log_likelihood: f64,
    /// With all estimates 0.
    pub(crate) log_likelihood_null: f64,
    /// How many features have an estimate.
    pub(crate) df: usize,
    pub(crate) is_converged: bool,
    /// Features whose hazard ratio has no finite estimate.
    pub(crate) runaway: Vec<usize>,
}

impl CoxData {
    /// Puts the rows into their order.
    pub(crate) fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        let width = self.width;
        let features = |row: usize| &self.features[row * width..(row + 1) * width];
        order.sort_unstable_by(|one, other| {
            let (a, b) = (&self.rows[*one], &self.rows[*other]);
            a.stratum
                .cmp(&b.stratum)
                .then_with(|| b.time.total_cmp(&a.time))
                .then_with(|| b.is_event.cmp(&a.is_event))
                .then_with(|| {
                    let pairs = features(*one).iter().zip(features(*other));
                    pairs.map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
                })
        });
        self.features = order.iter().flat_map(|row| features(*row).iter().copied()).collect();
        self.rows = order.iter().map(|row| self.rows[*row]).collect();
    }

    pub(crate) fn row_features(&self, row: usize) -> &[f64] {
        &self.features[row * self.width..(row + 1) * self.width]
    }
}

/// Means and standard deviations of the features.
fn moments(data: &CoxData) -> (Vec<f64>, Vec<f64>) {
    let n: f64 = data.rows.iter().map(|row| row.count).sum();
    let mut means = vec![0.0; data.width];
    for (index, row) in data.rows.iter().enumerate() {
        for (mean, value) in means.iter_mut().zip(data.row_features(index)) {
            *mean += row.count * value;
        }
    }
    means.iter_mut().for_each(|mean| *mean /= n);
    let mut squares = vec![0.0; data.width];
    for (index, row) in data.rows.iter().enumerate() {
        for ((square, mean), value) in squares.iter_mut().zip(&means).zip(data.row_features(index)) {
            *square += row.count * (value - mean) * (value - mean) / n;
        }
    }
    // what is left of a constant is rounding
    let deviations = squares.iter().zip(&means).map(|(square, mean)| {
        let deviation = square.sqrt();
        if deviation > 1e-12 * mean.abs() { deviation } else { 0.0 }
    });
    (means.clone(), deviations.collect())
}

/// Sums over the rows at risk or over tied events: of w, w x and w x x'.
#[derive(Debug, Clone)]
struct Sums {
    zero: f64,
    one: Vec<f64>,
    /// The lower triangle by rows, as a full matrix.
    two: Vec<f64>,
}

impl Sums {
    fn new(width: usize) -> Self {
        Self { zero: 0.0, one: vec![0.0; width], two: vec![0.0; width * width] }
    }

    fn clear(&mut self) {
        self.zero = 0.0;
        self.one.fill(0.0);
        self.two.fill(0.0);
    }

    fn add(&mut self, weight: f64, x: &[f64]) {
        self.zero += weight;
        for (row, value) in x.iter().enumerate() {
            let weighted = weight * value;
            self.one[row] += weighted;
            let triangle = &mut self.two[row * x.len()..row * x.len() + row + 1];
            triangle.iter_mut().zip(x).for_each(|(sum, other)| *sum += weighted * other);
        }
    }
}

/// What the events of one time add, given a share of the tied events that is left out at each of them.
pub(super) struct EventTime<'a> {
    pub(super) time: f64,
    pub(super) stratum: u32,
    /// The sum of the features of the events.
    pub(super) observed: &'a [f64],
    /// The sum over the events of the mean of the features of those at risk.
    pub(super) expected: &'a [f64],
    /// The sum over the events of the covariance of the features of those at risk; only the lower triangle.
    pub(super) variance: &'a [f64],
    /// The sum over the events of one over the weights of those at risk.
    pub(super) hazard: f64,
    /// What the time adds to the log likelihood.
    pub(super) log_likelihood: f64,
}

/// Calls `each` for each time with events, per stratum in the order of falling times. `scaled` are centred and scaled features.
/// `None` when a sum is not finite.
pub(super) fn each_event_time(
    data: &CoxData,
    scaled: &[f64],
    estimates: &[f64],
    ties: Ties,
    mut each: impl FnMut(EventTime<'_>),
) -> Option<()> {
    let width = data.width;
    let (mut at_risk, mut tied) = (Sums::new(width), Sums::new(width));
    let (mut observed, mut expected, mut variance) = (vec![0.0; width], vec![0.0; width], vec![0.0; width * width]);
    let x = |row: usize| &scaled[row * width..(row + 1) * width];
    let predictor = |row: usize| x(row).iter().zip(estimates).map(|(x, estimate)| x * estimate).sum::<f64>();
    let mut start = 0;
    for stratum in data.rows.chunk_by(|one, other| one.stratum == other.stratum) {
        at_risk.clear();
        let predictors: Vec<f64> = (start..start + stratum.len()).map(predictor).collect();
        // the weights of a stratum may be scaled by any number: none overflows
        let largest = predictors.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !largest.is_finite() {
            return None;
        }
        let mut row = 0;
        for same_time in stratum.chunk_by(|one, other| one.time == other.time) {
            tied.clear();
            observed.fill(0.0);
            let (mut count, mut sum_of_predictors) = (0.0, 0.0);
            for member in same_time {
                let (x, predictor) = (x(start + row), predictors[row] - largest);
                let weight = member.count * predictor.exp();
                at_risk.add(weight, x);
                if member.is_event {
                    tied.add(weight, x);
                    count += member.count;
                    sum_of_predictors += member.count * predictor;
                    observed.iter_mut().zip(x).for_each(|(sum, x)| *sum += member.count * x);
                }
                row += 1;
            }
            if count == 0.0 {
                continue;
            }
            // Sums over the events l of 1 / w_l, f_l / w_l and their squares, with f_l = l / count and w_l the weight of
            // those at risk less f_l of the tied events.
            let (mut by_weight, mut by_share, mut squares, mut log_weight) = (0.0, 0.0, [0.0; 3], 0.0);
            match ties {
                Ties::Efron => {
                    for event in 0..count as u64 {
                        let share = event as f64 / count;
                        let weight = at_risk.zero - share * tied.zero;
                        let inverse = 1.0 / weight;
                        by_weight += inverse;
                        by_share += share * inverse;
                        squares[0] += inverse * inverse;
                        squares[1] += share * inverse * inverse;
                        squares[2] += share * share * inverse * inverse;
                        log_weight += weight.ln();
                    }
                }
                Ties::Breslow => {
                    by_weight = count / at_risk.zero;
                    squares[0] = count / (at_risk.zero * at_risk.zero);
                    log_weight = count * at_risk.zero.ln();
                }
            }
            for (index, (all, own)) in at_risk.one.iter().zip(&tied.one).enumerate() {
                expected[index] = by_weight * all - by_share * own;
                for other in 0..=index {
                    let cell = index * width + other;
                    let (other_all, other_own) = (at_risk.one[other], tied.one[other]);
                    variance[cell] =
                        by_weight * at_risk.two[cell] - by_share * tied.two[cell] - squares[0] * all * other_all
                            + squares[1] * (all * other_own + own * other_all)
                            - squares[2] * own * other_own;
                }
            }
            let log_likelihood = sum_of_predictors - log_weight;
            if !(log_likelihood.is_finite() && by_weight.is_finite()) {
                return None;
            }
            each(EventTime {
                time: same_time.first().map_or(f64::NAN, |row| row.time),
                stratum: same_time.first().map_or(0, |row| row.stratum),
                observed: &observed,
                expected: &expected,
                variance: &variance,
                hazard: by_weight * (-largest).exp(),
                log_likelihood,
            });
        }
        start += stratum.len();
    }
    Some(())
}

/// The log likelihood, its gradient and minus its second derivatives.
struct Likelihood {
    value: f64,
    score: Vec<f64>,
    information: Vec<f64>,
}

fn likelihood(data: &CoxData, scaled: &[f64], estimates: &[f64], ties: Ties) -> Option<Likelihood> {
    let width = data.width;
    let mut sums = Likelihood { value: 0.0, score: vec![0.0; width], information: vec![0.0; width * width] };
    each_event_time(data, scaled, estimates, ties, |time| {
        sums.value += time.log_likelihood;
        for ((score, observed), expected) in sums.score.iter_mut().zip(time.observed).zip(time.expected) {
            *score += observed - expected;
        }
        sums.information.iter_mut().zip(time.variance).for_each(|(sum, value)| *sum += value);
    })?;
    mirror(&mut sums.information, width);
    Some(sums)
}

/// Copies the lower triangle to the upper one.
pub(super) fn mirror(matrix: &mut [f64], size: usize) {
    for row in 0..size {
        for column in row + 1..size {
            matrix[row * size + column] = matrix[column * size + row];
        }
    }
}

/// The features, centred and scaled; 0 for one that is constant.
pub(super) fn scaled_features(data: &CoxData, means: &[f64], deviations: &[f64]) -> Vec<f64> {
    let mut scaled = Vec::with_capacity(data.features.len());
    for row in data.features.chunks_exact(data.width.max(1)) {
        let parts = row.iter().zip(means).zip(deviations);
        scaled.extend(parts.map(
            |((value, mean), deviation)| {
                if *deviation > 0.0 { (value - mean) / deviation } else { 0.0 }
            },
        ));
    }
    scaled
}

/// The largest less the smallest value of each column.
fn ranges(columns: &[f64], width: usize) -> Vec<f64> {
    let mut bounds = vec![(f64::INFINITY, f64::NEG_INFINITY); width];
    for row in columns.chunks_exact(width.max(1)) {
        bounds.iter_mut().zip(row).for_each(|((low, high), value)| (*low, *high) = (low.min(*value), high.max(*value)));
    }
    bounds.into_iter().map(|(low, high)| (high - low).max(0.0)).collect()
}

/// Fits the model to sorted data.
///
/// # Errors
/// The reason why there is no fit.
pub(crate) fn fit(data: &CoxData, ties: Ties) -> Result<CoxFit, &'static str> {
    const NOT_FINITE: &str = "the features are too large to compute with";
    let width = data.width;
    let (means, deviations) = moments(data);
    if means.iter().chain(&deviations).any(|value| !value.is_finite()) {
        return Err(NOT_FINITE);
    }
    let scaled = scaled_features(data, &means, &deviations);
    let mut estimates = vec![0.0; width];
    let mut current = likelihood(data, &scaled, &estimates, ties).ok_or(NOT_FINITE)?;
    let log_likelihood_null = current.value;
    // what depends on others does so at any estimates; later on information vanishes for other reasons
    let left_out = Cholesky::of(&current.information, width, COLLINEAR).left_out().to_vec();
    let without = |information: &[f64]| {
        let mut information = information.to_vec();
        for column in (0..width).filter(|column| left_out[*column]) {
            for index in 0..width {
                information[index * width + column] = 0.0;
                information[column * width + index] = 0.0;
            }
        }
        Cholesky::of(&information, width, 1e-14)
    };
    let mut is_converged = false;
    for _ in 0..MAX_STEPS {
        let step = without(&current.information).solve(&current.score);
        let gain: f64 = step.iter().zip(&current.score).map(|(step, score)| step * score).sum();
        if !gain.is_finite() {
            break;
        }
        // half the gain is what the step adds to the log likelihood
        let is_last = gain.abs() <= 1e-10 * (1.0 + current.value.abs() * 1e-3).min(10.0);
        let mut length = 1.0;
        let mut is_taken = false;
        for _ in 0..30 {
            let next: Vec<f64> = estimates.iter().zip(&step).map(|(estimate, step)| estimate + length * step).collect();
            let at_next = likelihood(data, &scaled, &next, ties);
            if let Some(at_next) =
                at_next.filter(|at_next| at_next.value >= current.value - 1e-12 * current.value.abs())
            {
                (estimates, current, is_taken) = (next, at_next, true);
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
    let factor = without(&current.information);
    let unscaled = factor.inverse();
    let scale = |index: usize| if deviations[index] > 0.0 { deviations[index] } else { 1.0 };
    let covariance =
        (0..width * width).map(|cell| unscaled[cell] / scale(cell / width) / scale(cell % width)).collect();
    let ranges = ranges(&scaled, width);
    let step = factor.solve(&current.score);
    let runaway: Vec<usize> = (0..width)
        .filter(|index| !left_out[*index])
        .filter(|index| step[*index].abs() * ranges[*index] > RUNAWAY || factor.left_out()[*index])
        .collect();
    let finite =
        estimates.iter().enumerate().map(|(index, estimate)| (!left_out[index]).then(|| estimate / scale(index)));
    Ok(CoxFit {
        estimates: finite.collect(),
        covariance,
        means,
        log_likelihood: current.value,
        log_likelihood_null,
        df: left_out.iter().filter(|is_left_out| !**is_left_out).count(),
        is_converged: is_converged && runaway.is_empty(),
        runaway,
    })
}

/// The cumulative hazard of a row whose features are the means: `(stratum, time, hazard)` by stratum and rising time.
pub(crate) fn baseline(data: &CoxData, fit: &CoxFit, ties: Ties) -> Vec<(u32, f64, f64)> {
    let estimates: Vec<f64> = fit.estimates.iter().map(|estimate| estimate.unwrap_or(0.0)).collect();
    let centred = scaled_features(data, &fit.means, &vec![1.0; data.width]);
    let mut steps = vec![];
    // a sum that is not finite ends the baseline
    let _ =
        each_event_time(data, &centred, &estimates, ties, |time| steps.push((time.stratum, time.time, time.hazard)));
    steps.reverse();
    steps.sort_by_key(|(stratum, ..)| *stratum);
    let mut cumulative = (u32::MAX, 0.0);
    for (stratum, _, hazard) in &mut steps {
        let before = if cumulative.0 == *stratum { cumulative.1 } else { 0.0 };
        *hazard += before;
        cumulative = (*stratum, *hazard);
    }
    steps
}

#[cfg(test)]
mod tests;
