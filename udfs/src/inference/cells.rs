//! What is kept of the rows: counts, moments, or all values.

use super::statistic::{Cell, Entry};

/// Flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    pub(crate) hits: i64,
    pub(crate) n: i64,
}

impl Hits {
    /// The share of true.
    pub(crate) fn ratio(self) -> f64 {
        self.hits as f64 / self.n as f64
    }
}

impl Cell for Hits {
    type Row = bool;

    const CAN_REMOVE: bool = true;

    fn add(&mut self, is_hit: bool) {
        self.hits += i64::from(is_hit);
        self.n += 1;
    }

    fn remove(&mut self, is_hit: bool) {
        self.hits -= i64::from(is_hit);
        self.n -= 1;
    }

    fn merge(&mut self, other: Self) {
        self.hits += other.hits;
        self.n += other.n;
    }

    fn is_empty(&self) -> bool {
        self.n == 0
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.hits as f64, self.n as f64]);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let [hits, n] = numbers else { return None };
        Some(Self { hits: *hits as i64, n: *n as i64 })
    }
}

/// NPS answers: 1 of a promoter, 0 of a passive, -1 of a detractor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) promoters: i64,
    pub(crate) detractors: i64,
    pub(crate) n: i64,
}

impl Answers {
    /// The score in points.
    pub(crate) fn points(self) -> f64 {
        100.0 * (self.promoters - self.detractors) as f64 / self.n as f64
    }

    /// The variance of one answer, in points squared.
    pub(crate) fn variance(self) -> f64 {
        let n = self.n as f64;
        let (promoters, detractors) = (self.promoters as f64 / n, self.detractors as f64 / n);
        // p + d - (p - d)^2 as a sum of products, none of which is negative
        let passives = (self.n - self.promoters - self.detractors) as f64 / n;
        1e4 * (4.0 * promoters * detractors + passives * (promoters + detractors))
    }
}

impl Cell for Answers {
    type Row = i8;

    const CAN_REMOVE: bool = true;

    fn add(&mut self, answer: i8) {
        self.promoters += i64::from(answer > 0);
        self.detractors += i64::from(answer < 0);
        self.n += 1;
    }

    fn remove(&mut self, answer: i8) {
        self.promoters -= i64::from(answer > 0);
        self.detractors -= i64::from(answer < 0);
        self.n -= 1;
    }

    fn merge(&mut self, other: Self) {
        self.promoters += other.promoters;
        self.detractors += other.detractors;
        self.n += other.n;
    }

    fn is_empty(&self) -> bool {
        self.n == 0
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.promoters as f64, self.detractors as f64, self.n as f64]);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let [promoters, detractors, n] = numbers else { return None };
        Some(Self { promoters: *promoters as i64, detractors: *detractors as i64, n: *n as i64 })
    }
}

/// Rows, whatever they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) i64);

impl Cell for Count {
    type Row = ();

    const CAN_REMOVE: bool = true;

    fn add(&mut self, (): ()) {
        self.0 += 1;
    }

    fn remove(&mut self, (): ()) {
        self.0 -= 1;
    }

    fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.push(self.0 as f64);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let [count] = numbers else { return None };
        Some(Self(*count as i64))
    }
}

/// Number, mean and sum of squared deviations, by B. P. Welford's recurrence (1962) and the merge of T. F. Chan,
/// G. H. Golub and R. J. LeVeque (1983).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) n: i64,
    pub(crate) mean: f64,
    pub(crate) squares: f64,
}

impl Moments {
    /// The sample variance; NaN of fewer than two values.
    pub(crate) fn variance(self) -> f64 {
        if self.n < 2 { f64::NAN } else { self.squares / (self.n - 1) as f64 }
    }

    /// Whether no figure left the range of a Float64.
    pub(crate) fn is_finite(self) -> bool {
        self.mean.is_finite() && self.squares.is_finite()
    }
}

impl Cell for Moments {
    type Row = f64;

    const CAN_REMOVE: bool = false;

    fn add(&mut self, value: f64) {
        self.n += 1;
        let difference = value - self.mean;
        self.mean += difference / self.n as f64;
        self.squares += difference * (value - self.mean);
    }

    fn merge(&mut self, other: Self) {
        if self.n == 0 {
            *self = other;
            return;
        }
        let (one, two) = (self.n as f64, other.n as f64);
        let difference = other.mean - self.mean;
        self.n += other.n;
        self.mean += difference * (two / (one + two));
        self.squares += other.squares + difference * (difference * (one * (two / (one + two))));
    }

