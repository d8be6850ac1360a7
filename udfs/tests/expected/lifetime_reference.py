"""Expected values of the survival and lifetime functions, by lifelines, lifetimes and scipy.

    pip install lifelines==0.30.3 Lifetimes==0.11.3 scipy==1.17.1 numpy==2.4.6 pandas==2.2.3
    python lifetime_reference.py DIRECTORY      # ../shared/data/statistics

Prints the versions and the figures that udfs/tests/slt/{kaplan_meier,logrank_test,cox_fit,weibull_fit,survival_at,clv_fit,
spend_fit,clv}.slt expect, over values that the tests make with the same arithmetic, and over the published data. Weighted
log-rank tests are also computed from their definition. What R's survival 3 computes otherwise (the exact test of proportional
hazards, medians at one half) is not here: those values are R's published ones and say so in the tests.
"""

import sys
import warnings

import lifelines
import lifetimes
import numpy as np
import pandas as pd
import scipy
from lifelines import CoxPHFitter, KaplanMeierFitter, WeibullAFTFitter, WeibullFitter
from lifelines.statistics import multivariate_logrank_test
from lifelines.utils import concordance_index
from lifetimes import BetaGeoBetaBinomFitter, BetaGeoFitter, GammaGammaFitter, ModifiedBetaGeoFitter, ParetoNBDFitter
from scipy import optimize
from scipy.special import gammaln

warnings.filterwarnings("ignore")

# 400 customers, made as the tests make them
VALUE = np.arange(1, 401)
MADE = pd.DataFrame(
    {
        "duration": VALUE * 7919 % 101 // 2 + 1,
        "is_event": (VALUE * VALUE * 31 % 97 < 60).astype(int),
        "team": VALUE % 3,
        "x": (VALUE * 37 % 89) / 10,
        "y": (VALUE * VALUE * 17 % 71) / 10,
    }
)


def show(name, *values):
    print(name, *(f"{value:.12g}" if isinstance(value, (float, np.floating)) else value for value in values))


def survival():
    kmf = KaplanMeierFitter().fit(MADE.duration, MADE.is_event)
    for time in (1, 10, 25, 50):
        low, high = kmf.confidence_interval_.loc[time]
        show("kaplan_meier", time, float(kmf.predict(time)), low, high)
    for weights in (None, "wilcoxon", "tarone-ware", "peto"):
        test = multivariate_logrank_test(MADE.duration, MADE.team, MADE.is_event, weightings=weights)
        show("logrank_test", weights, test.test_statistic, test.p_value)
    test = multivariate_logrank_test(MADE.duration, MADE.team, MADE.is_event, weightings="fleming-harrington", p=1, q=0)
    show("logrank_test fleming-harrington", test.test_statistic, test.p_value)
    data = MADE.assign(team1=(MADE.team == 1) * 1, team2=(MADE.team == 2) * 1)
    cox = CoxPHFitter().fit(data[["duration", "is_event", "x", "y"]], "duration", "is_event")
    show("cox_fit", cox.log_likelihood_, *cox.params_, *cox.standard_errors_)
    risk = cox.predict_log_partial_hazard(data)
    show("concordance", concordance_index(MADE.duration, -risk, MADE.is_event))
    cox = CoxPHFitter().fit(data[["duration", "is_event", "x", "y", "team"]], "duration", "is_event", strata="team")
    show("cox_fit strata", cox.log_likelihood_, *cox.params_, *cox.standard_errors_)
    aft = WeibullAFTFitter().fit(data[["duration", "is_event", "x", "y"]], "duration", "is_event")
    show("weibull_fit", aft.log_likelihood_, *aft.params_, *aft.standard_errors_)
    one = WeibullFitter().fit(MADE.duration, MADE.is_event)
    show("weibull_fit alone", one.log_likelihood_, float(np.log(one.lambda_)), 1 / one.rho_)
    person = pd.DataFrame({"x": [2.0], "y": [5.0]})
    show("survival_at weibull", *(aft.predict_survival_function(person, [5, 20, 60])[0]))


