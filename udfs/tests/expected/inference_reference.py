"""Expected values of the intervals, tests and effect sizes, by scipy, statsmodels and numpy.

    pip install scipy==1.17.1 statsmodels==0.15.0 numpy==2.4.6
    python inference_reference.py

Prints the figures that udfs/tests/slt/*.slt expects, over values that the tests make with the same arithmetic, and first
the versions. What no library has is computed from its definition over all pairs or by root finding, and says so.
"""

import math

import numpy as np
import scipy
import statsmodels
from scipy import stats
from scipy.optimize import brentq
from scipy.special import betaln
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

NUMBER = np.arange(1, 601)
TEAM = NUMBER % 3
X = (NUMBER * 7919 % 1009 + 37 * TEAM).astype(float)
TIED = (NUMBER * 7919 % 23 + TEAM).astype(float)
FLAG = NUMBER * NUMBER * 31 % 97 < 40 + 8 * TEAM
SLEEP = np.array(
    [[0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0], [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]]
)
# plant weights of R's PlantGrowth: control, treatment 1, treatment 2
PLANTS = np.array(
    [
        [4.17, 5.58, 5.18, 6.11, 4.50, 4.61, 5.17, 4.53, 5.33, 5.14],
        [4.81, 4.17, 4.41, 3.59, 5.87, 3.83, 6.03, 4.89, 4.32, 4.69],
        [6.31, 5.12, 5.54, 5.50, 5.37, 5.29, 4.92, 6.15, 5.80, 5.26],
    ]
)


def table(a, b):
    """Counts by two labels."""
    rows, columns = np.unique(a), np.unique(b)
    return np.array([[np.sum((a == r) & (b == c)) for c in columns] for r in rows])


def mean_ci(x, level=0.95):
    low, high = stats.t.interval(level, len(x) - 1, x.mean(), stats.sem(x))
    return x.mean(), low, high


def median_ci(x, level=0.95):
    bounds = stats.quantile_test(x, q=np.median(x), p=0.5).confidence_interval(level)
    return np.median(x), bounds.low, bounds.high


def nps_ci(promoters, detractors, n, level=0.95):
    """From the formula of shared/definitions.md, over the answers one by one."""
    answers = np.array([100.0] * promoters + [0.0] * (n - promoters - detractors) + [-100.0] * detractors)
    margin = stats.norm.isf((1 - level) / 2) * answers.std() / math.sqrt(n)
    return answers.mean(), answers.mean() - margin, answers.mean() + margin


def newcombe(hits_b, n_b, hits_a, n_a, level=0.95):
    return confint_proportions_2indep(hits_b, n_b, hits_a, n_a, method="newcomb", compare="diff", alpha=1 - level)


def welch(b, a, level=0.95):
    test = stats.ttest_ind(b, a, equal_var=False)
    bounds = test.confidence_interval(level)
    return test.statistic, test.df, test.pvalue, b.mean() - a.mean(), bounds.low, bounds.high


def mann_whitney(b, a, level=0.95):
    """p by scipy; Hodges and Lehmann's difference and its bounds from all pairs."""
    is_exact = len(np.unique(np.r_[a, b])) == len(a) + len(b) and max(len(a), len(b)) < 50
    test = stats.mannwhitneyu(b, a, method="exact" if is_exact else "asymptotic")
    pairs = np.sort((b[:, None] - a[None, :]).ravel())
    n = len(pairs)
    if is_exact:
        rank = next(u for u, tail in enumerate(exact_tails(len(a), len(b))) if tail > (1 - level) / 2)
    else:
        z = stats.norm.isf((1 - level) / 2)
        rank = math.floor(n / 2 - z * math.sqrt(n * (len(a) + len(b) + 1) / 12))
    return test.statistic, test.pvalue, test.statistic / n, np.median(pairs), pairs[rank - 1], pairs[n - rank]


def exact_tails(m, n):
    """P(U <= u) by the recurrence of Mann and Whitney."""
    counts = {}

    def count(u, m, n):
        if u < 0:
            return 0
        if m == 0 or n == 0:
            return int(u == 0)
        if (u, m, n) not in counts:
            counts[u, m, n] = count(u - n, m - 1, n) + count(u, m, n - 1)
        return counts[u, m, n]

    total = math.comb(m + n, m)
    return np.cumsum([count(u, m, n) / total for u in range(m * n + 1)])


