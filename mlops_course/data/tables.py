"""Anybody's own table, from a CSV or a Parquet file, and the days of its rows.

What may be wrong with such a file becomes a sentence. Text that is dates throughout becomes dates,
as it would be in Parquet.
"""

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from mlops_course.core.errors import DataError, ParameterError
from mlops_course.core.texts import short

PARQUET = (".parquet", ".pq")
PARQUET_MAGIC = b"PAR1"
LOOK = 200  # values, to see whether a text is a date
LETTERS = 60  # of a name or a value that a sentence quotes
MAX_NAMED = 20
_OFFSET = r"\s*(?:Z|[+-]\d\d:?\d\d)$"


def read_table(path: Path, keep: str | None = None) -> pd.DataFrame:
    """Return the rows of a CSV or Parquet file; anything that is not Parquet is read as CSV.

    Parameters
    ----------
    path
        A CSV file is in UTF-8, separated by commas, and has its names in the first line; one that
        ends in ``.gz``, ``.zip`` or the like is unpacked.
    keep
        A column whose text stays text, even where it is dates.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read as such a table.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(PARQUET_MAGIC))
        is_parquet = begin == PARQUET_MAGIC or path.suffix in PARQUET
        rows = _read_parquet(path) if is_parquet else _read_csv(path)
    except (OSError, ValueError, pyarrow.ArrowException, csv.Error, EOFError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from error
    rows.columns = rows.columns.map(str)
    if twice := sorted(set(rows.columns[rows.columns.duplicated()])):
        raise DataError(
            f"{short(path)} has the column {short(twice[0], LETTERS)} more than once.",
            "A column is found by its name.",
            "Rename one of them, or leave it out.",
        )
    texts = [name for name in rows.columns if name != keep and _is_text(rows[name])]
    dates = {name: _as_dates(rows[name]) for name in texts}
    return rows.assign(**{name: found for name, found in dates.items() if found is not None})


def days_of(frame: pd.DataFrame, time: str, which: str) -> tuple[np.ndarray, list[str]]:
    """Return the day of each row, as its own clock has it; NaT where there is none.

    Parameters
    ----------
    time
        The column that says when a row was.
    which
        What the table is called in a sentence.

    Returns
    -------
    array of ``datetime64[D]``, shape (rows,), and a sentence if some rows have no time.

    Raises
    ------
    ParameterError
        If there is no such column, or it holds no times.
    """
    if time not in frame.columns:
        raise ParameterError(
            f"The {which} has no column {short(time, LETTERS)}.",
            f"It has {named(frame.columns)}.",
            "Name one that says when a row was.",
        )
    column = frame[time]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_localize(None)
    elif pd.api.types.is_numeric_dtype(column.dtype):
        column = pd.Series(pd.NaT, column.index)  # numbers may count anything, from any day on
    elif not pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = _on_their_clock(column.astype("str"))
    moments = column.to_numpy(dtype="datetime64[D]")
    unknown = int(np.isnat(moments).sum())
    if unknown == len(moments):
        example = short(frame[time].iloc[0], LETTERS)
        raise ParameterError(
            f"The column {short(time, LETTERS)} of the {which} holds no times, but {example}.",
            "A time is written as 2013-09-02, or as 2013-09-02T17:30:00.",
            "Name another column, or write its times like that.",
        )
    if not unknown:
        return moments, []
    said = f"{unknown:,} rows of the {which} have no time in {short(time, LETTERS)}: left out."
    return moments, [said]


def _on_their_clock(text: pd.Series) -> pd.Series:
    """Return written times without their time zones; NaT where there is no time."""
    try:
        times = pd.to_datetime(text, errors="coerce", format="ISO8601")
    except ValueError:  # of several zones, or only some have one
        times = None
    if times is None or isinstance(times.dtype, pd.DatetimeTZDtype):
        text = text.str.replace(_OFFSET, "", regex=True)
        times = pd.to_datetime(text, errors="coerce", format="ISO8601")
    return times


def has_zone(column: pd.Series) -> bool:
    """Return whether a column of times says in which time zone they are."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return isinstance(column.dtype, pd.DatetimeTZDtype)
    return bool(column.dropna().head(1).astype("str").str.contains(_OFFSET, regex=True).any())


def named(names: Sequence[Any] | pd.Index) -> str:
    """Return names for a sentence, some of them if they are many."""
    return short(", ".join(short(name, LETTERS) for name in list(names)[:MAX_NAMED]) or "none")


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pandas()


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file; pandas renames a column that is there twice, so its names are read first."""
    names = pd.read_csv(path, header=None, nrows=1, dtype="str", keep_default_na=False)
    header = [str(name) for name in names.iloc[0]]
    if len(header) == 1 and (other := next((one for one in ";\t|" if one in header[0]), "")):
        raise ValueError(f"its first line is separated by {other!r} instead of commas")
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        try:
            rows = pd.read_csv(path, low_memory=False, index_col=False)
        except pd.errors.ParserWarning as error:
            told = f"its rows do not have as many cells as its first line, {len(header)}"
            raise ValueError(told) from error
    rows.columns = pd.Index(header)
    return rows


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.StringDtype) or column.dtype == "object"


def _as_dates(column: pd.Series) -> pd.Series | None:
    """Return a text as dates if all of it is; None if not."""
    texts = column.dropna()
    if texts.empty or not all(isinstance(one, str) and len(one) >= 8 for one in texts.head(LOOK)):
        return None
    for part in (texts.head(LOOK), texts):
        if pd.to_datetime(part, errors="coerce", format="ISO8601", utc=True).isna().any():
            return None
    return pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"{short(path)} cannot be read as a table ({short(why)}).",
        "It should be a Parquet file, or a CSV file in UTF-8 with commas and its names in the "
        "first line.",
        "Check the path, and open the file to see what it holds.",
    )
