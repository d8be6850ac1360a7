"""Expected figures of the KPI overview, of churn after repeats and of relations over the sample data, computed without cxql.

    pip install pandas pyarrow scipy==1.17.1
    python sample.py ../../data

Writes sample_kpi.csv, sample_churn.csv and sample_relations.csv beside this script: the newest 28 days and the 28 days before
them, who left within 30 days of a repeat, and which figures go together, by plain loops, pandas and scipy. Run it again
when the sample data was made anew.
"""

import math
import re
import sys
from pathlib import Path

import pandas as pd
from scipy import stats

HERE = Path(__file__).parent
SYNONYMS = {
    "channel": {"live chat": "chat", "e mail": "email", "social media": "social"},
    "topic": {
        "tech support": "technical support", "return": "returns", "accounts": "account", "cancelation": "cancellation",
    },
}
WEEK = pd.Timedelta(days=7)
PERIOD = pd.Timedelta(days=28)
MONTH = pd.Timedelta(days=30)


def label(value: str | None, synonyms: dict[str, str]) -> str | None:
    if not isinstance(value, str):
        return None
    text = re.sub(r"[\s_-]+", " ", value).strip().lower()
    return synonyms.get(text, text)


def contacts(data: Path) -> pd.DataFrame:
    frame = pd.read_parquet(data / "interactions").drop_duplicates("interaction_id")
    for column, synonyms in SYNONYMS.items():
        frame[column] = [label(value, synonyms) for value in frame[column]]
    frame = frame[frame.started_at < pd.Timestamp("2030-01-01", tz="UTC")].copy()
    frame["wait_s"] = frame.wait_s.where(frame.wait_s >= 0)
    frame["ended_at"] = frame.ended_at.where(frame.ended_at >= frame.started_at)
    frame["answered"] = frame.is_abandoned.fillna(False).astype(bool).eq(False)
    frame["offered"] = frame.direction.eq("inbound") & frame.channel.isin(["phone", "chat"])
    parts = frame[["talk_s", "hold_s", "wrap_s"]].astype(float)
    frame["handle_s"] = parts.sum(axis=1).where(frame.answered & parts.notna().any(axis=1))
    return frame


