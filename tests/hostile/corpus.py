"""The corpus of the campaign: statements are kept in `statements.sql`, files and messages are made from a seed."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import decimal
import gzip
import io
import json
import pathlib
import random

import pyarrow
import pyarrow.parquet

import flight

HERE = pathlib.Path(__file__).parent
MIB = 1 << 20

ENDINGS = {
    "parquet": "parquet", "arrow": "arrow", "csv": "csv", "ndjson": "ndjson", "csv_gz": "csv.gz", "ndjson_gz": "ndjson.gz",
}  # fmt: skip


def statements() -> list[str]:
    lines = (HERE / "statements.sql").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("--")]


def table(chance: random.Random, rows: int) -> pyarrow.Table:
    """Columns of every kind that files hold, with NULLs."""

    def column(value, share: float = 0.1) -> list:
        return [None if chance.random() < share else value(n) for n in range(rows)]

    words = ["billing", "delivery", "a longer text of more than twelve bytes", "", "ÄÖ 中文 😀", 'quote " and , comma', "line\nbreak"]
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
    return pyarrow.table(
        {
            "a": pyarrow.array(column(lambda n: n), pyarrow.int64()),
            "b": pyarrow.array(column(lambda n: n % 2 == 0), pyarrow.bool_()),
            "s": pyarrow.array(column(lambda n: chance.choice(words)), pyarrow.string()),
            "x": pyarrow.array(column(lambda n: n / 7), pyarrow.float64()),
            "at": pyarrow.array(column(lambda n: start + datetime.timedelta(hours=n)), pyarrow.timestamp("us", "UTC")),
            "day": pyarrow.array(column(lambda n: start.date() + datetime.timedelta(days=n)), pyarrow.date32()),
            "price": pyarrow.array(column(lambda n: decimal.Decimal(n) / 100), pyarrow.decimal128(18, 2)),
        }
    )


def nested(chance: random.Random, rows: int) -> pyarrow.Table:
    """Lists, structs, maps, dictionaries, views and fixed sizes beside the plain columns."""
    plain = table(chance, rows)
    more = {
        "tags": pyarrow.array([[f"t{n}" for n in range(k % 4)] if k % 5 else None for k in range(rows)]),
        "pair": pyarrow.array([{"u": k, "v": str(k)} for k in range(rows)]),
        "label": pyarrow.array([f"label {k % 3}" for k in range(rows)]).dictionary_encode(),
        "id": pyarrow.array([bytes([k % 256] * 16) for k in range(rows)], pyarrow.binary(16)),
        "facts": pyarrow.array([[("k", k)] for k in range(rows)], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    }
    for name, values in more.items():
        plain = plain.append_column(name, values)
    return plain


def _parquet(rows: pyarrow.Table, **options) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(rows, out, **options)
    return out.getvalue()


def _arrow(rows: pyarrow.Table, codec: str | None, is_stream: bool = False, batch_rows: int | None = 40) -> bytes:
    out = io.BytesIO()
    options = pyarrow.ipc.IpcWriteOptions(compression=codec)
    new = pyarrow.ipc.new_stream if is_stream else pyarrow.ipc.new_file
    with new(out, rows.schema, options=options) as writer:
        writer.write_table(rows, max_chunksize=batch_rows)
    return out.getvalue()


def _csv(rows: pyarrow.Table, delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(rows.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in rows.columns)))
    return out.getvalue().encode()


def _ndjson(rows: pyarrow.Table) -> bytes:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows.to_pylist()).encode()


def _members(first: bytes, part: bytes, count: int, last: bytes) -> bytes:
    """A gzip file of several members: gigabytes of one field from kilobytes."""
    return gzip.compress(first) + gzip.compress(part) * count + gzip.compress(last)


def files(seed: int) -> dict[str, list[bytes]]:
    """Whole files of each format. The last one of each decodes to far more than it has bytes."""
    chance = random.Random(f"{seed}/files")
    small, deep = table(chance, 100), nested(chance, 60)
    keys = pyarrow.repeat(0, 200_000).cast(pyarrow.int32())
    long = pyarrow.table({"a": pyarrow.repeat(1, 200_000), "s": pyarrow.DictionaryArray.from_arrays(keys, pyarrow.array(["x" * 10_000]))})
    part = b"x" * (16 * MIB)
    return {
        "parquet": [
            _parquet(small, compression="snappy", row_group_size=30),
            _parquet(small, compression="zstd", data_page_version="2.0", write_page_index=True),
            _parquet(deep, compression="gzip"),
            _parquet(deep, compression="none", use_dictionary=False, write_page_checksum=True),
            _parquet(small, compression="lz4", use_byte_stream_split=["x"], use_dictionary=False),
            _parquet(long, compression="zstd"),
        ],
        "arrow": [
            _arrow(small, None),
            _arrow(small, "lz4"),
            _arrow(deep.drop_columns(["facts"]), "zstd"),
            _arrow(deep, None),
            _arrow(small, "zstd", is_stream=True),
            _arrow(pyarrow.table({"a": pyarrow.repeat(0, 32 * MIB)}), "zstd", batch_rows=None),
        ],
        "csv": [_csv(small), _csv(small, ";"), "﻿".encode() + _csv(small), _csv(small).decode().encode("utf-16"), b"a,b\n" + b'"' * 4096],
        "ndjson": [_ndjson(small), _ndjson(small.slice(0, 1)), b'{"a": ' + b"[" * 3000 + b"]" * 3000 + b"}\n", b'{"a": 1}\n{"b": {"c": [1, null]}}\n'],
        "csv_gz": [gzip.compress(_csv(small)), _members(b"a,s\n1,", part, 60, b"\n2,y\n")],
        "ndjson_gz": [gzip.compress(_ndjson(small)), _members(b'{"a": 1, "s": "', part, 60, b'"}\n')],
    }  # fmt: skip


Messages = list[tuple[bytes, bytes]]


def _messages(rows: pyarrow.Table, codec: str | None) -> Messages:
    """Header and body of each message of a stream of one batch, however large."""
    reader = pyarrow.ipc.MessageReader.open_stream(_arrow(rows, codec, is_stream=True, batch_rows=None))
    found = []
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return found
        body = message.body
        found.append((message.metadata.to_pybytes(), body.to_pybytes() if body is not None else b""))


def uploads(seed: int) -> list[Messages]:
    """Uploads of rows. The last ones decode to more than a server should hold of one client."""
    chance = random.Random(f"{seed}/uploads")
    small, deep = table(chance, 50), nested(chance, 30)
    number = pyarrow.table({"1": pyarrow.array([1, 2, 3])})
    zeros = pyarrow.table({"1": pyarrow.repeat(0, 12 * MIB)})
    keys = pyarrow.repeat(0, 5000).cast(pyarrow.int32())
    views = pyarrow.table({"1": pyarrow.DictionaryArray.from_arrays(keys, pyarrow.array(["x" * MIB]))})
    nothing = pyarrow.table({"1": pyarrow.nulls(1 << 30)})
    some = [_messages(rows, codec) for rows in (number, small, deep) for codec in (None, "lz4", "zstd")]
    return some + [_messages(rows, "zstd") for rows in (zeros, views, nothing)]


@dataclasses.dataclass
class Request:
    """A call of Flight SQL that is no statement: its method, the message around its command, the command's type and body."""

    method: str
    around: str
    type: str
    body: bytes

    def encoded(self, body: bytes | None = None) -> bytes:
        body = self.body if body is None else body
        command = flight.any_of(self.type, body) if self.type else body
        match self.around:
            case "descriptor":
                return flight.descriptor(command)
            case "ticket":
                return flight.field(1, command)
            case "":
                return command
            case name:
                return flight.action(name, command)