def cliffs_delta(b, a, level=0.95):
    """From the definitions of Cliff (1993) and Feng and Cliff (2004), over all pairs."""
    dominance = np.sign(b[:, None] - a[None, :])
    d, n_b, n_a = dominance.mean(), len(b), len(a)
    rows_b = ((dominance.mean(axis=1) - d) ** 2).sum()
    rows_a = ((dominance.mean(axis=0) - d) ** 2).sum()
    pairs = ((dominance - d) ** 2).sum()
    variance = (n_a**2 * rows_b + n_b**2 * rows_a - pairs) / (n_a * n_b * (n_a - 1) * (n_b - 1))
    z = stats.norm.isf((1 - level) / 2)
    spread = z * math.sqrt(variance) * math.sqrt((1 - d * d) ** 2 + z * z * variance)
    scale = 1 - d * d + z * z * variance
    return d, (d - d**3 - spread) / scale, (d - d**3 + spread) / scale


def cohens_h(hits_b, n_b, hits_a, n_a):
    h = 2 * math.asin(math.sqrt(hits_b / n_b)) - 2 * math.asin(math.sqrt(hits_a / n_a))
    margin = stats.norm.isf(0.025) * math.sqrt(1 / n_a + 1 / n_b)
    return h, h - margin, h + margin


def cohens_d(b, a):
    n_a, n_b = len(a), len(b)
    pooled = math.sqrt(((n_a - 1) * a.var(ddof=1) + (n_b - 1) * b.var(ddof=1)) / (n_a + n_b - 2))
    d = (b.mean() - a.mean()) / pooled
    margin = stats.norm.isf(0.025) * math.sqrt((n_a + n_b) / (n_a * n_b) + d * d / (2 * (n_a + n_b)))
    return d, d - margin, d + margin


def chi_square(counts):
    test = stats.chi2_contingency(counts, correction=False)
    return test.statistic, test.dof, test.pvalue, stats.contingency.association(counts, method="cramer")


def fisher(counts, level=0.95):
    odds = stats.contingency.odds_ratio(counts, kind="conditional")
    bounds = odds.confidence_interval(level)
    return stats.fisher_exact(counts).pvalue, odds.statistic, bounds.low, bounds.high


def anova(groups):
    test = stats.f_oneway(*groups)
    every = np.concatenate(groups)
    between = sum(len(g) * (g.mean() - every.mean()) ** 2 for g in groups)
    total = ((every - every.mean()) ** 2).sum()
    return test.statistic, test.pvalue, between / total


def kruskal(groups):
    test = stats.kruskal(*groups)
    return test.statistic, test.pvalue, test.statistic / (sum(map(len, groups)) - 1)


def paired(before, after):
    test = stats.ttest_rel(after, before)
    bounds = test.confidence_interval(0.95)
    return test.statistic, test.df, test.pvalue, (after - before).mean(), bounds.low, bounds.high


def always_valid_share(hits, n, alpha=0.05):
    """The uniform mixture of likelihood ratios, B(hits + 1, misses + 1) / (p^hits (1 - p)^misses) < 1 / alpha."""

    def excess(p):
        logs = (hits * math.log(p) if hits else 0) + ((n - hits) * math.log1p(-p) if hits < n else 0)
        return betaln(hits + 1, n - hits + 1) - logs - math.log(1 / alpha)

    low = brentq(excess, 1e-15, hits / n, xtol=1e-15, rtol=1e-14) if hits else 0.0
    high = brentq(excess, hits / n, 1 - 1e-15, xtol=1e-15, rtol=1e-14) if hits < n else 1.0
    return hits / n, low, high


