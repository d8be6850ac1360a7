"""Writes the table that many of DataFusion's tests read and that its package lacks, with values of our own.

The expected rows of those tests do not hold for it; the two sessions are compared with one another.
usage: tables.py FOLDER
"""

import csv
import pathlib
import random
import string
import sys

ROWS = 100


def row(random: random.Random) -> list[object]:
    """One row: the columns c1 to c13, integers over the whole range of their types."""

    def signed(bits: int) -> int:
        return random.randint(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    def unsigned(bits: int) -> int:
        return random.randint(0, 2**bits - 1)

    return [
        random.choice("abcde"),
        random.randint(1, 5),
        signed(8),
        signed(16),
        signed(32),
        signed(64),
        unsigned(8),
        unsigned(16),
        unsigned(32),
        unsigned(64),
        round(random.random(), 8),
        random.random(),
        "".join(random.choices(string.ascii_letters + string.digits, k=30)),
    ]


def main() -> None:
    folder = pathlib.Path(sys.argv[1]) / "testing/data/csv"
    folder.mkdir(parents=True)
    generator = random.Random(1)
    with open(folder / "aggregate_test_100.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([f"c{number}" for number in range(1, 14)])
        writer.writerows(row(generator) for _ in range(ROWS))


if __name__ == "__main__":
    main()
