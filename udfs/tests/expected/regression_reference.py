"""Expected values of the fits and of what they predict, by statsmodels, scikit-learn and scipy.

    pip install numpy==2.4.6 scipy==1.17.1 statsmodels==0.15.0 scikit-learn==1.9.1
    python regression_reference.py [FOLDER]

Prints the figures that udfs/tests/slt/*.slt and the unit tests expect, over values that the tests make with the same
arithmetic, and first the versions. With the folder of the real data sets also those of the churn of telco_churn. DeLong's
variance is computed from its definition over all pairs.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import scipy
import sklearn
import statsmodels
import statsmodels.api as sm
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, silhouette_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.outliers_influence import variance_inflation_factor

# J. W. Longley 1967, as NIST's StRD has it: y, deflator, gnp, unemployed, armed forces, population, year
LONGLEY = np.array(
    [
        [60323, 83.0, 234289, 2356, 1590, 107608, 1947],
        [61122, 88.5, 259426, 2325, 1456, 108632, 1948],
        [60171, 88.2, 258054, 3682, 1616, 109773, 1949],
        [61187, 89.5, 284599, 3351, 1650, 110929, 1950],
        [63221, 96.2, 328975, 2099, 3099, 112075, 1951],
        [63639, 98.1, 346999, 1932, 3594, 113270, 1952],
        [64989, 99.0, 365385, 1870, 3547, 115094, 1953],
        [63761, 100.0, 363112, 3578, 3350, 116219, 1954],
        [66019, 101.2, 397469, 2904, 3048, 117388, 1955],
        [67857, 104.6, 419180, 2822, 2857, 118734, 1956],
        [68169, 108.4, 442769, 2936, 2798, 120445, 1957],
        [66513, 110.8, 444546, 4681, 2637, 121950, 1958],
        [68655, 112.6, 482704, 3813, 2552, 123366, 1959],
        [69564, 114.2, 502601, 3931, 2514, 125368, 1960],
        [69331, 115.7, 518173, 4806, 2572, 127852, 1961],
        [70551, 116.9, 554894, 4007, 2827, 130081, 1962],
    ]
)

# As the table `observations` of the tests.
NUMBER = np.arange(1, 401)
X = (NUMBER * 7919 % 1009) / 100.0
Z = (NUMBER * 104729 % 787) / 50.0
IS_VIP = NUMBER * 31 % 7 < 3
SEGMENT = np.array(["basic", "gold", "silver", "basic"])[NUMBER * 17 % 4]
WEIGHT = 1 + NUMBER % 5
NOISE = (NUMBER * NUMBER * 31 % 997) / 997.0
Y = 3 + 0.5 * X - 0.25 * Z + 2 * (SEGMENT == "gold") + 6 * NOISE * (1 + X / 10)
FLAG = NOISE < 1 / (1 + np.exp(-(-2 + 0.4 * X - 0.1 * Z + 0.8 * IS_VIP - 0.5 * (SEGMENT == "silver"))))
COUNT = np.floor(6 * NOISE * np.exp(0.1 * X - 0.02 * Z + 0.3 * IS_VIP))


def design():
    """Intercept, x, z, is_vip, segment=gold, segment=silver."""
    return np.column_stack([np.ones(len(X)), X, Z, IS_VIP, SEGMENT == "gold", SEGMENT == "silver"]).astype(float)


def show(name, *values):
    print(f"{name}: {' '.join(f'{float(value):.12g}' for value in np.hstack([np.ravel(value) for value in values]))}")


def show_terms(name, fit, level=0.05):
    for index, row in enumerate(np.column_stack([fit.params, fit.bse, fit.tvalues, fit.pvalues, fit.conf_int(level)])):
        show(f"{name} term {index}", row)


def linear(name, y, x, **options):
    fit = (sm.WLS if "weights" in options else sm.OLS)(y, x, **options).fit()
    show(f"{name}: r_squared adjusted sigma f f_p df", fit.rsquared, fit.rsquared_adj, fit.mse_resid**0.5, fit.fvalue, fit.f_pvalue, fit.df_resid)
    show_terms(name, fit)
    robust = fit.get_robustcov_results("HC1", use_t=True)
    show(f"{name} hc1: f f_p", robust.fvalue, robust.f_pvalue)
    show_terms(f"{name} hc1", robust)


def vif(name, x):
    show(f"{name} vif", [variance_inflation_factor(x, index) for index in range(1, x.shape[1])])


def generalized(name, y, x, family):
    fit = sm.GLM(y.astype(float), x, family=family).fit(tol=1e-14, maxiter=100)
    show(f"{name}: ll ll_null deviance pearson", fit.llf, fit.llnull, fit.deviance, fit.pearson_chi2)
    df = x.shape[1] - 1
    ratio = 2 * (fit.llf - fit.llnull)
    show(f"{name}: mcfadden chi_square p aic", 1 - fit.llf / fit.llnull, ratio, stats.chi2.sf(ratio, df), fit.aic)
    show_terms(name, fit)
    return fit


def ridge(name, y, x, strength):
    fit = LogisticRegression(C=1 / strength, tol=1e-14, max_iter=100000, solver="newton-cg").fit(x[:, 1:], y)
    show(f"{name} ridge {strength}", fit.intercept_, fit.coef_)


def delong(score, flag, level=0.95):
    """E. R. DeLong, D. M. DeLong and D. L. Clarke-Pearson 1988: the variance from the kernel over all pairs."""
    positive, negative = score[flag], score[~flag]
    kernel = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    auc = kernel.mean()
    error = (kernel.mean(axis=1).var(ddof=1) / len(positive) + kernel.mean(axis=0).var(ddof=1) / len(negative)) ** 0.5
    margin = stats.norm.isf((1 - level) / 2) * error
    assert abs(auc - roc_auc_score(flag, score)) < 1e-12
    return auc, error, max(0, auc - margin), min(1, auc + margin)


def kmeans(name, x, k):
    scaled = StandardScaler().fit_transform(x)
    fit = KMeans(k, n_init=50, tol=0, random_state=1).fit(scaled)
    sizes = np.bincount(fit.labels_)
    order = np.argsort(-sizes)
    show(f"{name} inertia sizes", fit.inertia_, sizes[order])
    show(f"{name} silhouette", silhouette_score(scaled, fit.labels_))
    for cluster in order:
        show(f"{name} centroid", x[fit.labels_ == cluster].mean(axis=0))


def blobs():
    """As the table `blobs` of the tests."""
    number = np.arange(1, 301)
    group = np.where(number % 6 < 3, 0, np.where(number % 6 < 5, 1, 2))
    a = np.array([0.0, 5.0, 9.0])[group] + (number * 7919 % 101) / 50
    b = np.array([100.0, 400.0, 0.0])[group] + (number * 104729 % 97) * 1.5
    return np.column_stack([a, b])


def clouds():
    """As the table `clouds` of the tests."""
    number = np.arange(600)
    u, v, group = (number * 7919 % 101) / 50 - 1, (number * 104729 % 97) / 48 - 1, number % 6
    a = np.where(group < 3, u, np.where(group < 5, 4 + u, 2 + 0.4 * u))
    b = np.where(group < 3, u + 0.2 * v, np.where(group < 5, -u + 0.3 * v, 5 + 0.4 * v))
    return np.column_stack([a, b])


def mixture(name, x, is_standardised):
    """In the units of the features."""
    scale, middle = (x.std(axis=0), x.mean(axis=0)) if is_standardised else (np.ones(2), np.zeros(2))
    scaled = (x - middle) / scale
    fit = GaussianMixture(3, n_init=20, tol=1e-13, max_iter=10000, random_state=1).fit(scaled)
    logs = np.log(scale).sum()
    show(f"{name} log likelihood aic bic", len(x) * (fit.score(scaled) - logs), fit.aic(scaled) + 2 * len(x) * logs, fit.bic(scaled) + 2 * len(x) * logs)
    for index in np.argsort(-fit.weights_):
        covariance = fit.covariances_[index] * np.outer(scale, scale)
        show(f"{name} component", fit.weights_[index], fit.means_[index] * scale + middle, covariance)


def telco(folder):
    with open(Path(folder) / "telco_churn" / "Telco-Customer-Churn.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["TotalCharges"].strip()]
    flag = np.array([row["Churn"] == "Yes" for row in rows])
    contract = np.array([row["Contract"] for row in rows])
    columns = [
        np.ones(len(rows)),
        [float(row["tenure"]) for row in rows],
        [float(row["MonthlyCharges"]) for row in rows],
        [float(row["SeniorCitizen"]) for row in rows],
        contract == "One year",
        contract == "Two year",
    ]
    x = np.column_stack(columns).astype(float)
    fit = generalized("telco", flag, x, sm.families.Binomial())
    show("telco auc", delong(fit.fittedvalues, flag))


def main():
    print(
        f"numpy {np.__version__}, scipy {scipy.__version__}, statsmodels {statsmodels.__version__}, "
        f"scikit-learn {sklearn.__version__}"
    )
    longley = sm.add_constant(LONGLEY[:, 1:])
    linear("longley", LONGLEY[:, 0], longley)
    vif("longley", longley)
    x = design()
    linear("observations", Y, x)
    linear("weighted", Y, x, weights=WEIGHT)
    vif("observations", x)
    fit = generalized("logistic", FLAG, x, sm.families.Binomial())
    show("logistic predictions", fit.fittedvalues[:3])
    ridge("logistic", FLAG, x, 5.0)
    show("auc", delong(fit.fittedvalues, FLAG))
    show("auc .9", delong(fit.fittedvalues, FLAG, 0.9))
    tied = np.floor(10 * fit.fittedvalues)
    show("auc tied", delong(tied, FLAG))
    fit = generalized("poisson", COUNT, x, sm.families.Poisson())
    show("poisson predictions", fit.fittedvalues[:3])
    kmeans("blobs 3", blobs(), 3)
    kmeans("observations 4", np.column_stack([X, Z]), 4)
    mixture("clouds", clouds(), False)
    mixture("clouds standardised", clouds(), True)
    if len(sys.argv) > 1:
        telco(sys.argv[1])


if __name__ == "__main__":
    main()
