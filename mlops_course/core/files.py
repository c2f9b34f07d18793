"""Files that are whole at every moment: written beside and put in place, databases backed up.

The package writes its files and copies its SQLite databases here and nowhere else.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the block a new file to write, and put it in the place of ``path`` when it ends.

    A block that raises, or a process that dies inside it, leaves ``path`` as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, as UTF-8 with line feeds on every system."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def copy_file(source: Path, target: Path) -> None:
    """Copy a file in one step."""
    with replacing(target) as partial:
        shutil.copyfile(source, partial)


def sqlite_url(database: Path) -> str:
    """Return the address under which SQLAlchemy, and so MLflow, finds a SQLite file."""
    return f"sqlite:///{database.as_posix()}"


def open_to_read(database: Path) -> sqlite3.Connection:
    """Open a SQLite file that must exist; nothing can be written through the connection."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)


def back_up(source: Path, target: Path) -> None:
    """Copy a SQLite file while others may be writing it; the copy is of one moment.

    Waits for a locked source for ever: see first that it is not.
    """
    with closing(open_to_read(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def database_files(database: Path) -> list[Path]:
    """Return the files that a SQLite database is made of: its own and those of its open log."""
    return [database, *(database.with_name(f"{database.name}{end}") for end in ("-wal", "-shm"))]


def delete_database(database: Path) -> None:
    """Delete a SQLite database, if it is there, with the files of its open log."""
    for path in database_files(database):
        path.unlink(missing_ok=True)
