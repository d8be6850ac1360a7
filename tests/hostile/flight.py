"""Flight SQL as bytes: messages are built by hand, so that each of them can be a wrong one."""

from __future__ import annotations

import struct

import grpc
import pyarrow

SERVICE = "/arrow.flight.protocol.FlightService/"
TYPES = "type.googleapis.com/arrow.flight.protocol.sql."

# the largest answer that a client takes of one call
ANSWER_BYTES = 256 << 20


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes | int) -> bytes:
    """A field of a protobuf message: an integer, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data: bytes) -> list[tuple[int, bytes | int]]:
    """The fields of a well-formed message."""
    found, at = [], 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            found.append((key >> 3, number()))
        elif key & 7 == 2:
            size = number()
            found.append((key >> 3, data[at : at + size]))
            at += size
        else:
            size = 8 if key & 7 == 1 else 4
            found.append((key >> 3, data[at : at + size]))
            at += size
    return found


def first(data: bytes, number: int) -> bytes:
    return next((value for key, value in fields(data) if key == number and isinstance(value, bytes)), b"")


def any_of(name: str, *parts: bytes) -> bytes:
    return field(1, (TYPES + name).encode()) + field(2, b"".join(parts))


def query_command(sql: bytes) -> bytes:
    return any_of("CommandStatementQuery", field(1, sql))


def ingest_command(table: str) -> bytes:
    """Creates the table, or replaces it."""
    options = field(1, 1) + field(2, 3)
    return any_of("CommandStatementIngest", field(1, options), field(2, table.encode()))


def prepared_command(handle: bytes) -> bytes:
    return any_of("CommandPreparedStatementQuery", field(1, handle))


def descriptor(command: bytes) -> bytes:
    return field(1, 2) + field(2, command)


def action(name: str, body: bytes) -> bytes:
    return field(1, name.encode()) + field(2, body)


def flight_data(header: bytes, body: bytes, of: bytes = b"") -> bytes:
    return (field(1, of) if of else b"") + field(2, header) + field(1000, body)


class Client:
    """A connection of its own."""

    def __init__(self, address: str, timeout_s: float) -> None:
        options = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = grpc.insecure_channel(address, options)
        self.timeout_s = timeout_s

    def one(self, method: str, request: bytes) -> bytes:
        """A call with one answer."""
        return self.channel.unary_unary(SERVICE + method)(request, timeout=self.timeout_s)

    def stream(self, method: str, request: bytes) -> list[bytes]:
        """A call with a stream of answers, of which the first megabytes are kept. It is cancelled when there are too many."""
        call = self.channel.unary_stream(SERVICE + method)(request, timeout=self.timeout_s)
        return self._collect(call)

    def upload(self, messages: list[bytes]) -> list[bytes]:
        return self._collect(self.channel.stream_stream(SERVICE + "DoPut")(iter(messages), timeout=self.timeout_s))

    @staticmethod
    def _collect(call) -> list[bytes]:
        kept, total = [], 0
        for answer in call:
            total += len(answer)
            if total < 4 << 20:
                kept.append(answer)
            if total > ANSWER_BYTES:
                call.cancel()
                break
        return kept if total < 4 << 20 else []

    def prepare(self, sql: bytes) -> bytes:
        """The handle of a prepared statement."""
        body = any_of("ActionCreatePreparedStatementRequest", field(1, sql))
        answers = self.stream("DoAction", action("CreatePreparedStatement", body))
        return first(first(first(answers[0], 1), 2), 1)

    def rows(self, command: bytes) -> list[bytes]:
        """The messages of a result, of all its endpoints."""
        info = self.one("GetFlightInfo", descriptor(command))
        endpoints = [value for key, value in fields(info) if key == 3 and isinstance(value, bytes)]
        return [message for endpoint in endpoints for message in self.stream("DoGet", first(endpoint, 1))]

    def close(self) -> None:
        self.channel.close()


def table_of(messages: list[bytes]) -> pyarrow.Table:
    """The rows of a result. Every value is checked: offsets, UTF-8, keys of dictionaries."""
    stream = bytearray()
    for message in messages:
        header, body = first(message, 2), first(message, 1000)
        if header:
            pad = -len(header) % 8
            stream += struct.pack("<II", 0xFFFFFFFF, len(header) + pad) + header + bytes(pad) + body
    with pyarrow.ipc.open_stream(pyarrow.py_buffer(bytes(stream))) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table
