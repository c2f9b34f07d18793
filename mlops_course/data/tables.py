"""Anybody's own table, from a CSV or a Parquet file.

What may be wrong with such a file becomes a sentence. Text that is dates throughout becomes dates,
as it would be in Parquet.
"""

import csv
from pathlib import Path

import pandas as pd
import pyarrow

from mlops_course.core.errors import DataError
from mlops_course.core.texts import short

PARQUET = (".parquet", ".pq")
PARQUET_MAGIC = b"PAR1"
LOOK = 200  # values, to see whether a text is a date
LETTERS = 60


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


def _read_parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pandas()


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file; pandas renames a column that is there twice, so its names are read first."""
    names = pd.read_csv(path, header=None, nrows=1, dtype="str", keep_default_na=False)
    header = [str(name) for name in names.iloc[0]]
    if len(header) == 1 and (other := next((one for one in ";\t|" if one in header[0]), "")):
        raise ValueError(f"its first line is separated by {other!r} instead of commas")
    rows = pd.read_csv(path, low_memory=False)
    if len(header) != len(rows.columns) or not isinstance(rows.index, pd.RangeIndex):
        raise ValueError(f"its rows do not have as many cells as its first line, {len(header)}")
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
