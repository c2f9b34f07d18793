"""The absolute addresses that MLflow's store keeps of its files, and what moving makes of them.

A store notes where each experiment, run and model has its files. When its folder was moved,
copied or unpacked elsewhere, these addresses are rewritten in one transaction; the store itself
tells where it was, so nothing beside it can disagree with it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlops_course.core.files import open_to_read

# Where MLflow 3 keeps addresses of files: table, column, and which rows of it. Its own experiment
# counts once it has a run: it is in every store, and most never use it.
_IN_USE = "experiment_id != 0 OR experiment_id IN (SELECT experiment_id FROM runs)"
_COLUMNS = (
    ("experiments", "artifact_location", _IN_USE),
    ("runs", "artifact_uri", "true"),
    ("logged_models", "artifact_location", "true"),
    ("model_versions", "source", "true"),
    ("model_versions", "storage_location", "true"),
    ("trace_tags", "value", "key = 'mlflow.artifactLocation'"),
)


def begin_at(database: Path, artifacts: Path) -> None:
    """Let every experiment of a store keep the files of its new runs in ``artifacts``."""
    with closing(sqlite3.connect(database)) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ?", [artifacts.as_uri()])


def mend(database: Path, artifacts: Path, outermost: Path) -> bool:
    """Let a store's addresses point to where its files are now; return whether any had to be.

    Parameters
    ----------
    artifacts
        The folder in which the store's experiments keep their files now.
    outermost
        The folder that was moved with the store in it; both may have addresses.

    Raises
    ------
    sqlite3.Error
        If the store is locked or damaged, or cannot be written.
    """
    with closing(sqlite3.connect(database, isolation_level=None)) as store:
        if _moved(store, artifacts, outermost) is None:
            return False
        store.execute("BEGIN IMMEDIATE")
        moved = _moved(store, artifacts, outermost)  # another program may have been faster
        if moved is not None:
            old, new = moved
            for table, column, _ in _columns(store):
                store.execute(
                    f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1)"
                    f" WHERE substr({column}, 1, length(:old) + 1) IN (:old, :old || '/')",
                    {"old": old, "new": new},
                )
        store.execute("COMMIT")
    return moved is not None


def strays(database: Path, artifacts: Path, outermost: Path) -> list[str]:
    """Return the addresses that `mend` cannot help: they lead outside, to nothing.

    Raises
    ------
    sqlite3.Error
        If the store cannot be read.
    """
    with closing(open_to_read(database)) as store:
        moved = _moved(store, artifacts, outermost)
        found = {
            address: _place(address)
            for address in sorted(set(_addresses(store)))
            if moved is None or not f"{address}/".startswith(f"{moved[0]}/")
        }
    return [
        address
        for address, place in found.items()
        if place and not place.is_relative_to(outermost) and not place.exists()
    ]


def _moved(store: sqlite3.Connection, artifacts: Path, outermost: Path) -> tuple[str, str] | None:
    """Return the old and the new beginning of a store's addresses, if they differ.

    The course's experiments keep their files in a folder named as ``artifacts`` is. A store within
    another workspace, as a copy made for trying, was moved with that, if it lay there before.
    """
    if _COLUMNS[0] not in _columns(store):
        return None
    end = f"/{artifacts.name}"
    first = store.execute(
        "SELECT artifact_location FROM experiments"
        " WHERE substr(artifact_location, -length(?1)) = ?1 ORDER BY experiment_id LIMIT 1",
        [end],
    ).fetchone()
    new = artifacts.parent.as_uri()
    old = first[0].removesuffix(end) if first else new
    if old == new:
        return None
    within = new.removeprefix(outermost.as_uri())
    if old.endswith(within):
        return old.removesuffix(within), new.removesuffix(within)
    return old, new


def _columns(store: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Return the columns with addresses that this store has; an empty file has none."""
    tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
    return [kept for kept in _COLUMNS if kept[0] in tables]


def _addresses(store: sqlite3.Connection) -> Iterator[str]:
    for table, column, rows in _columns(store):
        found = store.execute(f"SELECT DISTINCT {column} FROM {table} WHERE {rows}")
        yield from (address for (address,) in found if address)


def _place(address: str) -> Path | None:
    """Return the folder that an address names on this computer, None for any other."""
    if address.startswith("file:"):
        return Path(url2pathname(urlsplit(address).path))
    return Path(address) if Path(address).is_absolute() else None
