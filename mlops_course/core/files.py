"""Files that are whole at every moment: written beside and put in place, databases backed up.

The package writes its files and copies its SQLite databases here and nowhere else.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import quote


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the block a new file to write, and put it in the place of ``path`` when it ends.

    A block that raises, or a process that dies inside it, leaves ``path`` as it was.
    """
    writer = f"{os.getpid()}-{threading.get_ident()}"
    partial = path.with_name(f".{path.name}.{writer}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, as UTF-8 with line feeds on every system."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def sqlite_url(database: Path) -> str:
    """Return the address under which SQLAlchemy, and so MLflow, finds a SQLite file.

    Where a path holds what means something in an address, it is quoted. Then the driver is named
    as well: of a plain ``sqlite:///`` MLflow makes the folder, and takes the name as it is quoted.

    >>> sqlite_url(Path("/course/mlflow.db")), sqlite_url(Path("/what?/mlflow.db"))
    ('sqlite:////course/mlflow.db', 'sqlite+pysqlite:////what%3F/mlflow.db')
    """
    path = database.as_posix()
    if any(sign in path for sign in "?%#"):
        return f"sqlite+pysqlite:///{quote(path, safe='/:')}"
    return f"sqlite:///{path}"


@contextmanager
def alone(lock: Path, seconds: float) -> Iterator[None]:
    """Keep other programs and threads that name the same lock out of the block.

    The lock is SQLite's, so the system gives it back when a process dies, however that happens.

    Raises
    ------
    TimeoutError
        If another does not leave its block within ``seconds``.
    OSError
        If the lock cannot be written.
    """
    try:
        held = sqlite3.connect(lock, timeout=seconds, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError as error:
        raise PermissionError(errno.EACCES, str(error), str(lock)) from error
    with closing(held):
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                reason = "another program is at work there"
                raise TimeoutError(errno.ETIMEDOUT, reason, str(lock)) from error
            raise PermissionError(errno.EACCES, str(error), str(lock)) from error
        yield


def check_writing(folder: Path) -> None:
    """Write a file in a folder, read it back and delete it.

    Raises
    ------
    OSError
        If that cannot be done, or something else is read than was written.
    """
    written = os.urandom(64)
    with TemporaryFile(dir=folder, prefix=".mlops-course-") as file:
        file.write(written)
        file.flush()
        file.seek(0)
        if file.read() != written:
            raise OSError(errno.EIO, "what was written is read back as something else", folder)


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
    """Return the files that a SQLite database is made of: its own and those of its journals."""
    ends = ("", "-journal", "-wal", "-shm")
    return [database.with_name(f"{database.name}{end}") for end in ends]


def delete_database(database: Path) -> None:
    """Delete a SQLite database, if it is there, with the files of its journals.

    A journal left behind would be played back into the next database of that name.
    """
    for path in database_files(database):
        path.unlink(missing_ok=True)
