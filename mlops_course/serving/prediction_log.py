"""The prediction log: every answered request, with what went in and what came out.

A SQLite file that the service writes before it answers. A request that got its answer is in the
file, even if the process is killed in the next moment.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import delete_database, open_to_read
from mlops_course.data.features import CATEGORICAL, FEATURES, NUMERIC
from mlops_course.serving.contract import read_columns

if TYPE_CHECKING:
    import pandas as pd

_TABLE = """
CREATE TABLE IF NOT EXISTS predictions (
    number INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    at REAL NOT NULL,
    role TEXT NOT NULL,
    version TEXT NOT NULL,
    rows INTEGER NOT NULL,
    ms REAL NOT NULL,
    failure TEXT NOT NULL,
    body BLOB NOT NULL,
    probabilities BLOB NOT NULL
)
"""
KEY = ["request_id", "row"]
_PLAIN = ("request_id", "role", "version", "ms", "failure", "body")
_ALL = ", ".join(("number", *_PLAIN, "at", "rows", "probabilities"))


@dataclass(frozen=True)
class Scored:
    """What one model made of one request.

    Attributes
    ----------
    role
        ``champion`` or ``challenger`` if it was to answer, ``shadow`` if it only looked on.
    ms
        Milliseconds that the model took.
    probabilities
        One for each flight; none if the model failed.
    failure
        Why it failed; empty if it did not.
    """

    request_id: str
    role: str
    version: str
    body: bytes
    ms: float
    probabilities: Sequence[float] = ()
    failure: str = ""


class PredictionLog:
    """An open log, for the one process that writes it.

    Raises
    ------
    WorkspaceError
        If the file cannot be written, or another version of the course wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._database = _open(path)
        except sqlite3.Error as error:
            raise WorkspaceError(
                f"The prediction log {path} cannot be used ({error}).",
                "It is a SQLite file that this version of the course made.",
                "Move it to another folder; what is in it stays readable with any SQLite tool.",
            ) from error

    @classmethod
    def anew(cls, path: Path) -> "PredictionLog":
        """Begin a log that is empty; one that is there already is deleted."""
        try:
            delete_database(path)
        except OSError as error:
            raise WorkspaceError(
                f"The prediction log {path} cannot be begun anew ({error.strerror}).",
                "The former one is deleted first.",
                "Stop the program that has it open, and try again.",
            ) from error
        return cls(path)

    def clear(self) -> None:
        """Begin this log anew."""
        self._database.execute("DELETE FROM predictions")

    def append(self, scored: Scored) -> None:
        """Write what a model made of a request; it is in the file when this returns."""
        values = {
            **{name: getattr(scored, name) for name in _PLAIN},
            "at": time.time(),
            "rows": len(scored.probabilities),
            "probabilities": orjson.dumps(scored.probabilities),
        }
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        self._database.execute(f"INSERT INTO predictions ({names}) VALUES ({places})", values)

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # With a write-ahead log a committed row survives the process, without waiting for the disk.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(_TABLE)
        database.execute(f"SELECT {_ALL} FROM predictions LIMIT 0")
    except sqlite3.Error:
        database.close()
        raise
    return database


def read_predictions(path: Path, request_ids: Iterable[str] | None = None) -> "pd.DataFrame":
    """Return the predictions as a table, one row a flight, oldest first.

    Parameters
    ----------
    request_ids
        The requests to read; all of them by default.

    Returns
    -------
    Columns ``request_id``, ``row`` (position in its request), ``at`` (UTC), ``role``,
    ``version``, ``probability``, and the 14 features as they were sent.
    """
    import pandas as pd

    head = ("request_id", "at", "role", "version")
    kept = _select(path, ", ".join([*head, "rows", "body", "probabilities"]), request_ids)
    kept = [one for one in kept if one["rows"]]
    if not kept:
        return pd.DataFrame(columns=[*head[:1], "row", *head[1:], "probability", *FEATURES])
    rows = [one["rows"] for one in kept]
    parts = [read_columns(one["body"]) for one in kept]
    columns: dict[str, Any] = {}
    for name in head:
        columns[name] = np.repeat(np.array([one[name] for one in kept], dtype="object"), rows)
    for name in NUMERIC:
        columns[name] = np.concatenate([part[name] for part in parts])
    for name in CATEGORICAL:
        columns[name] = list(chain.from_iterable(part[name] for part in parts))
    columns["at"] = pd.to_datetime(columns["at"].astype("float64"), unit="s", utc=True)
    columns["row"] = np.concatenate([np.arange(count) for count in rows])
    columns["probability"] = np.concatenate([orjson.loads(one["probabilities"]) for one in kept])
    return pd.DataFrame(columns)[[*head[:1], "row", *head[1:], "probability", *FEATURES]]


def read_requests(path: Path, request_ids: Iterable[str] | None = None) -> "pd.DataFrame":
    """Return one row for each request and model that saw it, oldest first.

    Parameters
    ----------
    request_ids
        The requests to read; all of them by default.

    Returns
    -------
    Columns ``request_id``, ``at`` (UTC), ``role``, ``version``, ``rows``, ``ms`` (what the model
    took) and ``failure`` (empty if it did not fail).
    """
    import pandas as pd

    names = "request_id, at, role, version, rows, ms, failure"
    table = pd.DataFrame(map(dict, _select(path, names, request_ids)), columns=names.split(", "))
    return table.assign(at=pd.to_datetime(table["at"], unit="s", utc=True))


def _select(path: Path, names: str, request_ids: Iterable[str] | None = None) -> list[sqlite3.Row]:
    wanted = None if request_ids is None else orjson.dumps(list(request_ids)).decode()
    with closing(open_to_read(path)) as database:
        database.row_factory = sqlite3.Row
        return database.execute(
            f"SELECT {names} FROM predictions"
            " WHERE ?1 IS NULL OR request_id IN (SELECT value FROM json_each(?1)) ORDER BY number",
            (wanted,),
        ).fetchall()
