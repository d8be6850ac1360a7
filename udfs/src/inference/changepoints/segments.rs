//! Segmentation of a series: costs of segments, and two searches for the segments of the least cost.
//!
//! A cost is twice the negative logarithm of the likelihood, up to a constant, so that a penalty is on the scale of the BIC. It is
//! computed of prefix sums in constant time. A change may lie only where a segment may begin: not between values of one time.
//!
//! ```text
//!  x        5 6 5 6 | 9 8 9 | 2 3 2 3
//!  change           4       7            values before it
//! ```

use super::super::cells::TOO_LARGE;

/// Values beyond this have squares that are no Float64.
const GREATEST: f64 = 1e150;

/// The part of the variance within segments that is added to that of a segment: a few equal values are no segment of their own.
const ADDED_VARIANCE: f64 = 0.01;

/// Median absolute deviation of normal values times this is their standard deviation.
const DEVIATION_OF_MEDIAN: f64 = 1.482_602_218_505_602;

pub(super) const TOO_MANY: &str = "too many values; aggregate them to hours, days or weeks before";
pub(super) const TOO_MANY_FOR_PELT: &str =
    "too many values for PELT; aggregate them to hours, days or weeks before, or use method => 'binary_segmentation'";
pub(super) const NOT_COUNTS: &str = "a value is no count (an integer >= 0), which the Poisson model needs";

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    /// The mean of normal values with one variance.
    Mean,
    /// Mean and variance of normal values.
    MeanVariance,
    /// The mean of counts.
    Poisson,
}

/// How the segments of the least cost are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    Pelt,
    BinarySegmentation,
}

/// The penalty that is usual for a model: the first term of the modified BIC of N. R. Zhang and D. O. Siegmund (2007),
/// (p + 2) ln n for p parameters of a segment.
pub(super) fn usual_penalty(model: Model, n: usize) -> f64 {
    let parameters = match model {
        Model::Mean | Model::Poisson => 1.0,
        Model::MeanVariance => 2.0,
    };
    (parameters + 2.0) * (n as f64).ln()
}

/// The costs of all segments of a series.
#[derive(Debug)]
pub(super) struct Costs {
    model: Model,
    /// Sums of the values before each position, less their mean where the model is normal.
    sums: Vec<f64>,
    /// Sums of their squares, where the variance changes.
    squares: Vec<f64>,
    /// What makes the cost twice a log-likelihood: the inverse of the variance within segments.
    weight: f64,
    /// What is added to each variance.
    ridge: f64,
}

impl Costs {
    /// The costs for the values of a series in the order of time.
    ///
    /// # Errors
    /// The reason why the model does not fit the values.
    pub(super) fn new(model: Model, x: &[f64]) -> Result<Self, &'static str> {
        if x.iter().any(|x| x.abs() > GREATEST) {
            return Err(TOO_LARGE);
        }
        if model == Model::Poisson && x.iter().any(|x| *x < 0.0 || x.fract() != 0.0) {
            return Err(NOT_COUNTS);
        }
        let n = x.len() as f64;
        let center = if model == Model::Poisson { 0.0 } else { x.iter().sum::<f64>() / n };
        let sums = prefix_sums(x.iter().map(|x| x - center));
        let mut costs = Self { model, sums, squares: vec![], weight: 1.0, ridge: 0.0 };
        match model {
            Model::Mean => {
                let deviation = deviation_within(x);
                costs.weight = if deviation > 0.0 { 1.0 / (deviation * deviation) } else { 0.0 };
            }
            Model::MeanVariance => {
                costs.squares = prefix_sums(x.iter().map(|x| (x - center) * (x - center)));
                let deviation = deviation_within(x);
                // any number does where all values are equal
                costs.ridge = if deviation > 0.0 { ADDED_VARIANCE * deviation * deviation } else { 1.0 };
            }
            Model::Poisson => {}
        }
        Ok(costs)
    }

    /// The number of values.
    fn len(&self) -> usize {
        self.sums.len().saturating_sub(1)
    }

    /// The cost of the values `from..until`, of which there is at least one.
    #[inline]
    fn cost(&self, from: usize, until: usize) -> f64 {
        let n = (until - from) as f64;
        let sum = between(&self.sums, from, until);
        match self.model {
            // The sum of all squares, which does not depend on the segments, is left out.
            Model::Mean => -sum * (sum / n) * self.weight,
            Model::MeanVariance => n * self.variance(from, until).ln(),
            Model::Poisson if sum > 0.0 => -2.0 * sum * (sum / n).ln(),
            Model::Poisson => 0.0,
        }
    }

    fn variance(&self, from: usize, until: usize) -> f64 {
        let n = (until - from) as f64;
        let sum = between(&self.sums, from, until);
        ((between(&self.squares, from, until) - sum * (sum / n)) / n).max(0.0) + self.ridge
    }

    /// By how much one change at `middle` lowers the cost of `from..until`.
    pub(super) fn gain(&self, from: usize, middle: usize, until: usize) -> f64 {
        self.cost(from, until) - self.cost(from, middle) - self.cost(middle, until)
    }
}