def published(directory):
    rossi = pd.read_csv(f"{directory}/survival/rossi.csv")
    cox = CoxPHFitter().fit(rossi, "week", "arrest")
    show("rossi", cox.log_likelihood_, *cox.params_, *cox.standard_errors_)
    aft = WeibullAFTFitter().fit(rossi, "week", "arrest")
    show("rossi weibull", aft.log_likelihood_, *aft.params_, *aft.standard_errors_)
    cdnow = pd.read_csv(f"{directory}/btyd/cdnow_customers_summary_with_transactions.csv")
    for fitter in (BetaGeoFitter, ModifiedBetaGeoFitter, ParetoNBDFitter):
        model = fitter().fit(cdnow.x, cdnow.t_x, cdnow["T"])
        show(fitter.__name__, *model.params_.items(), *getattr(model, "standard_errors_", []))
        alive = model.conditional_probability_alive(2, 30.43, 38.86)
        show(" p_alive", *np.atleast_1d(alive).astype(float))
        show(" expected", float(model.conditional_expected_number_of_purchases_up_to_time(39, 2, 30.43, 38.86)))
    again = cdnow[cdnow.x > 0]
    spend = GammaGammaFitter().fit(again.x, again.zbar)
    show("GammaGamma", *spend.params_.items(), *spend.standard_errors_)
    orders = BetaGeoFitter().fit(cdnow.x, cdnow.t_x, cdnow["T"])
    value = spend.customer_lifetime_value(
        orders, pd.Series([2]), pd.Series([30.43]), pd.Series([38.86]), pd.Series([22.35]), time=12, discount_rate=0.01, freq="W"
    )
    show("clv", float(value.iloc[0]))


def orders():
    """Of models with given parameters: lifetimes' closed forms with hypergeometric functions, in double precision."""
    for fitter, parameters in (
        (BetaGeoFitter, {"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}),
        (ModifiedBetaGeoFitter, {"r": 0.25, "alpha": 4.0, "a": 0.8, "b": 2.5}),
        (ParetoNBDFitter, {"r": 0.5, "alpha": 10.0, "s": 0.6, "beta": 12.0}),
    ):
        model = fitter()
        model.params_ = pd.Series(parameters)
        model.predict = None
        for x, t_x, age, horizon in ((2, 30, 39, 26), (0, 0, 39, 26), (10, 20, 39, 100)):
            alive = float(np.atleast_1d(model.conditional_probability_alive(x, t_x, age))[0])
            future = float(model.conditional_expected_number_of_purchases_up_to_time(horizon, x, t_x, age))
            show(fitter.__name__, x, t_x, age, horizon, alive, future)


def periods(directory):
    """BG/BB of the donations, and of given parameters."""
    donations = pd.read_csv(f"{directory}/btyd/donations.csv")
    model = BetaGeoBetaBinomFitter()
    model.fit(donations.frequency, donations.recency, donations.periods, donations.weights)
    value = -model._negative_log_likelihood_ * donations.weights.sum()
    show("BetaGeoBetaBinom", *model.params_, *model.standard_errors_, value)
    model.params_ = pd.Series({"alpha": 1.2, "beta": 0.75, "gamma": 0.66, "delta": 2.8})
    model.predict = None
    for x, t_x, n in ((6, 6, 6), (2, 4, 6), (0, 0, 6)):
        history = [pd.Series([x]), pd.Series([t_x]), pd.Series([n])]
        alive = float(np.atleast_1d(model.conditional_probability_alive(1, *history))[0])
        future = model.conditional_expected_number_of_purchases_up_to_time(5, *history)
        show("BetaGeoBetaBinom", x, t_x, n, 5, alive, float(np.atleast_1d(future)[0]))


def made():
    """200 customers, made as the tests make them."""
    value = np.arange(1, 201)
    frequency = np.array([0, 0, 0, 1, 1, 2, 3, 5, 8, 14])[value % 10]
    recency = np.where(frequency == 0, 0, np.where(frequency < 3, value * 7 % 23 + 2, 30 + value % 9))
    for fitter in (BetaGeoFitter, ModifiedBetaGeoFitter):
        model = fitter().fit(frequency, recency, np.full(200, 40))
        show(fitter.__name__, *model.params_, *model.standard_errors_, -200 * model._negative_log_likelihood_)
    x, mean = frequency[frequency > 0], (20 + value * 37 % 61)[frequency > 0]

    def minus_log_likelihood(logs):
        """Of the gamma-gamma model: lifetimes' optimizer gives up on these."""
        p, q, v = np.exp(logs)
        terms = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v) + (p * x - 1) * np.log(mean)
        return -np.sum(terms + p * x * np.log(x) - (p * x + q) * np.log(x * mean + v))

    fit = optimize.minimize(minus_log_likelihood, np.log([6, 4, 50]), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 10000})
    show("GammaGamma made", *np.exp(fit.x), -fit.fun)


def main():
    print("lifelines", lifelines.__version__, "lifetimes", lifetimes.__version__, "scipy", scipy.__version__)
    survival()
    published(sys.argv[1])
    orders()
    periods(sys.argv[1])
    made()


if __name__ == "__main__":
    main()
