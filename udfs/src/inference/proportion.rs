//! Intervals of a share and of the difference of two shares.

use super::cells::Hits;
use super::distribution::{beta_quantile, normal_two_sided};

/// How the interval of a share is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Wilson,
    ClopperPearson,
    Jeffreys,
}

/// The names of the methods in SQL.
pub(super) const METHODS: &[(&str, Method)] = &[
    ("wilson", Method::Wilson),
    ("clopper_pearson", Method::ClopperPearson),
    ("exact", Method::ClopperPearson),
    ("jeffreys", Method::Jeffreys),
];

/// A confidence level, with the quantile of the normal distribution that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub(super) level: f64,
    pub(super) z: f64,
}

/// The interval of a share of at least one row. The lower end is exactly 0 without a hit, the upper exactly 1 when all hit.
pub(super) fn interval(share: Hits, method: Method, level: Level) -> (f64, f64) {
    let (hits, misses) = (share.hits as f64, (share.n - share.hits) as f64);
    let tail = (1.0 - level.level) / 2.0;
    let (low, high) = match method {
        Method::Wilson => return wilson(share, level.z),
        Method::ClopperPearson => {
            (beta_quantile(tail, hits, misses + 1.0), 1.0 - beta_quantile(tail, misses, hits + 1.0))
        }
        Method::Jeffreys => {
            (beta_quantile(tail, hits + 0.5, misses + 0.5), 1.0 - beta_quantile(tail, misses + 0.5, hits + 0.5))
        }
    };
    (if share.hits == 0 { 0.0 } else { low }, if share.hits == share.n { 1.0 } else { high })
}

/// Wilson's score interval.
pub(crate) fn wilson(share: Hits, z: f64) -> (f64, f64) {
    let (hits, n) = (share.hits as f64, share.n as f64);
    let square = z * z;
    let middle = hits + square / 2.0;
    let spread = z * (hits * ((n - hits) / n) + square / 4.0).sqrt();
    let low = if share.hits == 0 { 0.0 } else { (middle - spread) / (n + square) };
    let high = if share.hits == share.n { 1.0 } else { (middle + spread) / (n + square) };
    (low, high)
}

/// The interval of the second share less the first: Newcombe's hybrid score interval.
pub(super) fn newcombe(one: Hits, other: Hits, z: f64) -> (f64, f64) {
    let (ratio_one, ratio_other) = (one.ratio(), other.ratio());
    let ((low_one, high_one), (low_other, high_other)) = (wilson(one, z), wilson(other, z));
    let difference = ratio_other - ratio_one;
    (
        difference - (ratio_other - low_other).hypot(high_one - ratio_one),
        difference + (high_other - ratio_other).hypot(ratio_one - low_one),
    )
}

/// z and p of the test whether two shares differ, by the pooled share; `None` where all rows are alike.
pub(super) fn pooled_test(one: Hits, other: Hits) -> Option<(f64, f64)> {
    let (n_one, n_other) = (one.n as f64, other.n as f64);
    let pooled = (one.hits + other.hits) as f64 / (n_one + n_other);
    let variance = pooled * (1.0 - pooled) * (1.0 / n_one + 1.0 / n_other);
    (variance > 0.0).then(|| {
        let z = (other.ratio() - one.ratio()) / variance.sqrt();
        (z, normal_two_sided(z))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inference::distribution::normal_critical;

    fn level(level: f64) -> Level {
        Level { level, z: normal_critical(level) }
    }

    fn assert_near((low, high): (f64, f64), wanted: (f64, f64)) {
        assert!((low - wanted.0).abs() < 5e-7 && (high - wanted.1).abs() < 5e-7, "{low} {high}, wanted {wanted:?}");
    }

    #[test]
    fn wilson_of_newcombes_examples() {
        // R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, with two more digits.
        for (hits, n, wanted) in [
            (81, 263, (0.255289, 0.366210)),
            (15, 148, (0.062386, 0.160487)),
            (0, 20, (0.0, 0.161125)),
            (1, 29, (0.006113, 0.171755)),
        ] {
            assert_near(wilson(Hits { hits, n }, normal_critical(0.95)), wanted);
        }
    }

    #[test]
    fn ends_are_exact() {
        for method in [Method::Wilson, Method::ClopperPearson, Method::Jeffreys] {
            for n in [1, 2, 29, 1_000_003, 3_000_000_000] {
                assert_eq!(interval(Hits { hits: 0, n }, method, level(0.95)).0, 0.0, "{method:?} of {n}");
                assert_eq!(interval(Hits { hits: n, n }, method, level(0.95)).1, 1.0, "{method:?} of {n}");
            }
        }
    }

    #[test]
    fn hits_and_misses_mirror_each_other() {
        for method in [Method::Wilson, Method::ClopperPearson, Method::Jeffreys] {
            let (low, high) = interval(Hits { hits: 7, n: 31 }, method, level(0.9));
            let mirrored = interval(Hits { hits: 24, n: 31 }, method, level(0.9));
            assert!((low - (1.0 - mirrored.1)).abs() < 1e-14 && (high - (1.0 - mirrored.0)).abs() < 1e-14);
        }
    }

    #[test]
    fn differences_of_newcombes_examples() {
        // R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10.
        for (other, one, wanted) in [
            ((56, 70), (48, 80), (0.0524, 0.3339)),
            ((9, 10), (3, 10), (0.1705, 0.8090)),
            ((5, 56), (0, 29), (-0.0381, 0.1926)),
            ((10, 10), (0, 20), (0.6791, 1.0)),
        ] {
            let hits = |(hits, n)| Hits { hits, n };
            let (low, high) = newcombe(hits(one), hits(other), normal_critical(0.95));
            assert!((low - wanted.0).abs() < 5e-5 && (high - wanted.1).abs() < 5e-5, "{low} {high}, wanted {wanted:?}");
        }
    }

    #[test]
    fn shares_that_are_alike_have_no_pooled_test() {
        assert_eq!(pooled_test(Hits { hits: 3, n: 3 }, Hits { hits: 5, n: 5 }), None);
        assert_eq!(pooled_test(Hits { hits: 0, n: 3 }, Hits { hits: 0, n: 5 }), None);
        let (z, p) = pooled_test(Hits { hits: 2, n: 4 }, Hits { hits: 3, n: 6 }).unwrap();
        assert_eq!((z, p), (0.0, 1.0));
    }
}
