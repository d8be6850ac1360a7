"""Expected figures of the ServiceNow incident log, computed without cxql.

    pip install duckdb lifelines pandas
    python servicenow.py ../shared/data/servicenow_incidents/incident_event_log.zip

Writes servicenow_*.csv beside this script. First contacts and repeats come from self-joins in DuckDB, which find them in
another way than window functions do; outliers, means and medians come from pandas, Kaplan-Meier estimates from lifelines.
The definitions are those of the project: last event per incident, first contact per caller and category, a gap equal to the
window is within it, incidents of the same minute in the order of their numbers. Nothing is known of incidents less than the
window after the oldest opening; resolution is known once the window has elapsed by the newest opening, not before.
Incidents without a caller or a category take no part.
"""

import sys
import zipfile
from pathlib import Path

import duckdb
import pandas as pd
from lifelines import KaplanMeierFitter

HERE = Path(__file__).parent
WINDOWS = [1, 3, 7, 14, 30]


def incidents(path: str) -> pd.DataFrame:
    with zipfile.ZipFile(path) as archive, archive.open("incident_event_log.csv") as file:
        events = pd.read_csv(file, dtype=str, keep_default_na=False).replace("?", None)
    events = events[events.incident_state != "-100"].copy()
    for column in ["opened_at", "resolved_at", "closed_at", "sys_updated_at"]:
        events[column] = pd.to_datetime(events[column], format="%d/%m/%Y %H:%M")
    for column in ["sys_mod_count", "reassignment_count", "reopen_count"]:
        events[column] = events[column].astype(int)
    events = events.sort_values(["number", "sys_mod_count", "sys_updated_at"])
    last = events.drop_duplicates("number", keep="last").reset_index(drop=True)
    assert len(last) == 24918
    return last[
        ["number", "caller_id", "category", "assignment_group", "priority", "opened_at", "resolved_at", "closed_at",
         "reassignment_count", "reopen_count", "made_sla"]
    ]


PAIRS = """
    -- every two incidents of one caller and category, the earlier one first
    create or replace temp table pairs as
    select a.number as earlier, b.number as later, b.opened_at - a.opened_at as gap
    from incidents a join incidents b
      on a.caller_id = b.caller_id
     and a.category = b.category
     and (a.opened_at < b.opened_at or (a.opened_at = b.opened_at and a.number < b.number))
"""

OUTCOMES = """
    create or replace temp table outcomes as
    with ends as (select min(opened_at) as since, max(opened_at) as until from incidents),
    repeats as (select distinct later as number from pairs where gap <= interval '{days} days'),
    followed as (select distinct earlier as number from pairs where gap <= interval '{days} days'),
    gaps as (select earlier as number, min(gap) as gap from pairs group by earlier)
    select
        number, caller_id, category,
        case when opened_at >= since + interval '{days} days' then number in (from repeats) end as is_repeat,
        case
            when opened_at < since + interval '{days} days' then null
            when number in (from repeats) then null
            when opened_at + interval '{days} days' > until then null
            else number not in (from followed)
        end as is_resolved,
        epoch(coalesce(gap, until - opened_at)) as followed_s,
        gap is not null as is_followed
    from incidents left join gaps using (number) cross join ends
    where caller_id is not null and category is not null
"""

FIGURES = """
    count(*) as contact_count,
    count(*) filter (where is_repeat is null) as early_count,
    count(*) filter (where not is_repeat) as first_contact_count,
    count(*) filter (where not is_repeat and is_resolved is null) as unknown_count,
    count(is_resolved) as known_count,
    count(*) filter (where is_resolved) as resolved_count,
    count(*) filter (where is_resolved) / nullif(count(is_resolved), 0) as fcr_ratio,
    count(*) filter (where is_repeat) / nullif(count(is_repeat), 0) as repeat_ratio
"""


