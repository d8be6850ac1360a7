//! z-scores of rows that come in any order: first what they need to know of each group, then each row by itself.

use datafusion::arrow::array::{Array, Int64Array};
use datafusion::logical_expr::WindowUDF;

pub use super::state::Scale;
use super::state::{Sums, Tally};
use super::{Score, ScoreFunction};

/// Places that the counts of all groups take together at most: 32 MiB.
const MOST_PLACES: usize = 1 << 23;

/// What scores need to know of the groups, as their rows come. Values are whole numbers.
#[derive(Debug, Clone)]
pub struct Scales(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Standard(Vec<Sums>),
    Modified(Counts),
}

/// How often each value of each group occurs.
#[derive(Debug, Clone)]
struct Counts {
    tallies: Vec<Tally>,
    /// Places that may still be taken.
    room: usize,
    /// How many values of each group are NULL.
    unknown: Vec<u64>,
}

impl Scales {
    /// No groups yet; `None` if `function` is no score.
    pub fn new(function: &WindowUDF) -> Option<Self> {
        let inner: &dyn std::any::Any = function.inner().as_ref();
        Some(Self(match inner.downcast_ref::<ScoreFunction>()?.score {
            Score::Standard => Kind::Standard(vec![]),
            Score::Modified => Kind::Modified(Counts { tallies: vec![], room: MOST_PLACES, unknown: vec![] }),
        }))
    }

