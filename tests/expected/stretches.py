"""Checks golden rows of reports on stretches of time against plain loops and pandas over the sample data, without cxql.

    pip install pandas==3.1.1 pyarrow==26.0.1
    python stretches.py ../../data

Reads tests/golden of occupancy_by_half_hour, contacts_at_once, churn_by_month and before_after and prints the largest
difference of each; ends with an error where one is above 1e-9. Run it again when the sample data or a report was made anew.
"""

import math
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd

from sample import contacts

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"
HALF = pd.Timedelta(minutes=30)
CONTACT = {"on_contact", "after_call", "wrap_up"}


def pieces(start: pd.Timestamp, end: pd.Timestamp):
    """The parts of a stretch, minute by the clock, each within one half hour."""
    while start < end:
        border = min(end, start.floor("30min") + HALF)
        yield start.floor("30min"), start, border
        start = border


def half_hour(at: pd.Timestamp) -> str:
    return f"{at.hour:02d}:{at.minute:02d}"


def compare(name: str, key: list[str], expected: dict, columns: list[str]) -> None:
    golden = pd.read_csv(GOLDEN / f"{name}.csv")
    worst = 0.0
    assert len(golden) == len(expected) or name == "occupancy_by_half_hour.2", f"{name}: {len(golden)} rows"
    for _, row in golden.iterrows():
        wanted = expected[tuple(row[column] for column in key) if len(key) > 1 else row[key[0]]]
        for column in columns:
            got = row[column]
            difference = abs(got - wanted[column]) / max(1.0, abs(wanted[column]))
            worst = max(worst, difference)
            assert difference < 1e-9, f"{name}: {row[key[0]]} {column}: {got}, expected {wanted[column]}"
    print(f"{name}: {len(golden)} rows, largest difference {worst:.1e}")


def occupancy(data: Path) -> None:
    states = pd.read_parquet(data / "agent_states.parquet")
    states = states[states.ended_at > states.started_at]
    by_agent = defaultdict(lambda: [0.0, 0.0, 0.0])
    for agent, state, start, end in zip(states.agent_id, states.state, states.started_at, states.ended_at):
        kind = 0 if state in CONTACT else 1 if state == "idle" else 2
        for at, begin, border in pieces(start, end):
            by_agent[agent, at][kind] += (border - begin).total_seconds()
    by_time = defaultdict(lambda: [0, 0.0, 0.0, 0.0])
    at_once = defaultdict(lambda: [set(), 0.0, 0.0])
    for (agent, at), seconds in by_agent.items():
        total = by_time[half_hour(at)]
        total[0] += 1
        for kind in range(3):
            total[kind + 1] += seconds[kind]
        one = at_once[at]
        one[0].add(agent)
        one[1] += seconds[0]
        one[2] += seconds[1]
    expected = {
        time: {
            "agent_half_hour_count": n, "contact_h": c / 3600, "idle_h": i / 3600, "other_h": o / 3600,
            "occupancy_ratio": c / (c + i), "contact_of_all_ratio": c / (c + i + o),
        }
        for time, (n, c, i, o) in by_time.items()
    }
    compare("occupancy_by_half_hour.1", ["half_hour"], expected, list(next(iter(expected.values()))))
    expected = {
        at.strftime("%Y-%m-%dT%H:%M:%SZ"): {
            "agent_count": len(agents), "agent_mean": (c + i) / 1800, "contact_h": c / 3600, "idle_h": i / 3600,
            "occupancy_ratio": c / (c + i) if c + i else math.nan,
        }
        for at, (agents, c, i) in at_once.items()
    }
    compare("occupancy_by_half_hour.2", ["half_hour_at"], expected, ["agent_count", "agent_mean", "contact_h", "idle_h"])
    busiest = sorted(expected.items(), key=lambda item: (-item[1]["contact_h"], item[0]))[:20]
    shown = list(pd.read_csv(GOLDEN / "occupancy_by_half_hour.2.csv").half_hour_at)
    assert [at for at, _ in busiest] == shown, "other half hours are the busiest"