#[inline]
fn between(sums: &[f64], from: usize, until: usize) -> f64 {
    match (sums.get(from), sums.get(until)) {
        (Some(before), Some(after)) => after - before,
        _ => 0.0,
    }
}

fn prefix_sums(values: impl ExactSizeIterator<Item = f64>) -> Vec<f64> {
    let mut sums = Vec::with_capacity(values.len() + 1);
    let mut sum = 0.0;
    sums.push(sum);
    sums.extend(values.map(|value| {
        sum += value;
        sum
    }));
    sums
}

/// The standard deviation within segments, of which neither their number nor their means are known: from the differences of
/// neighbours, few of which lie across a change. By the median of their absolute values; by the mean of their squares (J. von
/// Neumann 1941) where more than half of them are 0.
fn deviation_within(x: &[f64]) -> f64 {
    let neighbours = x.iter().zip(x.iter().skip(1));
    let mut differences: Vec<f64> = neighbours.map(|(one, other)| (other - one).abs()).collect();
    if differences.is_empty() {
        return 0.0;
    }
    let middle = differences.len() / 2;
    let (_, median, _) = differences.select_nth_unstable_by(middle, f64::total_cmp);
    let of_differences = if *median > 0.0 {
        DEVIATION_OF_MEDIAN * *median
    } else {
        let count = differences.len() as f64;
        (differences.iter().map(|difference| difference * difference).sum::<f64>() / count).sqrt()
    };
    of_differences / std::f64::consts::SQRT_2
}

/// A place where the last segment may begin.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    start: usize,
    /// From here on it is not the best of any segmentation.
    pruned_from: usize,
    /// The cost of the best segmentation up to it and of one segment from it on.
    total: f64,
}

impl Candidate {
    fn new(start: usize) -> Self {
        Self { start, pruned_from: usize::MAX, total: f64::INFINITY }
    }
}

/// The changes, as the numbers of values before them, in ascending order.
///
/// `may_begin(i)` says whether a segment may begin with value i; segments have at least `min_size` values.
///
/// # Errors
/// [`TOO_MANY_FOR_PELT`] or [`TOO_MANY`] after `most_evaluations` of the cost.
pub(super) fn search(
    search: Search,
    costs: &Costs,
    may_begin: impl Fn(usize) -> bool,
    penalty: f64,
    min_size: usize,
    most_evaluations: usize,
) -> Result<Vec<usize>, &'static str> {
    match search {
        Search::Pelt => pelt(costs, may_begin, penalty, min_size, most_evaluations),
        Search::BinarySegmentation => binary_segmentation(costs, may_begin, penalty, min_size, most_evaluations),
    }
}

