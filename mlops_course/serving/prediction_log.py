"""The prediction log: every answered request, with what went in and what came out.

A SQLite file that the service writes before it answers. A request that got its answer is in the
file, even if the process is killed in the next moment. One that was refused is there soon after,
with the reason and without its body. The file has a largest size: beyond it the oldest entries go.
"""

import queue
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from mlops_course.core.errors import DataError, WorkspaceError
from mlops_course.core.files import database_files, delete_database, open_to_read
from mlops_course.data.features import CATEGORICAL, FEATURES
from mlops_course.serving.contract import Refused, unpacked_columns

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
WAIT_SECONDS = 2.0
MAX_BYTES = 512 * 2**20
RETIRED_SHARE = 0.1
LOOK_SHARE = 0.02
_PLAIN = ("request_id", "role", "version", "ms", "failure", "body")
_HEAD = ("request_id", "at", "role", "version")
_WRITTEN = (*_PLAIN, "at", "rows", "probabilities")
_ALL = ", ".join(("number", *_WRITTEN))
_INSERT = (
    f"INSERT INTO predictions ({', '.join(_WRITTEN)})"
    f" VALUES ({', '.join(f':{name}' for name in _WRITTEN)})"
)
_RETIRE = (
    "DELETE FROM predictions WHERE number <= (SELECT min(number) +"
    " ?1 * (max(number) - min(number)) FROM predictions)"
)


@dataclass(frozen=True)
class Scored:
    """What one model made of one request.

    Attributes
    ----------
    role
        ``champion`` or ``challenger`` if it was to answer, ``shadow`` if it only looked on;
        ``refused`` if no model was asked.
    ms
        Milliseconds that the model took.
    probabilities
        One for each flight; none if the model failed.
    failure
        Why it failed or was refused; empty if it was not.
    """

    request_id: str
    role: str
    version: str
    body: bytes
    ms: float
    probabilities: Sequence[float] = ()
    failure: str = ""


class PredictionLog:
    """An open log, for the one process that writes it; any of its threads may.

    Parameters
    ----------
    max_bytes
        How large the file may grow; a tenth of the entries go, the oldest, when it is larger.

    Raises
    ------
    WorkspaceError
        If the file cannot be written, or another version of the course wrote it.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._unseen_bytes = max_bytes  # what an earlier process left, for instance
        try:
            self._begin()
        except (sqlite3.Error, OSError) as error:
            raise WorkspaceError(
                f"The prediction log {path} cannot be used ({error}).",
                "It is a SQLite file that this version of the course made.",
                "Move it to another folder; what is in it stays readable with any SQLite tool.",
            ) from error

    def _begin(self) -> None:
        self._database = _open(self.path)
        self._file: tuple[int, ...] | None = _file(self.path)

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
        with self._lock:
            self._database.execute("DELETE FROM predictions")

    def append(self, *entries: Scored) -> None:
        """Write entries, all of them or none; they are in the file when this returns.

        Raises
        ------
        sqlite3.Error
            If they cannot be written, or the file is locked for longer than `WAIT_SECONDS`.
        """
        at = time.time()
        with self._lock:
            if _file(self.path) != self._file:
                self._database.close()
                self._file = ()  # until another is open, the one that was is not to be used
                self._begin()
            with _transaction(self._database) as database:
                database.executemany(_INSERT, [_values(entry, at) for entry in entries])
                self._unseen_bytes += sum(len(entry.body) for entry in entries)
                if self._unseen_bytes > self._max_bytes * LOOK_SHARE:
                    self._unseen_bytes = 0
                    if _size(database) > self._max_bytes:
                        database.execute(_RETIRE, (RETIRED_SHARE,))

    def size_on_disk(self) -> int:
        """Return the bytes of its files, what was deleted and waits to be filled among them."""
        size = 0
        for path in database_files(self.path):
            with suppress(OSError):
                size += path.stat().st_size
        return size

    def close(self) -> None:
        """Close the file."""
        self._database.close()


class Writer:
    """A thread that writes entries into a log, those that wait together in one transaction.

    Whoever hands entries in can go on with other work, also while the file is locked.
    """

    def __init__(self, log: PredictionLog) -> None:
        self.log = log
        self._waiting: queue.SimpleQueue[tuple[Sequence[Scored], Future[None]] | None]
        self._waiting = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def write(self, entries: Sequence[Scored]) -> "Future[None]":
        """Hand entries in; the future is done once they are in the file, or raises."""
        done: Future[None] = Future()
        self._waiting.put((entries, done))
        return done

    def close(self) -> None:
        """Write what waits, and close the log."""
        self._waiting.put(None)
        self._thread.join()
        self.log.close()

    def _work(self) -> None:
        going_on = True
        while going_on:
            found = [self._waiting.get()]
            while not self._waiting.empty():
                found.append(self._waiting.get())
            going_on = None not in found
            handed_in = [one for one in found if one is not None]
            self._write_together(handed_in)

    def _write_together(self, handed_in: list[tuple[Sequence[Scored], "Future[None]"]]) -> None:
        batch = []
        for entries, done in handed_in:
            if done.set_running_or_notify_cancel():
                batch.append((entries, done))
        try:
            self.log.append(*chain.from_iterable(entries for entries, _ in batch))
        except Exception as error:
            for _, done in batch:
                done.set_exception(error)
            return
        for _, done in batch:
            done.set_result(None)


def _file(path: Path) -> tuple[int, int] | None:
    """Return which file is at a place now; None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=WAIT_SECONDS
    )
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


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def _values(entry: Scored, at: float) -> dict[str, Any]:
    return {
        **{name: getattr(entry, name) for name in _PLAIN},
        "at": at,
        "rows": len(entry.probabilities),
        "probabilities": orjson.dumps(entry.probabilities),
    }