def at_once(frame: pd.DataFrame) -> None:
    live = frame[frame.channel.isin(["phone", "chat"]) & (frame.ended_at > frame.started_at)]
    by_half_hour = defaultdict(list)
    for channel, start, end in zip(live.channel, live.started_at, live.ended_at):
        for at, begin, border in pieces(start, end):
            by_half_hour[channel, at].append((begin, border))
    total = defaultdict(lambda: [0, 0.0, 0])
    for (channel, at), stretches in by_half_hour.items():
        # at each start all others are counted: slow and plain
        most = max(sum(begin <= start < end for begin, end in stretches) for start, _ in stretches)
        one = total[channel, half_hour(at)]
        one[0] = max(one[0], most)
        one[1] += sum((end - begin).total_seconds() for begin, end in stretches)
        one[2] += len(stretches)
    # the sample data cover the 365 days of 2025
    expected = {
        key: {"most_at_once": most, "mean_at_once": seconds / 1800 / 365, "contact_count": count}
        for key, (most, seconds, count) in total.items()
    }
    compare("contacts_at_once", ["channel", "half_hour"], expected, ["most_at_once", "mean_at_once", "contact_count"])


def wilson(hits: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    middle, spread = hits + z * z / 2, z * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return (middle - spread) / (n + z * z), (middle + spread) / (n + z * z)


def churn(data: Path) -> None:
    customers = pd.read_parquet(data / "customers.parquet")
    expected = {}
    for month in range(1, 13):
        start = pd.Timestamp(2025, month, 1, tz="UTC")
        end = start + pd.DateOffset(months=1)
        active = left = 0
        for signed_up, churned in zip(customers.signed_up_at, customers.churned_at):
            if signed_up < start and (pd.isna(churned) or churned >= start):
                active += 1
                left += not pd.isna(churned) and churned < end
        low, high = wilson(left, active)
        expected[start.strftime("%Y-%m-%d")] = {
            "customer_count": active, "left_count": left, "churn_ratio": left / active,
            "churn_low_ratio": low, "churn_high_ratio": high,
        }
    compare("churn_by_month", ["month"], expected, list(next(iter(expected.values()))))


def before_after(frame: pd.DataFrame) -> None:
    changed = pd.Timestamp("2025-12-04", tz="UTC")
    window = pd.Timedelta(days=28)
    frame = frame[(frame.started_at >= changed - window) & (frame.started_at < changed + window)].copy()
    frame["is_after"] = frame.started_at >= changed
    known = frame.is_abandoned.notna()
    abandoned = frame.is_abandoned.fillna(False).astype(bool)
    figures = {
        "transfer rate": (frame.transfer_count > 0).where(frame.answered & frame.transfer_count.notna()),
        "abandonment rate": abandoned.where(frame.offered & known),
        "service level": ((frame.wait_s <= 20) & ~abandoned).where(
            frame.offered & known & (abandoned | frame.wait_s.notna())
        ),
        "average speed of answer": frame.wait_s.where(frame.offered & frame.answered),
        "average handle time": frame.handle_s,
        "logged as resolved": frame.is_resolved,
    }
    golden = pd.read_csv(GOLDEN / "before_after.csv").set_index("kpi")
    for kpi, values in figures.items():
        values = values.astype("Float64").dropna().astype(float)
        before, after = values[~frame.is_after[values.index]], values[frame.is_after[values.index]]
        wanted = {
            "before_value": before.mean(), "after_value": after.mean(), "difference": after.mean() - before.mean(),
            "before_count": len(before), "after_count": len(after),
        }
        if len(set(values)) == 2:
            (low_a, high_a), (low_b, high_b) = (wilson(int(part.sum()), len(part)) for part in (before, after))
            p_a, p_b = before.mean(), after.mean()
            wanted["difference_low"] = p_b - p_a - math.hypot(p_b - low_b, high_a - p_a)
            wanted["difference_high"] = p_b - p_a + math.hypot(high_b - p_b, p_a - low_a)
            pooled = values.mean()
            z = (p_b - p_a) / math.sqrt(pooled * (1 - pooled) * (1 / len(before) + 1 / len(after)))
            wanted["p_value"] = math.erfc(abs(z) / math.sqrt(2))
        for column, value in wanted.items():
            got = golden.loc[kpi, column]
            assert abs(got - value) < 1e-9 * max(1.0, abs(value)), f"before_after: {kpi} {column}: {got}, expected {value}"
    print(f"before_after: {len(figures)} figures agree")


def main() -> None:
    data = Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "data")
    frame = contacts(data)
    occupancy(data)
    at_once(frame)
    churn(data)
    before_after(frame)


if __name__ == "__main__":
    main()