def requests() -> list[Request]:
    sql = flight.field(1, b"select 1 as a")
    names = [
        "CommandGetCatalogs", "CommandGetDbSchemas", "CommandGetTables", "CommandGetTableTypes", "CommandGetSqlInfo",
        "CommandGetXdbcTypeInfo", "CommandGetPrimaryKeys", "CommandGetImportedKeys", "CommandGetCrossReference",
        "CommandStatementSubstraitPlan", "CommandStatementUpdate", "CommandPreparedStatementQuery", "TicketStatementQuery",
    ]  # fmt: skip
    patterns = flight.field(2, b"%int_r%") + flight.field(3, b"tab_e%") + flight.field(5, 1)
    commands = [(name, patterns) for name in names] + [("CommandStatementQuery", sql)]
    found = [Request(method, "descriptor", *command) for method in ("GetFlightInfo", "GetSchema", "PollFlightInfo") for command in commands]
    found += [Request("DoGet", "ticket", *command) for command in commands]
    option = flight.field(1, flight.field(1, b"time_zone") + flight.field(2, flight.field(1, b"Europe/Berlin")))
    actions = [
        ("CreatePreparedStatement", "ActionCreatePreparedStatementRequest", sql),
        ("ClosePreparedStatement", "ActionClosePreparedStatementRequest", flight.field(1, b"x" * 16)),
        ("CancelQuery", "ActionCancelQueryRequest", flight.field(1, b"x")),
        ("BeginTransaction", "ActionBeginTransactionRequest", b""),
        ("CancelFlightInfo", "", flight.field(1, flight.field(1, b"x"))),
        ("cxql.CancelQueryId", "", b"0123456789abcdef"),
        ("SetSessionOptions", "", option),
        ("GetSessionOptions", "", b""),
        ("CloseSession", "", b""),
    ]
    found += [Request("DoAction", *action) for action in actions]
    return found + [Request("ListActions", "", "", b""), Request("ListFlights", "", "", b""), Request("Handshake", "", "", flight.field(1, 1))]