def _size(database: sqlite3.Connection) -> int:
    """Return the bytes in use; SQLite fills what was deleted before it makes the file larger."""
    names = ("page_count", "freelist_count", "page_size")
    found = {name: database.execute(f"PRAGMA {name}").fetchone()[0] for name in names}
    return int((found["page_count"] - found["freelist_count"]) * found["page_size"])


def read_predictions(
    path: Path, request_ids: Iterable[str] | None = None, *, skip_unreadable: bool = False
) -> "pd.DataFrame":
    """Return the predictions as a table, one row a flight, oldest first.

    Parameters
    ----------
    request_ids
        The requests to read; all of them by default.
    skip_unreadable
        Leave out entries that cannot be read, and name them in the table's
        ``attrs["unreadable"]``: why, by the entry's number.

    Returns
    -------
    Columns ``request_id``, ``row`` (position in its request), ``at`` (UTC), ``role``,
    ``version``, ``probability``, and the 14 features as they were sent.

    Raises
    ------
    WorkspaceError
        If there is no log at that place, or the file is damaged.
    DataError
        If an entry cannot be read, unless those are to be skipped.
    """
    import pandas as pd

    kept: dict[str, list[Any]] = {name: [] for name in (*_HEAD, "row", "probability", *FEATURES)}
    unreadable: dict[int, str] = {}
    names = ", ".join(("number", *_HEAD, "rows", "body", "probabilities"))
    for entry in _entries(path, names, request_ids):
        try:
            flights = _flights_in(entry)
        except (Refused, ValueError, TypeError) as error:
            if not skip_unreadable:
                raise _unreadable(path, entry["number"], error) from error
            unreadable[entry["number"]] = str(error)
            continue
        for name, values in flights.items():
            kept[name].append(values)
    columns = [*_HEAD[:1], "row", *_HEAD[1:], "probability", *FEATURES]
    parts = {name: np.concatenate(kept[name]) for name in columns if kept[name]}
    table = pd.DataFrame(parts, columns=columns)
    table["at"] = pd.to_datetime(table["at"].astype("float64"), unit="s", utc=True)
    table.attrs["unreadable"] = unreadable
    return table


def _flights_in(entry: sqlite3.Row) -> dict[str, np.ndarray]:
    """Return an entry's columns, each of shape (flights,); none where the model failed."""
    if not entry["rows"]:
        return {}
    read = unpacked_columns(entry["body"])
    probability = np.array(orjson.loads(entry["probabilities"]), dtype="float64")
    count = len(read[FEATURES[0]])
    if len(probability) != count:
        raise ValueError(f"{len(probability)} probabilities for {count} flights")
    columns = {name: np.full(count, entry[name], dtype="object") for name in _HEAD}
    for name in CATEGORICAL:
        read[name] = np.array(read[name], dtype="object")
    return columns | read | {"row": np.arange(count), "probability": probability}


def _unreadable(path: Path, number: int, error: Exception) -> DataError:
    return DataError(
        f"Entry {number} of the prediction log {path} cannot be read ({error}).",
        "The service writes down only what it could read itself; something else wrote this.",
        "Read with skip_unreadable=True, which leaves such entries out and names them.",
    )


def read_requests(path: Path, request_ids: Iterable[str] | None = None) -> "pd.DataFrame":
    """Return one row for each request and model that saw it, or that was refused; oldest first.

    Parameters
    ----------
    request_ids
        The requests to read; all of them by default.

    Returns
    -------
    Columns ``request_id``, ``at`` (UTC), ``role``, ``version``, ``rows``, ``ms`` (what the model
    took) and ``failure`` (why it failed or was refused, else empty).
    """
    import pandas as pd

    names = "request_id, at, role, version, rows, ms, failure"
    found = map(dict, _entries(path, names, request_ids))
    table = pd.DataFrame(found, columns=names.split(", "))
    return table.assign(at=pd.to_datetime(table["at"], unit="s", utc=True))


def _entries(
    path: Path, names: str, request_ids: Iterable[str] | None = None
) -> Iterator[sqlite3.Row]:
    """Yield the log's entries, oldest first, without holding them all."""
    wanted = None if request_ids is None else orjson.dumps(list(request_ids)).decode()
    try:
        with closing(open_to_read(path)) as database:
            database.row_factory = sqlite3.Row
            yield from database.execute(
                f"SELECT {names} FROM predictions WHERE ?1 IS NULL"
                " OR request_id IN (SELECT value FROM json_each(?1)) ORDER BY number",
                (wanted,),
            )
    except sqlite3.Error as error:
        raise WorkspaceError(
            f"The prediction log {path} cannot be read ({error}).",
            "It is the SQLite file that a scoring service writes.",
            "Name the service's own log; if that is damaged, move it away and start it again.",
        ) from error
