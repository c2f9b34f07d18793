import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from mlops_course.core.files import (
    alone,
    back_up,
    check_writing,
    database_files,
    delete_database,
    open_to_read,
    replacing,
    sqlite_url,
    write_text,
)


@pytest.fixture
def database(tmp_path):
    """A database with one row, still open in a write-ahead log."""
    path = tmp_path / "a b" / "kept.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE kept (one)")
        writer.execute("INSERT INTO kept VALUES (1)")
        yield path


def rows(path):
    with closing(open_to_read(path)) as reader:
        return reader.execute("SELECT one FROM kept").fetchall()


def test_replacing_when_the_block_fails_then_the_old_file_stays_and_nothing_else(tmp_path):
    path = tmp_path / "kept.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_write_when_done_then_the_target_is_whole_and_alone(tmp_path):
    write_text(tmp_path / "one", "a\nb\n")
    assert (tmp_path / "one").read_bytes() == b"a\nb\n"
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_back_up_when_the_source_is_open_then_the_copy_has_what_was_committed(database, tmp_path):
    back_up(database, tmp_path / "copy.db")
    assert rows(tmp_path / "copy.db") == [(1,)]


def test_open_to_read_when_something_is_written_then_refuses(database):
    with closing(open_to_read(database)) as reader, pytest.raises(sqlite3.OperationalError):
        reader.execute("INSERT INTO kept VALUES (2)")


def test_open_to_read_when_there_is_no_file_then_makes_none(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        open_to_read(tmp_path / "none.db")
    assert not list(tmp_path.iterdir())


def test_delete_when_a_database_has_an_open_log_then_nothing_of_it_is_left(database):
    assert [path.exists() for path in database_files(database)] == [True, False, True, True]
    delete_database(database)
    delete_database(database)
    assert not list(database.parent.iterdir())


@pytest.mark.parametrize("name", ["plain", "a b", "what?", "C#", "My%20Course", "100%", "\u00e9"])
def test_url_when_the_path_has_signs_of_addresses_then_sqlalchemy_finds_the_same_file(name):
    path = Path(f"/courses/{name}/mlflow.db")
    assert make_url(sqlite_url(path)).database == path.as_posix()


HOLDING = """
import sys
from pathlib import Path
from mlops_course.core.files import alone
with alone(Path(sys.argv[1]), 5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_alone_when_another_process_is_in_then_waits_no_longer_than_said_and_its_death_ends_it(
    tmp_path,
):
    lock = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDING, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(TimeoutError, match="another program"), alone(lock, 0.1):
            pass
        other.kill()
        other.wait()
        with alone(lock, 5):
            pass


def test_alone_when_the_lock_has_no_folder_then_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="unable to open"), alone(tmp_path / "none" / "lock", 1):
        pass


def test_check_writing_when_done_then_leaves_nothing_and_says_where_it_cannot(tmp_path):
    check_writing(tmp_path)
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError):
        check_writing(tmp_path / "none")
