"""The label store: which flights were to be asked about, and how they turned out, once known.

A SQLite file beside the prediction log. It keeps what the log of a service cannot know: a flight
that was never asked about leaves no trace there, and how one turned out comes hours later, by
another way, or never. Nothing is corrected on the way in: what is odd is found when it is read.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import orjson
import pandas as pd

from mlops_course.core.errors import WorkspaceError
from mlops_course.core.files import delete_database, open_to_read

_TABLES = """
CREATE TABLE IF NOT EXISTS requests (request_id TEXT NOT NULL, at REAL NOT NULL, rows INTEGER);
CREATE INDEX IF NOT EXISTS requests_by_id ON requests (request_id);
CREATE TABLE IF NOT EXISTS labels (request_id TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS labels_by_id ON labels (request_id);
"""
FIELDS = ("row", "late", "at")
WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class Labels:
    """What was to be asked, and what is known of it.

    Attributes
    ----------
    requests
        One row a request, in the order of writing: ``request_id``, ``at`` (the day or the moment
        that it is about, without a time zone) and ``rows`` (its flights).
    labels
        One row a label, in the order of arrival: ``request_id``, ``row``, ``late`` (1 or 0) and
        ``at`` (when it arrived).
    """

    requests: pd.DataFrame
    labels: pd.DataFrame


def beside(log: Path) -> Path:
    """Return the path of the label store that belongs to a prediction log."""
    return log.with_stem(f"{log.stem}-labels")


def begin(path: Path) -> None:
    """Begin a store anew; one that is there already is deleted.

    Raises
    ------
    WorkspaceError
        If the file cannot be deleted or written.
    """
    try:
        delete_database(path)
    except OSError as error:
        raise _unusable(path, error) from error
    with _open(path):
        pass


def expect(path: Path, flights: pd.DataFrame) -> None:
    """Write down which flights are to be asked about.

    Parameters
    ----------
    flights
        As `serving.replay.numbered` returns them: ``request_id``, ``row`` and ``date``.

    Raises
    ------
    WorkspaceError
        If the store cannot be written.
    """
    requests = flights.groupby("request_id", sort=False)["date"].agg(["first", "size"])
    at = _seconds(requests["first"])
    rows = zip(requests.index.tolist(), at.tolist(), requests["size"].tolist(), strict=True)
    with _open(path) as database:
        database.executemany("INSERT INTO requests VALUES (?, ?, ?)", rows)


def arrive(path: Path, flights: pd.DataFrame) -> None:
    """Write down how flights turned out, and when that became known.

    A label may be written before its time, as a rehearsal does: readers ask for a moment.

    Parameters
    ----------
    flights
        ``request_id``, ``row``, ``late`` (1 or 0) and ``label_at``; rows without a label or without
        its time are left out: a diverted flight never gets one.

    Raises
    ------
    WorkspaceError
        If the store cannot be written.
    """
    known = flights[flights["late"].notna() & flights["label_at"].notna()]
    columns = known.assign(at=_seconds(known["label_at"]))[list(FIELDS)].to_numpy()
    places = known.groupby("request_id", sort=False).indices
    entries = [(str(name), _body(columns[place])) for name, place in places.items()]
    with _open(path) as database:
        database.executemany("INSERT INTO labels VALUES (?, ?)", entries)


def read_labels(
    path: Path, request_ids: Iterable[str] | None = None, before: date | None = None
) -> Labels:
    """Return what was to be asked, and the labels that had arrived before a moment.

    Parameters
    ----------
    request_ids
        The requests to read; all of them by default.
    before
        A day or a moment, without a time zone; None for all labels that are there.

    Raises
    ------
    WorkspaceError
        If there is no such store, or the file is damaged.
    """
    wanted = "" if request_ids is None else " WHERE request_id IN (SELECT value FROM json_each(?))"
    named = () if request_ids is None else (orjson.dumps(list(request_ids)).decode(),)
    try:
        with closing(open_to_read(path)) as database:
            asked = database.execute(
                f"SELECT request_id, at, rows FROM requests{wanted} ORDER BY rowid", named
            ).fetchall()
            came = database.execute(
                f"SELECT request_id, body FROM labels{wanted} ORDER BY rowid", named
            ).fetchall()
        requests = pd.DataFrame.from_records(asked, columns=["request_id", "at", "rows"])
        labels = _table(came)
    except (sqlite3.Error, ValueError, KeyError) as error:
        raise _unusable(path, error) from error
    requests["at"] = _moments(requests["at"].to_numpy(dtype="float64"))
    if before is not None:
        labels = labels[labels["at"] < pd.Timestamp(before)]
    return Labels(requests, labels.sort_values("at", kind="stable", ignore_index=True))


def _body(columns: np.ndarray) -> bytes:
    row, late, at = columns.T
    return orjson.dumps({"row": row.astype(int).tolist(), "late": late.tolist(), "at": at.tolist()})


def _table(entries: Sequence[tuple[str, bytes]]) -> pd.DataFrame:
    """Return one row a label, from one entry a request."""
    bodies = [orjson.loads(body) for _, body in entries]
    found = {name: _column([body[name] for body in bodies]) for name in FIELDS}
    sizes = [len(body["row"]) for body in bodies]
    names = pd.Index([name for name, _ in entries], dtype="str")
    table = pd.DataFrame({"request_id": names.repeat(sizes), **found})
    return table.assign(row=table["row"].astype("int64"), at=_moments(found["at"]))


def _column(parts: Sequence[Sequence[float]]) -> np.ndarray:
    return np.concatenate([np.array(part, dtype="float64") for part in parts] or [np.empty(0)])


def _moments(seconds: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex((seconds * 1e6).round().astype("datetime64[us]"))


def _seconds(moments: pd.Series) -> np.ndarray:
    return moments.to_numpy(dtype="datetime64[us]").astype("int64") / 1e6


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.executescript(_TABLES)
            yield database
    except (sqlite3.Error, OSError) as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> WorkspaceError:
    return WorkspaceError(
        f"The label store {path} cannot be used ({error}).",
        "It is a SQLite file that stands beside its prediction log.",
        "See that the folder can be written and no other program holds the file; a damaged one is "
        "begun anew by the next run.",
    )