def survival(db: duckdb.DuckDBPyConnection, days: int, condition: str = "true") -> dict[str, float]:
    """The share without a repeat after some days, and 1.96 times Greenwood's standard error of it."""
    contacts = db.sql(f"select followed_s, is_followed from outcomes where not is_repeat and {condition}").df()
    fitter = KaplanMeierFitter().fit(contacts.followed_s, contacts.is_followed)
    share = float(fitter.predict(days * 86400))
    # lifelines keeps the sum of d / (n (n - d)) per time.
    hazards = fitter._cumulative_sq_.loc[:days * 86400].iloc[-1]
    return {"fcr_survival_ratio": share, "fcr_survival_margin": 1.96 * share * float(hazards) ** 0.5}


def modified_z(values: pd.Series) -> pd.Series:
    """Iglewicz and Hoaglin 1993; the mean absolute deviation where the median one is zero."""
    distance = values - values.median()
    spread = distance.abs().median()
    return 0.6745 * distance / spread if spread > 0 else distance / (1.253314 * distance.abs().mean())


def write(frame: pd.DataFrame, name: str) -> None:
    frame.to_csv(HERE / f"servicenow_{name}.csv", index=False, float_format="%.12g", lineterminator="\n")


def shares(frame: pd.DataFrame) -> pd.Series:
    return pd.Series({
        "incident_count": len(frame),
        "reopened_ratio": (frame.reopen_count > 0).mean(),
        "transferred_ratio": (frame.reassignment_count > 0).mean(),
        "mean_transfer_count": frame.reassignment_count.mean(),
        "made_sla_ratio": (frame.made_sla == "true").mean(),
    })


def main(path: str) -> None:
    data = incidents(path)
    db = duckdb.connect()
    db.register("frame", data)
    db.execute("create table incidents as select * from frame")
    db.execute(PAIRS)
    by_window = []
    for days in WINDOWS:
        db.execute(OUTCOMES.format(days=days))
        by_window.append(db.sql(f"select {days} as window_days, {FIGURES} from outcomes").df().assign(**survival(db, days)))
        if days == 7:
            by_category = f"select lower(category) as topic, {FIGURES} from outcomes group by category"
            table = db.sql(f"{by_category} order by contact_count desc, topic limit 10").df()
            estimates = [survival(db, days, f"lower(category) = '{topic}'") for topic in table.topic]
            write(table.join(pd.DataFrame(estimates)), "fcr_by_category")
            by_caller = f"select caller_id as caller, lower(category) as category, {FIGURES} from outcomes group by all"
            write(db.sql(
                f"with figures as ({by_caller}) select caller, category, contact_count as incident_count, "
                "contact_count - early_count - first_contact_count as repeat_count, known_count, fcr_ratio from figures "
                "where contact_count > 1 order by repeat_count desc, incident_count desc, caller, category limit 20"
            ).df(), "fcr_by_caller_category")
    write(pd.concat(by_window), "fcr_by_window")

    write(shares(data).to_frame().T.astype({"incident_count": int}), "shares")
    groups = data.assign(assignment_group=data.assignment_group.str.lower(), category=data.category.str.lower())
    for column, name in [("category", "shares_by_category"), ("assignment_group", "shares_by_group")]:
        table = groups.groupby(column, dropna=False)[["reopen_count", "reassignment_count", "made_sla"]].apply(shares)
        table = table.reset_index().astype({"incident_count": int}).drop(columns="mean_transfer_count")
        write(table.sort_values(["incident_count", column], ascending=[False, True]).head(10), name)

    known = data[data.resolved_at.notna()].copy()
    known["hours"] = (known.resolved_at - known.opened_at).dt.total_seconds() / 3600
    known["is_outlier"] = known.groupby("priority").hours.transform(modified_z).abs() > 3.5
    times = known.groupby("priority").agg(
        incident_count=("hours", "size"), outlier_count=("is_outlier", "sum"), outlier_ratio=("is_outlier", "mean"),
        mean_h=("hours", "mean"), median_h=("hours", "median"),
    )
    write(times.reset_index(), "resolution_time")


if __name__ == "__main__":
    main(sys.argv[1])
