import sqlite3
from contextlib import closing

import pytest

from mlops_course.core.files import (
    back_up,
    copy_file,
    database_files,
    delete_database,
    open_to_read,
    replacing,
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


def test_write_and_copy_when_done_then_the_target_is_whole_and_alone(tmp_path):
    write_text(tmp_path / "one", "a\nb\n")
    copy_file(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == b"a\nb\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


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
    assert [path.exists() for path in database_files(database)] == [True] * 3
    delete_database(database)
    delete_database(database)
    assert not list(database.parent.iterdir())
