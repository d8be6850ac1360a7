//! A test of proportional hazards: whether an effect changes with time.
//!
//! The score test of adding the product of each feature with a function of time to the model, at the fitted estimates.
//! Source: P. M. Grambsch and T. M. Therneau, Biometrika 81 (1994) 515-526, in the exact form of T. M. Therneau's survival 3.0.

use super::cox::{CoxData, CoxFit, Ties, each_event_time, mirror, scaled_features};
use super::curve::{Band, kaplan_meier, life_table};
use super::logrank::Test;
use crate::numerics::cholesky::Cholesky;

/// The function of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transform {
    /// 1 less the Kaplan-Meier estimate before the time.
    KaplanMeier,
    /// The rank of the time among the times of events.
    Rank,
    /// The time.
    Identity,
    /// The logarithm of the time.
    Log,
}

/// The tests of each feature (`None` for one without an estimate) and of all together.
pub(crate) fn test(
    data: &CoxData,
    fit: &CoxFit,
    ties: Ties,
    transform: Transform,
) -> (Vec<Option<Test>>, Option<Test>) {
    let width = data.width;
    let nothing = (vec![None; width], None);
    let Some(curve) = TimeFunction::of(data, transform) else { return nothing };
    let deviations: Vec<f64> = deviations(data, &fit.means);
    let scaled = scaled_features(data, &fit.means, &deviations);
    let estimates = fit.estimates.iter().zip(&deviations);
    let estimates: Vec<f64> = estimates.map(|(estimate, deviation)| estimate.unwrap_or(0.0) * deviation).collect();
    // the parts of the information of (estimates, products with time)
    let (mut score, mut plain, mut crossed, mut timed) =
        (vec![0.0; width], vec![0.0; width * width], vec![0.0; width * width], vec![0.0; width * width]);
    let done = each_event_time(data, &scaled, &estimates, ties, |event| {
        let g = curve.at(event.time);
        for (index, score) in score.iter_mut().enumerate() {
            *score += g * (event.observed[index] - event.expected[index]);
            for cell in index * width..index * width + index + 1 {
                let value = event.variance[cell];
                plain[cell] += value;
                crossed[cell] += g * value;
                timed[cell] += g * g * value;
            }
        }
    });
    if done.is_none() {
        return nothing;
    }
    for matrix in [&mut plain, &mut crossed, &mut timed] {
        mirror(matrix, width);
    }
    let known: Vec<usize> = (0..width).filter(|index| fit.estimates[*index].is_some()).collect();
    let statistic = |tested: &[usize]| -> Option<Test> {
        let size = known.len() + tested.len();
        let mut information = vec![0.0; size * size];
        let part = |index: usize| match index.checked_sub(known.len()) {
            None => (false, known[index]),
            Some(index) => (true, tested[index]),
        };
        for row in 0..size {
            for column in 0..size {
                let ((is_row_timed, a), (is_column_timed, b)) = (part(row), part(column));
                let matrix = match (is_row_timed, is_column_timed) {
                    (false, false) => &plain,
                    (true, true) => &timed,
                    _ => &crossed,
                };
                information[row * size + column] = matrix[a * width + b];
            }
        }
        let mut right = vec![0.0; known.len()];
        right.extend(tested.iter().map(|index| score[*index]));
        let factor = Cholesky::of(&information, size, 1e-9);
        let df = factor.rank().saturating_sub(known.len());
        let statistic: f64 = factor.solve(&right).iter().zip(&right).map(|(one, other)| one * other).sum();
        (df > 0 && statistic.is_finite()).then_some(Test { statistic: statistic.max(0.0), df })
    };
    let each = (0..width).map(|index| fit.estimates[index].and_then(|_| statistic(&[index])));
    (each.collect(), if known.is_empty() { None } else { statistic(&known) })
}

/// Scales that keep the numbers of the information alike.
fn deviations(data: &CoxData, means: &[f64]) -> Vec<f64> {
    let mut squares = vec![0.0; data.width];
    for row in data.features.chunks_exact(data.width.max(1)) {
        for ((square, value), mean) in squares.iter_mut().zip(row).zip(means) {
            *square += (value - mean) * (value - mean) / data.rows.len() as f64;
        }
    }
    squares.into_iter().map(|square: f64| if square > 0.0 { square.sqrt() } else { 1.0 }).collect()
}

/// A function of time at the times of events, from 0 to 1 as far as the transform allows: the test does not depend on its
/// place and scale.
struct TimeFunction {
    values: Vec<(f64, f64)>,
}

impl TimeFunction {
    fn of(data: &CoxData, transform: Transform) -> Option<Self> {
        let mut rows: Vec<(f64, bool, u64)> =
            data.rows.iter().map(|row| (row.time, row.is_event, row.count as u64)).collect();
        rows.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let steps = kaplan_meier(&life_table(rows.into_iter()), Band::Plain, 0.0);
        let (mut before, mut events) = (1.0, 0.0);
        let mut values: Vec<(f64, f64)> = vec![];
        for step in steps {
            if step.events > 0 {
                let count = step.events as f64;
                let value = match transform {
                    Transform::KaplanMeier => 1.0 - before,
                    Transform::Rank => events + (count + 1.0) / 2.0,
                    Transform::Identity => step.time,
                    Transform::Log => step.time.ln(),
                };
                values.push((step.time, value));
                events += count;
            }
            before = step.survival;
        }
        let (least, most) = (values.iter().map(|value| value.1).fold(f64::INFINITY, f64::min), values.last()?.1);
        if !(least.is_finite() && most > least) {
            return None;
        }
        values.iter_mut().for_each(|(_, value)| *value = (*value - least) / (most - least));
        Some(Self { values })
    }

    fn at(&self, time: f64) -> f64 {
        let index = self.values.partition_point(|(known, _)| *known < time);
        self.values.get(index).map_or(0.0, |(_, value)| *value)
    }
}
