"""The prediction log: every answered request, with what went in and what came out.

A SQLite file that the service writes before it answers. A request that got its answer is in the
file, even if the process is killed in the next moment.
"""

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from mlops_course.wire import read_columns

if TYPE_CHECKING:
    import pandas as pd

_TABLE = """
CREATE TABLE IF NOT EXISTS predictions (
    number INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL,
    at REAL NOT NULL,
    version TEXT NOT NULL,
    rows INTEGER NOT NULL,
    body BLOB NOT NULL,
    probabilities BLOB NOT NULL
)
"""


class PredictionLog:
    """An open log, for the one process that writes it."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # With a write-ahead log a committed row survives the process, without waiting for the disk.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_TABLE)

    def append(
        self, request_id: str, version: str, body: bytes, probabilities: Sequence[float]
    ) -> None:
        """Write one answered request; it is in the file when this returns."""
        self._database.execute(
            "INSERT INTO predictions (request_id, at, version, rows, body, probabilities)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                request_id,
                time.time(),
                version,
                len(probabilities),
                body,
                orjson.dumps(probabilities),
            ),
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def read_predictions(path: Path) -> "pd.DataFrame":
    """Return the log as a table, one row a flight, oldest first.

    Returns
    -------
    Columns ``request_id``, ``row`` (position in its request), ``at`` (UTC), ``version``,
    ``probability``, and the 14 features as they were sent.
    """
    import pandas as pd

    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        kept = database.execute(
            "SELECT request_id, at, version, rows, body, probabilities"
            " FROM predictions ORDER BY number"
        ).fetchall()
    parts = []
    for request_id, at, version, rows, body, probabilities in kept:
        head = {
            "request_id": request_id,
            "row": range(rows),
            "at": pd.Timestamp(at, unit="s", tz="UTC"),
            "version": version,
            "probability": orjson.loads(probabilities),
        }
        parts.append(pd.DataFrame({**head, **read_columns(body)}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