    /// Adds values of groups, of which there are `group_count`; NULL has no part in a scale. `false` when the values are too
    /// many different ones for a median, or too great: what was added until then is lost.
    #[must_use]
    pub fn add(&mut self, values: &Int64Array, groups: &[usize], group_count: usize) -> bool {
        self.grow(group_count);
        let rows = groups.iter().zip(values.values()).map(|(&group, &value)| (group, value));
        match values.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.add_known(rows),
            Some(nulls) => {
                if let Kind::Modified(Counts { unknown, .. }) = &mut self.0 {
                    let rows = groups.iter().zip(nulls).filter(|(_, is_known)| !is_known);
                    rows.for_each(|(&group, _)| unknown[group] += 1);
                }
                self.add_known(rows.zip(nulls).filter(|(_, is_known)| *is_known).map(|(row, _)| row))
            }
        }
    }

    fn add_known(&mut self, mut rows: impl Iterator<Item = (usize, i64)>) -> bool {
        match &mut self.0 {
            Kind::Standard(all) => rows.all(|(group, value)| match all.get_mut(group) {
                Some(sums) if value.unsigned_abs() <= Sums::GREATEST.unsigned_abs() => {
                    sums.add(value);
                    true
                }
                _ => false,
            }),
            Kind::Modified(Counts { tallies, room, .. }) => rows.all(|(group, value)| match tallies.get_mut(group) {
                Some(tally) => tally.add_one(value) || tally.add(value, 1, room),
                None => false,
            }),
        }
    }

    /// Adds what another knows of its groups, which are `groups` here. `false` as [`Scales::add`].
    #[must_use]
    pub fn merge(&mut self, other: &Self, groups: &[usize], group_count: usize) -> bool {
        self.grow(group_count);
        match (&mut self.0, &other.0) {
            (Kind::Standard(all), Kind::Standard(other)) => {
                groups.iter().zip(other).for_each(|(&group, sums)| all[group].merge(sums));
                true
            }
            (Kind::Modified(Counts { tallies, room, unknown }), Kind::Modified(other)) => {
                groups.iter().zip(&other.unknown).for_each(|(&group, count)| unknown[group] += count);
                let mut pairs = groups.iter().zip(&other.tallies);
                pairs.all(|(&group, tally)| tally.counts().all(|(value, times)| tallies[group].add(value, times, room)))
            }
            _ => false,
        }
    }

    fn grow(&mut self, group_count: usize) {
        match &mut self.0 {
            Kind::Standard(all) => all.resize_with(group_count.max(all.len()), Sums::default),
            Kind::Modified(Counts { tallies, unknown, .. }) => {
                tallies.resize_with(group_count.max(tallies.len()), Tally::default);
                unknown.resize(tallies.len(), 0);
            }
        }
    }

    /// About the bytes that are held.
    pub fn size(&self) -> usize {
        match &self.0 {
            Kind::Standard(all) => size_of_val(all.as_slice()),
            Kind::Modified(Counts { tallies, room, unknown }) => {
                let places = (MOST_PLACES - room) * size_of::<u32>();
                size_of_val(tallies.as_slice()) + size_of_val(unknown.as_slice()) + places
            }
        }
    }

    /// The scale of each group; `None` where no score is defined.
    pub fn finish(&self) -> Vec<Option<Scale>> {
        match &self.0 {
            Kind::Standard(all) => all.iter().map(Sums::scale).collect(),
            // one copy at a time
            Kind::Modified(Counts { tallies, .. }) => tallies.iter().map(|tally| tally.clone().scale()).collect(),
        }
    }

    /// Whether the values of a group are counted.
    pub fn has_counts(&self) -> bool {
        matches!(self.0, Kind::Modified(_))
    }

    /// The different values of a group with how many rows have each, NULL among them; nothing where they are not counted.
    pub fn counts(&self, group: usize) -> impl Iterator<Item = (Option<i64>, u64)> {
        let counts = match &self.0 {
            Kind::Standard(_) => None,
            Kind::Modified(counts) => Some(counts),
        };
        let unknown = counts.and_then(|counts| counts.unknown.get(group)).filter(|count| **count > 0);
        let tally = counts.and_then(|counts| counts.tallies.get(group));
        let known = tally.into_iter().flat_map(Tally::counts).map(|(value, count)| (Some(value), u64::from(count)));
        unknown.map(|&count| (None, count)).into_iter().chain(known)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::state::{modified_zscores, zscores};
    use super::*;

    fn scales(score: Score) -> Scales {
        Scales::new(&WindowUDF::new_from_impl(ScoreFunction::new(score))).unwrap()
    }

    /// The scores of one group whose rows come in the order of `values`, in so many parts that are merged.
    fn scores(score: Score, values: &[i64], parts: usize) -> Option<Vec<Option<f64>>> {
        let mut all = scales(score);
        for part in values.chunks(values.len().div_ceil(parts).max(1)) {
            let mut one = scales(score);
            // the group has another number in each part
            if !one.add(&Int64Array::from(part.to_vec()), &vec![2; part.len()], 3) || !all.merge(&one, &[1, 2, 0], 3) {
                return None;
            }
        }
        let scale = all.finish()[0];
        Some(values.iter().map(|&value| Some(scale?.score(value as f64))).collect())
    }

    /// The examples of the functions' documentation, which are by hand.
    #[test]
    fn scores_by_hand() {
        let rounded = |score, values: &[i64]| {
            let scores = scores(score, values, 2).unwrap();
            scores.into_iter().map(|score| (score.unwrap() * 1e4).round() / 1e4).collect::<Vec<_>>()
        };
        assert_eq!(rounded(Score::Standard, &[200, 400, 600, 800]), [-1.1619, -0.3873, 0.3873, 1.1619]);
        assert_eq!(rounded(Score::Modified, &[310, 2000, 280, 300, 290]), [0.6745, 114.665, -1.349, 0.0, -0.6745]);
        // a MAD of 0: (15 - 5) / (1.253314 * 2)
        assert_eq!(rounded(Score::Modified, &[5, 5, 15, 5, 5]), [0.0, 0.0, 3.9894, 0.0, 0.0]);
        for score in [Score::Standard, Score::Modified] {
            assert_eq!(scores(score, &[7, 7, 7], 2), Some(vec![None; 3]));
            assert_eq!(scores(score, &[7], 1), Some(vec![None]));
        }
    }

    /// Expected are the functions over the whole group, to the last digit: neither order nor parts show.
    #[test]
    fn rows_in_any_order_and_parts_have_the_scores_of_the_group() {
        let mut random = 5_u64;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        for (width, origin) in [(2, 0), (9, -4), (700, 3), (100_000, -70_000), (400_000, 4_000_000_000)] {
            for count in [2, 3, 10, 1000] {
                let values: Vec<i64> = (0..count).map(|_| below(width) as i64 + origin).collect();
                let x: Vec<f64> = values.iter().map(|&value| value as f64).collect();
                let expected = |score| {
                    let mut out = vec![0.0; x.len()];
                    match score {
                        Score::Standard => zscores(&x, |_| true, &mut out),
                        Score::Modified => modified_zscores(&x, |_| true, &mut vec![], &mut out),
                    }
                    out.into_iter().map(|score| (!score.is_nan()).then_some(score)).collect::<Vec<_>>()
                };
                for parts in [1, 3] {
                    assert_eq!(scores(Score::Standard, &values, parts), Some(expected(Score::Standard)));
                    // the mean deviation is a rounded sum in both, of values in another order
                    let (ours, whole) = (scores(Score::Modified, &values, parts).unwrap(), expected(Score::Modified));
                    for (ours, whole) in ours.iter().zip(&whole) {
                        let (ours, whole) = (ours.unwrap_or(-1e9), whole.unwrap_or(-1e9));
                        assert!((ours - whole).abs() <= 1e-12 * whole.abs(), "{ours} {whole}");
                    }
                }
            }
        }
    }

    #[test]
    fn counts_of_modified_scores_are_of_all_rows() {
        let mut all = scales(Score::Modified);
        assert!(all.add(&Int64Array::from(vec![Some(5), None, Some(5), Some(7)]), &[0, 0, 0, 1], 2));
        let other = all.clone();
        assert_eq!(all.counts(0).collect::<Vec<_>>(), [(None, 1), (Some(5), 2)]);
        assert_eq!(all.counts(1).collect::<Vec<_>>(), [(Some(7), 1)]);
        assert!(all.merge(&other, &[1, 0], 2));
        assert_eq!(all.counts(1).collect::<Vec<_>>(), [(None, 1), (Some(5), 2), (Some(7), 1)]);
        assert_eq!(all.counts(2).next(), None);
        let mut sums = scales(Score::Standard);
        assert!(sums.add(&Int64Array::from(vec![5]), &[0], 1));
        assert!(all.has_counts() && !sums.has_counts() && sums.counts(0).next().is_none());
        // by hand, 5, 5, 7: the median is 5, the MAD 0, the mean deviation 2/3
        let score = all.finish()[1].map(|scale| scale.score(7.0)).unwrap();
        assert!((score - 3.0 / 1.253_314).abs() < 1e-12, "{score}");
    }

    #[test]
    fn what_cannot_be_added_up_or_counted_is_said() {
        assert_eq!(scores(Score::Standard, &[0, (1 << 32) + 1], 1), None);
        assert_eq!(scores(Score::Standard, &[0, i64::MIN], 1), None);
        assert_eq!(scores(Score::Modified, &[0, 2_000_000], 1), None);
        assert_eq!(scores(Score::Modified, &[i64::MIN, i64::MAX], 1), None);
        // a float would not be the number
        assert_eq!(scores(Score::Modified, &[(1 << 60) + 100, (1 << 60) + 300], 1), None);
        assert_eq!(scores(Score::Modified, &[0, 2_000_000], 2), None);
        // NULL is left out, and takes no place
        let mut all = scales(Score::Modified);
        let values = Int64Array::from(vec![Some(1), None, Some(3), Some(2)]);
        assert!(all.add(&values, &[0, 0, 0, 1], 2));
        let scales = all.finish();
        assert_eq!(scales[0].map(|scale| scale.score(3.0)), Some(0.6745));
        assert!(scales[1].is_none());
        // far too many places in all: each group has a million
        let mut all = self::scales(Score::Modified);
        let groups: Vec<usize> = (0..20).flat_map(|group| [group, group]).collect();
        let values = Int64Array::from_iter_values((0..20).flat_map(|_| [0, 1_000_000]));
        assert!(!all.add(&values, &groups, 20));
        let other = Arc::new(self::scales(Score::Standard));
        assert!(!all.merge(&other, &[], 0));
    }
}
