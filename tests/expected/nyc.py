"""Expected figures of the New York council cases, computed without cxql.

    pip install pandas
    python nyc.py ../shared/data/nyc_constituent_services/nycomplaints.csv.gz

Writes nyc_*.csv beside this script: cases opened by month and by borough, and the backlog at the end of each month, counted
there from the cases themselves (opened by then and not closed by then), not as a running sum.
"""

import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent


def cases(path: str) -> pd.DataFrame:
    raw = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert len(raw) == 341_299
    # of the 105 keys that occur twice keep the row with a borough
    raw["has_place"] = raw.borough != ""
    frame = raw.sort_values("has_place", kind="stable").drop_duplicates("unique_key", keep="last")
    assert len(frame) == 341_194
    opened = pd.to_datetime(frame.opendate, format="%Y-%m-%d")
    closed = pd.to_datetime(frame.closedate.replace("", None), format="%Y-%m-%d")
    return frame.assign(opened=opened, closed=closed)


def write(frame: pd.DataFrame, name: str) -> None:
    frame.to_csv(HERE / f"nyc_{name}.csv", index=False, float_format="%.12g", lineterminator="\n")


def main(path: str) -> None:
    data = cases(path)
    data["month"] = data.opened.dt.strftime("%Y-%m-01")
    write(data.groupby("month").size().reset_index(name="case_count"), "volume_by_month")
    boroughs = data.assign(borough=data.borough.replace("", None))
    boroughs = boroughs.groupby(["month", "borough"], dropna=False).size().reset_index(name="case_count")
    recent = boroughs[boroughs.month >= "2023-01-01"]
    write(recent, "volume_by_borough")

    months = pd.date_range(data.opened.min().replace(day=1), data.opened.max(), freq="MS")
    rows = []
    for month in months:
        after = month + pd.offsets.MonthBegin(1)
        begun = data.opened < after
        rows.append({
            "period": month.strftime("%Y-%m-%d"),
            "opened_count": int(((data.opened >= month) & begun).sum()),
            "closed_count": int(((data.closed >= month) & (data.closed < after)).sum()),
            "open_count": int((begun & ~(data.closed < after)).sum()),
        })
    write(pd.DataFrame(rows), "backlog")

    days = (data.closed - data.opened).dt.days
    kinds = data.assign(days=days, topic=data.complaint_type.str.strip().str.lower().replace("", None))
    times = kinds.groupby("topic").agg(
        case_count=("opened", "size"), closed_count=("days", "count"), mean_days=("days", "mean"),
        median_days=("days", "median"),
    ).reset_index().rename(columns={"topic": "complaint_type"})
    times = times.sort_values(["case_count", "complaint_type"], ascending=[False, True]).head(10)
    write(times, "resolution_time")


if __name__ == "__main__":
    main(sys.argv[1])
