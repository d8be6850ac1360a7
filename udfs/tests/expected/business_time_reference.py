"""Expected values of business_s, business_add, is_business_time and next_business_time, minute by minute.

    pip install pandas==3.1.1 holidays==0.109 chinesecalendar==1.11.0 tzdata==2026.6
    python business_time_reference.py > business_time_expected.csv

Every minute of a stretch of years is converted to the clock of the calendar's time zone by pandas and zoneinfo, and is open or
closed by what that clock shows; all figures are sums over these minutes. Holidays of Germany are those of the package holidays,
days of China those of chinesecalendar. The calendars are those that udfs/tests/business_time.rs defines.
"""

import sys
from importlib.metadata import version

import chinese_calendar
import holidays
import numpy as np
import pandas as pd

RANDOM = np.random.default_rng(24)
ALWAYS = range(7)
WEEKDAYS = range(5)


def minutes(text: str) -> tuple[int, int]:
    start, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
    return start, end if end > start else end + 1440


def weekly(days, *spans):
    """Spans of a date: by its day of the week."""
    return lambda date: [minutes(span) for span in spans] if date.weekday() in days else []


def germany(date):
    is_working = date.weekday() < 5 and date not in GERMANY
    return [minutes("09:00-17:00")] if is_working else []


def china(date):
    return [minutes("09:00-17:00")] if chinese_calendar.is_workday(date) else []


def support(date):
    """Two spans a day, Saturdays, own holidays and half days, other hours from a date on, over Germany's holidays."""
    if str(date) == "2024-12-23":
        return [minutes("10:00-12:00")]
    if str(date) in ("2024-12-24", "2024-12-31") or "2023-12-27" <= str(date) <= "2023-12-29":
        return []
    if date in GERMANY and str(date) != "2025-10-03":
        return []
    if str(date) in ("2024-03-17", "2025-10-03"):
        return [minutes("08:00-16:00")]
    if str(date) >= "2025-07-01":
        return [minutes("07:00-19:30")] if date.weekday() < 6 else []
    if date.weekday() < 5:
        return [minutes("08:00-12:00"), minutes("12:45-18:00")]
    return [minutes("10:00-14:00")] if date.weekday() == 5 else []


def night(date):
    """Nights from Sunday to Thursday; none begins on a holiday."""
    return [minutes("22:00-06:00")] if date.weekday() in (6, 0, 1, 2, 3) and str(date) != "2025-11-27" else []


GERMANY = holidays.country_holidays("DE", years=range(1990, 2100))
CALENDARS = {
    "de": ("Europe/Berlin", germany, "2012-01-01", "2027-01-01"),
    "cn": ("Asia/Shanghai", china, "2004-01-01", "2026-12-31T16:00"),
    "support": ("Europe/Berlin", support, "2022-01-01", "2027-01-01"),
    "night": ("America/New_York", night, "2023-01-01", "2026-12-31"),
    "early": ("Europe/Berlin", weekly(ALWAYS, "01:00-02:30", "02:45-03:15"), "2024-01-01", "2027-01-01"),
    "midnight": ("America/Sao_Paulo", weekly(ALWAYS, "20:00-01:00"), "2016-01-01", "2019-12-31"),
    "half": ("Australia/Lord_Howe", weekly(ALWAYS, "00:00-24:00"), "2024-01-01", "2026-12-31"),
    "half_days": ("Australia/Lord_Howe", weekly(ALWAYS, "01:15-02:20"), "2024-01-01", "2026-12-31"),
    "far": ("America/New_York", weekly(WEEKDAYS, "00:30-13:00"), "2090-01-01", "2099-12-01"),
}
# around clock changes of these zones, in UTC
NEAR = {
    "early": ["2025-03-30T01:00", "2025-10-26T01:00"],
    "night": ["2025-03-09T07:00", "2025-11-02T06:00", "2025-11-27T12:00"],
    "midnight": ["2017-10-15T03:00", "2018-02-18T02:00"],
    "half": ["2025-04-05T15:00", "2025-10-04T15:30"],
    "half_days": ["2025-04-05T15:00", "2025-10-04T15:30"],
    "de": ["2025-03-30T01:00", "2025-10-26T01:00", "2017-10-31T00:00"],
}