    fn is_empty(&self) -> bool {
        self.n == 0
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend([self.n as f64, self.mean, self.squares]);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let [n, mean, squares] = numbers else { return None };
        Some(Self { n: *n as i64, mean: *mean, squares: *squares })
    }
}

/// All values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Values(Vec<f64>);

impl Values {
    pub(crate) fn len(&self) -> i64 {
        self.0.len() as i64
    }

    /// The values in any order.
    pub(super) fn as_mut_slice(&mut self) -> &mut [f64] {
        &mut self.0
    }

    /// The values in ascending order.
    pub(crate) fn sorted(&mut self) -> &[f64] {
        self.0.sort_unstable_by(f64::total_cmp);
        &self.0
    }
}

impl Cell for Values {
    type Row = f64;

    const CAN_REMOVE: bool = false;

    /// A vector grows to twice its length.
    const HEAP_BYTES_PER_NUMBER: usize = 2 * size_of::<f64>();

    fn add(&mut self, value: f64) {
        // -0 and 0 are ties
        self.0.push(value + 0.0);
    }

    fn merge(&mut self, mut other: Self) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.append(&mut other.0);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend_from_slice(&self.0);
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        Some(Self(numbers.to_vec()))
    }

    fn heap_size(&self) -> usize {
        self.0.capacity() * size_of::<f64>()
    }
}

/// All values with their position in time (see [`super::axis`]).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series(Vec<(i64, f64)>);

impl Series {
    /// Bytes for each row that a result is computed in, beside the rows.
    const WORKING_BYTES: usize = 72;

    /// The rows in the order of time, and rows of one time in that of their values: the order in which they came has no part
    /// in a result.
    pub(super) fn sorted(&mut self) -> &[(i64, f64)] {
        self.0.sort_unstable_by(|(at, x), (other_at, other)| at.cmp(other_at).then(x.total_cmp(other)));
        &self.0
    }
}

impl Cell for Series {
    type Row = (i64, f64);

    const CAN_REMOVE: bool = false;

    const NUMBERS_PER_ROW: usize = 2;

    /// A vector grows to twice its length.
    const HEAP_BYTES_PER_NUMBER: usize = (2 * size_of::<(i64, f64)>() + Self::WORKING_BYTES) / Self::NUMBERS_PER_ROW;

    fn add(&mut self, (at, value): (i64, f64)) {
        // -0 and 0 are ties
        self.0.push((at, value + 0.0));
    }

    fn merge(&mut self, mut other: Self) {
        if self.0.is_empty() {
            *self = other;
        } else {
            self.0.append(&mut other.0);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A position is written bit by bit: not every i64 is an f64.
    fn write(&self, numbers: &mut Vec<f64>) {
        numbers.extend(self.0.iter().flat_map(|(at, x)| [f64::from_bits(*at as u64), *x]));
    }

    fn read(numbers: &[f64]) -> Option<Self> {
        let (pairs, rest) = numbers.as_chunks::<2>();
        rest.is_empty().then(|| Self(pairs.iter().map(|[at, x]| (at.to_bits() as i64, *x)).collect()))
    }

    fn heap_size(&self) -> usize {
        self.0.capacity() * size_of::<(i64, f64)>() + self.0.len() * Self::WORKING_BYTES
    }
}

/// The cells of the baseline and of the other group, in this order.
///
/// # Errors
/// The reason why there are not two groups, with the cells that there are.
pub(crate) fn two_groups<'a, C>(
    entries: &'a mut [Entry<'_, C>],
    baseline: Option<&[u8]>,
) -> Result<[&'a mut C; 2], &'static str> {
    match entries {
        [] => Err(NO_ROWS),
        [_] => Err(ONE_GROUP),
        [first, second] => match baseline {
            Some(key) if second.keys[0] == key => Ok([&mut *second.cell, &mut *first.cell]),
            Some(key) if first.keys[0] != key => Err(NO_BASELINE),
            _ => Ok([&mut *first.cell, &mut *second.cell]),
        },
        _ => Err(MANY_GROUPS),
    }
}

pub(crate) const NO_ROWS: &str = "no row with a known value";
pub(crate) const ONE_GROUP: &str = "rows of one group only; two are compared";
const MANY_GROUPS: &str = "rows of more than two groups; keep two with a filter";
const NO_BASELINE: &str = "no row of the baseline";
pub(crate) const ALL_EQUAL: &str = "all values are equal";
pub(crate) const ONE_VALUE: &str = "one value only";
pub(crate) const FEW_VALUES: &str = "a group with one value only";
pub(crate) const TOO_LARGE: &str = "values too large for Float64";
