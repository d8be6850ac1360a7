"""Expected values of fcr_survival and fcr_survival_error, by lifelines.

    pip install lifelines pandas
    python survival_reference.py

Prints the rows that udfs/tests/slt/fcr_survival.slt expects: Kaplan-Meier estimate and Greenwood's standard error at each
window, over the contacts that the test makes with the same arithmetic.
"""

import pandas as pd
from lifelines import KaplanMeierFitter

DAY = 86400
UNTIL = 90 * DAY


def contacts() -> pd.DataFrame:
    rows = []
    for number in range(1, 601):
        at = number * 7919 % 1440 * 5400
        gap = number * number * 104729 % 1009 * 3600
        next_at = None if number % 3 == 0 else at + gap
        rows.append((number, number % 4, at, next_at))
    return pd.DataFrame(rows, columns=["id", "topic", "at", "next_at"])


def estimate(frame: pd.DataFrame, days: int) -> tuple[float, float]:
    is_seen = frame.next_at <= UNTIL
    followed = frame.next_at.where(is_seen, UNTIL) - frame["at"]
    fitter = KaplanMeierFitter().fit(followed, is_seen)
    share = float(fitter.predict(days * DAY))
    # lifelines keeps the sum of d / (n (n - d)) per time.
    return share, share * float(fitter._cumulative_sq_.loc[: days * DAY].iloc[-1]) ** 0.5


frame = contacts()
for days in (1, 7, 14, 30):
    print(days, *(f"{figure:.9f}" for figure in estimate(frame, days)))
for topic, part in frame.groupby("topic"):
    print(topic, len(part), *(f"{figure:.9f}" for figure in estimate(part, 14)))
