"""Expected values of the functions that describe a column or relate two, by scipy, numpy, pandas and scikit-learn.

    pip install scipy==1.17.1 numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1
    python relation_reference.py

Prints the figures that udfs/tests/slt/*.slt expects, over values that the tests make with the same arithmetic, and first
the versions. What no library has (the Gini coefficient, the correlation ratio, the intervals of Bonett and Wright) is
computed from its definition over all pairs or rows, and says so.
"""

import math

import numpy as np
import pandas as pd
import scipy
import sklearn
from scipy import stats
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

NUMBER = np.arange(1, 601)
TEAM = NUMBER % 3
X = (NUMBER * 7919 % 1009 + 37 * TEAM).astype(float)
TIED = (NUMBER * 7919 % 23 + TEAM).astype(float)
FLAG = NUMBER * NUMBER * 31 % 97 < 40 + 8 * TEAM
WEIGHT = (NUMBER % 7).astype(float)
# y is not known for every fifth row
Y = np.where(NUMBER % 5 == 0, np.nan, TIED * 2 + X / 100)
TEN = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 35], dtype=float)
# pairs without ties: exact p-values
HANDLE = np.array([120, 300, 240, 420, 380, 610, 150, 510], dtype=float)
RANKED = np.array([8, 5, 7, 2, 4, 1, 6, 3], dtype=float)
SCORE = np.array([5, 4, 5, 2, 4, 1, 3, 2], dtype=float)


def text(value):
    """A figure as the tests write it: 12 significant digits."""
    if value is None or value != value:
        return "NULL"
    if isinstance(value, (int, np.integer, str)):
        return str(value)
    return np.format_float_positional(float(f"{float(value):.11e}"), trim="-")


def show(name, *figures):
    print(f"{name}: {' '.join(text(figure) for figure in figures)}")


def moments(x):
    """pandas' skew and kurt are the corrected ones; scipy's bias=False says the same."""
    skewness, kurtosis = pd.Series(x).skew(), pd.Series(x).kurt()
    assert math.isclose(skewness, stats.skew(x, bias=False), rel_tol=1e-9)
    assert math.isclose(kurtosis, stats.kurtosis(x, bias=False), rel_tol=1e-9, abs_tol=1e-9)
    return skewness, kurtosis


def describe(x):
    s = pd.Series(x).describe()
    return (s["count"].astype(int), s["mean"], s["std"], s["min"], s["25%"], s["50%"], s["75%"], s["max"], *moments(x))


def entropy(labels):
    return stats.entropy(np.unique(labels, return_counts=True)[1], base=2)


def gini(x):
    """Half the mean difference of all pairs of rows, over the mean."""
    return np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())


def interval(r, variance, level=0.95):
    """Of D. G. Bonett and T. A. Wright (2000), from its definition."""
    margin = stats.norm.isf((1 - level) / 2) * math.sqrt(variance)
    return math.tanh(math.atanh(r) - margin), math.tanh(math.atanh(r) + margin)


def spearman(x, y, level=0.95):
    test = stats.spearmanr(x, y)
    r, n = test.statistic, len(x)
    return r, *interval(r, (1 + r * r / 2) / (n - 3), level), test.pvalue, n


def kendall(x, y, level=0.95):
    test = stats.kendalltau(x, y)
    return test.statistic, *interval(test.statistic, 0.437 / (len(x) - 4), level), test.pvalue, len(x)


def pearson(x, y, level=0.95):
    test = stats.pearsonr(x, y)
    bounds = test.confidence_interval(level)
    return test.statistic, bounds.low, bounds.high, test.pvalue, len(x)


def known(x, y):
    both = ~(np.isnan(x) | np.isnan(y))
    return x[both], y[both]


def mutual_information(a, b):
    """scikit-learn's are in nats; p by the G-test of scipy."""
    counts = pd.crosstab(a, b).to_numpy()
    test = stats.chi2_contingency(counts, correction=False, lambda_="log-likelihood")
    return mutual_info_score(a, b) / math.log(2), normalized_mutual_info_score(a, b), test.pvalue, len(a)


