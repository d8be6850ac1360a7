"""Writes days.csv: the public holidays and make-up working days of China, as the PyPI package chinesecalendar has them.

    pip install chinesecalendar==1.11.0
    python generate.py

A holiday is a weekday or weekend day off by notice of the State Council, a working_day a Saturday or Sunday on which
people work in exchange. The package (MIT, see LICENSE.txt) has taken them from the yearly notices.
"""

import csv
from importlib.metadata import version
from pathlib import Path

from chinese_calendar.constants import holidays, workdays

WANTED = "1.11.0"

assert version("chinesecalendar") == WANTED, f"chinesecalendar {WANTED} is wanted, got {version('chinesecalendar')}"
rows = [(day, "holiday", name) for day, name in holidays.items()]
rows += [(day, "working_day", name) for day, name in workdays.items()]
rows.sort()
days = [day for day, _, _ in rows]
assert len(set(days)) == len(days), "a day is both off and worked"
assert all(day.weekday() >= 5 for day in workdays), "a make-up day is on a weekday"
assert (days[0].year, days[-1].year) == (2004, 2026), (days[0], days[-1])

with (Path(__file__).parent / "days.csv").open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("date", "kind", "name"))
    writer.writerows(rows)
print(len(holidays), "holidays,", len(workdays), "make-up working days")
