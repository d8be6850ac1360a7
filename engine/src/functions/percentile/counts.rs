//! [`ValueCounts`]: a multiset of doubles from which exact percentiles are read.
//!
//! ```text
//!  values: 3 0 3 2.5 -1      counts: [1, 0, 0, 2]   integers 0 to 3
//!                            others: [2.5, -1]
//! ```
//! Waits and durations are mostly whole seconds below some thousands, so that the counts are short. Values that are no small
//! non-negative integers are stored one by one.

use std::collections::BTreeMap;

use datafusion::common::internal_err;
use datafusion::error::Result;

/// The multiset of the values of one group.
#[derive(Debug, Default)]
pub(super) struct ValueCounts {
    /// Occurrences of each integer from 0 on, saturated at 32 bits.
    counts: Vec<u32>,
    /// Occurrences beyond 32 bits.
    overflow: BTreeMap<usize, u64>,
    /// All other values, unordered.
    pub(super) others: Vec<f64>,
    /// Number of values.
    pub(super) len: u64,
}

impl ValueCounts {
    pub(super) fn add(&mut self, value: f64) {
        self.len += 1;
        // the counts have at most as many entries as there are values, so that they are never larger than a list of the values
        match count_index(value).filter(|&index| index < self.counts.len() || index as u64 <= self.len) {
            Some(index) => self.add_count(index, 1),
            None => self.others.push(value),
        }
    }

    /// Adds an integer `count` times.
    pub(super) fn add_many(&mut self, integer: usize, count: u64) {
        self.len += count;
        self.add_count(integer, count);
    }

    /// Makes room for the counts of integers up to `max`.
    pub(super) fn reserve(&mut self, max: usize) {
        self.counts.resize(self.counts.len().max(max + 1), 0);
    }

    fn add_count(&mut self, index: usize, count: u64) {
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        let sum = u64::from(self.counts[index]) + count;
        self.counts[index] = u32::try_from(sum).unwrap_or(u32::MAX);
        if sum > u64::from(u32::MAX) {
            *self.overflow.entry(index).or_default() += sum - u64::from(u32::MAX);
        }
    }

    /// The integers that occur, in ascending order, with their counts.
    pub(super) fn counted(&self) -> impl Iterator<Item = (usize, u64)> {
        let known = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        known.map(|(index, &count)| (index, u64::from(count) + self.overflow.get(&index).copied().unwrap_or_default()))
    }

    /// Removes one occurrence of a value, for sliding frames.
    ///
    /// # Errors
    /// The value is not among them.
    pub(super) fn remove(&mut self, value: f64) -> Result<()> {
        self.len = self.len.saturating_sub(1);
        if let Some(index) = count_index(value) {
            if let Some(count) = self.overflow.get_mut(&index).filter(|count| **count > 0) {
                *count -= 1;
                return Ok(());
            }
            if let Some(count) = self.counts.get_mut(index).filter(|count| **count > 0) {
                *count -= 1;
                return Ok(());
            }
        }
        match self.others.iter().position(|other| other.total_cmp(&value).is_eq()) {
            Some(index) => {
                self.others.swap_remove(index);
                Ok(())
            }
            None => internal_err!("percentile_cont: {value} leaves a frame that does not contain it"),
        }
    }

    /// The value at a rank from 0: the merge of the counts and of `sorted`, which are the other values, up to that rank.
    pub(super) fn at(&self, sorted: &[f64], rank: u64) -> Option<f64> {
        let (mut seen, mut others) = (0, sorted.iter().copied().peekable());
        for (index, count) in self.counted() {
            let value = index as f64;
            while let Some(other) = others.next_if(|other| other.total_cmp(&value).is_lt()) {
                if seen == rank {
                    return Some(other);
                }
                seen += 1;
            }
            seen += count;
            if seen > rank {
                return Some(value);
            }
        }
        others.nth(usize::try_from(rank - seen).ok()?)
    }

    /// The percentile, interpolated linearly at rank (len - 1) * `percentile`; `None` without values.
    pub(super) fn percentile(&mut self, percentile: f64) -> Option<f64> {
        let last = self.len.checked_sub(1)?;
        let rank = percentile * last as f64;
        let (lower, fraction) = ((rank.floor() as u64).min(last), rank.fract());
        let upper = if fraction > 0.0 { (lower + 1).min(last) } else { lower };
        let (lower, upper) = if self.counts.is_empty() {
            // selection in linear time: only the two ranks have to be in their places
            let (_, lower, above) = self.others.select_nth_unstable_by(lower as usize, f64::total_cmp);
            let above = above.iter().copied().min_by(f64::total_cmp);
            (*lower, if fraction > 0.0 { above.unwrap_or(*lower) } else { *lower })
        } else {
            self.others.sort_unstable_by(f64::total_cmp);
            (self.at(&self.others, lower)?, self.at(&self.others, upper)?)
        };
        // infinity - infinity would be NaN
        Some(if lower == upper { lower } else { lower + (upper - lower) * fraction })
    }

    /// Bytes allocated on the heap, approximately.
    pub(super) fn size(&self) -> usize {
        self.counts.capacity() * size_of::<u32>() + self.others.capacity() * size_of::<f64>()
    }
}

/// The index of a value among the counts: a non-negative integer of 32 bits.
fn count_index(value: f64) -> Option<usize> {
    let integer = value as u32;
    // compared by bits, since -0 sorts before 0
    (f64::from(integer).to_bits() == value.to_bits()).then_some(integer as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentile(values: &[f64], percentile: f64) -> Option<f64> {
        let mut all = ValueCounts::default();
        values.iter().for_each(|&value| all.add(value));
        all.percentile(percentile)
    }

    /// By hand; the second line is PostgreSQL's example of interpolation: 10 + 0.3 * (20 - 10).
    #[test]
    fn values_by_hand() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[10.0, 20.0], 0.3), Some(13.0));
        assert_eq!(percentile(&[4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(percentile(&[0.25, 1.0, 1.0, 0.5, 1.5], 0.75), Some(1.0));
        assert_eq!(percentile(&[-3.5, 1.0, 7e9, 1.0], 1.0), Some(7e9));
        assert_eq!(percentile(&[f64::INFINITY, f64::INFINITY], 0.5), Some(f64::INFINITY));
        // a third of the way: exactly, not 0.333333
        assert_eq!(percentile(&[0.0, 3e9], 1.0 / 3.0), Some(1e9));
    }
}