def outcomes(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat and first-contact flags of each contact that can have them, contact by contact.

    Neither is known of a contact within a week of the first start in the data, and resolution only once a week has passed by
    the last one, whether or not the customer has come back already.
    """
    since, until = frame.started_at.min(), frame.started_at.max()
    able = frame[frame.answered & frame.direction.eq("inbound") & frame.customer_id.notna() & frame.topic.notna()]
    able = able.sort_values(["started_at", "interaction_id"])
    rows = {}
    for _, matter in able.groupby(["customer_id", "topic"]):
        times = list(matter.started_at)
        for at, key in enumerate(matter.index):
            earlier = any(times[at] - time <= WEEK for time in times[:at])
            later = any(time - times[at] <= WEEK for time in times[at + 1:])
            is_known = times[at] - since >= WEEK
            is_over = is_known and not earlier and until - times[at] >= WEEK
            rows[key] = (earlier if is_known else None, not later if is_over else None)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["repeat", "resolved"])


def figures(frame: pd.DataFrame, answers: pd.DataFrame, every: pd.DataFrame, end: pd.Timestamp) -> dict[str, float]:
    offered = frame[frame.offered]
    waited = offered[offered.wait_s.notna()]
    in_time = (waited.wait_s <= 20) & waited.answered
    nps, csat, ces = (
        answers[answers.kind.eq(kind) & answers.score.between(low, high)].score
        for kind, low, high in [("nps", 0, 10), ("csat", 1, 5), ("ces", 1, 7)]
    )
    over = every.is_abandoned.eq(True) | every.is_resolved.eq(True) | every[["talk_s", "hold_s", "wrap_s"]].notna().any(axis=1)
    closed_at = every.ended_at.fillna(every.started_at.where(over))
    return {
        "contacts": len(frame),
        "customers": frame.customer_id.nunique(),
        "first-contact resolution": frame.resolved.dropna().astype(float).mean(),
        "repeat rate": frame.repeat.dropna().astype(float).mean(),
        "logged as resolved": frame.is_resolved.dropna().astype(float).mean(),
        "transfer rate": (frame.transfer_count.dropna() > 0).mean(),
        "abandonment rate": offered.is_abandoned.dropna().astype(float).mean(),
        "service level": in_time.mean(),
        "average speed of answer": waited[waited.answered].wait_s.mean(),
        "average handle time": frame.handle_s.mean(),
        "net promoter score": 100 * ((nps >= 9).mean() - (nps <= 6).mean()),
        "customer satisfaction": (csat >= 4).mean(),
        "customer effort": ces.mean(),
        "open contacts": int(((every.started_at <= end) & ~(closed_at <= end)).sum()),
    }


def churn(frame: pd.DataFrame, left_at: pd.Series) -> pd.DataFrame:
    """Who left within a month of a contact before any repeat, of the first, .. and of the fourth repeat."""
    until = frame.started_at.max()
    counts = {number: [0, 0, 0] for number in range(5)}
    known = frame[frame.repeat.notna()].sort_values(["started_at", "interaction_id"])
    for customer, matter in known.groupby("customer_id"):
        if customer not in left_at.index:
            continue
        left, number, seen = left_at[customer], 0, set()
        for at, is_repeat in zip(matter.started_at, matter.repeat):
            if pd.notna(left) and at > left:
                continue
            number += bool(is_repeat)
            if number > 4 or number in seen:
                continue
            seen.add(number)
            counts[number][0] += 1
            if at + MONTH <= until:
                counts[number][1] += 1
                counts[number][2] += pd.notna(left) and left <= at + MONTH
    rows = [(number, *count, count[2] / count[1]) for number, count in counts.items()]
    return pd.DataFrame(rows, columns=["repeat_count", "customer_count", "known_count", "churned_count", "churn_ratio"])


def first_contacts(frame: pd.DataFrame, left_at: pd.Series) -> pd.DataFrame:
    """Of each customer the first contact whose resolution is known, and who left within a month after its 7 days."""
    until, rows = frame.started_at.max(), []
    known = frame[frame.resolved.notna()].sort_values(["started_at", "interaction_id"])
    for customer, matter in known.groupby("customer_id"):
        if customer not in left_at.index:
            continue
        left, known_at = left_at[customer], matter.started_at.iloc[0] + WEEK
        if known_at + MONTH <= until and not left <= known_at:
            rows.append((float(matter.resolved.iloc[0]), float(left <= known_at + MONTH)))
    return pd.DataFrame(rows, columns=["resolved", "churned"])


def relations(frame: pd.DataFrame, surveys: pd.DataFrame, left_at: pd.Series) -> pd.DataFrame:
    """Spearman's coefficients, their intervals by Bonett and Wright (2000), and p-values adjusted by Holm's steps."""
    scores = surveys[surveys.kind.eq("csat") & surveys.score.between(1, 5)]
    answers = scores.merge(frame[frame.answered], on="interaction_id")
    answers["resolved"] = answers.resolved.astype(float)
    first = first_contacts(frame, left_at)
    rows = []
    for relation, x, y in [
        ("handle time and CSAT score", answers.handle_s, answers.score),
        ("wait and CSAT score", answers.wait_s, answers.score),
        ("first-contact resolution and CSAT score", answers.resolved, answers.score),
        ("first-contact resolution and churn", first.resolved, first.churned),
    ]:
        both = x.notna() & y.notna()
        test, n = stats.spearmanr(x[both].astype(float), y[both].astype(float)), int(both.sum())
        margin = stats.norm.isf(0.025) * math.sqrt((1 + test.statistic**2 / 2) / (n - 3))
        low, high = (math.tanh(math.atanh(test.statistic) + side * margin) for side in (-1, 1))
        rows.append([relation, test.statistic, low, high, test.pvalue, n])
    table = pd.DataFrame(rows, columns=["relation", "estimate", "low", "high", "p_value", "known_count"])
    steps = table.p_value.sort_values()
    adjusted = [min(1.0, p * (len(steps) - at)) for at, p in enumerate(steps)]
    table["p_adjusted"] = pd.Series(pd.Series(adjusted).cummax().to_numpy(), index=steps.index)
    return table


def main(folder: str) -> None:
    data = Path(folder)
    every = contacts(data)
    until = every.started_at.max()
    every = every.join(outcomes(every))
    surveys = pd.read_parquet(data / "surveys.parquet").drop_duplicates("survey_id")

    def within(times: pd.Series, end: pd.Timestamp) -> pd.Series:
        return (times > end - PERIOD) & (times <= end)

    now, before = (
        figures(every[within(every.started_at, end)], surveys[within(surveys.responded_at, end)], every, end)
        for end in (until, until - PERIOD)
    )
    table = pd.DataFrame({"kpi": list(now), "value": list(now.values()), "previous_value": list(before.values())})
    left_at = pd.read_parquet(data / "customers.parquet").groupby("customer_id").churned_at.max()
    tables = [("kpi", table), ("churn", churn(every, left_at)), ("relations", relations(every, surveys, left_at))]
    for name, frame in tables:
        frame.to_csv(HERE / f"sample_{name}.csv", index=False, float_format="%.12g", lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1])
