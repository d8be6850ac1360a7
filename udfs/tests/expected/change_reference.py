"""Expected values of the functions on outliers and change over time, by ruptures, pymannkendall, scipy, pandas and numpy.

    pip install ruptures==1.1.10 pymannkendall==1.4.3 scipy==1.17.1 pandas==3.1.1 numpy==2.4.6
    python change_reference.py

Prints the figures that udfs/tests/slt/{changepoints,trend_test,season_test,ewma,cusum,mad,tukey_outlier}.slt expects, over values that the
tests hold or make with the same arithmetic, and first the versions. What no library has is computed from its definition, and says so.
"""

import math

import numpy as np
import pandas as pd
import pymannkendall
import ruptures as rpt
import scipy
from scipy import stats

# annual flow of the Nile at Aswan, 1871-1970 (R's dataset Nile; G. W. Cobb, Biometrika 65 (1978) 243-251)
NILE = np.array(
    [1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140,
     1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969,
     831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759,
     781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890,
     744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740], float
)
# D. C. Montgomery, Introduction to Statistical Quality Control, table 9.1
MONTGOMERY = np.array(
    [9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34, 9.03, 11.47, 10.51, 9.40, 10.08, 9.37, 10.62, 10.31, 8.52, 10.84,
     10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52]
)
NUMBER = np.arange(1, 241)
# three levels, the spread of the last part is wider, and whole numbers with ties
STEPS = (
    np.where(NUMBER <= 90, 20, np.where(NUMBER <= 150, 27, 24))
    + NUMBER * NUMBER * 31 % 97 % 11
    + np.where(NUMBER > 190, NUMBER * NUMBER * 7 % 89 % 23, 0)
)


class Normal(rpt.base.BaseCost):
    """n ln(variance), to which 1 % of that within segments is added; from the definition."""

    model, min_size = "", 2

    def fit(self, signal):
        self.signal = signal.ravel()
        self.ridge = 0.01 * deviation_within(self.signal) ** 2
        return self

    def error(self, start, end):
        return (end - start) * math.log(self.signal[start:end].var() + self.ridge)


class Poisson(rpt.base.BaseCost):
    """-2 sum ln(mean), from the definition."""

    model, min_size = "", 2

    def fit(self, signal):
        self.signal = signal.ravel()
        return self

    def error(self, start, end):
        total = self.signal[start:end].sum()
        return -2 * total * math.log(total / (end - start)) if total > 0 else 0.0