/// The segmentation with the least sum of costs and penalties: R. Killick, P. Fearnhead and I. A. Eckley (2012). A candidate
/// whose cost exceeds that of the best segmentation up to t is pruned: a change at t is better for all ends that leave room
/// for a segment after t.
fn pelt(
    costs: &Costs,
    may_begin: impl Fn(usize) -> bool,
    penalty: f64,
    min_size: usize,
    most_evaluations: usize,
) -> Result<Vec<usize>, &'static str> {
    let n = costs.len();
    // of the first t values
    let mut best = vec![f64::INFINITY; n + 1];
    let mut last_start = vec![0; n + 1];
    if let Some(first) = best.first_mut() {
        *first = -penalty;
    }
    let mut candidates = vec![Candidate::new(0)];
    let (mut newest, mut evaluations) = (0, 0_usize);
    for until in min_size..=n {
        while newest + 1 + min_size <= until {
            newest += 1;
            if best.get(newest).is_some_and(|best| best.is_finite()) {
                candidates.push(Candidate::new(newest));
            }
        }
        if until < n && !may_begin(until) {
            continue;
        }
        candidates.retain(|candidate| candidate.pruned_from > until);
        evaluations += candidates.len();
        if evaluations > most_evaluations {
            return Err(TOO_MANY_FOR_PELT);
        }
        let (mut least, mut start_of_least) = (f64::INFINITY, 0);
        for candidate in &mut candidates {
            let start = candidate.start;
            candidate.total = best.get(start).copied().unwrap_or(f64::INFINITY) + costs.cost(start, until);
            if candidate.total < least {
                (least, start_of_least) = (candidate.total, start);
            }
        }
        let least = least + penalty;
        for candidate in candidates.iter_mut().filter(|candidate| candidate.pruned_from == usize::MAX) {
            if candidate.total > least {
                candidate.pruned_from = until + min_size;
            }
        }
        if let (Some(best), Some(start)) = (best.get_mut(until), last_start.get_mut(until)) {
            (*best, *start) = (least, start_of_least);
        }
    }
    let mut changes = vec![];
    let mut until = n;
    while let Some(start) = last_start.get(until).copied().filter(|start| *start > 0) {
        changes.push(start);
        until = start;
    }
    changes.reverse();
    Ok(changes)
}