def correlation_ratio(category, x):
    """From its definition; p by the analysis of variance of scipy."""
    groups = [x[category == label] for label in np.unique(category)]
    between = sum(len(g) * (g.mean() - x.mean()) ** 2 for g in groups)
    eta_squared = between / ((x - x.mean()) ** 2).sum()
    return math.sqrt(eta_squared), eta_squared, stats.f_oneway(*groups).pvalue, len(x), len(groups)


def histogram(x, bins="auto"):
    counts, edges = np.histogram(x, bins=bins)
    return [figure for row in zip(edges[:-1], edges[1:], counts) for figure in row]


if __name__ == "__main__":
    print(f"scipy {scipy.__version__}, numpy {np.__version__}, pandas {pd.__version__}, scikit-learn {sklearn.__version__}")
    for name, x in [("ten", TEN), ("x", X), ("tied", TIED), ("x^2", X * X)]:
        show(f"skewness, kurtosis {name}", *moments(x))
    for team in range(3):
        show(f"skewness, kurtosis tied of team {team}", *moments(TIED[TEAM == team]))
    show("describe ten", *describe(TEN))
    show("describe x", *describe(X))
    for team in range(3):
        show(f"describe tied of team {team}", *describe(TIED[TEAM == team]))
    show("entropy tied, team, flag", entropy(TIED), entropy(TEAM), entropy(FLAG))
    for team in range(3):
        show(f"entropy tied of team {team}", entropy(TIED[TEAM == team]))
    show("gini ten, x, tied", gini(TEN), gini(X), gini(TIED))
    show("spearman x tied", *spearman(X, TIED))
    show("spearman x tied .9", *spearman(X, TIED, 0.9))
    show("spearman flag x", *spearman(FLAG.astype(float), X))
    show("spearman y x", *spearman(*known(Y, X)))
    show("spearman handle score", *spearman(HANDLE, SCORE))
    show("kendall x tied", *kendall(X, TIED))
    show("kendall x tied .9", *kendall(X, TIED, 0.9))
    show("kendall flag x", *kendall(FLAG.astype(float), X))
    show("kendall y x", *kendall(*known(Y, X)))
    show("kendall handle score", *kendall(HANDLE, SCORE))
    show("kendall handle ranked (exact)", *kendall(HANDLE, RANKED))
    for method, of in [("pearson", pearson), ("spearman", spearman)]:
        columns = {"x": X, "y": Y, "tied": TIED, "flag": FLAG.astype(float)}
        names = list(columns)
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                show(f"{method} {a} {b}", *of(*known(columns[a], columns[b])))
    for team in range(1, 3):
        x, y = known(X[TEAM == team], Y[TEAM == team])
        show(f"pearson x y of team {team}", stats.pearsonr(x, y).statistic, len(x))
    many = np.arange(1, 500_001)
    show("kendall of half a million", round(stats.kendalltau(many, many * 7919 % 500_009).statistic, 6))
    show("pearson handle score .9", *pearson(HANDLE, SCORE, 0.9))
    show("mutual_information team flag", *mutual_information(TEAM, FLAG))
    show("mutual_information tied flag", *mutual_information(TIED, FLAG))
    show("correlation_ratio team tied", *correlation_ratio(TEAM, TIED))
    show("correlation_ratio flag x", *correlation_ratio(FLAG, X))
    show("weighted_mean x, x + 1e9", np.average(X, weights=WEIGHT), np.average(X + 1e9, weights=WEIGHT))
    for team in range(3):
        rows = TEAM == team
        show(f"weighted_mean tied of team {team}", np.average(TIED[rows], weights=WEIGHT[rows]))
    for p in [0, 0.1, 0.5, 0.9, 1]:
        quantiles = [np.quantile(x[WEIGHT > 0], p, weights=WEIGHT[WEIGHT > 0], method="inverted_cdf") for x in (X, TIED)]
        show(f"weighted_quantile {p} x, tied", *quantiles)
    show("histogram ten", *histogram(TEN))
    show("histogram tied 5", *histogram(TIED, 5))
    show("histogram x", *histogram(X))
    show("histogram flag", *histogram(FLAG.astype(float)))
