"""Hostile requests, as data: to try another, add a line.

Every entry is a name and what is sent. A body is bytes, or a function of a sound flight (a dict of
the 14 features) that returns what is to be sent as JSON or as bytes.
"""

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

SECONDS = 30
DEEP = 100_000
Flight = dict[str, Any]


def records(*flights: Flight) -> dict[str, Any]:
    """Return flights in the form that most bodies use."""
    return {"dataframe_records": list(flights)}


def split(columns: list[Any], *data: list[Any]) -> dict[str, Any]:
    """Return rows by position."""
    return {"dataframe_split": {"columns": columns, "data": list(data)}}


def table(*flights: Flight) -> bytes:
    """Return flights as CSV, nothing quoted."""
    lines = [list(flights[0]), *(map(str, flight.values()) for flight in flights)]
    return "\n".join(",".join(line) for line in lines).encode()


BODIES: dict[str, bytes | Callable[[Flight], Any]] = {
    "nothing": b"",
    "a space": b" ",
    "half a brace": b"{",
    "null": b"null",
    "true": b"true",
    "a number": b"17",
    "a word": b'"flight"',
    "a list": b"[1, 2]",
    "no key": b"{}",
    "brackets, escaped": lambda flight: orjson.dumps(
        records(*[{**flight, "dest": "XXX"}] * 700)
    ).replace(b'"XXX"', b'"' + b"\\u005b" * 64 + b'"'),
    "an unknown key": b'{"flights": []}',
    "two formats": lambda flight: {**records(flight), "instances": [flight]},
    "latin-1": b'{"instances": "\xe9"}',
    "utf-16": '{"instances": []}'.encode("utf-16"),
    "a byte order mark": lambda flight: b"\xef\xbb\xbf" + orjson.dumps(records(flight)),
    "a null byte": b'{"instances": "\x00"}',
    "a surrogate as key beside NaN": b'{"\\ud800": NaN}',
    "a surrogate as value": lambda flight: orjson.dumps(records(flight)).replace(
        flight["dest"].encode(), b"\\ud800"
    ),
    "a surrogate as value beside NaN": lambda flight: (
        orjson.dumps(records({**flight, "temp": -1234.5}))
        .replace(flight["dest"].encode(), b"\\ud800")
        .replace(b"-1234.5", b"NaN")
    ),
    "NaN where a number must be": lambda flight: orjson.dumps(
        records({**flight, "hour": 98765})
    ).replace(b"98765", b"NaN"),
    "Infinity": lambda flight: orjson.dumps(records({**flight, "hour": 98765})).replace(
        b"98765", b"Infinity"
    ),
    "a number of 400 digits": lambda flight: orjson.dumps(
        records({**flight, "hour": 98765})
    ).replace(b"98765", b"1" * 400),
    "an exponent of 999": lambda flight: orjson.dumps(records({**flight, "hour": 98765})).replace(
        b"98765", b"1e999"
    ),
    "the largest double": lambda flight: records({**flight, "distance": 1.7976931348623157e308}),
    "a negative zero": lambda flight: records({**flight, "distance": -0.0}),
    "deep lists": b'{"instances": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep lists beside NaN": b'{"instances": ' + b"[" * DEEP + b"NaN" + b"]" * DEEP + b"}",
    "deep objects": b'{"instances": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "no flights": lambda flight: records(),
    "no columns": lambda flight: split([]),
    "columns without rows": lambda flight: split(list(flight)),
    "a row too short": lambda flight: split(list(flight), [1]),
    "a row that is no list": lambda flight: {
        "dataframe_split": {"columns": list(flight), "data": [7]}
    },
    "a column twice": lambda flight: split([*flight, "hour"], [*flight.values(), 1]),
    "a column without a name": lambda flight: split([*flight, None], [*flight.values(), 1]),
    "a column with a name of a megabyte": lambda flight: split(["x" * 2**20, "x" * 2**20], [1, 2]),
    "split as a list": b'{"dataframe_split": []}',
    "records as an object": b'{"dataframe_records": {}}',
    "a flight that is a number": lambda flight: {"instances": [flight, 3]},
    "a flight that is null": lambda flight: {"instances": [None]},
    "an empty flight": lambda flight: {"instances": [{}]},
    "20,001 flights": lambda flight: split(list(flight), *[list(flight.values())] * 20_001),
    "columns of two lengths": lambda flight: {"inputs": {"hour": [1], "temp": []}},
    "a column that is a number": lambda flight: {"inputs": {"hour": 1}},
    "a word for a number": lambda flight: records({**flight, "hour": "noon"}),
    "true for a number": lambda flight: records({**flight, "hour": True}),
    "an object for a number": lambda flight: records({**flight, "hour": {"at": 5}}),
    "a list for a number": lambda flight: records({**flight, "hour": [5]}),
    "a number for a word": lambda flight: records({**flight, "dest": 5}),
    "null for a word": lambda flight: records({**flight, "dest": None}),
    "null for a number": lambda flight: records({**flight, "dep_delay": None}),
    "a word of 100 kB": lambda flight: records({**flight, "dest": "x" * 100_000}),
    "a word of 6 MB": lambda flight: records({**flight, "dest": "x" * 6 * 2**20}),
    "a word of control characters": lambda flight: records({**flight, "dest": "\x1b[2J\r\n\x07"}),
    "a word of script": lambda flight: records({**flight, "dest": "<script>alert(1)</script>"}),
    "a word of SQL": lambda flight: records({**flight, "dest": "'; DROP TABLE predictions; --"}),
    "a word from right to left": lambda flight: records({**flight, "dest": "\u202eJFK"}),
    "an empty word": lambda flight: records({**flight, "dest": ""}),
    "further columns": lambda flight: records({**flight, "__class__": "x", "gate": [1, {}]}),
    "a thousand further keys": lambda flight: {
        **records(flight),
        **{f"key {number}": number for number in range(1_000)},
    },
    "params of every kind": lambda flight: {**records(flight), "params": [math.pi, {"a": None}]},
    "a body of nine megabytes": b"x" * (9 * 2**20),
    "eight megabytes of small numbers": b'{"instances": [' + b"1," * (4 * 2**20 - 20) + b"1]}",
    "four megabytes of NaN": b'{"instances": [' + b"NaN," * (2**20 - 8) + b"1]}",
}
CSV_BODIES: dict[str, bytes | Callable[[Flight], Any]] = {
    "csv: nothing": b"",
    "csv: names alone": lambda flight: ",".join(flight).encode(),
    "csv: no names": lambda flight: ",".join(map(str, flight.values())).encode(),
    "csv: a column twice": b"hour,hour\n1,2\n",
    "csv: a quote that does not end": b'hour,dest\n1,"JFK\n',
    "csv: lines of two lengths": b"hour,dest\n1\n",
    "csv: latin-1": b"hour,dest\n1,\xe9\n",
    "csv: a null byte": b"hour,dest\n1,\x00\n",
    "csv: a field of a megabyte": b"hour,dest\n1," + b"x" * 2**20 + b"\n",
    "csv: a million lines": b"hour\n" + b"1\n" * 2**20,
    "csv: NAN where a number must be": lambda flight: table({**flight, "dep_delay": "NAN"}),
    "csv: inf": lambda flight: table({**flight, "temp": "inf"}),
    "csv: brackets": lambda flight: table(*[{**flight, "dest": "[" * 64}] * 700),
    "csv: control characters": lambda flight: table(*[{**flight, "dest": "\x01" * 60}] * 2_000),
    "csv: four million lines that end as on an old Mac": b"hour\r" + b"1\r" * (2**22 - 8),
    "csv: four million lines that end like records": b"hour\x1c" + b"1\x1c" * (2**22 - 8),
    "csv: a formula": lambda flight: table({**flight, "dest": "=1+1"}),
}
HEADERS: dict[str, dict[str, str]] = {
    "no content type": {"content-type": ""},
    "a form": {"content-type": "application/x-www-form-urlencoded"},
    "plain text": {"content-type": "text/plain"},
    "utf-16 by name": {"content-type": "application/json; charset=utf-16"},
    "a content type of nonsense": {"content-type": ";;;=,/"},
    "a charset in pieces": {"content-type": "application/json; charset*=utf-8''u; charset*0=x"},
    "parameters without values": {"content-type": "application/json; a*1=; a*="},
    "a piece of a high number": {"content-type": f"application/json; charset*{'9' * 5_000}=x"},
    "a content type of 8 kB": {"content-type": "x" * 8_000},
    "a foreign host": {"host": "evil.example"},
    "a host that ends like ours": {"host": "127.0.0.1.evil.example"},
    "no host": {"host": ""},
    "a host of brackets": {"host": "[::1"},
    "a host with a fragment": {"host": "localhost#.evil.example"},
    "a host with a user": {"host": "evil.example@localhost"},
    "a host with a port of letters": {"host": "localhost:evil"},
    "a file as origin": {"origin": "file://localhost"},
    "an origin with a user": {"origin": "http://evil.example\\@localhost"},
    "a foreign origin": {"origin": "https://evil.example"},
    "an origin without a name": {"origin": "null"},
    "an id of 8 kB": {"x-request-id": "x" * 8_000},
    "an id with a line break in it": {"x-request-id": "a\tb;c"},
    "compressed, it says": {"content-encoding": "gzip"},
}
REQUESTS: dict[str, tuple[str, str]] = {
    "GET /invocations": ("GET", "/invocations"),
    "DELETE /invocations": ("DELETE", "/invocations"),
    "POST /ping": ("POST", "/ping"),
    "OPTIONS *": ("OPTIONS", "/*"),
    "a method of one's own": ("FLY", "/invocations"),
    "a path out of the tree": ("GET", "/../../etc/passwd"),
    "a path of control characters": ("GET", "/%0d%0a%1b%00"),
    "a path of a terminal's orders": ("GET", "/%C2%9B2J%C2%9D0;hi%C2%9C%E2%80%A8x"),
    "a path of 8 kB": ("GET", "/" + "x" * 8_000),
    "a query of 8 kB": ("GET", "/ping?" + "x" * 8_000),
}
HEAD = b"POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
RAW: dict[str, bytes] = {
    "raw: nothing": b"",
    "raw: noise": bytes(range(256)),
    "raw: TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "raw: half a head": HEAD,
    "raw: no host": b"GET /ping HTTP/1.1\r\n\r\n",
    "raw: HTTP/9": b"GET /ping HTTP/9.9\r\nhost: localhost\r\n\r\n",
    "raw: a head of 100 kB": HEAD + b"x: " + b"y" * 100_000,
    "raw: a thousand headers": HEAD + b"".join(b"x%d: y\r\n" % n for n in range(1_000)),
    "raw: a negative length": HEAD + b"content-length: -1\r\n\r\n",
    "raw: two lengths": HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    "raw: a length and chunks": HEAD
    + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "raw: chunks of nonsense": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "raw: leaves in the middle of a body": HEAD + b"content-length: 1000\r\n\r\n{",
    "raw: leaves after a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    "raw: a hundred pings at once": b"GET /ping HTTP/1.1\r\nhost: localhost\r\n\r\n" * 100,
    "raw: a websocket": b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n"
    b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
}


@dataclass(frozen=True)
class Hostile:
    """A hostile request: what goes over the wire, or in ``raw`` all of its bytes."""

    name: str
    method: str = "POST"
    path: str = "/invocations"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None


def hostile_requests(flight: Flight) -> Iterator[Hostile]:
    """Yield all of them, made from a sound flight."""
    sound = orjson.dumps(records(flight))
    for kind, bodies in (("application/json", BODIES), ("text/csv", CSV_BODIES)):
        for name, body in bodies.items():
            made = body if isinstance(body, bytes) else body(flight)
            sent = made if isinstance(made, bytes) else orjson.dumps(made)
            yield Hostile(name, headers={"content-type": kind}, body=sent)
    for name, headers in HEADERS.items():
        yield Hostile(name, headers={"content-type": "application/json", **headers}, body=sound)
    for name, (method, path) in REQUESTS.items():
        yield Hostile(name, method, path)
    for name, raw in RAW.items():
        yield Hostile(name, raw=raw)


def wire(request: Hostile) -> bytes:
    """Return a request's bytes; header values are sent as they are, sound or not."""
    if request.raw is not None:
        return request.raw
    headers = {"host": "localhost", "connection": "close", **request.headers}
    if request.body:
        headers["content-length"] = str(len(request.body))
    lines = [f"{request.method} {request.path} HTTP/1.1", *map(": ".join, headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + request.body


def ask(port: int, request: Hostile) -> int:
    """Send a request to a server of this machine and leave; return the status, 0 for none."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        with suppress(OSError):
            connection.sendall(wire(request))
            if request.raw is not None:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        with suppress(OSError):
            answer = connection.recv(64)
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0