/// One change after the other, each where it lowers the cost of its segment most: A. J. Scott and M. Knott (1974).
fn binary_segmentation(
    costs: &Costs,
    may_begin: impl Fn(usize) -> bool,
    penalty: f64,
    min_size: usize,
    most_evaluations: usize,
) -> Result<Vec<usize>, &'static str> {
    let (mut changes, mut segments, mut evaluations) = (vec![], vec![(0, costs.len())], 0_usize);
    while let Some((from, until)) = segments.pop() {
        evaluations = evaluations.saturating_add(until - from);
        if evaluations > most_evaluations {
            return Err(TOO_MANY);
        }
        let (mut greatest, mut change) = (penalty, None);
        let middles = from + min_size..(until + 1).saturating_sub(min_size);
        for middle in middles.filter(|middle| may_begin(*middle)) {
            let gain = costs.gain(from, middle, until);
            if gain > greatest {
                (greatest, change) = (gain, Some(middle));
            }
        }
        if let Some(middle) = change {
            changes.push(middle);
            segments.extend([(from, middle), (middle, until)]);
        }
    }
    changes.sort_unstable();
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(how: Search, model: Model, x: &[f64], penalty: f64, min_size: usize) -> Vec<usize> {
        search(how, &Costs::new(model, x).unwrap(), |_| true, penalty, min_size, 1_000_000).unwrap()
    }

    /// The best of all segmentations, one by one.
    fn best_of_all(costs: &Costs, penalty: f64, min_size: usize, may_begin: impl Fn(usize) -> bool) -> f64 {
        let n = costs.len();
        let mut best = f64::INFINITY;
        for mask in 0_u32..1 << (n - 1) {
            let mut bounds: Vec<usize> = (1..n).filter(|at| mask >> (at - 1) & 1 == 1).collect();
            if !bounds.iter().all(|at| may_begin(*at)) {
                continue;
            }
            bounds.insert(0, 0);
            bounds.push(n);
            if bounds.windows(2).all(|pair| pair[1] - pair[0] >= min_size) {
                let total: f64 = bounds.windows(2).map(|pair| costs.cost(pair[0], pair[1]) + penalty).sum();
                best = best.min(total - penalty);
            }
        }
        best
    }

    #[test]
    fn pelt_finds_the_least_cost_of_all_segmentations() {
        let mut state = 7_u64;
        let mut below = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        for round in 0..300 {
            let n = 4 + below(8) as usize;
            let x: Vec<f64> = (0..n).map(|_| below(if round % 2 == 0 { 4 } else { 100 }) as f64).collect();
            let blocked = below(n as u64 + 3) as usize;
            let may_begin = |at: usize| at != blocked;
            for model in [Model::Mean, Model::MeanVariance, Model::Poisson] {
                let min_size = 1 + below(3) as usize;
                let penalty = below(60) as f64 / 10.0;
                let costs = Costs::new(model, &x).unwrap();
                let changes = pelt(&costs, may_begin, penalty, min_size, 1_000_000).unwrap();
                let mut bounds = changes.clone();
                bounds.insert(0, 0);
                bounds.push(n);
                let total: f64 = bounds.windows(2).map(|pair| costs.cost(pair[0], pair[1]) + penalty).sum();
                let best = best_of_all(&costs, penalty, min_size, may_begin);
                assert!((total - penalty - best).abs() < 1e-9, "{model:?} {x:?} {changes:?} {penalty} {min_size}");
                assert!(changes.iter().all(|change| may_begin(*change)), "{changes:?}, blocked {blocked}");
                assert!(bounds.windows(2).all(|pair| pair[1] - pair[0] >= min_size), "{changes:?}, {min_size}");
            }
        }
    }

    #[test]
    fn both_searches_find_clear_changes() {
        let x = [5.0, 6.0, 5.0, 6.0, 9.0, 8.0, 9.0, 8.0, 2.0, 3.0, 2.0, 3.0];
        for how in [Search::Pelt, Search::BinarySegmentation] {
            assert_eq!(changes(how, Model::Mean, &x, 3.0 * 12_f64.ln(), 2), [4, 8], "{how:?}");
            assert_eq!(changes(how, Model::Mean, &[3.0; 20], 1.0, 1), [0_usize; 0], "{how:?}");
        }
    }

    #[test]
    fn a_search_ends_after_the_work_that_it_may_do() {
        // without a change nothing is pruned: 1 + 2 + .. + 99 evaluations
        let x: Vec<f64> = (0..100).map(|row| f64::from(row % 2)).collect();
        let costs = Costs::new(Model::Mean, &x).unwrap();
        let result = |how, most| search(how, &costs, |_| true, 1e6, 1, most);
        assert_eq!(result(Search::Pelt, 5_050), Ok(vec![]));
        assert_eq!(result(Search::Pelt, 4_000), Err(TOO_MANY_FOR_PELT));
        assert_eq!(result(Search::BinarySegmentation, 100), Ok(vec![]));
        assert_eq!(result(Search::BinarySegmentation, 99), Err(TOO_MANY));
    }

    #[test]
    fn a_change_of_the_variance_alone_is_found() {
        let mut x: Vec<f64> = (0..40).map(|row| if row % 2 == 0 { 1.0 } else { -1.0 }).collect();
        x.extend((0..40).map(|row| if row % 2 == 0 { 9.0 } else { -9.0 }));
        let penalty = usual_penalty(Model::MeanVariance, 80);
        assert_eq!(changes(Search::Pelt, Model::MeanVariance, &x, penalty, 2), [40]);
        assert_eq!(changes(Search::Pelt, Model::Mean, &x, usual_penalty(Model::Mean, 80), 20), [0_usize; 0]);
    }

    #[test]
    fn counts_of_0_are_counts() {
        let x = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 9.0, 8.0, 8.0];
        assert_eq!(changes(Search::Pelt, Model::Poisson, &x, usual_penalty(Model::Poisson, 10), 1), [6]);
        assert_eq!(Costs::new(Model::Poisson, &[1.5]).err(), Some(NOT_COUNTS));
        assert_eq!(Costs::new(Model::Poisson, &[-1.0]).err(), Some(NOT_COUNTS));
    }

    #[test]
    fn the_deviation_within_segments_does_not_feel_the_changes() {
        // differences 1 in both halves, 1000 across the change: 1.4826 / sqrt(2)
        let x = [1.0, 2.0, 1.0, 2.0, 1002.0, 1001.0, 1002.0];
        assert!((deviation_within(&x) - 1.048_358).abs() < 1e-6, "{}", deviation_within(&x));
        // more than half of the differences are 0: sqrt(16 / 5) / sqrt(2)
        assert!((deviation_within(&[1.0, 1.0, 1.0, 5.0, 5.0, 5.0]) - 1.6_f64.sqrt()).abs() < 1e-12);
        assert_eq!(deviation_within(&[]), 0.0);
        assert_eq!(deviation_within(&[4.0]), 0.0);
    }
}