def always_valid_mean(x, alpha=0.05):
    """Waudby-Smith and others (2024), theorem 2.2 and the choice of rho for 500 values."""
    n = len(x)
    rho = math.sqrt((-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / 500)
    scaled = n * rho**2 + 1
    margin = x.std(ddof=1) * math.sqrt(2 * scaled / (n * rho) ** 2 * math.log(math.sqrt(scaled) / alpha))
    return x.mean(), x.mean() - margin, x.mean() + margin


def figures():
    """Every figure by its name."""
    hits = [int(FLAG[TEAM == team].sum()) for team in range(3)]
    sizes = [int((TEAM == team).sum()) for team in range(3)]
    of_team = [X[TEAM == team] for team in range(3)]
    tied = [TIED[TEAM == team] for team in range(3)]
    shares = {"golden": (81, 263), "few": (3, 7), "all": (7, 7), "flags": (int(FLAG.sum()), 600)}
    result = {}
    for name, (k, n) in shares.items():
        result[f"wilson {name}"] = proportion_confint(k, n, method="wilson")
        result[f"clopper_pearson {name}"] = proportion_confint(k, n, method="beta")
        result[f"jeffreys {name}"] = proportion_confint(k, n, method="jeffreys")
    result["wilson few .9"] = proportion_confint(3, 7, alpha=0.1, method="wilson")
    for team in range(3):
        result[f"wilson team {team}"] = proportion_confint(hits[team], sizes[team], method="wilson")
        result[f"mean team {team}"] = mean_ci(of_team[team])
        result[f"median team {team}"] = median_ci(of_team[team])
    result["mean of sleep"] = mean_ci(SLEEP[0])
    result["mean of sleep .99"] = mean_ci(SLEEP[0], 0.99)
    result["median of sleep"] = median_ci(SLEEP[0])
    result["median of sleep .8"] = median_ci(SLEEP[0], 0.8)
    result["nps 5 2 10"] = nps_ci(5, 2, 10)
    result["nps 5 2 10 .9"] = nps_ci(5, 2, 10, 0.9)
    z, p = proportions_ztest([hits[1], hits[0]], [sizes[1], sizes[0]])
    result["proportion_test 1 - 0"] = (z, p, hits[1] / sizes[1] - hits[0] / sizes[0], *newcombe(hits[1], sizes[1], hits[0], sizes[0]))
    z, p = proportions_ztest([56, 48], [70, 80])
    result["proportion_test 56/70 - 48/80"] = (z, p, 56 / 70 - 48 / 80, *newcombe(56, 70, 48, 80))
    result["welch sleep"] = welch(SLEEP[1], SLEEP[0])
    result["welch sleep .9"] = welch(SLEEP[1], SLEEP[0], 0.9)
    result["welch 1 - 0"] = welch(of_team[1], of_team[0])
    result["mann_whitney plants"] = mann_whitney(PLANTS[2][:8], PLANTS[1][:7])
    result["mann_whitney 1 - 0"] = mann_whitney(of_team[1], of_team[0])
    result["mann_whitney tied 1 - 0"] = mann_whitney(tied[1], tied[0])
    result["cliffs_delta sleep"] = cliffs_delta(SLEEP[1], SLEEP[0])
    result["cliffs_delta tied 1 - 0"] = cliffs_delta(tied[1], tied[0])
    result["cohens_h 1 - 0"] = cohens_h(hits[1], sizes[1], hits[0], sizes[0])
    result["cohens_d sleep"] = cohens_d(SLEEP[1], SLEEP[0])
    result["cohens_d 1 - 0"] = cohens_d(of_team[1], of_team[0])
    result["chi_square team flag"] = chi_square(table(TEAM, FLAG))
    result["chi_square 5 x 7"] = chi_square(table(NUMBER * NUMBER % 11, NUMBER * 31 % 97 % 7))
    result["chi_square small"] = chi_square(np.array([[3, 1], [1, 3]]))
    result["fisher tea"] = fisher(np.array([[3, 1], [1, 3]]))
    result["fisher tea .9"] = fisher(np.array([[3, 1], [1, 3]]), 0.9)
    result["fisher team flag"] = fisher(table(FLAG[TEAM < 2], TEAM[TEAM < 2]))
    result["anova plants"] = anova(list(PLANTS))
    result["anova team"] = anova(of_team)
    result["kruskal plants"] = kruskal(list(PLANTS))
    result["kruskal tied"] = kruskal(tied)
    result["paired sleep"] = paired(SLEEP[0], SLEEP[1])
    result["always_valid 150/200"] = always_valid_share(150, 200)
    result["always_valid flags"] = always_valid_share(int(FLAG.sum()), 600)
    result["always_valid 0/20"] = always_valid_share(0, 20)
    result["always_valid 20/20 .99"] = always_valid_share(20, 20, 0.01)
    result["always_valid x"] = always_valid_mean(X)
    p_values = [0.01, 0.04, 0.03, 0.005, 0.55, 0.04, 1.0]
    for method in ("holm", "fdr_bh", "bonferroni"):
        result[f"p_adjust {method}"] = multipletests(p_values, method=method)[1]
    result["sample_size means .5"] = (TTestIndPower().solve_power(0.5, power=0.8, alpha=0.05),)
    result["sample_size means .125 .9"] = (TTestIndPower().solve_power(0.125, power=0.9, alpha=0.01),)
    return result


if __name__ == "__main__":
    print(f"scipy {scipy.__version__}, statsmodels {statsmodels.__version__}, numpy {np.__version__}")
    for name, values in figures().items():
        print(f"{name}: {' '.join(f'{float(value):.12g}' for value in values)}")
