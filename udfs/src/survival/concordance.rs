//! Harrell's concordance: of two rows of which it is known who had the event first, how often the one with the higher risk did.
//!
//! A row that is censored at the time of an event outlasts it. Two events at one time, and rows of different strata, are not
//! compared; equal risks count one half. Source: F. E. Harrell, K. L. Lee and D. B. Mark, Statistics in Medicine 15 (1996)
//! 361-387.

/// Counts of ranks with their running sums: a Fenwick tree.
#[derive(Debug)]
struct RankCounts {
    tree: Vec<f64>,
    total: f64,
}

impl RankCounts {
    fn new(size: usize) -> Self {
        Self { tree: vec![0.0; size + 1], total: 0.0 }
    }

    fn add(&mut self, rank: usize, count: f64) {
        self.total += count;
        let mut index = rank + 1;
        while let Some(cell) = self.tree.get_mut(index) {
            *cell += count;
            index += index & index.wrapping_neg();
        }
    }

    /// The count of ranks below `rank`.
    fn below(&self, rank: usize) -> f64 {
        let (mut index, mut sum) = (rank, 0.0);
        while index > 0 {
            sum += self.tree.get(index).copied().unwrap_or_default();
            index &= index - 1;
        }
        sum
    }
}

/// The concordance of rows `(stratum, time, is_event, count, risk)`, which are sorted by stratum and falling time. `None` when
/// no two rows can be compared.
pub(crate) fn concordance(rows: &[(u32, f64, bool, f64, f64)]) -> Option<f64> {
    let (mut concordant, mut pairs) = (0.0, 0.0);
    for stratum in rows.chunk_by(|one, other| one.0 == other.0) {
        let mut risks: Vec<f64> = stratum.iter().map(|row| row.4).collect();
        risks.sort_unstable_by(f64::total_cmp);
        risks.dedup();
        let rank = |risk: f64| risks.partition_point(|known| *known < risk);
        // those who outlast the time
        let mut later = RankCounts::new(risks.len());
        for same_time in stratum.chunk_by(|one, other| one.1 == other.1) {
            for (_, _, _, count, risk) in same_time.iter().filter(|row| !row.2) {
                later.add(rank(*risk), *count);
            }
            for (_, _, _, count, risk) in same_time.iter().filter(|row| row.2) {
                let rank = rank(*risk);
                let lower = later.below(rank);
                let equal = later.below(rank + 1) - lower;
                concordant += count * (lower + equal / 2.0);
                pairs += count * later.total;
            }
            for (_, _, _, count, risk) in same_time.iter().filter(|row| row.2) {
                later.add(rank(*risk), *count);
            }
        }
    }
    (pairs > 0.0).then_some(concordant / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_by_hand() {
        // Events at 1 (risk 2), 2 (risk 3), 4 (risk 1), censored at 2 (risk 1): pairs of 1 with the three others: 3 higher no,
        // 1 and 1 yes: 2 of 3; of the event at 2 with 4 and the censored: 2 of 2. Of 4 none: 4 of 5.
        let rows =
            [(0, 4.0, true, 1.0, 1.0), (0, 2.0, true, 1.0, 3.0), (0, 2.0, false, 1.0, 1.0), (0, 1.0, true, 1.0, 2.0)];
        assert_eq!(concordance(&rows), Some(0.8));
        let constant = rows.map(|(stratum, time, is_event, count, _)| (stratum, time, is_event, count, 7.0));
        assert_eq!(concordance(&constant), Some(0.5));
        assert_eq!(concordance(&rows[..1]), None);
    }
}
