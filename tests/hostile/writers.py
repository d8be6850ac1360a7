"""Every command that writes files, and how to see whether a file is whole."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import re
import shutil
import zipfile

import openpyxl
import pyarrow.ipc
import pyarrow.parquet

DATA = pathlib.Path(__file__).resolve().parents[2] / "data"
OLD = b"what was here before\n"

CONFIG = """
[engine]
unique_keys_min_rows = 1
[[job]]
name = "daily"
report = "fcr_by_topic"
outputs = ["out/latest.csv", "out/latest.xlsx", "out/{scheduled}.html"]
retries = 0
"""

ROWS = "select interaction_id, started_at, topic, wait_s, text from interactions order by interaction_id, started_at limit 2000"
# the rows of each window are those of repeated keys, which are found once and kept
KEYS = """select interaction_id, count(*) over (partition by interaction_id) as n, row_number() over (partition by interaction_id
order by started_at, ended_at) as r from interactions order by n desc, 1, 3 limit 100"""
SPILL = """select t, value from (select concat('row ', value % 1000, repeat('x', 60)) as t, value from generate_series(1, 100000))
order by t, value"""

FORMATS = ("table", "csv", "tsv", "json", "ndjson", "markdown", "parquet", "arrow", "xlsx")
# what no user may see
FAULTS = re.compile(r"panicked|a fault of the program|internal error|please report|backtrace", re.I)


@dataclasses.dataclass
class Writer:
    """A command: its arguments, the files that it makes, and whether it is a run of the job."""

    name: str
    arguments: list[str]
    outputs: list[str]
    is_job: bool = False
    # the most that one of its files has, if that is no output
    largest: int = 0


def writers() -> list[Writer]:
    found = [Writer(f"query as {name}", ["query", ROWS, "-f", name, "-o", f"out/rows.{name}"], [f"out/rows.{name}"]) for name in FORMATS]
    for ending in ("html", "png", "xlsx"):
        found.append(Writer(f"run as {ending}", ["run", "fcr_by_topic", "-o", f"out/fcr.{ending}"], [f"out/fcr.{ending}"]))
    for ending in ("parquet", "csv", "json"):
        copy = f"copy (select * from interactions order by interaction_id, started_at limit 2000) to 'out/copy.{ending}'"
        found.append(Writer(f"copy to {ending}", ["query", "--write", copy], [f"out/copy.{ending}"]))
    found.append(Writer("demo", ["demo", "out/demo", "--contacts", "300"], [], largest=1 << 16))
    found.append(Writer("job", ["job", "run", "daily", "--at", "{at}"], ["out/latest.csv", "out/latest.xlsx", "out/{stamp}.html"], True, 1 << 18))
    found.append(Writer("cache", ["query", KEYS, "-f", "csv", "-o", "out/keys.csv"], ["out/keys.csv"], largest=1 << 14))
    found.append(Writer("spill", ["query", SPILL, "-f", "csv", "-o", "out/spill.csv", "--memory", "16MB", "--threads", "1"], ["out/spill.csv"], largest=1 << 23))
    found.append(Writer("user", ["user", "add", "ana{number}", "--token"], [], largest=1 << 12))
    return found


class Project:
    """A project folder with its caches, in which commands write."""

    def __init__(self, cxql: str, folder: pathlib.Path) -> None:
        self.cxql, self.folder = cxql, folder
        for name in ("out", "spill", "cache"):
            (folder / name).mkdir(exist_ok=True)
        (folder / "cxql.toml").write_text(CONFIG)

    def command(self, writer: Writer, number: int) -> list[str]:
        words = {"at": f"2025-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z", "number": str(number)}
        places = ["--project", str(self.folder), "--data", str(DATA), "--cache-dir", str(self.folder / "cache")]
        if "--temp-dir" not in writer.arguments:
            places += ["--temp-dir", str(self.folder / "spill")]
        arguments = [re.sub(r"\{(at|number)\}", lambda found: words[found[1]], text) for text in writer.arguments]
        return [self.cxql, *arguments, *places]

    def outputs(self, writer: Writer, number: int) -> list[pathlib.Path]:
        stamp = f"20250101T{number // 3600 % 24:02}{number // 60 % 60:02}{number % 60:02}Z"
        return [self.folder / name.replace("{stamp}", stamp) for name in writer.outputs]

    def left_over(self, expected: list[pathlib.Path]) -> list[str]:
        """Files in the folder of results that are no results."""
        files = (path for path in (self.folder / "out").rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.folder)) for path in files if path not in expected and "demo/" not in str(path))

    def clear(self) -> None:
        for path in (self.folder / "out").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def content(path: pathlib.Path) -> object:
    """What a whole file holds, without the time at which it was made. A file that is not whole is an error."""
    data = path.read_bytes()
    ending = path.suffix[1:]
    if ending == "parquet":
        return pyarrow.parquet.read_table(io.BytesIO(data))
    if ending == "arrow":
        return pyarrow.ipc.open_file(data).read_all()
    if ending == "xlsx":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if broken := archive.testzip():
                raise ValueError(f"{broken} is damaged")
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True)
        return [list(sheet.values) for sheet in book if sheet.title != "About"]
    if ending == "png":
        if not data.endswith(b"IEND\xaeB`\x82"):
            raise ValueError("no end")
        return len(data) > 1000
    if ending == "html":
        text = data.decode()
        if not text.rstrip().endswith("</html>"):
            raise ValueError("no end")
        return re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", "", re.sub(r"20\d{6}T\d{6}Z", "", text))
    if ending == "json":
        # COPY writes a value a line, `-f json` one array
        text = data.decode()
        return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    return data


def state(path: pathlib.Path, whole: object) -> str:
    """`absent`, `old`, `whole`, or what is wrong."""
    if not path.exists():
        return "absent"
    if path.read_bytes() == OLD:
        return "old"
    try:
        found = content(path)
    except Exception as error:  # whatever a reader says of a torn file
        return f"torn: {type(error).__name__}: {error}"[:300]
    same = found.equals(whole) if isinstance(found, (pyarrow.Table,)) else found == whole
    return "whole" if same else "whole of another content"