def open_minutes(zone: str, spans_of, start: str, end: str) -> tuple[pd.DatetimeIndex, np.ndarray]:
    utc = pd.date_range(start, end, freq="min", inclusive="left", tz="UTC")
    local = utc.tz_convert(zone)
    day = local.tz_localize(None).normalize()
    minute = (local.hour * 60 + local.minute).to_numpy()
    codes, days = pd.factorize(day)
    is_open = np.zeros(len(utc), dtype=bool)
    yesterdays = [spans_of((date - pd.Timedelta(days=1)).date()) for date in days]
    todays = [spans_of(date.date()) for date in days]
    for spans, shift in ((todays, 0), (yesterdays, 1440)):
        most = max(map(len, spans), default=0)
        for index in range(most):
            bounds = np.array([day_spans[index] if index < len(day_spans) else (0, 0) for day_spans in spans])[codes]
            is_open |= (minute + shift >= bounds[:, 0]) & (minute + shift < bounds[:, 1])
    return utc, is_open


def main():
    print("versions:", *(f"{name} {version(name)}" for name in ("pandas", "holidays", "chinesecalendar", "tzdata")), file=sys.stderr)
    print("calendar,start,end,business_s,is_open,next_open,s,added")
    for name, (zone, spans_of, first, last) in CALENDARS.items():
        # the day before the first one has hours past midnight
        utc, is_open = open_minutes(zone, spans_of, str(pd.Timestamp(first) + pd.Timedelta(days=1)), last)
        # open seconds before each minute
        before = np.concatenate([[0], np.cumsum(is_open) * 60])
        epoch = int(utc[0].timestamp())

        def position(second: int) -> int:
            minute, rest = divmod(second - epoch, 60)
            return int(before[minute]) + (rest if is_open[minute] else 0)

        length = len(utc) * 60
        starts = list(RANDOM.integers(epoch, epoch + length - 60, 25))
        ends = list(RANDOM.integers(epoch, epoch + length - 60, 12))
        ends += [int(np.clip(start + RANDOM.integers(-400_000, 400_000), epoch, epoch + length - 60)) for start in starts[12:]]
        for around in NEAR.get(name, []):
            at = int(pd.Timestamp(around, tz="UTC").timestamp())
            for reach in (3600, 30_000, 200_000):
                starts.append(at - int(RANDOM.integers(1, reach)))
                ends.append(at + int(RANDOM.integers(1, reach)))
        for start, end in zip(map(int, starts), map(int, ends)):
            minute, rest = divmod(start - epoch, 60)
            following = np.flatnonzero(is_open[minute : minute + 30_000])
            if is_open[minute]:
                next_open = start
            else:
                next_open = epoch + (minute + int(following[0])) * 60 if len(following) else None
            s = int(RANDOM.integers(-500_000, 500_000))
            wanted = position(start) + s
            added = None
            if s > 0 and wanted <= before[-1]:
                # the first second with that many open ones before it
                reached = int(np.searchsorted(before, wanted, side="left")) - 1
                added = epoch + reached * 60 + wanted - int(before[reached])
            elif s < 0 and wanted >= 0:
                # the last one
                reached = int(np.searchsorted(before, wanted, side="right")) - 1
                added = epoch + reached * 60 + wanted - int(before[reached])
            if added is None or next_open is None:
                continue
            shown = [pd.Timestamp(second, unit="s").isoformat() + "Z" for second in (start, end, next_open, added)]
            seconds = position(end) - position(start)
            print(name, shown[0], shown[1], seconds, str(bool(is_open[minute])).lower(), shown[2], s, shown[3], sep=",")


main()
