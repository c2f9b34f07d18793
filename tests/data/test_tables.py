import gzip
import os

import numpy as np
import pandas as pd
import pytest

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.data.tables import days_of, has_zone, read_table

TABLE = pd.DataFrame(
    {
        "when": ["2013-09-02", "2013-09-03"],
        "paid": [1.5, None],
        "plan": ["a", "b"],
        "ok": [True, False],
    }
)


def test_table_when_read_from_csv_or_parquet_then_is_the_same(tmp_path):
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    TABLE.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    one, two, three = (read_table(tmp_path / f"a.{end}") for end in ("csv", "parquet", "csv.gz"))
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(one, three)
    assert one["when"].dtype.kind == "M" and list(one.columns) == list(TABLE.columns)


def test_text_when_it_is_to_be_kept_then_stays_text(tmp_path):
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    assert read_table(tmp_path / "a.csv", keep="when")["when"].tolist() == TABLE["when"].tolist()


def test_text_when_not_all_of_it_is_dates_then_stays_text(tmp_path):
    TABLE.assign(when=["2013-09-02", "2013-13-45"]).to_csv(tmp_path / "a.csv", index=False)
    assert read_table(tmp_path / "a.csv")["when"].tolist() == ["2013-09-02", "2013-13-45"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.csv", None, "No such file"),
        ("empty.csv", b"", "No columns"),
        ("noise.csv", b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "cannot be read as a table"),
        ("latin.csv", "x,y\ncaf\xe9,1\n".encode("latin-1"), "utf-8"),
        ("semicolons.csv", b"x;y\n1;2\n", "separated by ';'"),
        ("tabs.csv", b"x\ty\n1\t2\n", "instead of commas"),
        ("ragged.csv", b"x,y\n1,2\n1,2,3\n", "line 3"),
        ("wide.csv", b"x,y\n1,2,3\n4,5,6\n", "as many cells"),
        ("open.csv", b'x,y\n"1,2\n3,4\n', "EOF inside string"),
        ("broken.parquet", b"PAR1 and so on", "Parquet"),
        ("named.parquet", b"x,y\n1,2\n", "Parquet"),
        ("broken.csv.gz", b"no gzip", "gzip"),
        ("twice.csv", b"x,y,x\n1,2,3\n", "column x more than once"),
    ],
)
def test_file_when_it_is_no_such_table_then_one_sentence_says_why(tmp_path, name, content, told):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=told) as failure:
        read_table(path)
    assert str(failure.value).isprintable()


def test_folder_when_read_then_one_sentence_says_so(tmp_path):
    with pytest.raises(DataError):
        read_table(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="needs the rights of Unix")
def test_parquet_when_a_column_is_there_twice_then_it_is_named(tmp_path):
    import pyarrow
    import pyarrow.parquet

    twice = pyarrow.table([[1], [2]], names=["x", "x"])
    pyarrow.parquet.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="x"):
        read_table(tmp_path / "a.parquet")


# ---- days


def seconds_of_september(zone=None):
    return pd.to_datetime(["2013-09-02 23:30", "2013-09-03 00:30"]).tz_localize(zone)


@pytest.mark.parametrize(
    "column",
    [
        ["2013-09-02", "2013-09-03"],
        ["2013-09-02T23:30:00Z", "2013-09-03 00:30:00.5"],
        ["2013-09-02 23:30:00+02:00", "2013-09-03 00:30:00-0400"],
        seconds_of_september(),
        seconds_of_september("America/New_York"),
        seconds_of_september().date,
    ],
)
def test_days_when_times_are_written_in_any_way_then_are_those_of_their_own_clock(column):
    days, said = days_of(pd.DataFrame({"when": column}), "when", "window")
    assert days.astype(str).tolist() == ["2013-09-02", "2013-09-03"] and said == []


def test_days_when_some_rows_have_no_time_then_they_are_counted():
    rows = pd.DataFrame({"when": ["2013-09-02", None, "soon"]})
    days, said = days_of(rows, "when", "window")
    assert np.isnat(days).tolist() == [False, True, True]
    assert said == ["2 rows of the window have no time in when: left out."]


@pytest.mark.parametrize("column", [[1.5, 2.5], [1_378_080_000, 2], ["a", "b"], [True, False]])
def test_days_when_the_column_holds_no_times_then_says_how_one_is_written(column):
    with pytest.raises(ParameterError, match="holds no times"):
        days_of(pd.DataFrame({"x": column}), "x", "reference")


def test_days_when_there_is_no_such_column_then_names_those_that_there_are():
    with pytest.raises(ParameterError, match=r"no column when\. It has x, y"):
        days_of(pd.DataFrame({"x": [1], "y": [2]}), "when", "reference")


@pytest.mark.parametrize(
    ("column", "zone"),
    [
        (["2013-09-02"], False),
        (["2013-09-02 10:00+02:00"], True),
        (seconds_of_september(), False),
        (seconds_of_september("UTC"), True),
        ([None], False),
    ],
)
def test_times_when_they_have_a_zone_then_it_is_seen(column, zone):
    assert has_zone(pd.Series(column)) is zone