def deviation_within(x):
    differences = np.sort(np.abs(np.diff(x)))
    return differences[len(differences) // 2] / stats.norm.ppf(0.75) / math.sqrt(2)


def changes(x, model="mean", search=rpt.Pelt, penalty=None):
    x = np.asarray(x, float)
    cost = {"mean": None, "mean_variance": Normal(), "poisson": Poisson()}[model]
    penalty = ((4 if model == "mean_variance" else 3) * math.log(len(x))) if penalty is None else penalty
    pen = penalty * deviation_within(x) ** 2 if model == "mean" else penalty
    keys = {"model": "l2"} if cost is None else {"custom_cost": cost}
    bounds = [0] + search(min_size=2, jump=1, **keys).fit(x).predict(pen=pen)
    segments = [x[a:b] for a, b in zip(bounds, bounds[1:])]
    show(model, search.__name__, "sse", sum(((s - s.mean()) ** 2).sum() for s in segments), "penalty", penalty)
    for (a, m, b), one, other in zip(zip(bounds, bounds[1:], bounds[2:]), segments, segments[1:]):
        if model == "mean":
            p = stats.ttest_ind(one, other).pvalue
        else:
            gain = cost.error(a, b) - cost.error(a, m) - cost.error(m, b)
            p = stats.chi2.sf(gain, 2 if model == "mean_variance" else 1)
        show("  ", m, one.mean(), other.mean(), min(1, p * (b - a - 1)), one.std(ddof=1), other.std(ddof=1))


def trend(at, x, level=0.95):
    """z and p by pymannkendall where no times are equal; slope and bounds by scipy; tau by scipy."""
    at, x = np.asarray(at, float), np.asarray(x, float)
    tau = stats.kendalltau(at, x)
    if len(np.unique(at)) == len(at):
        test = pymannkendall.original_test(x)
        # its p is 1 less a probability, which loses digits
        s, z, p = test.s, test.z, 2 * stats.norm.sf(abs(test.z))
        assert abs(p - test.p) < 1e-12
    else:
        s, variance = kendall_s(at, x)
        z = (s - np.sign(s)) / math.sqrt(variance)
        p = 2 * stats.norm.sf(abs(z))
    slopes = stats.theilslopes(x, at, level)
    show("z", z, "p", p, "slope", slopes.slope, slopes.low_slope, slopes.high_slope, "s", s, "tau", tau.statistic)


def kendall_s(at, x):
    """From the definition, with ties in both (M. G. Kendall 1948)."""
    n = len(x)
    s = sum(np.sign(x[j] - x[i]) * np.sign(at[j] - at[i]) for i in range(n) for j in range(i))
    t = [np.unique(values, return_counts=True)[1].astype(float) for values in (at, x)]
    vt = [(c * (c - 1) * (2 * c + 5)).sum() for c in t]
    v1 = np.prod([(c * (c - 1)).sum() for c in t]) / (2 * n * (n - 1))
    v2 = np.prod([(c * (c - 1) * (c - 2)).sum() for c in t]) / (9 * n * (n - 1) * (n - 2))
    return s, (n * (n - 1) * (2 * n + 5) - sum(vt)) / 18 + v1 + v2


def season(table):
    table = np.asarray(table, float)
    test = stats.friedmanchisquare(*table.T)
    ranks = np.apply_along_axis(stats.rankdata, 1, table).sum(axis=0)
    show("friedman", test.statistic, "p", test.pvalue, "w", test.statistic / (table.shape[0] * (table.shape[1] - 1)),
         "highest", ranks.argmax(), "lowest", ranks.argmin())


def cusum(x, target, k, h, sigma=1.0):
    """From the definition (Montgomery, section 9.1), against his table 9.2."""
    high = low = 0.0
    since, alarm = [0, 0], None
    for i, value in enumerate(x, 1):
        since = [i if total == 0 else begin for total, begin in zip((high, low), since)]
        high = max(0.0, high + (value - target) / sigma - k)
        low = max(0.0, low - (value - target) / sigma - k)
        if alarm is None and max(high, low) > h:
            alarm = (i, since[0] if high > h else since[1])
        if i >= 26:
            show("cusum", i, high, low, max(high, low) > h, alarm)


def show(*values):
    print(*(f"{v:.12g}" if isinstance(v, (float, np.floating)) else v for v in values))


def main():
    print("ruptures", rpt.version.__version__, "pymannkendall", pymannkendall.__version__, "scipy", scipy.__version__, "pandas", pd.__version__,
          "numpy", np.__version__)
    print("# Nile")
    for search in (rpt.Pelt, rpt.Binseg):
        for model in ("mean", "mean_variance", "poisson"):
            changes(NILE, model, search, 20.0 if model == "poisson" else None)
    trend(np.arange(100), NILE)
    trend(np.arange(100), NILE, 0.8)
    print("# steps")
    for search in (rpt.Pelt, rpt.Binseg):
        for model in ("mean", "mean_variance", "poisson"):
            changes(STEPS, model, search)
    changes(STEPS, "mean", rpt.Pelt, 3.0)
    trend(NUMBER, STEPS)
    trend(NUMBER // 4, STEPS)
    trend(np.arange(1, 2401), np.arange(1, 2401) * 7919 % 1009 + 0.01 * np.arange(1, 2401))
    print("# seasons: 34 periods of 7 numbers, those from 0 on and below 238")
    number = np.arange(1, 239)
    value = number * 7919 % 23 + np.where(number % 7 == 3, 6, 0)
    season(value[6:237].reshape(-1, 7))
    print("# hours of 20 days, months of 10 years")
    hour = np.arange(480)
    season((hour * hour * 31 % 97 + 3 * (hour % 12) + 50 * (hour // 24)).reshape(20, 24))
    year, month = np.arange(2015, 2025)[:, None], np.arange(1, 13)[None, :]
    season((year * 12 + month) ** 2 * 31 % 97 + 4 * month)
    print("# control charts")
    for z in (pd.Series(np.r_[10.0, MONTGOMERY]).ewm(alpha=0.1, adjust=False).mean().iloc[1:],
              pd.Series(MONTGOMERY).ewm(alpha=0.1, adjust=False).mean()):
        show("ewma", *z.iloc[[0, 1, 27, 28, 29]])
    cusum(MONTGOMERY, 10, 0.5, 5)
    cusum(MONTGOMERY, 10, 0.5, 5, 2.0)
    print("# outliers")
    for x in (NILE, STEPS.astype(float)):
        q1, q3 = np.percentile(x, [25, 75])
        for k in (1.5, 1.0):
            beyond = (x < q1 - k * (q3 - q1)) | (x > q3 + k * (q3 - q1))
            show("tukey", k, int(beyond.sum()), x[beyond][:12])
        show("mad", stats.median_abs_deviation(x), stats.median_abs_deviation(x, scale="normal"))


if __name__ == "__main__":
    main()
