"""Expected figures of tests/projects/zendesk, second by second and without cxql.

    pip install numpy tzdata
    python zendesk.py ../../../shared/data/vendor_exports/zendesk

Writes zendesk_ticket_sla.csv beside this script. Every second from the start of a ticket until the export is open or closed by the
clock of Los Angeles, waiting or paused by the status of that second, and has the target of its priority; times are sums, and
a target is missed in the first second that is one too many.
"""

import csv
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

HERE = Path(__file__).parent
MADE_UP = HERE.parent / "projects" / "zendesk" / "made_up"
PACIFIC = ZoneInfo("America/Los_Angeles")
WAITING = {"new", "open", "hold", "on-hold"}


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())


def rows(export: Path, name: str) -> list[dict]:
    text = (export / name).read_text(encoding="utf-8")
    more = MADE_UP / name
    if more.exists():
        text = text.rstrip("\n") + "\n" + more.read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def open_seconds(start: int, end: int) -> np.ndarray:
    """Monday to Friday from 8 to 20 by the clock of Los Angeles."""
    is_open = np.zeros(end - start, dtype=bool)
    day = datetime.fromtimestamp(start, PACIFIC).replace(hour=0, minute=0, second=0) - timedelta(days=1)
    while day.timestamp() < end:
        if day.weekday() < 5:
            first, last = (int(day.replace(hour=hour).timestamp()) - start for hour in (8, 20))
            is_open[max(first, 0) : max(last, 0)] = True
        day = (day + timedelta(days=1)).replace(hour=0)
    return is_open


def by_second(changes: list[tuple[int, str]], initial: str, start: int, end: int) -> np.ndarray:
    values = np.full(end - start, initial, dtype=object)
    for at, value in sorted(changes):
        values[max(at - start, 0) :] = value
    return values


def text(second: int | None) -> str:
    return "" if second is None else datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    export = Path(sys.argv[1])
    tickets = rows(export, "ticket_data.csv")
    agents = {user["id"] for user in rows(export, "user_data.csv") if user["role"] in ("agent", "admin")}
    comments = rows(export, "ticket_comment_data.csv")
    history = rows(export, "ticket_field_history_data.csv")
    policies = {row["ticket_id"]: row for row in rows(export, "ticket_sla_policy_data.csv")}
    versions = rows(export, "sla_policy_metric_history_data.csv")
    synced = max(ticket["_fivetran_synced"] for ticket in tickets)
    # clocks that still run have the part of the last second too
    observed, part = seconds(synced[:19]), float("0" + synced[19:])

    def targets(ticket: dict, metric: str) -> tuple[dict[str, float], bool]:
        policy, found, is_business = policies.get(ticket["id"]), {}, False
        for row in sorted(versions, key=lambda row: row["sla_policy_updated_at"]):
            if policy and row["sla_policy_id"] == policy["sla_policy_id"] and row["metric"] == metric:
                if row["sla_policy_updated_at"] <= policy["policy_applied_at"]:
                    found[row["priority"]] = float(row["target"]) * 60
                    is_business = row["business_hours"].upper() == "TRUE"
        return found, is_business

    columns = (
        "ticket_id created_at status first_reply_s first_reply_business_s full_resolution_s full_resolution_business_s requester_wait_s "
        "requester_wait_business_s first_reply_target_s is_first_reply_breached first_reply_breached_at requester_wait_target_s "
        "is_requester_wait_breached requester_wait_breached_at"
    ).split()
    result = []
    for ticket in tickets:
        start, end = seconds(ticket["created_at"]), observed
        is_open = open_seconds(start, end)
        of_ticket = lambda field: [
            (seconds(row["updated"]), row["value"]) for row in history
            if row["ticket_id"] == ticket["id"] and row["field_name"] == field
        ]
        statuses, priorities = of_ticket("status"), of_ticket("priority")
        status = by_second(statuses, "new", start, end)
        initial = min(priorities)[1] if priorities else ticket["priority"]
        priority = by_second(priorities, initial, start, end)
        replies = [
            seconds(row["created"]) for row in comments
            if row["ticket_id"] == ticket["id"] and row["user_id"] in agents and row["public"].upper() == "TRUE"
        ]
        reply = min((at for at in replies if at > start), default=None)
        solved = max((at for at, value in statuses if value == "solved"), default=None)
        if ticket["status"] not in ("solved", "closed"):
            solved = None

        def both(until: int | None) -> list:
            return ["", ""] if until is None else [until - start, int(is_open[: until - start].sum())]

        row = [ticket["id"], text(start), ticket["status"], *both(reply), *both(solved)]
        # what a ticket without history was before it was closed is not known
        is_known = bool(statuses) or ticket["status"] in WAITING
        waiting = np.isin(status.astype(str), list(WAITING)) & is_known
        waited = [float((waiting & what).sum()) + part * bool(waiting[-1] & what[-1]) for what in (waiting, is_open)]
        row += waited if waiting.any() else ["", ""]
        first_reply = np.zeros(end - start, dtype=bool)
        first_reply[: min(at for at in (reply, solved, end) if at is not None) - start] = True
        for metric, running in (("first_reply_time", first_reply), ("requester_wait_time", waiting)):
            target_of, is_business = targets(ticket, metric)
            last = np.flatnonzero(running)
            now = target_of.get(priority[last[-1]]) if len(last) else None
            if not len(last) or not any(value in target_of for value in set(priority[running])):
                row += ["", "", ""]
                continue
            counted = np.cumsum(running & is_open if is_business else running)
            target = np.array([target_of.get(value, np.inf) for value in priority])
            missed = np.flatnonzero(running & (counted > target) & (is_open | (not is_business)))
            breached = start + int(missed[0]) if len(missed) else None
            row += ["" if now is None else int(now), str(breached is not None).lower(), text(breached)]
        result.append(row)
    result.sort(key=lambda row: (row[1], row[0]))
    with (HERE / "zendesk_ticket_sla.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *result])


main()
