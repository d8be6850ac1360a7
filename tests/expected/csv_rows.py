"""Writes csv_rows.txt: the rows of each CSV file of ../shared/data that is a table, as DuckDB counts them (UTF-16: pandas).

    python tests/expected/csv_rows.py ../shared/data > tests/expected/csv_rows.txt

Left out are files that cxql refuses because they are no table as they stand: tests/cli/csv.rs names them.
"""

import glob
import os
import sys

import duckdb
import pandas

REFUSED = """csv-141 sample1 testCSV85 gbk bad bad_skip_lines test_empty_columns test_extra_header test_latin1 converterCsv
issue-811_first200 skip-rows-before-headers structure-errors table-infer-iso-8859-7 table-with-accents inputcommenttest
inputskiptest snifftest-flexible snifftest essential essential-dos essential-mac multi_schema event_data""".split()

root = sys.argv[1]
for folder in ("csv_torture", "messy_exports", "vendor_exports"):
    found = [glob.glob(f"{root}/{folder}/**/*.{ending}", recursive=True) for ending in ("csv", "tsv")]
    for path in sorted(sum(found, [])):
        stem = os.path.splitext(os.path.basename(path))[0]
        if any(stem.endswith(name) for name in REFUSED if name != "event_data") or path.endswith("ga4/event_data.csv"):
            continue
        if "utf16" in stem:
            rows = len(pandas.read_csv(path, encoding="utf-16"))
        else:
            rows = duckdb.sql(f"select count(*) from read_csv('{path}', header = true)").fetchall()[0][0]
        print(os.path.relpath(path, root), rows)
