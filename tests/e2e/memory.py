"""Runs windows over 20 million rows within 1 GB, and reads the peak of the process from the system.

usage: memory.py CXQL

Each of 2 million customers has ten contacts, a day apart in numbers: contact n is of customer n % 2,000,000. What comes
out follows by arithmetic.
"""

import csv
import os
import pathlib
import sys
import tempfile
import time

MIB = 1 << 20
ROWS, CUSTOMERS = 20_000_000, 2_000_000
QUERY = f"""
with contacts as (
    select value as at, concat('customer number ', value % {CUSTOMERS}) as customer_id
    from generate_series(0, {ROWS - 1})
),
steps as (
    select
        at,
        lag(at) over (partition by customer_id order by at) as previous_at,
        lead(at) over (partition by customer_id order by at) as next_at,
        row_number() over (partition by customer_id order by at) as contact_number,
        count(*) over (partition by customer_id) as contact_count
    from contacts
)
select count(*), count(previous_at), sum(at - previous_at), count(next_at), sum(next_at - at), sum(contact_number), min(contact_count),
    max(contact_count)
from steps
"""
REPEATS = ROWS - CUSTOMERS
EXPECTED = [ROWS, REPEATS, REPEATS * CUSTOMERS, REPEATS, REPEATS * CUSTOMERS, CUSTOMERS * 55, 10, 10]


def spilled_bytes(folder):
    """Bytes below a folder whose files come and go."""
    total = 0
    for parent, _, names in os.walk(folder):  # it passes over folders that are gone
        for name in names:
            try:
                total += os.path.getsize(os.path.join(parent, name))
            except FileNotFoundError:
                pass
    return total


def main():
    cxql, limit = sys.argv[1], 1024 * MIB
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        out, spill = folder / "answer.csv", folder / "spill"
        spill.mkdir()
        command = [cxql, "query", QUERY, "--memory", "1GB", "--temp-dir", str(spill), "-o", str(out)]
        pid, spilled = os.posix_spawn(cxql, command, os.environ), 0
        while not (ended := os.wait4(pid, os.WNOHANG))[0]:
            spilled = max(spilled, spilled_bytes(spill))
            time.sleep(0.05)
        _, status, usage = ended
        code, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        row = [int(float(value)) for value in list(csv.reader(out.open()))[1]] if code == 0 else None
        left = list(spill.iterdir())
    checks = {
        f"exit code 0, got {code}": code == 0,
        f"the row {EXPECTED}, got {row}": row == EXPECTED,
        f"peak {peak / MIB:.0f} MiB within {limit / MIB:.0f}": peak <= limit,
        f"{spilled / MIB:.0f} MiB seen on disk": spilled > 0,
        f"nothing left on disk, got {left}": not left,
    }
    for what, holds in checks.items():
        print(f"{'ok   ' if holds else 'FAIL '} {what}")
    sys.exit(0 if all(checks.values()) else 1)


if __name__ == "__main__":
    main()
