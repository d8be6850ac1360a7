//! Tests of whether groups have the same survival curve: the log-rank test and its weighted forms.
//!
//! At each time with events the number of events of a group is compared with its share of those at risk; the differences,
//! weighted by time, have a hypergeometric variance. Source: R. E. Tarone and J. Ware, Biometrika 64 (1977) 156-160.

use super::curve::Moment;
use crate::numerics::cholesky::Cholesky;

/// How much a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Weights {
    /// All times alike.
    LogRank,
    /// By the number at risk (Gehan, Breslow).
    Wilcoxon,
    /// By the square root of the number at risk.
    TaroneWare,
    /// By the product of 1 - d / (n + 1) up to the time (Peto and Peto).
    Peto,
    /// By the Kaplan-Meier estimate before the time (Fleming and Harrington, rho = 1).
    FlemingHarrington,
}

/// The statistic of a test and its degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Test {
    pub(crate) statistic: f64,
    pub(crate) df: usize,
}

/// A test, and the events that each group expects with weight 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) test: Test,
    pub(crate) expected: Vec<f64>,
}

/// Compares groups by their life tables. `None` when nothing can be told: no time with an event at which two groups are at
/// risk.
pub(crate) fn logrank(groups: &[&[Moment]], weights: Weights) -> Option<Comparison> {
    let size = groups.len();
    let mut all: Vec<(f64, usize, u64, u64)> = vec![];
    for (group, moments) in groups.iter().enumerate() {
        all.extend(moments.iter().map(|moment| (moment.time, group, moment.events, moment.censored)));
    }
    all.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let mut at_risk = vec![0_u64; size];
    for (_, group, events, censored) in &all {
        at_risk[*group] += events + censored;
    }
    let (mut differences, mut expected) = (vec![0.0; size], vec![0.0; size]);
    let mut variance = vec![0.0; size * size];
    let (mut survival, mut survival_before, mut peto) = (1.0, 1.0, 1.0);
    for tied in all.chunk_by(|one, other| one.0 == other.0) {
        let n = at_risk.iter().sum::<u64>() as f64;
        let d = tied.iter().map(|(_, _, events, _)| events).sum::<u64>() as f64;
        if d > 0.0 {
            peto *= 1.0 - d / (n + 1.0);
            survival *= (n - d) / n;
            let weight = match weights {
                Weights::LogRank => 1.0,
                Weights::Wilcoxon => n,
                Weights::TaroneWare => n.sqrt(),
                Weights::Peto => peto,
                Weights::FlemingHarrington => survival_before,
            };
            survival_before = survival;
            for (_, group, events, _) in tied {
                differences[*group] += weight * *events as f64;
            }
            let factor = if n > 1.0 { d * (n - d) / (n - 1.0) } else { 0.0 };
            for (group, own) in at_risk.iter().enumerate().filter(|(_, own)| **own > 0) {
                let share = *own as f64 / n;
                expected[group] += d * share;
                differences[group] -= weight * d * share;
                variance[group * size + group] += weight * weight * factor * share;
                for (other, others) in at_risk.iter().enumerate() {
                    variance[group * size + other] -= weight * weight * factor * share * (*others as f64 / n);
                }
            }
        }
        for (_, group, events, censored) in tied {
            at_risk[*group] -= events + censored;
        }
    }
    // the differences of all groups add up to 0: the factor leaves the last one out
    let factor = Cholesky::of(&variance, size, 1e-10);
    let df = factor.rank();
    let solved = factor.solve(&differences);
    let statistic = solved.iter().zip(&differences).map(|(one, other)| one * other).sum::<f64>();
    let test = Test { statistic: statistic.max(0.0), df };
    (df > 0 && statistic.is_finite()).then_some(Comparison { test, expected })
}

#[cfg(test)]
mod tests {
    use super::super::curve::life_table;
    use super::*;

    #[test]
    fn two_groups_by_hand() {
        // a: 1, 3; b: 2, 4, all with events. Of a expected 2/4 + 1/3 + 1/2 + 0 = 4/3, observed 2: the difference is 2/3;
        // variance 1/4 + 2/9 + 1/4 = 13/18: 4/9 / (13/18) = 8/13.
        let a = life_table([(1.0, true, 1), (3.0, true, 1)].into_iter());
        let b = life_table([(2.0, true, 1), (4.0, true, 1)].into_iter());
        let test = logrank(&[&a, &b], Weights::LogRank).unwrap().test;
        assert!((test.statistic - 8.0 / 13.0).abs() < 1e-12 && test.df == 1, "{test:?}");
        // Gehan's weights 4 3 2: 4 (1 - 1/2) - 3 / 3 + 2 (1 - 1/2) = 2; variance 16/4 + 9 * 2/9 + 4/4 = 7: 4/7.
        let test = logrank(&[&a, &b], Weights::Wilcoxon).unwrap().test;
        assert!((test.statistic - 4.0 / 7.0).abs() < 1e-12, "{test:?}");
        // the order of the groups does not matter
        let swapped = logrank(&[&b, &a], Weights::Wilcoxon).unwrap().test;
        assert!((swapped.statistic - 4.0 / 7.0).abs() < 1e-12, "{swapped:?}");
    }

    #[test]
    fn nothing_to_compare() {
        let a = life_table([(1.0, false, 3)].into_iter());
        let b = life_table([(2.0, true, 3)].into_iter());
        assert_eq!(logrank(&[&a, &b], Weights::LogRank), None);
        assert_eq!(logrank(&[&a], Weights::LogRank), None);
    }
}
